/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two functions share a container, through two descriptors of which two
 * programs map and unmap memory, while both do DMA to all of it and one of them
 * is closed. Once UNMAP_DMA is answered, or the last close done, memory does
 * not change; what is mapped is reached by the function that is open.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "served.h"

#define MAPPERS	 2
#define PAGE_LEN 4096
#define IOVA(i)	 (0x100000ull + 0x10000ull * (i))

enum { OWNER = MAPPERS, CLOSER, DMA0, DMA1, N_CLIENTS };

struct mapper {
	struct client *client;
	int container;
	unsigned int i;
	volatile uint32_t *word;
	atomic_uint changes; /* of the mapping; odd: somebody is at it */
	atomic_bool mapped;
};

static struct {
	struct served served;
	struct client client[N_CLIENTS];
	struct files files[RIG_DEVS];
	struct mapper mapper[MAPPERS];
	int memfd[MAPPERS];
	void *memory[MAPPERS];
} g;

static void map(struct mapper *m)
{
	int64_t r = client_map_dma(m->client, m->container, IOVA(m->i),
				   (void *)(uintptr_t)m->word, PAGE_LEN,
				   g.memfd[m->i]);

	sched_expect(r == 0, "MAP_DMA: %s", strerror((int)-r));
	atomic_store(&m->mapped, true);
}

static void unmap(struct mapper *m)
{
	int64_t r =
		client_unmap_dma(m->client, m->container, IOVA(m->i), PAGE_LEN);

	sched_expect(r == 0, "UNMAP_DMA: %s", strerror((int)-r));
	atomic_store(&m->mapped, false);
	*m->word = 0;
	linger("unmapped");
	sched_expect(*m->word == 0, "memory changes after it was unmapped");
}

static void *unmap_and_map(void *arg)
{
	struct mapper *m = arg;

	atomic_fetch_add(&m->changes, 1);
	unmap(m);
	map(m);
	atomic_fetch_add(&m->changes, 1);
	file_close(&m->container);
	return NULL;
}

/* -EFAULT: it is closed. */
static int64_t ask_dma(struct client *c, struct rig_dev *rd, uint64_t iova)
{

	return client_access(c, bar_id(rd, BAR_TRAP), REG_DMA, 1, &iova);
}

static void *dma_open(void *arg)
{
	struct rig_dev *rd = &g.served.rig.dev[0];

	for (unsigned int i = 0; i < MAPPERS; i++) {
		struct mapper *m = &g.mapper[i];
		unsigned int changes = atomic_load(&m->changes);
		int64_t r = ask_dma(&g.client[DMA0], rd, IOVA(i));
		int done = atomic_load(&rd->dma_result);

		sched_expect(r == 0, "an open function does not answer");
		sched_expect(done == 0 || done == -EIO, "DMA: %s",
			     strerror(-done));
		seen(done == 0 ? SEEN_LANDED : SEEN_REFUSED);
		if (!(changes & 1) && changes == atomic_load(&m->changes))
			sched_expect(done == 0, "DMA to what is mapped fails");
	}
	return NULL;
}

static void *dma_closing(void *arg)
{
	struct rig_dev *rd = &g.served.rig.dev[1];

	for (unsigned int i = 0; i < MAPPERS; i++) {
		int64_t r = ask_dma(&g.client[DMA1], rd, IOVA(i));

		sched_expect(r == 0 || r == -EFAULT, "a trapped access: %s",
			     strerror((int)-r));
		seen(r == 0 ? SEEN_A : SEEN_B);
	}
	return NULL;
}

/* Whoever opens the group again knows that it was closed. */
static void *close_one(void *arg)
{
	struct rig_dev *rd = &g.served.rig.dev[1];
	unsigned int dmas;
	int fd;

	file_close(&g.files[1].device);
	file_close(&g.files[1].group);
	fd = client_open(&g.client[CLOSER], "/dev/vfio/1");
	sched_expect(fd >= 0, "a closed group is busy");
	dmas = atomic_load(&rd->dma_done);
	linger("closed");
	sched_expect(atomic_load(&rd->dma_done) == dmas,
		     "DMA of a closed function");
	file_close(&fd);
	return NULL;
}

/* One file each: neighbours in one are one mapping. */
static void make_memory(unsigned int i)
{
	if (g.memory[i])
		return;
	g.memfd[i] = memfd_create("memory", MFD_CLOEXEC);
	sched_expect(ftruncate(g.memfd[i], PAGE_LEN) == 0, "memfd");
	g.memory[i] = mmap(NULL, PAGE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
			   g.memfd[i], 0);
}

static void begin(void)
{
	struct client *c = &g.client[OWNER];

	served_begin(&g.served, RIG_DEVS);
	for (unsigned int i = 0; i < N_CLIENTS; i++)
		client_new(&g.client[i], g.served.door, i);
	files_open(c, &g.served.rig.dev[0], &g.files[0]);
	files_open_in(c, &g.served.rig.dev[1], &g.files[1],
		      g.files[0].container);
	for (unsigned int i = 0; i < MAPPERS; i++) {
		struct mapper *m = &g.mapper[i];

		make_memory(i);
		*m = (struct mapper){
			.client = &g.client[i],
			.container = dup(g.files[0].container),
			.i = i,
			.word = (uint32_t *)(g.memory[i]),
		};
		map(m);
	}
}

static void mapping(void *arg)
{
	static const struct actor actors[] = {
		{"mapper0", unmap_and_map, &g.mapper[0]},
		{"mapper1", unmap_and_map, &g.mapper[1]},
		{"dma0", dma_open, NULL},
		{"dma1", dma_closing, NULL},
		{"closer", close_one, NULL},
	};

	begin();
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	files_close(&g.files[0]);
	for (unsigned int i = 0; i < N_CLIENTS; i++)
		client_done(&g.client[i]);
	served_end(&g.served);
}

static void finish(bool all)
{
	served_free(&g.served);
	for (unsigned int i = 0; i < MAPPERS; i++) {
		munmap(g.memory[i], PAGE_LEN);
		close(g.memfd[i]);
	}
	if (!all)
		return;
	saw(SEEN_LANDED, "DMA was done");
	saw(SEEN_REFUSED, "DMA was aborted");
	saw(SEEN_A, "the function was reached before its last close");
	saw(SEEN_B, "it was not reached after it");
}

const struct scenario scenario_map = {"map", mapping, finish, 450, false};

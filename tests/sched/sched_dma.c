/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA against what takes its target away. peers: two functions write into each
 * other's BARs, direct and trapped, while both gates toggle; nothing hangs.
 * unmap, unmap-mm: memory is unmapped under a write to it, a file's or a
 * program's own; once the unmap has returned, the memory does not change.
 * replace: the table is replaced, or taken away, under DMA of a callback, which
 * does not lose the one it has begun with; once that has returned, what was behind
 * the table from before does not change.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rig.h"

#define IOVA_DIRECT 0x10000 /* of the other function */
#define IOVA_TRAP   0x20000
#define IOVA_FAR    0x10000000 /* times the number of the target */
#define IOVA_MEMORY 0x40000
#define PAGE_LEN    4096

static struct {
	struct rig rig;
	struct rig_dev *rd;
	struct mem *mem;
	uint32_t *memory; /* the same, as the program sees it */
	uint64_t off;	  /* where in @mem */
	int fd;
} g;

/* As the model's run() does it: with its lock held. */
static int dma(struct rig_dev *rd, uint64_t iova, uint32_t val)
{
	sched_point("DMA");
	mutex_lock(&rd->dev->model);
	uint64_t start = clock_ns();
	int r = sv_dma_write(rd->dev, iova, &val, sizeof(val));

	/* nothing here takes its time, but for one that is not woken */
	sched_expect(clock_ns() - start < MEM_GRACE_NS,
		     "DMA ends by a time-out");
	mutex_unlock(&rd->dev->model);
	return r;
}

static void map(struct type1 *type1, struct mem *mem, uint64_t off,
		uint64_t iova)
{
	struct mem_seg seg = {mem, off, PAGE_LEN};

	int r = rig_map_one(type1, iova, PAGE_LEN, IOPT_READ | IOPT_WRITE,
			    &seg);

	sched_expect(r == 0, "map: %s", strerror(-r));
}

/* --- peers --- */

static void map_bar(struct rig_dev *rd, unsigned int bar, uint64_t iova)
{
	struct mem *mem;

	sched_expect(mem_bar(&device_p2p, rd->dev, bar, &mem) == 0, "mem_bar");
	map(g.rig.type1, mem, 0, iova);
}

static uint64_t iova_of(const struct rig_dev *rd, uint64_t iova)
{
	return iova + IOVA_FAR * (uint64_t)(rd - g.rig.dev);
}

static struct rig_dev *other(const struct rig_dev *rd)
{
	return &g.rig.dev[rd == &g.rig.dev[0]];
}

static void *write_to_peer(void *arg)
{
	struct rig_dev *rd = arg, *peer = other(rd);

	for (uint32_t i = 1; i <= 3; i++) {
		struct gate_view before = gate_look(peer);
		int r = dma(rd, iova_of(peer, IOVA_DIRECT), i);

		sched_expect(r == 0 || r == -EIO, "DMA: %s", strerror(-r));
		gate_check(peer, &before, r == 0, "DMA to a peer's memory");
		/* one that is off, or busy for too long, does not answer */
		r = dma(rd, iova_of(peer, IOVA_TRAP) + REG_STORE, i);
		sched_expect(r == 0 || r == -EIO, "DMA: %s", strerror(-r));
		seen(r == 0 ? SEEN_A : SEEN_B);
	}
	return NULL;
}

static void *toggle(void *arg)
{
	struct rig_dev *rd = arg;

	for (unsigned int i = 0; i < 2; i++) {
		gate_begin(rd);
		command(rd, false);
		gate_end(rd, 1);
		linger("off");
		gate_begin(rd);
		command(rd, true);
		gate_end(rd, -1);
	}
	return NULL;
}

static void peers(void *arg)
{
	struct actor actors[] = {
		{"toggler0", toggle, &g.rig.dev[0]},
		{"toggler1", toggle, &g.rig.dev[1]},
		{"dma0", write_to_peer, &g.rig.dev[0]},
		{"dma1", write_to_peer, &g.rig.dev[1]},
	};

	rig_begin(&g.rig, 2);
	for (unsigned int i = 0; i < 2; i++) {
		struct rig_dev *rd = &g.rig.dev[i];

		map_bar(rd, BAR_DIRECT, iova_of(rd, IOVA_DIRECT));
		map_bar(rd, BAR_TRAP, iova_of(rd, IOVA_TRAP));
	}
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	gate_check_quiet(&g.rig.dev[0]);
	gate_check_quiet(&g.rig.dev[1]);
	rig_end(&g.rig);
}

static void finish_peers(bool all)
{
	rig_free(&g.rig);
	if (!all)
		return;
	saw(SEEN_LANDED, "DMA to a peer's memory was done");
	saw(SEEN_REFUSED, "DMA to a peer's memory was aborted");
	saw(SEEN_A, "DMA to a peer's model was done");
	saw(SEEN_B, "DMA to a peer's model was aborted");
}

const struct scenario scenario_peers = {"peers", peers, finish_peers, 350,
					false};

/* --- unmap --- */

static void *write_to_memory(void *arg)
{
	for (uint32_t i = 1; i <= 3; i++) {
		struct gate_view before = gate_look(g.rd);
		int r = dma(g.rd, IOVA_MEMORY, i);

		if (r != -ECANCELED) /* a reset has the last word */
			gate_check(g.rd, &before, r == 0, "DMA");
		else
			seen(SEEN_A);
	}
	return NULL;
}

static void *unmap(void *arg)
{
	volatile uint32_t *memory = g.memory;

	for (unsigned int i = 0; i < 2; i++) {
		uint64_t unmapped;

		gate_begin(g.rd);
		sched_point("request: UNMAP");
		sched_expect(type1_unmap(g.rig.type1, false, IOVA_MEMORY,
					 PAGE_LEN, &unmapped) == 0 &&
				     unmapped == PAGE_LEN,
			     "unmap");
		sched_point("answer");
		gate_end(g.rd, 1);
		uint32_t before = *memory;

		linger("unmapped");
		sched_expect(*memory == before,
			     "memory changes after it was unmapped");
		gate_begin(g.rd);
		map(g.rig.type1, mem_get(g.mem), g.off, IOVA_MEMORY);
		gate_end(g.rd, -1);
	}
	return NULL;
}

static void *reset(void *arg)
{
	sched_point("request: RESET");
	sched_expect(device_reset(g.rd->dev) == 0, "RESET");
	sched_point("answer");
	return NULL;
}

static void race_for_memory(void)
{
	static const struct actor actors[] = {
		{"dma1", write_to_memory, NULL},
		{"dma2", write_to_memory, NULL},
		{"unmapper", unmap, NULL},
		{"resetter", reset, NULL},
	};

	map(g.rig.type1, mem_get(g.mem), g.off, IOVA_MEMORY);
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	rig_end(&g.rig);
	mem_put(g.mem);
}

static void unmap_file(void *arg)
{
	rig_begin(&g.rig, 1);
	g.rd = &g.rig.dev[0];
	if (!g.memory) {
		g.fd = memfd_create("memory", MFD_CLOEXEC);
		sched_expect(g.fd >= 0 && ftruncate(g.fd, PAGE_LEN) == 0,
			     "memfd");
		g.memory = mmap(NULL, PAGE_LEN, PROT_READ | PROT_WRITE,
				MAP_SHARED, g.fd, 0);
	}
	sched_expect(mem_file(getpid(), g.fd, true, PAGE_LEN, &g.mem) == 0,
		     "mem_file");
	race_for_memory();
}

static void unmap_mm(void *arg)
{
	static const struct mm_id id = {{1, 2}};

	rig_begin(&g.rig, 1);
	g.rd = &g.rig.dev[0];
	if (!g.memory) {
		g.fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
		g.memory = mmap(NULL, PAGE_LEN, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		g.off = (uintptr_t)g.memory;
	}
	sched_expect(mem_mm(getpid(), &id, g.fd, &g.mem) == 0, "mem_mm");
	race_for_memory();
}

static void finish_unmap(bool all)
{
	rig_free(&g.rig);
	munmap(g.memory, PAGE_LEN);
	close(g.fd);
	if (!all)
		return;
	saw(SEEN_LANDED, "DMA was done");
	saw(SEEN_REFUSED, "DMA was aborted");
}

const struct scenario scenario_unmap = {"unmap", unmap_file, finish_unmap, 150,
					false};
const struct scenario scenario_unmap_mm = {"unmap-mm", unmap_mm, finish_unmap,
					   250, false};

/* --- replace --- */

enum { TABLE_FIRST, TABLE_OTHER, TABLES };

static struct {
	struct type1 *other;
	struct mem *mem[TABLES];
	uint32_t *memory[TABLES]; /* the same, as programs see it */
	int fd[TABLES];
} t;

/* One write, and behind which table it is then; TABLES: it was aborted. */
static unsigned int write_one(unsigned int slot, uint32_t val)
{
	unsigned int i = 0;
	int r = sv_dma_write(g.rd->dev, IOVA_MEMORY + 4 * slot, &val,
			     sizeof(val));

	while (i < TABLES && t.memory[i][slot] != val)
		i++;
	sched_expect((r == 0) == (i < TABLES), "DMA: %s", strerror(-r));
	return i;
}

/* Two of one callback: as with a mapping, only what was not there may come. */
static void two_writes(uint32_t val)
{
	sched_point("callback");
	mutex_lock(&g.rd->dev->model);
	unsigned int first = write_one(0, val);

	sched_point("one of two");
	unsigned int second = write_one(1, val);

	mutex_unlock(&g.rd->dev->model);
	sched_expect(first == TABLES || first == second,
		     "a callback sees two tables");
	seen(first == TABLE_FIRST   ? SEEN_A
	     : first == TABLE_OTHER ? SEEN_B
				    : SEEN_REFUSED);
}

static void *write_twice(void *arg)
{
	for (uint32_t i = 1; i <= 3; i++)
		two_writes(i);
	return NULL;
}

/* What is behind a table that is not attached any more stays as it is. */
static void expect_quiet(unsigned int table)
{
	volatile uint32_t *memory = t.memory[table];
	uint32_t first = memory[0], second = memory[1];

	linger("replaced");
	sched_expect(memory[0] == first && memory[1] == second,
		     "memory behind a table from before changes");
}

static void *replace(void *arg)
{
	sched_point("request: REPLACE");
	sched_expect(device_replace(g.rd->dev, type1_domain(t.other)) == 0,
		     "replace");
	expect_quiet(TABLE_FIRST);
	sched_point("request: DETACH");
	sched_expect(device_detach(g.rd->dev) == 0, "detach");
	expect_quiet(TABLE_OTHER);
	sched_point("request: ATTACH");
	sched_expect(device_attach(g.rd->dev, type1_domain(g.rig.type1)) == 0,
		     "attach");
	return NULL;
}

static void make_memory(void)
{
	for (unsigned int i = 0; i < TABLES; i++) {
		if (!t.memory[i]) {
			t.fd[i] = memfd_create("memory", MFD_CLOEXEC);
			sched_expect(t.fd[i] >= 0 &&
					     ftruncate(t.fd[i], PAGE_LEN) == 0,
				     "memfd");
			t.memory[i] =
				mmap(NULL, PAGE_LEN, PROT_READ | PROT_WRITE,
				     MAP_SHARED, t.fd[i], 0);
		}
		memset(t.memory[i], 0, 8);
		sched_expect(mem_file(getpid(), t.fd[i], true, PAGE_LEN,
				      &t.mem[i]) == 0,
			     "mem_file");
	}
}

static void replacing(void *arg)
{
	static const struct actor actors[] = {
		{"callback", write_twice, NULL},
		{"replacer", replace, NULL},
		{"resetter", reset, NULL},
	};

	rig_begin(&g.rig, 1);
	g.rd = &g.rig.dev[0];
	make_memory();
	t.other = rig_type1(TYPE1_V2, 64);
	map(g.rig.type1, t.mem[TABLE_FIRST], 0, IOVA_MEMORY);
	map(t.other, t.mem[TABLE_OTHER], 0, IOVA_MEMORY);
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	rig_end(&g.rig);
	t.other = type1_put(t.other);
}

static void finish_replace(bool all)
{
	rig_free(&g.rig);
	for (unsigned int i = 0; i < TABLES; i++) {
		munmap(t.memory[i], PAGE_LEN);
		close(t.fd[i]);
	}
	if (!all)
		return;
	saw(SEEN_A, "DMA went through the first table");
	saw(SEEN_B, "DMA went through the other table");
	saw(SEEN_REFUSED, "DMA was aborted");
}

const struct scenario scenario_replace = {"replace", replacing, finish_replace,
					  150, false};

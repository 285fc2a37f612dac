/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A function is unplugged under requests of two programs that have it open, as
 * `softvfio unplug` asks for it. Nobody hangs: what is asked is answered, with
 * ENODEV once the removal has been, and no access goes through. REQ is raised
 * again and again until they have closed; then the function can be plugged in,
 * and the one that comes back is a new one, whose DMA nobody cancels.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/sched.h"
#include "served.h"

#define UNPLUG "{\"cmd\":\"unplug\",\"device\":\"0000:01:00.0\"}"
#define PLUG   "{\"cmd\":\"plug\",\"device\":\"0000:01:00.0\"}"
#define IOVA   0x100000
#define REQS   3
#define REPEAT 5000000 /* ns between two REQs */

enum { USER, REQUESTER, REMOVER, N_CLIENTS };

static struct {
	struct served served;
	struct rig_dev *rd;
	struct client client[N_CLIENTS];
	struct files files;
	struct prog prog;
	int device; /* the requester's own descriptor of it */
	int req;    /* REQ's eventfd */
	bool waits; /* this user goes when asked for the third time */
	atomic_bool gone;
	_Alignas(4096) uint8_t memory[4096];
} g;

static void *unplug(void *arg)
{
	linger("in use");
	gate_begin(g.rd);

	int64_t r = client_control(&g.client[REMOVER], UNPLUG);

	sched_expect(r >= 0, "unplug: %s", strerror((int)-r));
	gate_end(g.rd, 1);
	/* it may have come back in the meantime */
	atomic_store(&g.gone, true);
	linger("removed");
	return NULL;
}

static void check_answer(int64_t r, int64_t done, bool gone, const char *what)
{
	sched_expect(r == -ENODEV || (r == done && !gone), "%s: %lld%s", what,
		     (long long)r, gone ? ", of what was unplugged" : "");
	seen(r == -ENODEV ? SEEN_A : SEEN_B);
}

/* Its descriptor is of what was plugged in before. */
static void *request(void *arg)
{
	struct client *c = &g.client[REQUESTER];
	uint32_t val;

	bool gone = atomic_load(&g.gone);
	int64_t r = client_read(c, g.device, CONFIG(0), &val, sizeof(val));

	check_answer(r, sizeof(val), gone, "pread");
	gone = atomic_load(&g.gone);
	check_answer(ask_reset(c, g.device), 0, gone, "RESET");
	file_close(&g.device);
	return NULL;
}

static void wait_for_req(void)
{
	uint64_t n;

	sched_wait_readable(g.req, "REQ");
	sched_expect(read(g.req, &n, sizeof(n)) == sizeof(n), "REQ");
}

/* Not there yet, or somebody has not closed yet: that comes to an end. */
static void plug(struct client *c)
{
	int64_t r;

	while ((r = client_control(c, PLUG)) < 0) {
		sched_expect(r == -EEXIST || r == -EBUSY, "plug: %s",
			     strerror((int)-r));
		sched_rest();
	}
}

static void dma(struct client *c)
{
	uint64_t iova = IOVA;
	int64_t r = client_map_dma(c, g.files.container, IOVA, g.memory,
				   sizeof(g.memory), -1);

	sched_expect(r == 0, "MAP_DMA: %s", strerror((int)-r));
	memset(g.memory, 0, sizeof(uint32_t));
	r = client_access(c, bar_id(g.rd, BAR_TRAP), REG_DMA, 1, &iova);
	sched_expect(r == 0, "a trapped access: %s", strerror((int)-r));
	r = atomic_load(&g.rd->dma_result);
	sched_expect(r == 0, "DMA of a function that was plugged in: %s",
		     strerror((int)-r));
	sched_expect(*(volatile uint32_t *)g.memory, "DMA is lost");
}

static void *use(void *arg)
{
	struct client *c = &g.client[USER];

	gate_store(&g.prog, 0x10, 1);
	gate_store(&g.prog, 0x10, 2);
	for (unsigned int i = 0; i < (g.waits ? REQS : 0); i++)
		wait_for_req();
	gate_begin(g.rd); /* from here on nobody knows, until all is done */
	prog_unmap(&g.prog);
	files_close(&g.files);
	plug(c);
	files_open(c, g.rd, &g.files);
	dma(c);
	return NULL;
}

static void begin(void)
{
	served_begin(&g.served, 1);
	g.served.machine.unplug.period_ns = REPEAT;
	g.rd = &g.served.rig.dev[0];
	for (unsigned int i = 0; i < N_CLIENTS; i++)
		client_new(&g.client[i], g.served.door, i);
	files_open(&g.client[USER], g.rd, &g.files);
	prog_map_file(&g.prog, g.rd, BAR_PERSISTENT, &g.client[USER],
		      g.files.device);
	g.device = dup(g.files.device);
	g.req = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	sched_expect(ask_irq(&g.client[USER], g.device, IRQ_REQ, g.req) == 0,
		     "SET_IRQS");
	g.waits = sched_random() % 2;
	atomic_store(&g.gone, false);
}

static void unplugging(void *arg)
{
	static const struct actor actors[] = {
		{"remover", unplug, NULL},
		{"user", use, NULL},
		{"requester", request, NULL},
	};

	begin();
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	sched_expect(!device_gone(g.rd->dev),
		     "the function that came back is gone");
	sched_expect(served_shows(g.rd), "it is not in the tree");
	gate_check_quiet(g.rd);
	files_close(&g.files);
	close(g.req);
	for (unsigned int i = 0; i < N_CLIENTS; i++)
		client_done(&g.client[i]);
	served_end(&g.served);
}

static void finish(bool all)
{
	served_free(&g.served);
	if (!all)
		return;
	saw(SEEN_LANDED, "an access was done");
	saw(SEEN_REFUSED, "an access was refused");
	saw(SEEN_A, "a request was too late");
	saw(SEEN_B, "a request was in time");
}

const struct scenario scenario_unplug = {"unplug", unplugging, finish, 700,
					 false};

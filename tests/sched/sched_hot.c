/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hot reset of two functions behind one port, by request, while one of them is
 * being reset by request, read and stored to. It resets both or none: EBUSY
 * means that nothing was reset and that programs notice nothing; when all is
 * quiet a retry works.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "served.h"
#include "uapi/vfio.h"

#define TRIES	       2
#define SIBLING_RESETS 2

enum { HOT, RESETTER, USER0, USER1, N_CLIENTS };

struct user {
	struct client *client;
	struct rig_dev *rd;
	int device;
	struct prog prog;
};

static struct {
	struct served served;
	struct client client[N_CLIENTS];
	struct files files[RIG_DEVS];
	struct user user[RIG_DEVS];
	unsigned int done; /* hot resets that were */
	unsigned int before[RIG_DEVS];
} g;

static void note_why(void)
{
	struct journal_entry last;

	sched_expect(journal_copy(g.served.journal, &last, 1) == 1, "why");
	seen(strstr(last.reason, "is being reset") ? SEEN_B : SEEN_REFUSED);
}

static int64_t hot_reset(void)
{
	struct {
		uint32_t argsz, flags, count;
		int32_t fd[RIG_DEVS];
	} arg = {
		.argsz = sizeof(arg),
		.count = RIG_DEVS,
		.fd = {g.files[0].group, g.files[1].group},
	};
	int64_t r = client_ioctl(&g.client[HOT], g.files[0].device, "HOT_RESET",
				 VFIO_DEVICE_PCI_HOT_RESET, &arg, sizeof(arg),
				 arg.fd, RIG_DEVS);

	sched_expect(r == 0 || r == -EBUSY, "HOT_RESET: %s", strerror((int)-r));
	if (r == 0) {
		g.done++;
		seen(SEEN_A);
	} else {
		note_why();
	}
	return r;
}

static void *keep_trying(void *arg)
{
	for (unsigned int i = 0; i < TRIES; i++)
		hot_reset();
	return NULL;
}

static void *reset_sibling(void *arg)
{
	for (unsigned int i = 0; i < SIBLING_RESETS; i++)
		sched_expect(
			ask_reset(&g.client[RESETTER], g.files[1].device) == 0,
			"RESET");
	return NULL;
}

static void *store(void *arg)
{
	struct user *u = arg;
	uint32_t val;

	for (uint32_t i = 1; i <= 2; i++) {
		sched_expect(prog_store(&u->prog, 0x10, i),
			     "a store gets SIGBUS from a hot reset");
		sched_expect(prog_load(&u->prog, 0x10, &val),
			     "a load gets SIGBUS from a hot reset");
		sched_expect(val == i, "%u was stored, %u is read", i, val);
	}
	return NULL;
}

/* Of the function that HOT_RESET is not asked of: a file answers in turn. */
static void *transfer(void *arg)
{
	struct user *u = arg;
	uint64_t trapped = 1;
	uint8_t words[128]; /* each read with the lock taken anew */

	sched_expect(client_read(u->client, u->device, BAR(BAR_DIRECT), words,
				 sizeof(words)) == sizeof(words),
		     "pread fails from a hot reset");
	sched_expect(client_access(u->client, bar_id(u->rd, BAR_TRAP),
				   REG_STORE, 1, &trapped) == 0,
		     "a trapped access gets SIGBUS from a hot reset");
	return NULL;
}

static void check_resets(void)
{
	for (unsigned int i = 0; i < RIG_DEVS; i++) {
		unsigned int n =
			atomic_load(&g.served.rig.dev[i].resets) - g.before[i];
		unsigned int want = g.done + (i == 1 ? SIBLING_RESETS : 0);

		sched_expect(n == want,
			     "function %u was reset %u times instead of %u", i,
			     n, want);
	}
}

static void open_function(unsigned int i, int container)
{
	struct rig_dev *rd = &g.served.rig.dev[i];
	struct user *u = &g.user[i];
	struct client *c = &g.client[USER0 + i];

	files_open_in(&g.client[HOT], rd, &g.files[i], container);
	u->client = c;
	u->rd = rd;
	u->device = dup(g.files[i].device);
	prog_map_file(&u->prog, rd, BAR_PERSISTENT, c, g.files[i].device);
	g.before[i] = atomic_load(&rd->resets);
}

static void begin(void)
{
	int container;

	served_begin(&g.served, RIG_DEVS);
	for (unsigned int i = 0; i < N_CLIENTS; i++)
		client_new(&g.client[i], g.served.door, i);
	container = client_open(&g.client[HOT], "/dev/vfio/vfio");
	g.done = 0;
	for (unsigned int i = 0; i < RIG_DEVS; i++)
		open_function(i, container);
}

static void end(void)
{
	for (unsigned int i = 0; i < RIG_DEVS; i++) {
		gate_check_quiet(&g.served.rig.dev[i]);
		prog_unmap(&g.user[i].prog);
		file_close(&g.user[i].device);
		file_close(&g.files[i].device);
		file_close(&g.files[i].group);
	}
	file_close(&g.files[0].container);
	for (unsigned int i = 0; i < N_CLIENTS; i++)
		client_done(&g.client[i]);
	served_end(&g.served);
}

static void hot_reset_race(void *arg)
{
	static const struct actor actors[] = {
		{"hot", keep_trying, NULL},
		{"resetter", reset_sibling, NULL},
		{"storer", store, &g.user[0]},
		{"reader", transfer, &g.user[1]},
	};

	begin();
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	check_resets();
	sched_expect(hot_reset() == 0, "a retry fails though all is quiet");
	check_resets();
	end();
}

static void finish(bool all)
{
	served_free(&g.served);
	if (!all)
		return;
	saw(SEEN_A, "a hot reset was done");
	saw(SEEN_B, "one was refused since the sibling was being reset");
	saw(SEEN_REFUSED, "one was refused since its memory was in use");
	saw(SEEN_FAULT_RETRIED, "a fault found the page again");
}

const struct scenario scenario_hot_reset = {"hot-reset", hot_reset_race, finish,
					    400, false};

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hot reset of two functions behind one port, while one of them is being reset,
 * read and stored to. It resets both or none: EBUSY means that nothing was
 * reset and that programs notice nothing; when all is quiet a retry works.
 */
#include <errno.h>
#include <string.h>

#include "core/hotreset.h"
#include "lib/refuse.h"
#include "rig.h"

#define TRIES 3

static struct {
	struct rig rig;
	struct group *group[RIG_DEVS];
	struct prog prog[RIG_DEVS];
	atomic_uint done; /* hot resets that were */
} g;

static int hot_reset(void)
{
	char why[REFUSAL_MAX] = "";

	sched_point("request: HOT_RESET");
	int r = hotreset(g.rig.dev[0].dev, g.group, RIG_DEVS);

	sched_expect(r == 0 || r == -EBUSY, "HOT_RESET: %s", strerror(-r));
	if (r == 0) {
		atomic_fetch_add(&g.done, 1);
		seen(SEEN_A);
	} else {
		refusal_take(why);
		seen(strstr(why, "is being reset") ? SEEN_B : SEEN_REFUSED);
	}
	sched_point("answer");
	return r;
}

static void *keep_trying(void *arg)
{
	for (unsigned int i = 0; i < TRIES; i++)
		hot_reset();
	return NULL;
}

#define SIBLING_RESETS 2

static void *reset_sibling(void *arg)
{
	for (unsigned int i = 0; i < SIBLING_RESETS; i++) {
		sched_point("request: RESET");
		sched_expect(device_reset(g.rig.dev[1].dev) == 0, "RESET");
		sched_point("answer");
	}
	return NULL;
}

static void *store(void *arg)
{
	struct prog *prog = arg;
	uint32_t val;

	for (uint32_t i = 1; i <= 3; i++) {
		sched_expect(prog_store(prog, 0x10, i),
			     "a store gets SIGBUS from a hot reset");
		sched_expect(prog_load(prog, 0x10, &val),
			     "a load gets SIGBUS from a hot reset");
		sched_expect(val == i, "%u was stored, %u is read", i, val);
	}
	return NULL;
}

static void *transfer(void *arg)
{
	struct rig_dev *rd = arg;
	uint64_t trapped = 1;
	uint32_t val;

	for (unsigned int i = 0; i < 2; i++) {
		sched_expect(rig_pread(rd, BAR_DIRECT, 0, &val) == 4,
			     "pread fails from a hot reset");
		sched_expect(rig_trap(rd, REG_STORE, true, &trapped),
			     "a trapped access gets SIGBUS from a hot reset");
	}
	return NULL;
}

static void check_resets(const unsigned int before[RIG_DEVS])
{
	for (unsigned int i = 0; i < RIG_DEVS; i++) {
		unsigned int n = atomic_load(&g.rig.dev[i].resets) - before[i];
		unsigned int want =
			atomic_load(&g.done) + (i == 1 ? SIBLING_RESETS : 0);

		sched_expect(n == want,
			     "function %u was reset %u times instead of %u", i,
			     n, want);
	}
}

static void hot_reset_race(void *arg)
{
	static const struct actor actors[] = {
		{"hot", keep_trying, NULL},
		{"resetter", reset_sibling, NULL},
		{"storer0", store, &g.prog[0]},
		{"storer1", store, &g.prog[1]},
		{"reader0", transfer, &g.rig.dev[0]},
		{"reader1", transfer, &g.rig.dev[1]},
	};
	unsigned int before[RIG_DEVS];

	rig_begin(&g.rig, RIG_DEVS);
	atomic_store(&g.done, 0);
	for (unsigned int i = 0; i < RIG_DEVS; i++) {
		if (!g.group[i])
			group_new(i, &g.group[i]);
		prog_map(&g.prog[i], &g.rig.dev[i], BAR_PERSISTENT, i);
		before[i] = atomic_load(&g.rig.dev[i].resets);
	}
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	check_resets(before);
	sched_expect(hot_reset() == 0, "a retry fails though all is quiet");
	check_resets(before);
	for (unsigned int i = 0; i < RIG_DEVS; i++) {
		gate_check_quiet(&g.rig.dev[i]);
		prog_unmap(&g.prog[i]);
	}
	rig_end(&g.rig);
}

static void finish(bool all)
{
	rig_free(&g.rig);
	for (unsigned int i = 0; i < RIG_DEVS; i++)
		group_free(g.group[i]);
	if (!all)
		return;
	saw(SEEN_A, "a hot reset was done");
	saw(SEEN_B, "one was refused since the sibling was being reset");
	saw(SEEN_REFUSED, "one was refused since its memory was in use");
	saw(SEEN_FAULT_RETRIED, "a fault found the page again");
}

const struct scenario scenario_hot_reset = {"hot-reset", hot_reset_race, finish,
					    400, false};

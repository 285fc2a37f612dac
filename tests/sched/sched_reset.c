/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DEVICE_RESET and FLR under a program that goes on: memory is on before and
 * after, so the program sees no SIGBUS and no refusal, memory that persists
 * loses no store, and the model's bursts are left alone.
 */
#include "rig.h"

#define STORERS 2
#define STORES	3

struct storer {
	struct prog prog;
	unsigned int bar;
};

static struct {
	struct rig rig;
	struct rig_dev *rd;
	struct storer storer[STORERS];
} g;

static void *store(void *arg)
{
	struct storer *s = arg;
	uint32_t val;

	for (uint32_t i = 1; i <= STORES; i++) {
		sched_expect(prog_store(&s->prog, 0x10, i),
			     "a store gets SIGBUS from a reset");
		sched_expect(prog_load(&s->prog, 0x10, &val),
			     "a load gets SIGBUS from a reset");
		if (s->bar == BAR_PERSISTENT)
			sched_expect(val == i, "%u was stored, %u is read", i,
				     val);
		else
			sched_expect(val == i || val == 0,
				     "%u was stored, %u is read", i, val);
	}
	return NULL;
}

static void *trap(void *arg)
{
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t val = i;

		sched_expect(
			rig_trap(g.rd, i ? REG_STORE : REG_BURST, true, &val),
			"a trapped access gets SIGBUS from a reset");
	}
	return NULL;
}

static void *transfer(void *arg)
{
	uint32_t val;

	sched_expect(rig_pwrite(g.rd, BAR_PERSISTENT, 0x800, 7) == 4,
		     "pwrite fails from a reset");
	sched_expect(rig_pread(g.rd, BAR_PERSISTENT, 0x800, &val) == 4,
		     "pread fails from a reset");
	sched_expect(val == 7, "7 was written, %u is read", val);
	return NULL;
}

static void *reset(void *arg)
{
	for (unsigned int i = 0; i < 2; i++) {
		sched_point("request: RESET");
		unsigned int before = atomic_load(&g.rd->resets);

		sched_expect(device_reset(g.rd->dev) == 0, "RESET");
		sched_expect(atomic_load(&g.rd->resets) > before,
			     "the model was not reset");
		sched_point("answer");
	}
	return NULL;
}

static void *reset_by_config(void *arg)
{
	flr(g.rd);
	return NULL;
}

static void resets(void *arg)
{
	static const unsigned int bars[STORERS] = {BAR_DIRECT, BAR_PERSISTENT};

	rig_begin(&g.rig, 1);
	g.rd = &g.rig.dev[0];
	for (unsigned int i = 0; i < STORERS; i++) {
		g.storer[i].bar = bars[i];
		prog_map(&g.storer[i].prog, g.rd, bars[i], i);
	}

	unsigned int before = atomic_load(&g.rd->resets);
	const struct actor actors[] = {
		{"resetter", reset, NULL},
		{"flr", reset_by_config, NULL},
		{"storer1", store, &g.storer[0]},
		{"storer2", store, &g.storer[1]},
		{"trapper", trap, NULL},
		{"reader", transfer, NULL},
	};

	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	gate_check_quiet(g.rd);
	sched_expect(atomic_load(&g.rd->resets) == before + 3,
		     "3 resets were asked for, %u done",
		     atomic_load(&g.rd->resets) - before);
	for (unsigned int i = 0; i < STORERS; i++)
		prog_unmap(&g.storer[i].prog);
	rig_end(&g.rig);
}

static void finish(bool all)
{
	rig_free(&g.rig);
	if (all)
		saw(SEEN_FAULT_RETRIED, "a fault found the page again");
}

const struct scenario scenario_reset = {"reset", resets, finish, 250, false};

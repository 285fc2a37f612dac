/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * COMMAND.MEMORY is toggled under everybody who may touch a BAR: stores and
 * loads of programs, trapped accesses, pread and pwrite, the model's bursts.
 *
 * After each disable has returned, what the device sees does not change, no
 * store that retired is missing, and no access gets through; while decode is on
 * all of them do. gate-reset: the same with resets, by which nobody is to have
 * the gate opened, and memory that survives them.
 */
#include <string.h>

#include "rig.h"

#define STORERS	      2
#define STORES	      3
#define ROUNDS	      2
#define TRANSFER_SLOT 0x800

struct storer {
	struct prog prog;
	uint64_t off;
	_Atomic uint32_t retired; /* the last value known to be stored */
};

static struct {
	struct rig rig;
	struct rig_dev *rd;
	struct storer storer[STORERS];
	unsigned int bar; /* that they store to */
} g;

static void *store(void *arg)
{
	struct storer *s = arg;

	for (uint32_t i = 1; i <= STORES; i++) {
		struct gate_view before = gate_look(g.rd);
		bool done = prog_store(&s->prog, s->off, i);
		uint32_t val = 0;

		if (done)
			atomic_store(&s->retired, i);
		gate_check(g.rd, &before, done, "a store");
		if (prog_load(&s->prog, s->off, &val))
			sched_expect(val == atomic_load(&s->retired),
				     "%u was stored, %u is read",
				     atomic_load(&s->retired), val);
	}
	return NULL;
}

static void *transfer(void *arg)
{
	for (unsigned int i = 0; i < 3; i++) {
		struct gate_view before = gate_look(g.rd);
		uint32_t val;
		int64_t r =
			i == 0 ? rig_pwrite(g.rd, BAR_DIRECT, TRANSFER_SLOT, 1)
			: i == 1 ? rig_pread(g.rd, BAR_DIRECT, TRANSFER_SLOT,
					     &val)
				 : rig_pread(g.rd, BAR_TRAP, 8, &val);

		gate_check(g.rd, &before, r == 4, "a transfer");
	}
	return NULL;
}

#define WORDS (STORERS + 2)

static void look(uint32_t words[WORDS])
{
	for (unsigned int i = 0; i < STORERS; i++)
		words[i] = rig_contents(g.rd, g.bar, g.storer[i].off);
	words[STORERS] = words[STORERS + 1] = 0;
	if (g.bar != BAR_DIRECT)
		return; /* a reset clears these */
	words[STORERS] = rig_contents(g.rd, BAR_DIRECT, BURST_SLOT);
	words[STORERS + 1] = rig_contents(g.rd, BAR_DIRECT, TRANSFER_SLOT);
}

static void check_disabled(void)
{
	uint32_t before[WORDS], after[WORDS];

	look(before);
	for (unsigned int i = 0; i < STORERS; i++)
		sched_expect(before[i] >= atomic_load(&g.storer[i].retired),
			     "a store of %u retired, the device has %u",
			     atomic_load(&g.storer[i].retired), before[i]);
	linger("disabled");
	look(after);
	sched_expect(!memcmp(before, after, sizeof(before)),
		     "the contents change while decode is off");
}

static void *toggle(void *arg)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		gate_begin(g.rd);
		command(g.rd, false);
		gate_end(g.rd, 1);
		check_disabled();
		gate_begin(g.rd);
		command(g.rd, true);
		gate_end(g.rd, -1);
	}
	return NULL;
}

static void begin(unsigned int bar, const uint64_t offs[STORERS])
{
	rig_begin(&g.rig, 1);
	g.rd = &g.rig.dev[0];
	g.bar = bar;
	for (unsigned int i = 0; i < STORERS; i++) {
		prog_map(&g.storer[i].prog, g.rd, bar, i);
		g.storer[i].off = offs[i];
		atomic_store(&g.storer[i].retired, 0);
	}
	if (bar == BAR_PERSISTENT)
		for (unsigned int i = 0; i < STORERS; i++)
			prog_store(&g.storer[i].prog, offs[i], 0);
}

static void end(void)
{
	gate_check_quiet(g.rd);
	for (unsigned int i = 0; i < STORERS; i++)
		prog_unmap(&g.storer[i].prog);
	rig_end(&g.rig);
}

static void gate(void *arg)
{
	static const uint64_t offs[STORERS] = {0x10, 0x1010};
	static const struct actor actors[] = {
		{"toggler", toggle, NULL},
		{"storer1", store, &g.storer[0]},
		{"storer2", store, &g.storer[1]},
		{"trapper", gate_traps, &g.rig.dev[0]},
		{"reader", transfer, NULL},
	};

	begin(BAR_DIRECT, offs);
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	end();
}

static void *reset(void *arg)
{
	for (unsigned int i = 0; i < 2; i++) {
		sched_point("request: RESET");
		sched_expect(device_reset(g.rd->dev) == 0, "RESET");
		sched_point("answer");
	}
	return NULL;
}

static void gate_reset(void *arg)
{
	static const uint64_t offs[STORERS] = {0x10, 0x810};
	static const struct actor actors[] = {
		{"toggler", toggle, NULL},
		{"storer1", store, &g.storer[0]},
		{"storer2", store, &g.storer[1]},
		{"trapper", gate_traps, &g.rig.dev[0]},
		{"resetter", reset, NULL},
	};

	begin(BAR_PERSISTENT, offs);
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	end();
}

static void finish(bool all)
{
	rig_free(&g.rig);
	if (!all)
		return;
	saw(SEEN_LANDED, "an access was done");
	saw(SEEN_REFUSED, "an access was refused");
	saw(SEEN_FAULT_RETRIED, "a fault found the page again");
}

const struct scenario scenario_gate = {"gate", gate, finish, 250, false};
const struct scenario scenario_gate_reset = {"gate-reset", gate_reset, finish,
					     350, false};

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Last close and the next open, against a reset (by sysfs, which needs no open
 * file), against a program that kept its mapping, and against mmap. Once the
 * close has returned nothing reaches the function, and a mapping keeps it busy
 * exactly as long as it lives.
 */
#include "rig.h"

enum { OWNER_KEPT = 1, OWNER_NEW };

static struct {
	struct rig rig;
	struct rig_dev *rd;
	struct prog kept;
} g;

static void *map_and_unmap(void *arg)
{
	struct prog prog;

	for (unsigned int i = 0; i < 2; i++) {
		prog_map(&prog, g.rd, BAR_DIRECT, OWNER_NEW);
		sched_expect(device_mapped(g.rd->dev, OWNER_NEW),
			     "a mapping that lives is not known");
		gate_store(&prog, 0x1010, i);
		sched_expect(device_mapped(g.rd->dev, OWNER_NEW),
			     "a mapping that lives is not known");
		prog_unmap(&prog);
		sched_expect(!device_mapped(g.rd->dev, OWNER_NEW),
			     "a mapping that has gone still counts");
	}
	return NULL;
}

static void *reset(void *arg)
{
	for (unsigned int i = 0; i < 2; i++) {
		sched_point("request: reset");
		sched_expect(device_reset(g.rd->dev) == 0, "RESET");
		sched_point("answer");
	}
	return NULL;
}

static void *close_and_open(void *arg)
{
	uint32_t before;

	gate_begin(g.rd);
	sched_point("hang-up");
	rig_close(g.rd);
	gate_end(g.rd, 1);
	sched_expect(!config_bus_master(g.rd->dev->config) ||
			     atomic_load(&g.rd->dev->iopt),
		     "a closed function is bus master");
	before = rig_contents(g.rd, BAR_PERSISTENT, 0x10);
	linger("closed");
	sched_expect(before == rig_contents(g.rd, BAR_PERSISTENT, 0x10),
		     "the contents of a closed function change");
	sched_expect(device_mapped(g.rd->dev, OWNER_KEPT),
		     "a mapping does not survive the close");
	gate_begin(g.rd);
	rig_open(g.rd);
	gate_end(g.rd, -1);
	return NULL;
}

static void closing(void *arg)
{
	static const struct actor actors[] = {
		{"closer", close_and_open, NULL},
		{"storer", gate_stores, &g.kept},
		{"trapper", gate_traps, &g.rig.dev[0]},
		{"resetter", reset, NULL},
		{"mapper", map_and_unmap, NULL},
	};

	rig_begin(&g.rig, 1);
	g.rd = &g.rig.dev[0];
	prog_map(&g.kept, g.rd, BAR_PERSISTENT, OWNER_KEPT);
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	gate_check_quiet(g.rd);
	prog_unmap(&g.kept);
	rig_end(&g.rig);
}

static void finish(bool all)
{
	rig_free(&g.rig);
	if (!all)
		return;
	saw(SEEN_LANDED, "an access was done");
	saw(SEEN_REFUSED, "an access was refused");
}

const struct scenario scenario_close = {"close", closing, finish, 300, false};

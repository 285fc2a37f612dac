/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A function is unplugged under its users, who close, and is plugged in and
 * opened again. When the removal has returned no access and no DMA goes
 * through; the function that comes back is a new one, and works.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/machine.h"
#include "rig.h"

static struct {
	struct rig rig;
	struct rig_dev *rd;
	struct machine machine; /* as much of one as unplug.c looks at */
	struct prog prog;
} g;

static struct machine_dev *md(void)
{
	return &g.machine.dev[0];
}

static void make_machine(void)
{
	rig_watch(&g.rig);
	g.machine.watcher = g.rig.watcher;
	sched_expect(unplug_init(&g.machine) == 0, "unplug");
	if (g.machine.n_devs)
		return;
	sched_expect(group_new(0, &md()->group) == 0 &&
			     group_add(md()->group, g.rd->dev) == 0,
		     "machine");
	md()->dev = g.rd->dev;
	g.machine.n_devs = 1;
}

/* The group's count of open files, which rig_open() knows nothing of. */
static void count_user(void)
{
	mutex_lock(&md()->group->lock);
	md()->group->users++;
	mutex_unlock(&md()->group->lock);
}

static void *unplug(void *arg)
{
	gate_begin(g.rd);
	sched_point("request: remove");
	int r = unplug_remove(&g.machine, md());

	sched_expect(r >= 0, "remove: %s", strerror(-r));
	seen(r ? SEEN_A : SEEN_B);
	gate_end(g.rd, 1);
	linger("removed");
	return NULL;
}

static void *close_and_plug(void *arg)
{
	linger("in use");
	gate_begin(g.rd); /* from here on nobody knows, until all is done */
	sched_point("hang-up");
	g.rd->open = false;
	group_put_device(md()->group, g.rd->dev);
	while (unplug_plug(&g.machine, md()) < 0)
		sched_rest();
	rig_open(g.rd);
	count_user();
	return NULL;
}

static void unplugging(void *arg)
{
	static const struct actor actors[] = {
		{"remover", unplug, NULL},
		{"closer", close_and_plug, NULL},
		{"storer", gate_stores, &g.prog},
		{"trapper", gate_traps, &g.rig.dev[0]},
	};

	rig_begin(&g.rig, 1);
	g.rd = &g.rig.dev[0];
	make_machine();
	md()->group->users = 1;
	prog_map(&g.prog, g.rd, BAR_PERSISTENT, 1);
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	sched_expect(!device_gone(g.rd->dev),
		     "the function that came back is gone");
	gate_check_quiet(g.rd);
	sched_expect(prog_store(&g.prog, 0x10, 9),
		     "the function that came back does not answer");
	prog_unmap(&g.prog);
	rig_end(&g.rig);
	unplug_done(&g.machine);
}

static void finish(bool all)
{
	group_free(md()->group);
	rig_free(&g.rig);
	if (!all)
		return;
	saw(SEEN_LANDED, "an access was done");
	saw(SEEN_REFUSED, "an access was refused");
	saw(SEEN_A, "it was removed unused");
	saw(SEEN_B, "it was removed under its users");
}

const struct scenario scenario_unplug = {"unplug", unplugging, finish, 250,
					 false};

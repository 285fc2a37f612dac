/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Faults by request while memory decode is toggled and every descriptor is
 * closed meanwhile. A mapping keeps the function open, so each fault is
 * answered as decode says, and the group stays busy until the mapping goes.
 */
#include <errno.h>
#include <unistd.h>

#include "served.h"

enum { OWNER, STORER, TOGGLER, FAULTER, N_CLIENTS };

static struct {
	struct served served;
	struct rig_dev *rd;
	struct client client[N_CLIENTS];
	struct files files;
	struct prog prog;
	int device; /* the toggler's own descriptor of it */
} g;

static void *toggle(void *arg)
{
	struct client *c = &g.client[TOGGLER];

	gate_begin(g.rd);
	sched_expect(ask_command(c, g.device, false) == 2, "COMMAND");
	gate_end(g.rd, 1);
	linger("off");
	gate_begin(g.rd);
	sched_expect(ask_command(c, g.device, true) == 2, "COMMAND");
	gate_end(g.rd, -1);
	file_close(&g.device);
	return NULL;
}

static void *close_files(void *arg)
{
	linger("open");
	files_close(&g.files);
	return NULL;
}

/* What a program may ask that has no file at all. */
static void *fault(void *arg)
{

	for (unsigned int i = 0; i < 3; i++) {
		struct gate_view before = gate_look(g.rd);
		int64_t r = client_fault(&g.client[FAULTER],
					 bar_id(g.rd, BAR_DIRECT), 0x1000);

		sched_expect(r == 0 || r == -EFAULT, "a fault: %d", (int)r);
		gate_check(g.rd, &before, r == 0, "a fault");
	}
	return NULL;
}

static void check_mapping_keeps(void)
{
	int fd;

	gate_check_quiet(g.rd);
	gate_store(&g.prog, 0x10, 9);
	fd = client_open(&g.client[OWNER], "/dev/vfio/0");
	sched_expect(fd == -EBUSY, "a group with a mapping is free");
	prog_unmap(&g.prog);
	fd = client_open(&g.client[OWNER], "/dev/vfio/0");
	sched_expect(fd >= 0, "a group without a mapping is busy");
	file_close(&fd);
}

static void faults(void *arg)
{
	static const struct actor actors[] = {
		{"toggler", toggle, NULL},
		{"storer", gate_stores, &g.prog},
		{"closer", close_files, NULL},
		{"faulter", fault, NULL},
	};

	served_begin(&g.served, 1);
	g.rd = &g.served.rig.dev[0];
	for (unsigned int i = 0; i < N_CLIENTS; i++)
		client_new(&g.client[i], g.served.door, i);
	files_open(&g.client[OWNER], g.rd, &g.files);
	g.device = dup(g.files.device);
	prog_map_file(&g.prog, g.rd, BAR_PERSISTENT, &g.client[OWNER],
		      g.files.device);
	g.prog.client = &g.client[STORER];
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	check_mapping_keeps();
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
}

const struct scenario scenario_fault = {"fault", faults, finish, 350, false};

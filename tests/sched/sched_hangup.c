/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests against the release of files: a program closes what it has, in an
 * order that the seed chooses, while another opens the same group again and
 * again and a third has the server look who is alive. The group is busy exactly
 * as long as a file of it or a mapping lives; whoever gets it, gets all of it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "served.h"
#include "uapi/vfio.h"

enum { GROUP, DEVICE, MAPPING, CONTAINER, N_HELD };

static struct {
	struct served served;
	struct rig_dev *rd;
	struct client owner, other, third;
	struct files held, got;
	struct prog prog;
	bool holds[N_HELD];
	atomic_uint epoch;
	atomic_int busy; /* GROUP, DEVICE and MAPPING that live */
} g;

static void let_go(unsigned int what)
{
	sched_point("let go");
	if (what == GROUP) {
		file_close(&g.held.group);
	} else if (what == DEVICE) {
		client_abandon(&g.owner, g.held.device);
		file_close(&g.held.device);
	} else if (what == MAPPING) {
		prog_unmap(&g.prog);
	} else {
		file_close(&g.held.container);
	}
}

/* Odd: somebody is at it. */
static void *close_all(void *arg)
{
	for (unsigned int left = N_HELD; left > 0; left--) {
		unsigned int i = 0;

		for (uint64_t skip = sched_random() % left;
		     !g.holds[i] || skip > 0; i++)
			skip -= g.holds[i];
		g.holds[i] = false;
		atomic_fetch_add(&g.epoch, 1);
		let_go(i);
		if (i != CONTAINER)
			atomic_fetch_sub(&g.busy, 1);
		atomic_fetch_add(&g.epoch, 1);
		linger("let go");
	}
	return NULL;
}

static bool try_to_open(void)
{
	unsigned int epoch = atomic_load(&g.epoch);
	int busy = atomic_load(&g.busy);
	int fd = client_open(&g.other, "/dev/vfio/0");

	sched_expect(fd >= 0 || fd == -EBUSY, "open: %s", strerror(-fd));
	seen(fd >= 0 ? SEEN_A : SEEN_B);
	if (!(epoch & 1) && epoch == atomic_load(&g.epoch))
		sched_expect((fd >= 0) == !busy,
			     "the group is %s with %d that hold it",
			     fd >= 0 ? "free" : "busy", busy);
	g.got.group = fd < 0 ? -1 : fd;
	return fd >= 0;
}

static void *open_again(void *arg)
{
	for (unsigned int i = 0; i < 4; i++)
		if (try_to_open()) {
			files_open_rest(&g.other, g.rd, &g.got);
			break;
		}
	return NULL;
}

static void *look(void *arg)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	int fd = client_open(&g.third, "/dev/vfio/1");

	sched_expect(fd >= 0, "open: %s", strerror(-fd));
	sched_expect(client_ioctl(&g.third, fd, "GET_STATUS",
				  VFIO_GROUP_GET_STATUS, &status,
				  sizeof(status), NULL, 0) == 0,
		     "GET_STATUS");
	file_close(&fd);
	fd = client_open(&g.third, "/dev/vfio/1");
	sched_expect(fd >= 0, "a group that was closed: %s", strerror(-fd));
	file_close(&fd);
	return NULL;
}

/* Who did not get it in the race gets it now. */
static void check_free(void)
{
	if (g.got.device >= 0)
		return;
	sched_expect(try_to_open(), "the group stays busy");
	files_open_rest(&g.other, g.rd, &g.got);
}

static void hangup(void *arg)
{
	static const struct actor actors[] = {
		{"closer", close_all, NULL},
		{"opener", open_again, NULL},
		{"third", look, NULL},
	};

	served_begin(&g.served, 2);
	g.rd = &g.served.rig.dev[0];
	client_new(&g.owner, g.served.door, 1);
	client_new(&g.other, g.served.door, 2);
	client_new(&g.third, g.served.door, 3);
	files_open(&g.owner, g.rd, &g.held);
	prog_map_file(&g.prog, g.rd, BAR_DIRECT, &g.owner, g.held.device);
	g.got = (struct files){client_open(&g.other, "/dev/vfio/vfio"), -1, -1};
	memset(g.holds, true, sizeof(g.holds));
	atomic_store(&g.epoch, 0);
	atomic_store(&g.busy, CONTAINER);
	rig_race(actors, sizeof(actors) / sizeof(actors[0]));
	check_free();
	gate_check_quiet(g.rd);
	files_close(&g.got);
	sched_expect(served_idle(&g.served), "a file is left");
	client_done(&g.owner);
	client_done(&g.other);
	client_done(&g.third);
	served_end(&g.served);
}

static void finish(bool all)
{
	served_free(&g.served);
	if (!all)
		return;
	saw(SEEN_A, "the group was free");
	saw(SEEN_B, "the group was busy");
}

const struct scenario scenario_hangup = {"hangup", hangup, finish, 500, false};

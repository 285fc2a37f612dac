/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * A file is *open* while its socket's other end exists somewhere; it is *gone*
 * when that end was closed by its last holder, which the host kernel shows as
 * end-of-file once the requests queued before it are taken; it is *released*
 * when in addition nothing keeps it busy (BAR mappings).
 *
 * An epoll set of its own, never waited for, has every file's hang-up: whoever
 * has to know who is alive asks one question, not one for each file.
 *
 * A descriptor given away exists twice for a moment: in the message and here.
 * The program may have closed its own before we close ours, and then the
 * hang-up would come late. So giving away is done under `handover` for reading,
 * and alive_settle() first waits for it.
 *
 * Releases of a group's files run one at a time in the group's lane, by
 * whichever thread comes first: the one that read the end-of-file, or one that
 * has to know who is alive (alive_settle()). A file that is being released is
 * shown as hung up until that is done, so who finds none that concerns him need
 * not look at the lane. A file is not released under a running request, as on
 * Linux. There a task that has ended has no request under way any more; here one
 * may still be queued or served, so alive_settle() waits until it is not, but
 * for those that wait in alive_settle() themselves.
 */
#include <string.h>
#include <sys/epoll.h>

#include "front/alive.h"
#include "front/ipc/dispatch.h"
#include "front/ipc/discard.h"
#include "front/ipc/server_impl.h"
#include "lib/sched.h"

#define HANGUPS_AT_ONCE 64
#define LANES_MAX	(MACHINE_DEVICES_MAX + 1)
#define SETTLERS_MAX	(SERVER_THREADS_MAX - SERVER_THREADS)
#define SETTLE_NS	2000000000 /* as long as a piece of DMA may take */

struct lane *server_lane(struct server *s, const struct group *g)
{
	for (size_t i = 1; g && i < s->n_lanes; i++)
		if (s->lane[i].group == g)
			return &s->lane[i];
	return &s->lane[0];
}

/*
 * At its end, nothing queued before it, and nobody serving it. If not, what
 * stands in the way is work that will be done, or is waiting as we do.
 */
static bool file_is_gone(struct file *f, bool *ret_work)
{
	mutex_lock(&f->lock);
	if (!f->gone && !f->serving)
		f->gone = req_at_end(f->sock);
	bool gone = f->gone && !f->serving;

	*ret_work |= !gone && !f->settling;
	mutex_unlock(&f->lock);
	return gone;
}

/* What is looked for among the files that have hung up. */
struct look {
	struct lane *lane;		   /* NULL: of any */
	const struct container *container; /* NULL: of any */
	bool work;			   /* one of them has some left */
	bool *lanes;			   /* those that have one */
};

typedef void (*look_fn)(struct server *s, struct file *f, struct look *look);

static void release_file(struct server *s, struct file *f, struct look *look)
	REQUIRES(&look->lane->release)
{
	if (f->lane != look->lane || !file_is_gone(f, &look->work) ||
	    (f->ops->busy && f->ops->busy(f)))
		return;
	sched_point("release");
	if (!f->ops->release || f->ops->release(f) == 0)
		server_remove(s, f);
}

/* Concerned: what is asked depends on this lane's files. */
static bool concerns(const struct look *look, struct lane *lane)
{
	if (look->container)
		return lane->group && lane->group->container == look->container;
	return !look->lane || look->lane == lane;
}

static void note_lane(struct server *s, struct file *f, struct look *look)
{
	if (concerns(look, f->lane))
		look->lanes[f->lane - s->lane] = true;
}

/* The host may say that there is nothing while another thread is asking. */
static int ask_who_hung_up(struct server *s, struct epoll_event *ev)
{
	sched_point("who has hung up?");
	mutex_lock(&s->looking);
	int n = epoll_wait(s->hangups, ev, HANGUPS_AT_ONCE, 0);

	mutex_unlock(&s->looking);
	return n;
}

/* Some of the files that have hung up. Returns how many there were. */
static int look_at_some(struct server *s, look_fn fn, struct look *look)
{
	struct epoll_event ev[HANGUPS_AT_ONCE];
	int n = ask_who_hung_up(s, ev);

	for (int i = 0; i < n; i++) {
		struct file *f = server_find(s, ev[i].data.u64);

		if (f)
			fn(s, f, look);
		file_put(f);
	}
	return n;
}

static void look_at_all(struct server *s, look_fn fn, struct look *look)
{
	/* those that are busy stay in the set, and the host shows them last */
	size_t rounds = share_limit(SHARE_FILES)->all / HANGUPS_AT_ONCE + 1;

	for (size_t i = 0; i < rounds; i++)
		if (look_at_some(s, fn, look) < HANGUPS_AT_ONCE)
			break;
}

/* Returns whether one of those that have hung up has work left. */
static bool release_lane(struct server *s, struct lane *lane)
	REQUIRES(&lane->release)
{
	struct look look = {.lane = lane};

	look_at_all(s, release_file, &look);
	return look.work;
}

/* Before anybody asks who has hung up: what waits for somebody to come by, and
 * what is just being given away. */
static void catch_up(struct server *s)
{
	channels_expire(&s->channels);
	discard_again();
	rwlock_write(&s->handover);
	rwlock_unwrite(&s->handover);
}

/* What has hung up is released by us, or by who has the lock and looks again
 * once he has let it go. */
static void release_if_free(struct server *s, struct lane *lane)
{
	while (atomic_load(&lane->again) && mutex_trylock(&lane->release)) {
		atomic_store(&lane->again, false);
		release_lane(s, lane);
		mutex_unlock(&lane->release);
	}
}

static void lane_leave(struct server *s, struct lane *lane)
	RELEASES(&lane->release)
{
	mutex_unlock(&lane->release);
	release_if_free(s, lane);
}

void server_release_gone(struct server *s)
{
	bool lanes[LANES_MAX] = {false};
	struct look look = {.lanes = lanes};

	catch_up(s);
	look_at_all(s, note_lane, &look);
	for (size_t i = 0; i < s->n_lanes; i++) {
		if (!lanes[i])
			continue;
		atomic_store(&s->lane[i].again, true);
		release_if_free(s, &s->lane[i]);
	}
}

/* What this thread serves, if anything. */
static _Thread_local struct file *served;

void server_serves(struct file *f)
{
	served = f;
}

void server_work_done(struct lane *lane)
{
	sched_point("does anybody wait?");
	if (!atomic_load(&lane->n_settling))
		return;
	mutex_lock(&lane->release);
	cond_broadcast(&lane->work_done);
	mutex_unlock(&lane->release);
}

/* Nobody waits for a request that waits here: two would for each other. */
static void set_settling(bool on)
{
	if (!served)
		return;
	mutex_lock(&served->lock);
	served->settling = on;
	mutex_unlock(&served->lock);
	if (on)
		server_work_done(served->lane);
}

static void settle_lane(struct server *s, struct lane *lane, uint64_t deadline)
{
	if (!mutex_lock_until(&lane->release, deadline))
		return;
	atomic_fetch_add(&lane->n_settling, 1);
	while (release_lane(s, lane) &&
	       cond_wait_until(&lane->work_done, &lane->release, deadline))
		;
	atomic_fetch_sub(&lane->n_settling, 1);
	lane_leave(s, lane);
}

/*
 * What is waited for is served by threads that do not wait here, so there is
 * always one; and when there are as many as there may be, some are left.
 */
static bool may_wait(struct server *s)
{
	if (atomic_fetch_add(&s->n_settlers, 1) >= SETTLERS_MAX)
		return false;
	if (!atomic_load(&s->n_idle))
		server_add_thread(s, SERVER_THREADS_MAX);
	return true;
}

static void settle_lanes(struct server *s, const bool *lanes)
{
	uint64_t deadline = clock_ns() + (may_wait(s) ? SETTLE_NS : 0);

	set_settling(true);
	for (size_t i = 0; i < s->n_lanes; i++)
		if (lanes[i])
			settle_lane(s, &s->lane[i], deadline);
	set_settling(false);
	atomic_fetch_sub(&s->n_settlers, 1);
}

static void settle(struct server *s, struct look *look)
{
	bool lanes[LANES_MAX] = {false};

	look->lanes = lanes;
	catch_up(s);
	look_at_all(s, note_lane, look);
	if (memchr(lanes, true, s->n_lanes))
		settle_lanes(s, lanes);
}

void alive_settle(struct server *s)
{
	struct look look = {0};

	settle(s, &look);
}

void alive_settle_group(struct server *s, const struct group *g)
{
	struct look look = {.lane = server_lane(s, g)};

	settle(s, &look);
}

void alive_settle_container(struct server *s, const struct container *c)
{
	struct look look = {.container = c};

	settle(s, &look);
}

void alive_make_room(struct server *s)
{
	bool lanes[LANES_MAX];

	memset(lanes, true, sizeof(lanes));
	catch_up(s);
	settle_lanes(s, lanes);
}

bool server_release_all(struct server *s)
{
	struct file *f;
	bool all = true;

	while ((f = TAILQ_FIRST(&s->table))) {
		if (f->ops->release && f->ops->release(f) < 0)
			all = false;
		server_remove(s, f);
	}
	return all;
}

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
 * and server_settle() first waits for it.
 *
 * Releases of a group's files run one at a time in the group's lane, by
 * whichever thread comes first: the one that read the end-of-file, or one that
 * has to know who is alive (server_settle()). A file that is being released is
 * shown as hung up until that is done, so who finds none that concerns him need
 * not look at the lane. A file is not released under a running request, as on
 * Linux. There a task that has ended has no request under way any more; here one
 * may still be queued or served, so server_settle() waits until it is not, but
 * for those that wait in server_settle() themselves.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/sockios.h>
#include <unistd.h>

#include "front/ipc/discard.h"
#include "front/dispatch.h"
#include "front/ipc/server_impl.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"
#include "lib/sched.h"

#define HANGUPS_AT_ONCE 64
#define LANES_MAX	(MACHINE_DEVICES_MAX + 1)
#define NAME_TRIES	16	   /* then open() is EADDRINUSE */
#define SETTLE_NS	2000000000 /* as long as a piece of DMA may take */

void server_put(struct file *f)
{
	if (!f || atomic_fetch_sub(&f->refs, 1) != 1)
		return;
	discard_socket(f->pid, f->sock);
	mutex_done(&f->lock);
	free(f);
}

struct file *file_get(struct file *f)
{
	atomic_fetch_add(&f->refs, 1);
	return f;
}

static struct file_bucket *server_bucket(struct server *s, uint64_t serial)
{
	return &s->by_serial[serial % FILE_BUCKETS];
}

static struct file_bucket *cookie_bucket(struct server *s, uint64_t cookie)
{
	return &s->by_cookie[cookie % FILE_BUCKETS];
}

struct file *server_find(struct server *s, uint64_t serial)
{
	struct file *f;

	mutex_lock(&s->table_lock);
	LIST_FOREACH (f, server_bucket(s, serial), bucket_link)
		if (f->serial == serial) {
			file_get(f);
			break;
		}
	mutex_unlock(&s->table_lock);
	return f;
}

static struct file *find_cookie(struct server *s, uint64_t cookie)
{
	struct file *f;

	mutex_lock(&s->table_lock);
	LIST_FOREACH (f, cookie_bucket(s, cookie), cookie_link)
		if (f->cookie == cookie && f->ops != &door_ops) {
			file_get(f);
			break;
		}
	mutex_unlock(&s->table_lock);
	return f;
}

struct file *server_file(struct server *s, int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return NULL;
	return find_cookie(s, cookie);
}

bool server_knows(struct server *s, uint64_t cookie)
{
	struct file *f = find_cookie(s, cookie);

	server_put(f);
	return f;
}

bool server_owns(struct server *s, int fd)
{
	struct file *f = server_file(s, fd);

	server_put(f);
	return f;
}

bool server_idle(struct server *s)
{
	struct file *f;

	server_settle(s);
	mutex_lock(&s->table_lock);
	TAILQ_FOREACH (f, &s->table, link)
		if (!file_is_door(f))
			break;
	mutex_unlock(&s->table_lock);
	return !f;
}

void server_remove(struct server *s, struct file *f)
{
	mutex_lock(&s->table_lock);
	TAILQ_REMOVE(&s->table, f, link);
	LIST_REMOVE(f, bucket_link);
	LIST_REMOVE(f, cookie_link);
	s->n_files--;
	mutex_unlock(&s->table_lock);
	share_give(&f->share);
	sched_point("out of the table");
	epoll_ctl(s->epfd, EPOLL_CTL_DEL, f->sock, NULL);
	epoll_ctl(s->hangups, EPOLL_CTL_DEL, f->sock, NULL);
	server_put(f);
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

struct file **server_files(struct server *s, size_t *ret_n)
{
	struct file *f;
	size_t n = 0;

	mutex_lock(&s->table_lock);
	struct file **files = calloc(s->n_files + 1, sizeof(*files));

	if (files)
		TAILQ_FOREACH (f, &s->table, link)
			if (!file_is_door(f))
				files[n++] = file_get(f);
	mutex_unlock(&s->table_lock);
	*ret_n = n;
	return files;
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
		server_put(f);
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

static void wait_for_handover(struct server *s)
{
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

	channels_expire(&s->channels);
	wait_for_handover(s);
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

static void settle_lanes(struct server *s, const bool *lanes)
{
	uint64_t deadline = clock_ns() + SETTLE_NS;

	set_settling(true);
	for (size_t i = 0; i < s->n_lanes; i++)
		if (lanes[i])
			settle_lane(s, &s->lane[i], deadline);
	set_settling(false);
}

static void settle(struct server *s, struct look *look)
{
	bool lanes[LANES_MAX] = {false};

	look->lanes = lanes;
	channels_expire(&s->channels);
	wait_for_handover(s);
	look_at_all(s, note_lane, look);
	if (memchr(lanes, true, s->n_lanes))
		settle_lanes(s, lanes);
}

void server_settle(struct server *s)
{
	struct look look = {0};

	settle(s, &look);
}

void server_settle_group(struct server *s, const struct group *g)
{
	struct look look = {.lane = server_lane(s, g)};

	settle(s, &look);
}

void server_settle_container(struct server *s, const struct container *c)
{
	struct look look = {.container = c};

	settle(s, &look);
}

/*
 * Close what visibly nobody holds any more. Also what is just being released: a
 * file stops being shown as hung up before its descriptor is closed.
 */
static void make_room(struct server *s)
{
	bool lanes[LANES_MAX];

	memset(lanes, true, sizeof(lanes));
	channels_expire(&s->channels);
	wait_for_handover(s);
	settle_lanes(s, lanes);
}

static int bind_once(struct server *s, int sock, const char *what)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	unsigned long long nonce;

	if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
		return -errno;

	int n = snprintf(sun.sun_path + 1, sizeof(sun.sun_path) - 1,
			 SV_NAME_PREFIX "%016llx/%016llx/%s",
			 (unsigned long long)s->conf.machine->instance, nonce,
			 what);
	size_t len = offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n;

	if (len > sizeof(sun))
		len = sizeof(sun);
	return bind(sock, (struct sockaddr *)&sun, (socklen_t)len) < 0 ? -errno
								       : 0;
}

/*
 * Bind our end to a name that tells the other end's holder what it has. Names
 * are the whole host's, and anybody may take one: so nobody can know the next.
 */
static int bind_name(struct server *s, int sock, const char *what)
{
	int r = -EADDRINUSE;

	for (int i = 0; i < NAME_TRIES && r == -EADDRINUSE; i++)
		r = bind_once(s, sock, what);
	return r;
}

int server_pass_credentials(int sock)
{
	int one = 1;

	return setsockopt(sock, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0
		       ? -errno
		       : 0;
}

/* The end that is given away, and what identifies it when it comes back. */
static int file_pair(struct server *s, struct file *f, int *ret_fd)
{
	socklen_t len = sizeof(f->cookie);
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       0, sv) < 0)
		return -errno;
	f->sock = sv[0];

	_cleanup_(closep) int fd = sv[1];
	int r = bind_name(s, sv[0], f->what);

	if (r == 0)
		r = server_pass_credentials(sv[0]);
	if (r == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_COOKIE, &f->cookie, &len) < 0)
		r = -errno;
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int server_insert(struct server *s, struct file *f)
{
	enum share_kind kind = f->ops == &door_ops ? SHARE_DOORS : SHARE_FILES;
	int r = share_take(&f->share, kind, f->pid, 1);

	if (r < 0)
		return r;
	mutex_lock(&s->table_lock);
	TAILQ_INSERT_TAIL(&s->table, f, link);
	LIST_INSERT_HEAD(server_bucket(s, f->serial), f, bucket_link);
	LIST_INSERT_HEAD(cookie_bucket(s, f->cookie), f, cookie_link);
	s->n_files++;
	mutex_unlock(&s->table_lock);
	return 0;
}

uint64_t server_serial(struct server *s)
{
	mutex_lock(&s->table_lock);
	uint64_t serial = ++s->last_serial;

	mutex_unlock(&s->table_lock);
	return serial;
}

struct lane *server_lane(struct server *s, const struct group *g)
{
	for (size_t i = 1; g && i < s->n_lanes; i++)
		if (s->lane[i].group == g)
			return &s->lane[i];
	return &s->lane[0];
}

struct file *file_new(struct server *s, const struct file_ops *ops, pid_t pid,
		      const char *what)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->refs = 1;
	f->sock = -1;
	f->pid = pid;
	f->ops = ops;
	f->lane = server_lane(s, NULL);
	snprintf(f->what, sizeof(f->what), "%s", what);
	mutex_init(&f->lock, RANK_FILE, "file");
	f->serial = server_serial(s);
	return f;
}

static int server_watch_hangup(struct server *s, const struct file *f)
{
	struct epoll_event ev = {
		.events = EPOLLHUP | EPOLLRDHUP,
		.data.u64 = f->serial,
	};

	return epoll_ctl(s->hangups, EPOLL_CTL_ADD, f->sock, &ev) < 0 ? -ENOMEM
								      : 0;
}

void server_wake(struct file *f)
{
	int unread = 0;

	sched_point("wake poll()");
	if (ioctl(f->sock, SIOCOUTQ, &unread) == 0 && !unread)
		send(f->sock, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int open_once(struct call *call, const struct file_ops *ops,
		     void *object, void *object2, const char *what,
		     bool cloexec)
{
	struct server *s = call->server;
	struct file *f = file_new(s, ops, call->pid, what);
	int fd = -1;

	if (!f)
		return -ENOMEM;
	f->object = object;
	f->object2 = object2;
	f->lane = server_lane(s, ops->group ? ops->group(f) : NULL);
	file_get(f); /* ours, whoever releases it meanwhile */

	int r = file_pair(s, f, &fd);

	if (r == 0)
		r = server_watch_hangup(s, f);
	if (r == 0) /* nothing can come before it is given away */
		r = server_arm(s, EPOLL_CTL_ADD, f->sock, f->serial);
	if (r == 0)
		r = server_insert(s, f);
	if (r < 0) {
		server_put(f); /* the table's, which it never got */
		if (fd >= 0)
			close(fd);
	} else {
		server_wake(f);
		sched_point("file made");
		call_send_fd(call, fd, true, cloexec);
	}
	server_put(f);
	return r;
}

int server_open(struct call *call, const struct file_ops *ops, void *object,
		void *object2, const char *what, bool cloexec)
{
	int r = open_once(call, ops, object, object2, what, cloexec);

	if (r != -EMFILE && r != -ENFILE)
		return r;
	make_room(call->server);
	return open_once(call, ops, object, object2, what, cloexec);
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

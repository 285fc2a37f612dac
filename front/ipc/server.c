/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * One epoll set wakes a pool of threads. Each file is armed one-shot, so one
 * thread at a time takes requests from it. `serving` is true from taking a
 * request until its answer is ready, and false again before the answer is
 * sent: whoever has the answer may close the file and expect that to count.
 * The file is armed again before that too: what is done after the answer is
 * sent, the program waits for when both share a core.
 *
 * A channel (front/ipc/channel.h) lives until its other end is closed. It is
 * dropped before that when a request that named it made no sense or something
 * lies in it that no head asks for, and shut down when an answer did not go
 * out: the end-of-file ends the program's wait.
 *
 * Which files there are: file.c. Who has them: alive.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "front/ipc/discard.h"
#include "front/ipc/dispatch.h"
#include "front/ipc/server_impl.h"
#include "front/ipc/stuck.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/refuse.h"
#include "lib/sched.h"

#define CROWD_NS 500000000 /* far more than close() takes, if it ends */

#define FDS_NEEDED 8 /* for one program, its files and its questions */

const struct front_conf *server_conf(const struct server *s)
{
	return &s->conf;
}

int server_arm(struct server *s, int op, int fd, uint64_t tag)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLONESHOT,
		.data.u64 = tag,
	};

	return epoll_ctl(s->epfd, op, fd, &ev) < 0 ? -errno : 0;
}

void file_served(struct file *f)
{
	mutex_lock(&f->lock);
	f->serving = false;
	mutex_unlock(&f->lock);
}

/* Only what cannot block us, and no file of ours, which would answer itself. */
static bool is_reply_socket(struct server *s, int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	       domain == AF_UNIX && type == SOCK_SEQPACKET &&
	       !server_owns(s, fd);
}

/* @events: EPOLLIN, or 0 for the hang-up alone. Return: 0 or -errno */
static int watch_channel(struct server *s, const struct channel *c, int op,
			 uint32_t events)
{
	struct epoll_event ev = {
		.events = events | EPOLLONESHOT,
		.data.u64 = c->serial | TAG_CHANNEL,
	};

	return epoll_ctl(s->epfd, op, c->sock, &ev) < 0 ? -errno : 0;
}

static void forget_channel(struct server *s, struct channel *c)
{
	channel_drop(&s->channels, c);
	channel_put(c);
}

/* Consumes @sock. NULL when there is no room for one more. */
static struct channel *new_channel(struct server *s, struct request *req,
				   int sock)
{
	struct channel *c = channel_keep(&s->channels, &req->hdr, req->call.pid,
					 server_serial(s), sock);

	if (!c) {
		close(sock);
		return NULL;
	}
	sched_point("channel kept");
	if (server_pass_credentials(sock) == 0 &&
	    watch_channel(s, c, EPOLL_CTL_ADD, EPOLLIN) == 0)
		return c;
	forget_channel(s, c);
	return NULL;
}

/* Where there is no room for one more, the answer goes out all the same. */
static void server_make_channel(struct server *s, struct request *req)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	req->made = new_channel(s, req, pair[0]);
	if (req->made)
		req->channel_fd = pair[1];
	else
		close(pair[1]);
}

/* Where is the answer to go? False: it does not say, or nowhere we would. */
static bool server_find_reply(struct server *s, struct request *req)
{
	if (!req_on_channel(req))
		return is_reply_socket(s, req->reply);
	req->channel = channel_find(&s->channels, &req->hdr);
	if (req->channel)
		req->reply = req->channel->sock;
	return req->channel;
}

static int server_take_parts(struct server *s, struct request *req)
{
	struct channel *c = req->channel;
	int r = req_complete(req, c ? c->sock : -1);

	if (r == 1 && req->hdr.n_parts) {
		channel_pending(&s->channels, c, false);
		watch_channel(s, c, EPOLL_CTL_MOD, EPOLLIN);
	}
	return r;
}

static void server_drop_named(struct server *s, const struct request *req)
{
	struct channel *c = req_on_channel(req)
				    ? channel_find(&s->channels, &req->hdr)
				    : NULL;

	if (c)
		channel_drop(&s->channels, c);
	channel_put(c);
}

/* The rest of a request: its parts, and where the answer goes. */
static int server_complete(struct server *s, struct request *req)
{
	if (!server_find_reply(s, req))
		return req_drop(req);

	int r = server_take_parts(s, req);

	if (r == 1 && req->hdr.flags & SV_REQ_KEEP && !req->channel)
		server_make_channel(s, req);
	if (r != 1)
		channel_put(req->channel);
	return r;
}

/* The table's reference keeps @f; a caller with a request in hand has one. */
static int file_receive(struct server *s, struct request *req, struct file *f)
{
	bool own_line = f->ops == &door_ops;

	sched_point("take a request");
	mutex_lock(&f->lock);
	int r = req_receive(req, f->sock, own_line);

	f->serving = r == 1;
	mutex_unlock(&f->lock);
	/* sent before we had asked for credentials: who connected, then */
	if (!req->call.pid)
		req->call.pid = f->pid;
	if (r == 1) {
		r = own_line ? req_complete(req, -1) : server_complete(s, req);
		if (r != 1)
			file_served(f);
	}
	if (r == -EBADMSG && !own_line)
		server_drop_named(s, req);
	return r;
}

/* Keep a refusal's reason for `softvfio why`. */
static void note_refusal(struct server *s, pid_t pid, const char *call,
			 int64_t result)
{
	char reason[REFUSAL_MAX]; /* set if there is an err */
	int err = refusal_take(reason);

	if (result >= 0 || result == -ERESTART)
		return;
	if (err != -result)
		snprintf(reason, sizeof(reason), "%s", strerror(-(int)result));
	journal_add(s->conf.journal, pid, call, -(int)result, reason);
	log_debug("pid %d: %s: %s", (int)pid, call, reason);
}

void server_answer_lost(const struct request *req)
{
	if (req->channel || req->call.file->ops == &door_ops)
		shutdown(req->reply, SHUT_WR);
}

static void server_reply(struct server *s, struct request *req, int64_t result)
{
	int r = req_reply(req, result);

	sched_point("answered");
	if (r < 0)
		server_answer_lost(req);
	if (r < 0 && req->made)
		channel_drop(&s->channels, req->made);
	channel_put(req->channel);
	channel_put(req->made);
}

static void server_not_ours(struct server *s, struct request *req)
{
	char unused[REFUSAL_MAX];

	refusal_take(unused);
	req_finish(req);
	req_forget(req);
	if (req->made)
		channel_drop(&s->channels, req->made);
	channel_put(req->channel);
	channel_put(req->made);
}

static void NO_TSA server_answer(struct server *s, struct request *req,
				 struct file *f, int64_t result)
{
	note_refusal(s, req->call.pid, req->call.name, result);
	req_finish(req);
	file_served(f);
	server_work_done(f->lane);

	bool handover = req->call.fd_out >= 0;

	if (handover)
		rwlock_read(&s->handover);
	server_arm(s, EPOLL_CTL_MOD, f->sock, f->serial);
	sched_point("answer");
	server_reply(s, req, result);
	if (handover)
		rwlock_unread(&s->handover);
}

/* It waits in vain for what it has sent: say so. */
static void note_crowd(struct server *s, const struct file *f)
{
	if (discard_crowded(f->pid))
		note_refusal(s, f->pid, "request",
			     refuse(EMFILE, "too many descriptors wait to be "
					    "closed: no more are taken"));
}

static int64_t server_dispatch(struct server_thread *t, struct file *f)
{
	t->req->call.file = f;
	lock_assert_none_held("request");
	server_serves(f);
	thread_serves(t, f);
	sched_point("serve");
	int64_t result = dispatch(&t->req->call, t->req->hdr.op);

	sched_point("served");
	server_serves(NULL);
	return result;
}

/* Returns the next one to serve, if any, with a reference. */
static struct file *server_serve_one(struct server_thread *t, struct file *f)
{
	int64_t result = server_dispatch(t, f);
	bool ours = thread_served(t);

	if (result == CALL_PARKED)
		return queue_park(t, f);
	if (ours)
		server_answer(t->server, t->req, f, result);
	else
		server_not_ours(t->server, t->req);
	return queue_next(t);
}

static void server_serve_all(struct server_thread *t, struct file *f)
{
	f = server_serve_one(t, f);
	while (f) {
		struct file *next = server_serve_one(t, f);

		file_put(f);
		f = next;
	}
}

/* What it has sent and closed is about to be closed here too: better late than
 * not taken. */
static void server_make_way(struct server *s, struct file *f)
{
	bool crowded = discard_crowded(f->pid);

	if (crowded && !f->crowded) {
		server_release_gone(s);
		discard_wait(f->pid, clock_ns() + CROWD_NS);
		crowded = discard_crowded(f->pid);
	}
	f->crowded = crowded;
}

static void server_serve(struct server_thread *t, struct file *f)
{
	struct server *s = t->server;

	t->req->owner = f->pid;
	server_make_way(s, f);

	int r = file_receive(s, t->req, f);

	if (r == -EBADMSG)
		note_crowd(s, f);

	bool door = f->ops == &door_ops;

	if (r == 1)
		server_serve_all(t, f);
	else if (door && r != -EAGAIN) /* whoever sent it waits here */
		server_remove(s, f);
	else if (r != 0)
		server_arm(s, EPOLL_CTL_MOD, f->sock, f->serial);
	else
		server_release_gone(s);
}

/* Without a descriptor to spare a connection would wait for ever: spend the
 * reserve on refusing it. */
static void server_turn_away(struct server *s)
{
	mutex_lock(&s->table_lock);
	close(s->reserve);
	int fd = accept4(s->door, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		close(fd);
	s->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	mutex_unlock(&s->table_lock);
}

static pid_t peer_pid(int sock)
{
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);

	getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	return cred.pid;
}

static void server_accept(struct server *s)
{
	sched_point("accept");
	int fd = accept4(s->door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			server_turn_away(s);
		return;
	}

	struct file *f = file_new(s, &door_ops, peer_pid(fd), "door");

	if (!f) {
		close(fd);
		return;
	}
	f->sock = fd;

	int r = server_insert(s, f);

	if (r < 0) {
		note_refusal(s, f->pid, "connect", r);
		file_put(f);
	} else if (server_arm(s, EPOLL_CTL_ADD, fd, f->serial) < 0) {
		server_remove(s, f);
	}
}

static void server_drain_inotify(struct server *s)
{
	char events[4096];

	while (read(s->conf.machine->inotify, events, sizeof(events)) > 0)
		;
	server_release_gone(s);
}

static bool has_something(int sock)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/*
 * A model does not return, or has: what waited for that may go on. Armed first,
 * since a release may wait for the next news.
 */
static void server_hear_news(struct server *s)
{
	eventfd_t n;

	eventfd_read(s->news_fd, &n);
	server_arm(s, EPOLL_CTL_MOD, s->news_fd, TAG_NEWS);
	for (size_t i = 0; i < s->n_lanes; i++)
		server_work_done(&s->lane[i]);
	server_release_gone(s);
}

/* It was closed, or something came that a head is going to ask for. */
static void server_channel_event(struct server *s, uint64_t serial,
				 uint32_t events)
{
	struct channel *c = channel_find_serial(&s->channels, serial);

	if (!c)
		return;
	if (events & EPOLLHUP) {
		forget_channel(s, c);
		return;
	}
	channel_pending(&s->channels, c, true);
	watch_channel(s, c, EPOLL_CTL_MOD, 0);
	sched_point("is it still there?");
	if (!has_something(c->sock)) { /* its head was faster */
		channel_pending(&s->channels, c, false);
		watch_channel(s, c, EPOLL_CTL_MOD, EPOLLIN);
	}
	channel_put(c);
}

static void server_event(struct server_thread *t, const struct epoll_event *ev)
{
	struct server *s = t->server;
	uint64_t tag = ev->data.u64;

	if (tag == TAG_DOOR) {
		server_accept(s);
		server_arm(s, EPOLL_CTL_MOD, s->door, TAG_DOOR);
	} else if (tag == TAG_INOTIFY) {
		server_drain_inotify(s);
		server_arm(s, EPOLL_CTL_MOD, s->conf.machine->inotify,
			   TAG_INOTIFY);
	} else if (tag == TAG_NEWS) {
		server_hear_news(s);
	} else if (tag & TAG_CHANNEL) {
		server_channel_event(s, tag & ~TAG_CHANNEL, ev->events);
	} else {
		struct file *f = server_find(s, tag);

		if (f)
			server_serve(t, f);
		file_put(f);
	}
}

/* Whoever has something to do sees to it that somebody else is waiting. */
static void *server_main(void *arg)
{
	struct server_thread *t = arg;
	struct server *s = t->server;
	struct epoll_event ev;

	for (;;) {
		if (thread_wait_events(s->epfd, &ev, 1) < 1)
			continue;
		if (ev.data.u64 == TAG_STOP)
			break;
		if (atomic_fetch_sub(&s->n_idle, 1) == 1)
			server_add_thread(s, SERVER_THREADS);
		server_event(t, &ev);
		atomic_fetch_add(&s->n_idle, 1);
	}
	return NULL;
}

static int thread_new(struct server *s, struct server_thread *t)
{
	t->server = s;
	t->req = req_new(s);
	int r = t->req ? thread_start(&t->thread, "front", server_main, t)
		       : -ENOMEM;

	if (r < 0)
		free(t->req);
	return r;
}

int server_add_thread(struct server *s, unsigned int max)
{
	int r = -EAGAIN;

	mutex_lock(&s->threads_lock);
	if (s->n_threads < max && !s->stopping) {
		atomic_fetch_add(&s->n_idle, 1);
		r = thread_new(s, &s->thread[s->n_threads]);
		if (r == 0)
			s->n_threads++;
		else
			atomic_fetch_sub(&s->n_idle, 1);
	}
	mutex_unlock(&s->threads_lock);
	return r;
}

static void server_end_threads(struct server *s)
{
	mutex_lock(&s->threads_lock);
	s->stopping = true;
	mutex_unlock(&s->threads_lock);
	if (s->stop_fd >= 0)
		eventfd_write(s->stop_fd, 1);
	for (unsigned int i = 0; i < s->n_threads; i++) {
		thread_join(&s->thread[i].thread);
		free(s->thread[i].req);
	}
	s->n_threads = 0;
}

static int door_listen(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	memcpy(sun.sun_path, path, strlen(path) + 1);

	_cleanup_(closep) int fd = socket(
		AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return -errno;

	int r = server_pass_credentials(fd); /* connections inherit it */

	if (r == 0 && listen(fd, SOMAXCONN) < 0)
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}

/* Better no daemon than one that can answer nobody. */
static int server_check_room(const struct server *s)
{
	int fd[FDS_NEEDED];
	int n = 0, r = 0;

	for (; n < FDS_NEEDED && r == 0; n++) {
		fd[n] = fcntl(s->stop_fd, F_DUPFD_CLOEXEC, 0);
		if (fd[n] < 0)
			r = -errno;
	}
	while (n-- > 0)
		if (fd[n] >= 0)
			close(fd[n]);
	return r;
}

static int server_open_fds(struct server *s, const char *door)
{
	struct epoll_event stop = {.events = EPOLLIN, .data.u64 = TAG_STOP};

	s->door = door_listen(door);
	if (s->door < 0)
		return s->door;
	s->epfd = epoll_create1(EPOLL_CLOEXEC);
	s->hangups = epoll_create1(EPOLL_CLOEXEC);
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	s->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (s->epfd < 0 || s->hangups < 0 || s->stop_fd < 0 || s->news_fd < 0 ||
	    s->reserve < 0)
		return -errno;

	int r = server_check_room(s);

	if (r < 0)
		return r;
	if (epoll_ctl(s->epfd, EPOLL_CTL_ADD, s->stop_fd, &stop) < 0)
		return -errno;
	r = server_arm(s, EPOLL_CTL_ADD, s->door, TAG_DOOR);
	if (r == 0)
		r = server_arm(s, EPOLL_CTL_ADD, s->news_fd, TAG_NEWS);
	return r < 0 ? r
		     : server_arm(s, EPOLL_CTL_ADD, s->conf.machine->inotify,
				  TAG_INOTIFY);
}

static int server_make_lanes(struct server *s)
{
	const struct machine *m = s->conf.machine;

	s->lane = calloc(m->n_groups + 1, sizeof(*s->lane));
	if (!s->lane)
		return -ENOMEM;
	s->n_lanes = m->n_groups + 1;
	for (size_t i = 0; i < s->n_lanes; i++) {
		s->lane[i].group = i ? m->group[i - 1] : NULL;
		mutex_init(&s->lane[i].release, RANK_RELEASE, "release");
		cond_init(&s->lane[i].work_done);
	}
	return 0;
}

/* One to serve the first program, one to be there meanwhile. */
static int server_start(struct server *s)
{
	int r = server_add_thread(s, SERVER_THREADS);

	return r < 0 ? r : server_add_thread(s, SERVER_THREADS);
}

int server_new(const struct front_conf *conf, const char *door,
	       struct server **ret_server)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->conf = *conf;
	s->epfd = s->hangups = s->stop_fd = s->news_fd = -1;
	s->door = s->reserve = -1;
	s->last_serial = TAG_FIRST_FILE;
	TAILQ_INIT(&s->table);
	rwlock_init(&s->handover, RANK_HANDOVER, "handover");
	mutex_init(&s->looking, RANK_LEAF, "looking");
	mutex_init(&s->threads_lock, RANK_LEAF, "threads");
	for (size_t i = 0; i < ARRAY_SIZE(s->thread); i++)
		mutex_init(&s->thread[i].lock, RANK_ANSWER, "answer");
	mutex_init(&s->table_lock, RANK_LEAF, "table");
	channels_init(&s->channels);
	discard_init();

	int r = server_make_lanes(s);

	if (r == 0)
		r = queues_init(s);
	if (r == 0)
		r = server_open_fds(s, door);
	if (r == 0)
		r = server_start(s);
	if (r < 0) {
		server_free(s);
		return r;
	}
	*ret_server = s;
	return 0;
}

bool server_stop(struct server *s)
{
	server_end_threads(s);
	queues_done(s);
	return server_release_all(s);
}

struct server *server_free(struct server *s)
{
	if (!s)
		return NULL;
	(void)server_stop(s); /* who cares has asked before */
	channels_done(&s->channels);

	const int fds[] = {s->epfd,    s->hangups, s->stop_fd,
			   s->news_fd, s->door,	   s->reserve};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	mutex_done(&s->table_lock);
	mutex_done(&s->threads_lock);
	for (size_t i = 0; i < s->n_lanes; i++) {
		cond_done(&s->lane[i].work_done);
		mutex_done(&s->lane[i].release);
	}
	free(s->lane);
	for (size_t i = 0; i < ARRAY_SIZE(s->thread); i++)
		mutex_done(&s->thread[i].lock);
	mutex_done(&s->looking);
	rwlock_done(&s->handover);
	free(s);
	return NULL;
}

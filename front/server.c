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
 * A channel (front/channel.h) lives until its other end is closed. It is
 * dropped before that when a request that named it made no sense, and shut down
 * when an answer did not go out: the end-of-file ends the program's wait.
 *
 * Which files there are and who is alive: server_files.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "front/dispatch.h"
#include "front/server_impl.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/refuse.h"
#include "lib/sched.h"

#define FDS_NEEDED 8 /* for one program, its files and its questions */

const struct server_conf *server_conf(const struct server *s)
{
	return &s->conf;
}

void server_arm(struct server *s, int op, int fd, uint64_t tag)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLONESHOT,
		.data.u64 = tag,
	};

	epoll_ctl(s->epfd, op, fd, &ev);
}

static void file_served(struct file *f)
{
	mutex_lock(&f->lock);
	f->serving = false;
	mutex_unlock(&f->lock);
}

/* Only what can neither block us nor be watched in vain. */
static bool is_reply_socket(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	       domain == AF_UNIX && type == SOCK_SEQPACKET;
}

/* Where there is no room for one more, the answer goes out all the same. */
static void server_keep_channel(struct server *s, struct request *req)
{
	struct epoll_event ev = {.events = EPOLLONESHOT};

	if (!is_reply_socket(req->reply))
		return;
	req->channel = channel_keep(&s->channels, &req->hdr, req->cred.pid,
				    server_serial(s), req->reply);
	if (!req->channel)
		return;
	req->reply_owned = false;
	sched_point("channel kept");
	ev.data.u64 = req->channel->serial | TAG_CHANNEL; /* hang-ups only */
	if (epoll_ctl(s->epfd, EPOLL_CTL_ADD, req->reply, &ev) < 0)
		channel_drop(&s->channels, req->channel);
}

/* False: it names a channel there is not. */
static bool server_find_channel(struct server *s, struct request *req)
{
	if (!req_on_channel(req)) {
		if (req->hdr.channel)
			server_keep_channel(s, req);
		return true;
	}
	req->channel = channel_find(&s->channels, &req->hdr);
	if (req->channel)
		req->reply = req->channel->sock;
	return req->channel;
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

/* A request on a file, which is being served: where does the answer go? */
static int file_request(struct server *s, struct request *req, struct file *f,
			int r)
{
	if (r == -EBADMSG)
		server_drop_named(s, req);
	if (r != 1 || server_find_channel(s, req))
		return r;
	req_finish(req);
	file_served(f);
	return -EBADMSG;
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
	if (!req->cred.pid)
		req->cred.pid = f->pid;
	return own_line ? r : file_request(s, req, f, r);
}

/* Keep a refusal's reason for `softvfio why`. */
static void note_refusal(struct server *s, pid_t pid, const char *call,
			 int64_t result)
{
	char reason[REFUSAL_MAX] = "";
	int err = refusal_take(reason);

	if (result >= 0 || result == -ERESTART)
		return;
	if (err != -result)
		snprintf(reason, sizeof(reason), "%s", strerror(-(int)result));
	journal_add(s->conf.journal, pid, call, -(int)result, reason);
	log_debug("pid %d: %s: %s", (int)pid, call, reason);
}

/* An answer that nobody gets is nobody's problem; only on a channel somebody
 * may go on waiting. */
static void server_reply(struct request *req, int64_t result)
{
	int r = req_reply(req, result);

	sched_point("answered");
	if (r < 0 && req->channel)
		shutdown(req->channel->sock, SHUT_WR);
	channel_put(req->channel);
}

static void NO_TSA server_answer(struct server *s, struct request *req,
				 struct file *f)
{
	req->server = s;
	req->file = f;
	lock_assert_none_held("request");
	server_serves(f);

	sched_point("serve");
	int64_t result = dispatch(req);

	sched_point("served");
	note_refusal(s, req->cred.pid, req->call, result);
	req_finish(req);
	file_served(f);
	server_serves(NULL);
	server_work_done(s);

	bool handover = req->fd_out >= 0;

	if (handover)
		rwlock_read(&s->handover);
	server_arm(s, EPOLL_CTL_MOD, f->sock, f->serial);
	sched_point("answer");
	server_reply(req, result);
	if (handover)
		rwlock_unread(&s->handover);
}

static void server_serve(struct server *s, struct request *req, struct file *f)
{
	int r = file_receive(s, req, f);

	bool door = f->ops == &door_ops;

	if (r == 1)
		server_answer(s, req, f);
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

	if (r == 0) {
		server_arm(s, EPOLL_CTL_ADD, fd, f->serial);
		return;
	}
	note_refusal(s, f->pid, "connect", r);
	server_put(f);
}

static void server_drain_inotify(struct server *s)
{
	char events[4096];

	while (read(s->conf.machine->inotify, events, sizeof(events)) > 0)
		;
	server_release_gone(s);
}

static void server_forget_channel(struct server *s, uint64_t serial)
{
	struct channel *c = channel_find_serial(&s->channels, serial);

	if (c)
		channel_drop(&s->channels, c);
	channel_put(c);
}

static void server_event(struct server *s, struct request *req, uint64_t tag)
{
	if (tag == TAG_DOOR) {
		server_accept(s);
		server_arm(s, EPOLL_CTL_MOD, s->door, TAG_DOOR);
	} else if (tag == TAG_INOTIFY) {
		server_drain_inotify(s);
		server_arm(s, EPOLL_CTL_MOD, s->conf.machine->inotify,
			   TAG_INOTIFY);
	} else if (tag & TAG_CHANNEL) {
		server_forget_channel(s, tag & ~TAG_CHANNEL);
	} else {
		struct file *f = server_find(s, tag);

		if (f)
			server_serve(s, req, f);
		server_put(f);
	}
}

static int server_add_thread(struct server *s);

/* Whoever has something to do sees to it that somebody else is waiting. */
static void *server_main(void *arg)
{
	struct server *s = arg;
	struct epoll_event ev;
	struct request *req = calloc(1, sizeof(*req));

	while (req) {
		if (thread_wait_events(s->epfd, &ev, 1) < 1)
			continue;
		if (ev.data.u64 == TAG_STOP)
			break;
		if (atomic_fetch_sub(&s->n_idle, 1) == 1)
			server_add_thread(s);
		server_event(s, req, ev.data.u64);
		atomic_fetch_add(&s->n_idle, 1);
	}
	free(req);
	return NULL;
}

static int server_add_thread(struct server *s)
{
	int r = -EAGAIN;

	mutex_lock(&s->threads_lock);
	if (s->n_threads < SERVER_THREADS && !s->stopping) {
		atomic_fetch_add(&s->n_idle, 1);
		r = thread_start(&s->thread[s->n_threads], "front", server_main,
				 s);
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
	for (unsigned int i = 0; i < s->n_threads; i++)
		thread_join(&s->thread[i]);
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
	s->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (s->epfd < 0 || s->hangups < 0 || s->stop_fd < 0 || s->reserve < 0)
		return -errno;

	int r = server_check_room(s);

	if (r < 0)
		return r;
	epoll_ctl(s->epfd, EPOLL_CTL_ADD, s->stop_fd, &stop);
	server_arm(s, EPOLL_CTL_ADD, s->door, TAG_DOOR);
	server_arm(s, EPOLL_CTL_ADD, s->conf.machine->inotify, TAG_INOTIFY);
	return 0;
}

/* One to serve the first program, one to be there meanwhile. */
static int server_start(struct server *s)
{
	int r = server_add_thread(s);

	return r < 0 ? r : server_add_thread(s);
}

int server_new(const struct server_conf *conf, const char *door,
	       struct server **ret_server)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->conf = *conf;
	s->epfd = s->hangups = s->stop_fd = s->door = s->reserve = -1;
	s->last_serial = TAG_FIRST_FILE;
	TAILQ_INIT(&s->table);
	rwlock_init(&s->handover, RANK_HANDOVER, "handover");
	mutex_init(&s->release, RANK_RELEASE, "release");
	cond_init(&s->work_done);
	mutex_init(&s->threads_lock, RANK_LEAF, "threads");
	mutex_init(&s->table_lock, RANK_LEAF, "table");
	channels_init(&s->channels);

	int r = server_open_fds(s, door);

	if (r == 0)
		r = server_start(s);
	if (r < 0) {
		server_free(s);
		return r;
	}
	*ret_server = s;
	return 0;
}

struct server *server_free(struct server *s)
{
	if (!s)
		return NULL;
	server_end_threads(s);
	server_release_all(s);
	channels_done(&s->channels);

	const int fds[] = {s->epfd, s->hangups, s->stop_fd, s->door,
			   s->reserve};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	mutex_done(&s->table_lock);
	mutex_done(&s->threads_lock);
	cond_done(&s->work_done);
	mutex_done(&s->release);
	rwlock_done(&s->handover);
	free(s);
	return NULL;
}

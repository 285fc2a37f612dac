/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * A file is *open* while its socket's other end exists somewhere; it is *gone*
 * when that end was closed by its last holder, which the host kernel shows as
 * end-of-file once the requests queued before it are taken; it is *released*
 * when in addition nothing keeps it busy (BAR mappings).
 *
 * One epoll set wakes a pool of threads. Each file is armed one-shot, so one
 * thread at a time takes requests from it. `serving` is true from taking a
 * request until its answer is ready, and false again before the answer is
 * sent: whoever has the answer may close the file and expect that to count.
 * The file is armed again before that too: what is done after the answer is
 * sent, the program waits for when both share a core.
 *
 * A second epoll set, never waited for, has every file's hang-up: whoever has
 * to know who is alive asks one question, not one for each file.
 *
 * A descriptor given away exists twice for a moment: in the message and here.
 * The program may have closed its own before we close ours, and then the
 * hang-up would come late. So giving away is done under `handover` for reading,
 * and server_settle() first waits for it.
 *
 * Releases run one at a time under the release lock, by whichever thread comes
 * first: the one that read the end-of-file, or one that has to know who is
 * alive (server_settle()). A file that is being served is left to the thread
 * serving it: on Linux, too, a file is not released under a running ioctl.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/sockios.h>
#include <unistd.h>

#include "front/channel.h"
#include "front/dispatch.h"
#include "front/server.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/refuse.h"

/* What an epoll event is about: a serial, a file's or with TAG_CHANNEL a
 * channel's, or one of these. */
enum { TAG_STOP, TAG_DOOR, TAG_INOTIFY, TAG_FIRST_FILE };
#define TAG_CHANNEL (UINT64_C(1) << 63)

#define HANGUPS_AT_ONCE 64
#define FDS_NEEDED	8 /* for one program, its files and its questions */
#define FILE_BUCKETS	256

LIST_HEAD(file_bucket, file);

struct server {
	struct server_conf conf; /* immutable */
	int epfd;
	int hangups; /* an epoll set of files, EPOLLHUP and EPOLLRDHUP only */
	int stop_fd;
	int door;
	int reserve; /* an fd to spend when there are none left; table_lock */
	_Atomic int n_idle; /* threads with nothing to do */

	struct rwlock handover;	   /* read: a descriptor is being given away */
	struct mutex release;	   /* every release */
	struct mutex threads_lock; /* the three below */
	pthread_t thread[SERVER_THREADS];
	unsigned int n_threads;
	bool stopping;

	struct mutex table_lock; /* the fields up to last_serial */
	TAILQ_HEAD(file_list, file) table;
	struct file_bucket by_serial[FILE_BUCKETS];
	size_t n_files;
	uint64_t last_serial;

	struct channels channels;
};

const struct server_conf *server_conf(const struct server *s)
{
	return &s->conf;
}

static void server_arm(struct server *s, int op, int fd, uint64_t tag)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLONESHOT,
		.data.u64 = tag,
	};

	epoll_ctl(s->epfd, op, fd, &ev);
}

void server_put(struct file *f)
{
	if (!f || atomic_fetch_sub(&f->refs, 1) != 1)
		return;
	close(f->sock);
	mutex_done(&f->lock);
	free(f);
}

static struct file *file_get(struct file *f)
{
	atomic_fetch_add(&f->refs, 1);
	return f;
}

static struct file_bucket *server_bucket(struct server *s, uint64_t serial)
{
	return &s->by_serial[serial % FILE_BUCKETS];
}

static struct file *server_find(struct server *s, uint64_t serial)
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

struct file *server_file(struct server *s, int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	struct file *f;

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return NULL;
	mutex_lock(&s->table_lock);
	TAILQ_FOREACH (f, &s->table, link)
		if (f->cookie == cookie) {
			file_get(f);
			break;
		}
	mutex_unlock(&s->table_lock);
	return f;
}

bool server_idle(struct server *s)
{
	struct file *f;

	server_settle(s);
	mutex_lock(&s->table_lock);
	TAILQ_FOREACH (f, &s->table, link)
		if (f->ops != &door_ops)
			break;
	mutex_unlock(&s->table_lock);
	return !f;
}

static void server_remove(struct server *s, struct file *f)
{
	mutex_lock(&s->table_lock);
	TAILQ_REMOVE(&s->table, f, link);
	LIST_REMOVE(f, bucket_link);
	s->n_files--;
	mutex_unlock(&s->table_lock);
	epoll_ctl(s->epfd, EPOLL_CTL_DEL, f->sock, NULL);
	epoll_ctl(s->hangups, EPOLL_CTL_DEL, f->sock, NULL);
	server_put(f);
}

/* At its end, nothing queued before it, and nobody serving it. */
static bool file_is_gone(struct file *f)
{
	mutex_lock(&f->lock);
	if (!f->gone && !f->serving)
		f->gone = req_at_end(f->sock);
	bool gone = f->gone && !f->serving;

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
			if (f->ops != &door_ops)
				files[n++] = file_get(f);
	mutex_unlock(&s->table_lock);
	*ret_n = n;
	return files;
}

static void server_release(struct server *s, struct file *f)
	REQUIRES(&s->release)
{
	if (!file_is_gone(f) || (f->ops->busy && f->ops->busy(f)))
		return;
	if (f->ops->release)
		f->ops->release(f);
	server_remove(s, f);
}

/* Look at some of the files that have hung up. Returns how many there were. */
static int server_release_some(struct server *s) REQUIRES(&s->release)
{
	struct epoll_event ev[HANGUPS_AT_ONCE];
	int n = epoll_wait(s->hangups, ev, HANGUPS_AT_ONCE, 0);

	for (int i = 0; i < n; i++) {
		struct file *f = server_find(s, ev[i].data.u64);

		if (f)
			server_release(s, f);
		server_put(f);
	}
	return n;
}

void server_settle(struct server *s)
{
	rwlock_write(&s->handover);
	rwlock_unwrite(&s->handover);

	mutex_lock(&s->release);
	/* those that are busy stay in the set, and the host shows them last */
	for (int i = 0; i <= SERVER_FILES_MAX / HANGUPS_AT_ONCE; i++)
		if (server_release_some(s) < HANGUPS_AT_ONCE)
			break;
	mutex_unlock(&s->release);
}

/* Bind our end to a name that tells the other end's holder what it has. */
static int bind_name(struct server *s, int sock, uint64_t serial,
		     const char *what)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int n = snprintf(sun.sun_path + 1, sizeof(sun.sun_path) - 1,
			 SV_NAME_PREFIX "%016llx/%llx/%s",
			 (unsigned long long)s->conf.machine->instance,
			 (unsigned long long)serial, what);
	size_t len = offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n;

	if (len > sizeof(sun))
		len = sizeof(sun);
	return bind(sock, (struct sockaddr *)&sun, (socklen_t)len) < 0 ? -errno
								       : 0;
}

static int pass_credentials(int sock)
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
	int r = bind_name(s, sv[0], f->serial, f->what);

	if (r == 0)
		r = pass_credentials(sv[0]);
	if (r == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_COOKIE, &f->cookie, &len) < 0)
		r = -errno;
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int server_insert(struct server *s, struct file *f)
{
	struct file *other;
	size_t of_pid = 0;
	int r = 0;

	mutex_lock(&s->table_lock);
	TAILQ_FOREACH (other, &s->table, link)
		of_pid += other->pid == f->pid && other->ops != &door_ops;
	if (s->n_files >= SERVER_FILES_MAX) {
		r = refuse(ENFILE, "more than %d open files", SERVER_FILES_MAX);
	} else if (of_pid >= SERVER_FILES_PER_PID && f->ops != &door_ops) {
		r = refuse(EMFILE, "more than %d open files of process %d",
			   SERVER_FILES_PER_PID, (int)f->pid);
	} else {
		TAILQ_INSERT_TAIL(&s->table, f, link);
		LIST_INSERT_HEAD(server_bucket(s, f->serial), f, bucket_link);
		s->n_files++;
	}
	mutex_unlock(&s->table_lock);
	return r;
}

static uint64_t server_serial(struct server *s)
{
	mutex_lock(&s->table_lock);
	uint64_t serial = ++s->last_serial;

	mutex_unlock(&s->table_lock);
	return serial;
}

static struct file *file_new(struct server *s, const struct file_ops *ops,
			     pid_t pid, const char *what)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->refs = 1;
	f->sock = -1;
	f->pid = pid;
	f->ops = ops;
	snprintf(f->what, sizeof(f->what), "%s", what);
	mutex_init(&f->lock, RANK_FILE, "file");
	f->serial = server_serial(s);
	return f;
}

static void server_watch_hangup(struct server *s, const struct file *f)
{
	struct epoll_event ev = {
		.events = EPOLLHUP | EPOLLRDHUP,
		.data.u64 = f->serial,
	};

	epoll_ctl(s->hangups, EPOLL_CTL_ADD, f->sock, &ev);
}

void server_wake(struct file *f)
{
	int unread = 0;

	if (ioctl(f->sock, SIOCOUTQ, &unread) == 0 && !unread)
		send(f->sock, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int server_open(struct request *req, const struct file_ops *ops, void *object,
		void *object2, const char *what, bool cloexec)
{
	struct server *s = req->server;
	struct file *f = file_new(s, ops, req->cred.pid, what);
	int fd = -1;

	if (!f)
		return -ENOMEM;
	f->object = object;
	f->object2 = object2;

	int r = file_pair(s, f, &fd);

	if (r == 0)
		r = server_insert(s, f);
	if (r < 0) {
		server_put(f);
		if (fd >= 0)
			close(fd);
		return r;
	}
	server_watch_hangup(s, f);
	server_wake(f);
	server_arm(s, EPOLL_CTL_ADD, f->sock, f->serial);
	req_send_fd(req, fd, true, cloexec);
	return 0;
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
static void note_refusal(struct server *s, struct request *req, int64_t result)
{
	char reason[REFUSAL_MAX] = "";
	int err = refusal_take(reason);

	if (result >= 0 || result == -ERESTART)
		return;
	if (err != -result)
		snprintf(reason, sizeof(reason), "%s", strerror(-(int)result));
	journal_add(s->conf.journal, req->cred.pid, req->call, -(int)result,
		    reason);
	log_debug("pid %d: %s: %s", (int)req->cred.pid, req->call, reason);
}

/* An answer that nobody gets is nobody's problem; only on a channel somebody
 * may go on waiting. */
static void server_reply(struct request *req, int64_t result)
{
	int r = req_reply(req, result);

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

	int64_t result = dispatch(req);

	note_refusal(s, req, result);
	req_finish(req);
	file_served(f);

	bool handover = req->fd_out >= 0;

	if (handover)
		rwlock_read(&s->handover);
	server_arm(s, EPOLL_CTL_MOD, f->sock, f->serial);
	server_reply(req, result);
	if (handover)
		rwlock_unread(&s->handover);
}

static void server_serve(struct server *s, struct request *req, struct file *f)
{
	int r = file_receive(s, req, f);

	if (r == 1)
		server_answer(s, req, f);
	else if (r != 0)
		server_arm(s, EPOLL_CTL_MOD, f->sock, f->serial);
	else if (f->ops == &door_ops)
		server_remove(s, f);
	else
		server_settle(s);
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
	if (server_insert(s, f) < 0)
		server_put(f);
	else
		server_arm(s, EPOLL_CTL_ADD, fd, f->serial);
}

static void server_drain_inotify(struct server *s)
{
	char events[4096];

	while (read(s->conf.machine->inotify, events, sizeof(events)) > 0)
		;
	server_settle(s);
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

	pthread_setname_np(pthread_self(), "front");
	while (req) {
		if (epoll_wait(s->epfd, &ev, 1, -1) < 1)
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
		r = -pthread_create(&s->thread[s->n_threads], NULL, server_main,
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
		pthread_join(s->thread[i], NULL);
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

	int r = pass_credentials(fd); /* connections inherit it */

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

/* Nobody serves any more: every file is as good as closed. */
static void server_release_all(struct server *s)
{
	struct file *f;

	mutex_lock(&s->release);
	while ((f = TAILQ_FIRST(&s->table))) {
		if (f->ops->release)
			f->ops->release(f);
		server_remove(s, f);
	}
	mutex_unlock(&s->release);
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
	mutex_done(&s->release);
	rwlock_done(&s->handover);
	free(s);
	return NULL;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of files, and how one is made: a pair of sockets, of which the
 * program gets one. Who still has it: front/ipc/alive.c.
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

#include "front/file.h"
#include "front/ipc/discard.h"
#include "front/ipc/dispatch.h"
#include "front/ipc/server_impl.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"
#include "lib/sched.h"

#define NAME_TRIES 16 /* then open() is EADDRINUSE */

void file_put(struct file *f)
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

struct file *file_behind(struct server *s, int fd)
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

	file_put(f);
	return f;
}

bool server_owns(struct server *s, int fd)
{
	struct file *f = file_behind(s, fd);

	file_put(f);
	return f;
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
	file_put(f);
}

struct file **file_list(struct server *s, size_t *ret_n)
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

struct file *file_new(struct server *s, const struct file_ops *ops, pid_t pid,
		      const char *what)
{
	struct file *f = calloc(1, ops->size);

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

void file_wake(struct file *f)
{
	int unread = 0;

	sched_point("wake poll()");
	if (ioctl(f->sock, SIOCOUTQ, &unread) == 0 && !unread)
		send(f->sock, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* In the table, and its other end in @ret_fd; or as it was. */
static int file_connect(struct server *s, struct file *f, int *ret_fd)
{
	int fd = -1;

	file_get(f); /* the table's */

	int r = file_pair(s, f, &fd);

	if (r == 0)
		r = server_watch_hangup(s, f);
	if (r == 0) /* nothing can come before it is given away */
		r = server_arm(s, EPOLL_CTL_ADD, f->sock, f->serial);
	if (r == 0)
		r = server_insert(s, f);
	if (r == 0) {
		*ret_fd = fd;
		return 0;
	}
	closep(&fd);
	discard_socket(f->pid, f->sock);
	f->sock = -1;
	file_put(f);
	return r;
}

int file_open(struct call *call, struct file *f, bool cloexec)
{
	struct server *s = call->server;
	int fd;

	f->lane = server_lane(s, f->ops->group ? f->ops->group(f) : NULL);

	int r = file_connect(s, f, &fd);

	if (r == -EMFILE || r == -ENFILE) {
		alive_make_room(s);
		f->serial = server_serial(s); /* no event is for both */
		r = file_connect(s, f, &fd);
	}
	if (r == 0) {
		file_wake(f);
		sched_point("file made");
		call_send_fd(call, fd, true, cloexec);
	}
	file_put(f);
	return r;
}

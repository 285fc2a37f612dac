/* SPDX-License-Identifier: BSD-3-Clause */
/* The calls that can fail, and how they do: inject.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "inject.h"

static _Thread_local bool spared;

/*
 * Calls until one fails, 0: none does; with LASTING all that follow fail too.
 * It is one word, so that who is about to fail can't arm again what has been
 * disarmed.
 */
#define LASTING (1u << 31)
static atomic_uint left;
static _Atomic(const char *) failed;
static _Atomic(void *) failed_from;

void inject_spare_me(bool on)
{
	spared = on;
}

void inject_arm(unsigned int nth, bool all)
{
	failed = NULL;
	left = nth ? nth | (all ? LASTING : 0) : 0;
}

struct injected inject_disarm(void)
{
	left = 0;
	return (struct injected){failed, failed_from};
}

void inject_report(void)
{
	const char *call = failed;
	void *from = failed_from;

	fprintf(stderr, "the host has failed: %s, called at %p\n",
		call ? call : "nothing", from);
}

static bool fails(const char *call, void *from, int err)
{
	unsigned int now = left;

	do
		if (spared || !now)
			return false;
	while (now != (LASTING | 1) &&
	       !atomic_compare_exchange_weak(&left, &now, now - 1));
	if ((now & ~LASTING) != 1)
		return false;
	if (!failed) {
		failed_from = from;
		failed = call;
	}
	errno = err;
	return true;
}

#define FROM __builtin_return_address(0)

/* The host's call, unless it is to fail. */
#define WRAP(type, bad, err, name, params, args)                               \
	type __real_##name params;                                             \
	type __wrap_##name params;                                             \
	type __wrap_##name params                                              \
	{                                                                      \
		return fails(#name, FROM, err) ? (bad) : __real_##name args;   \
	}

/* clang-format off */
WRAP(void *, NULL, ENOMEM, malloc, (size_t size), (size))
WRAP(void *, NULL, ENOMEM, calloc, (size_t n, size_t size), (n, size))
WRAP(void *, NULL, ENOMEM, realloc, (void *p, size_t size), (p, size))
WRAP(void *, NULL, ENOMEM, reallocarray, (void *p, size_t n, size_t size),
     (p, n, size))
WRAP(char *, NULL, ENOMEM, strdup, (const char *s), (s))
WRAP(FILE *, NULL, EMFILE, fopen64, (const char *path, const char *mode),
     (path, mode))
WRAP(int, -1, EMFILE, socket, (int domain, int type, int protocol),
     (domain, type, protocol))
WRAP(int, -1, EMFILE, socketpair, (int domain, int type, int protocol,
				   int fd[2]),
     (domain, type, protocol, fd))
WRAP(ssize_t, -1, ENOBUFS, sendmsg, (int fd, const struct msghdr *msg,
				     int flags),
     (fd, msg, flags))
WRAP(int, -1, EMFILE, eventfd, (unsigned int count, int flags), (count, flags))
WRAP(int, -1, EMFILE, epoll_create1, (int flags), (flags))
WRAP(int, -1, EMFILE, memfd_create, (const char *name, unsigned int flags),
     (name, flags))
WRAP(int, -1, EMFILE, pipe2, (int fd[2], int flags), (fd, flags))
WRAP(int, -1, EMFILE, timerfd_create, (int clock, int flags), (clock, flags))
WRAP(int, -1, EMFILE, inotify_init1, (int flags), (flags))
WRAP(int, -1, ENOSPC, inotify_add_watch, (int fd, const char *path,
					  uint32_t mask),
     (fd, path, mask))
WRAP(void *, MAP_FAILED, ENOMEM, mmap64, (void *addr, size_t len, int prot,
					  int flags, int fd, off_t off),
     (addr, len, prot, flags, fd, off))
WRAP(int, EAGAIN, EAGAIN, pthread_create,
     (pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg),
     (t, attr, fn, arg))
WRAP(int, -1, ENOSPC, mkdirat, (int dir, const char *path, mode_t mode),
     (dir, path, mode))
WRAP(int, -1, ENOSPC, mknodat, (int dir, const char *path, mode_t mode,
				dev_t dev),
     (dir, path, mode, dev))
WRAP(int, -1, ENOSPC, symlinkat, (const char *to, int dir, const char *path),
     (to, dir, path))
/* clang-format on */

int __real_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);

/* Whoever finds none to spare closes one and tries again. */
int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	static _Thread_local bool has_failed;

	has_failed = !has_failed && fails("accept4", FROM, EMFILE);
	return has_failed ? -1 : __real_accept4(fd, addr, len, flags);
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, mode_t mode);

int __wrap_open64(const char *path, int flags, mode_t mode)
{
	return fails("open", FROM, EMFILE) ? -1
					   : __real_open64(path, flags, mode);
}

int __real_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, mode_t mode);

int __wrap_openat64(int dir, const char *path, int flags, mode_t mode)
{
	return fails("openat", FROM, EMFILE)
		       ? -1
		       : __real_openat64(dir, path, flags, mode);
}

/* Some change nothing, and can't fail. */
int __real_fcntl64(int fd, int cmd, ...);
int __wrap_fcntl64(int fd, int cmd, void *arg);

int __wrap_fcntl64(int fd, int cmd, void *arg)
{
	if ((cmd == F_DUPFD_CLOEXEC && fails("F_DUPFD", FROM, EMFILE)) ||
	    (cmd == F_SETPIPE_SZ && fails("F_SETPIPE_SZ", FROM, EPERM)) ||
	    (cmd == F_OFD_SETLK && fails("F_OFD_SETLK", FROM, ENOLCK)))
		return -1;
	return __real_fcntl64(fd, cmd, arg);
}

int __real_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev);

int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	if (op == EPOLL_CTL_ADD && fails("EPOLL_CTL_ADD", FROM, ENOSPC))
		return -1;
	return __real_epoll_ctl(epfd, op, fd, ev);
}

int __real_ftruncate64(int fd, off_t len);
int __wrap_ftruncate64(int fd, off_t len);

int __wrap_ftruncate64(int fd, off_t len)
{
	if (len && fails("ftruncate", FROM, ENOSPC))
		return -1;
	return __real_ftruncate64(fd, len);
}

/* As with no descriptor to spare: those of the message are lost. */
static void lose_fds(struct msghdr *msg)
{
	int fd;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at < c->cmsg_len;
		     at += sizeof(fd)) {
			memcpy(&fd, (char *)c + at, sizeof(fd));
			close(fd);
		}
		c->cmsg_type = 0;
		msg->msg_flags |= MSG_CTRUNC;
	}
}

static bool has_fds(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			return true;
	return false;
}

ssize_t __real_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n = __real_recvmsg(fd, msg, flags);

	if (n >= 0 && !spared && has_fds(msg) && fails("recvmsg", FROM, EMFILE))
		lose_fds(msg);
	return n;
}

void inject_json(void)
{
	json_set_alloc_funcs(__wrap_malloc, free);
}

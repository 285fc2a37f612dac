/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * A file of ours is a socket that the daemon made, and its name says what it
 * is. But anybody may bind such a name and connect to a server that happens to
 * run under the shim, and what is taken for the daemon gets to see the
 * program's memory. So a name is only read once the socket is proven, and
 * until then nothing is sent on it.
 *
 * The host kernel gives each socket a number for its life (SO_COOKIE), that of
 * a file is known to the daemon, and whether a socket is a file of its can
 * never change. So the question is asked once for each socket, by number:
 *
 *  - of the host kernel: SO_PEERCRED says who made the pair. If that is the
 *    process that `run` named in the environment, by its id and start time (ids
 *    are used again) and user, it is proven. This needs no daemon and holds
 *    after exec, after setuid and in a chroot.
 *  - else of the daemon, at its door. This holds where process ids or users
 *    look different, in namespaces. door.c proves the door.
 *
 * and the answer kept, in a table that is right for every thread and child,
 * since it says nothing of descriptors. With neither to ask, a socket that is
 * ours by name and whose other end is closed is a dead daemon's: nothing can be
 * sent to anybody on it, and calls fail with ENODEV. All others are not ours.
 */
#include "shim/call/peer.h"

#include "shim/base/number.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* What is known about sockets: each word is a cookie and, below it, a verdict.
 * The host counts cookies up, so the bits that are cut off are zero. */
#define KNOWN_SETS   512
#define KNOWN_WAYS   4
#define VERDICT_BITS 2

enum verdict { UNKNOWN, FOREIGN, OURS };

static atomic_uint_least64_t known[KNOWN_SETS][KNOWN_WAYS];

static uint64_t known_word(uint64_t cookie, enum verdict v)
{
	return cookie << VERDICT_BITS | v;
}

static enum verdict recall(uint64_t cookie)
{
	const atomic_uint_least64_t *set = known[cookie % KNOWN_SETS];

	for (int i = 0; i < KNOWN_WAYS; i++) {
		uint64_t word =
			atomic_load_explicit(&set[i], memory_order_relaxed);

		if (word >> VERDICT_BITS == cookie)
			return word & ((1u << VERDICT_BITS) - 1);
	}
	return UNKNOWN;
}

/* What is pushed out is asked again. */
static void remember(uint64_t cookie, enum verdict v)
{
	atomic_uint_least64_t *set = known[cookie % KNOWN_SETS];
	uint64_t way = cookie / KNOWN_SETS % KNOWN_WAYS;

	for (int i = 0; i < KNOWN_WAYS; i++) {
		uint64_t none = 0;

		if (atomic_compare_exchange_strong(&set[i], &none,
						   known_word(cookie, v)))
			return;
	}
	atomic_store(&set[way], known_word(cookie, v));
}

static long cookie_of(int fd, uint64_t *ret_cookie)
{
	unsigned int len = sizeof(*ret_cookie);

	return SYS(getsockopt, fd, SOL_SOCKET, SO_COOKIE, ret_cookie, &len);
}

/* What follows "softvfio/<instance>/<random>/" in a name. */
static const char *name_what(const char *name)
{
	const char *p = name + sizeof(SV_NAME_PREFIX) - 1;

	if (strncmp(name, SV_NAME_PREFIX, sizeof(SV_NAME_PREFIX) - 1))
		return NULL;
	for (int i = 0; i < 2; i++) {
		p = strchr(p, '/');
		if (!p)
			return NULL;
		p++;
	}
	return p;
}

/* What it is, if it is ours. False: its name says that it is not. */
static bool peer_what(int fd, char what[SHIM_WHAT_MAX])
{
	struct sockaddr_un name;
	char text[sizeof(name.sun_path)];
	socklen_t len = sizeof(name);

	if (SYS(getpeername, fd, &name, &len) < 0 ||
	    len <= offsetof(struct sockaddr_un, sun_path) ||
	    name.sun_family != AF_UNIX || name.sun_path[0])
		return false;
	if (len > sizeof(name))
		len = sizeof(name);

	/* abstract names have no NUL at their end; here takes one's place */
	size_t n = len - offsetof(struct sockaddr_un, sun_path) - 1;
	memcpy(text, name.sun_path + 1, n);
	text[n] = '\0';

	const char *is = name_what(text);
	if (!is)
		return false;
	memcpy(what, is, strlen(is) + 1);
	return true;
}

bool peer_credentials(int fd, struct ucred *ret_cred)
{
	socklen_t len = sizeof(*ret_cred);

	return SYS(getsockopt, fd, SOL_SOCKET, SO_PEERCRED, ret_cred, &len) >=
		       0 &&
	       len == sizeof(*ret_cred);
}

/* Field 22 of /proc/PID/stat; the second may hold anything but a last ')'. */
static uint64_t start_field(const char *stat)
{
	const char *p = strrchr(stat, ')');
	uint64_t value = 0;

	for (int i = 2; p && i < 22; i++) {
		p = strchr(p, ' ');
		p += p != NULL;
	}
	for (; p && *p >= '0' && *p <= '9'; p++)
		value = value * 10 + (uint64_t)(*p - '0');
	return value;
}

static uint64_t start_of(pid_t pid)
{
	char path[32] = "/proc/", text[512];
	char *end = put_number(path + strlen(path), (unsigned int)pid);

	memcpy(end, "/stat", sizeof("/stat"));

	long fd = SYS(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	long n = fd < 0 ? fd : SYS(read, fd, text, sizeof(text) - 1);

	if (fd >= 0)
		SYS(close, fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	return start_field(text);
}

bool peer_is_daemon(const struct ucred *cred)
{
	const struct shim_daemon *d = shim_daemon();

	return d->pid > 0 && cred->pid == d->pid &&
	       start_of(d->pid) == d->start;
}

static bool daemon_made(int fd)
{
	struct ucred cred;

	return peer_credentials(fd, &cred) && cred.uid == shim_daemon()->uid &&
	       peer_is_daemon(&cred);
}

/* Is there nobody left at the other end, and never will be? */
static bool is_dead_end(int fd)
{
	struct pollfd p = {.fd = fd};
	int type = 0;
	unsigned int len = sizeof(type);

	return SYS(getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &len) >= 0 &&
	       type == SOCK_SEQPACKET && SYS(poll, &p, 1, 0) == 1 &&
	       p.revents & POLLHUP;
}

static enum verdict prove(int fd, uint64_t cookie)
{
	if (daemon_made(fd))
		return OURS;

	int r = shim_rpc_known(cookie);

	if (r >= 0)
		return r ? OURS : FOREIGN;
	return is_dead_end(fd) ? OURS : UNKNOWN;
}

void peer_learn(int fd)
{
	uint64_t cookie;

	if (cookie_of(fd, &cookie) >= 0)
		remember(cookie, OURS);
}

int shim_peer(int fd, char what[SHIM_WHAT_MAX])
{
	char is[SHIM_WHAT_MAX];
	uint64_t cookie, now;
	long r = cookie_of(fd, &cookie);

	if (r < 0)
		return r == -EBADF || r == -ENOTSOCK ? (int)r : -ENOTTY;

	enum verdict v = recall(cookie);

	if (v == FOREIGN || (v == OURS && !what))
		return v == OURS ? 0 : -ENOTTY;
	if (!peer_what(fd, what ? what : is))
		v = FOREIGN;
	else if (v == UNKNOWN)
		v = prove(fd, cookie);
	/* the number may have changed hands between one question and another */
	if (v != UNKNOWN && cookie_of(fd, &now) >= 0 && now == cookie)
		remember(cookie, v);
	return v == OURS ? 0 : -ENOTTY;
}

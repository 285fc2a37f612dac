/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * Reaching the daemon's door, whatever the length of its path, and making sure
 * that it is: in a chroot somebody else may have made that path. One of these
 * has to hold:
 *
 *  - who listens is of our own user, as SO_PEERCRED shows, and that is a user:
 *    in a namespace that maps no users all look alike. The host lets nobody
 *    give a file to a user that is not mapped, not even to oneself.
 *  - who listens is the process that `run` named (peer.c).
 *  - it is in a directory of our own user that nobody else may enter, mode 0700,
 *    and we could enter it. Where our user is not mapped we have no capability
 *    over it either, so entering proves that it is ours.
 *
 * The third needs the directory held while the door is looked up in it, and
 * /proc for that, so it is the last.
 */
#include "shim/call/line.h"

#include "shim/base/number.h"
#include "shim/call/peer.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#define FD_DIR "/proc/thread-self/fd/"

static long door_connect(int sock, const struct sockaddr_un *addr)
{
	long r;

	do
		r = SYS(connect, sock, addr, sizeof(*addr));
	while (r == -EINTR);
	return r;
}

static bool is_own_user(int sock, const struct ucred *cred)
{
	return cred->uid == (uid_t)SYS(geteuid) &&
	       SYS(fchown, sock, cred->uid, -1) == 0;
}

static bool is_daemons(int sock)
{
	struct ucred cred;

	return peer_credentials(sock, &cred) &&
	       (is_own_user(sock, &cred) || peer_is_daemon(&cred));
}

static bool is_private(int dir)
{
	struct stat st;

	return SYS(fstat, dir, &st) == 0 && st.st_uid == (uid_t)SYS(geteuid) &&
	       !(st.st_mode & (S_IRWXG | S_IRWXO));
}

/* By its path, if that fits an address. */
static int door_by_path(int sock)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(shim_dir());

	if (len + sizeof("/" SV_DOOR) > sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, shim_dir(), len);
	memcpy(addr.sun_path + len, "/" SV_DOOR, sizeof("/" SV_DOOR));
	if (door_connect(sock, &addr) < 0)
		return -ENODEV;
	return is_daemons(sock) ? 0 : -EPERM;
}

/* Through its directory. */
static int door_by_dir(int sock)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = FD_DIR};
	long dir = SYS(openat, AT_FDCWD, shim_dir(),
		       O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return -ENODEV;

	char *end = put_number(addr.sun_path + sizeof(FD_DIR) - 1,
			       (unsigned int)dir);

	memcpy(end, "/" SV_DOOR, sizeof("/" SV_DOOR));

	long r = door_connect(sock, &addr);
	bool own = r == 0 && (is_daemons(sock) || is_private((int)dir));

	SYS(close, dir);
	return own ? 0 : -ENODEV;
}

static int door_try(int (*connect_to)(int sock))
{
	long sock = SYS(socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (sock < 0)
		return (int)sock;

	int r = connect_to((int)sock);

	if (r < 0)
		SYS(close, sock);
	else
		line_limit((int)sock);
	return r < 0 ? r : (int)sock;
}

int door_open(void)
{
	if (!shim_active())
		return -ENODEV;

	int r = door_try(door_by_path);

	if (r == -ENAMETOOLONG || r == -EPERM)
		r = door_try(door_by_dir);
	return r;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Reaching the daemon's door, whatever the length of its path. */
#include "shim/line.h"

#include "shim/shim.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A name too long for an address is reached through its directory. */
static int door_by_dir(int sock, struct sockaddr_un *addr)
{
	static const char self[] = "/proc/thread-self/fd/";
	long dir = SYS(openat, AT_FDCWD, shim_dir(),
		       O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *p = addr->sun_path + sizeof(self) - 1;
	char digits[12];
	int n = 0;

	if (dir < 0)
		return (int)dir;
	memcpy(addr->sun_path, self, sizeof(self));
	for (long v = dir; v || !n; v /= 10)
		digits[n++] = (char)('0' + v % 10);
	while (n > 0)
		*p++ = digits[--n];
	memcpy(p, "/" SV_DOOR, sizeof("/" SV_DOOR));

	long r = SYS(connect, sock, addr, sizeof(*addr));

	SYS(close, dir);
	return (int)r;
}

static int door_connect(int sock)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(shim_dir());
	bool fits = len + sizeof("/" SV_DOOR) <= sizeof(addr.sun_path);
	int r;

	if (fits) {
		memcpy(addr.sun_path, shim_dir(), len);
		memcpy(addr.sun_path + len, "/" SV_DOOR, sizeof("/" SV_DOOR));
	}
	do
		r = fits ? (int)SYS(connect, sock, &addr, sizeof(addr))
			 : door_by_dir(sock, &addr);
	while (r == -EINTR);
	return r < 0 ? -ENODEV : 0;
}

int door_open(void)
{
	long sock = SYS(socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (sock < 0)
		return (int)sock;

	int r = shim_active() ? door_connect((int)sock) : -ENODEV;
	if (r < 0)
		SYS(close, sock);
	return r < 0 ? r : (int)sock;
}

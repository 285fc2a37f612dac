/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whose file is it: asked of the host kernel each time, since descriptors are
 * duplicated, inherited and closed in ways that nobody could follow.
 */
#include "shim/shim.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* What follows "softvfio/<instance>/<serial>/" in a name. */
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

int shim_peer(int fd, char what[SHIM_WHAT_MAX])
{
	struct sockaddr_un name;
	char text[sizeof(name.sun_path)];
	socklen_t len = sizeof(name);
	long r = SYS(getpeername, fd, &name, &len);

	if (r < 0)
		return r == -EBADF || r == -ENOTSOCK ? (int)r : -ENOTTY;
	if (len <= offsetof(struct sockaddr_un, sun_path) ||
	    name.sun_family != AF_UNIX || name.sun_path[0])
		return -ENOTTY;
	if (len > sizeof(name))
		len = sizeof(name);

	/* abstract names have no NUL at their end; here takes one's place */
	size_t n = len - offsetof(struct sockaddr_un, sun_path) - 1;
	memcpy(text, name.sun_path + 1, n);
	text[n] = '\0';

	const char *is = name_what(text);
	if (!is)
		return -ENOTTY;
	if (what)
		memcpy(what, is, strlen(is) + 1);
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* One question, one answer, on a connection of its own. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/control.h"
#include "lib/cleanup.h"
#include "lib/proto.h"

#define ANSWER_SECONDS 15 /* what waits for a model is told well before */

/* By way of /proc/self/fd, since a socket's path may have 107 bytes only. */
static int connect_door(const char *dir)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = ANSWER_SECONDS};
	_cleanup_(closep) int at =
		open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (at < 0)
		return -errno;

	_cleanup_(closep) int fd =
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(addr.sun_path, sizeof(addr.sun_path),
		 "/proc/self/fd/%d/" SV_DOOR, at);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
		       sizeof(patience)) ||
	    connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return -errno;
	return TAKE_FD(fd);
}

int control_daemon(const char *dir, struct ucred *ret_cred)
{
	socklen_t len = sizeof(*ret_cred);
	_cleanup_(closep) int sock = connect_door(dir);

	if (sock < 0)
		return sock;
	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, ret_cred, &len)
		       ? -errno
		       : 0;
}

/* @device: NULL = of no device. What is no UTF-8 is no question. */
static int send_command(int fd, const char *cmd, const char *device)
{
	json_t *query = json_pack("{s:s, s:s*}", "cmd", cmd, "device", device);
	_cleanup_(freep) char *json = json_dumps(query, JSON_COMPACT);
	size_t len = json ? strlen(json) : 0;

	json_decref(query);
	if (!json)
		return -EINVAL;

	struct sv_request head = {
		.magic = SV_MAGIC,
		.op = SV_CONTROL,
		.seq = 1,
		.n_segs = 1,
	};
	struct sv_seg seg = {.want = (uint32_t)len, .len = (uint32_t)len};
	struct iovec iov[] = {
		{&head, sizeof(head)},
		{&seg, sizeof(seg)},
		{json, len},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov)};

	return sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* The first descriptor of a message; any others are closed. */
static int take_fd(struct msghdr *msg)
{
	int first = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (first < 0)
				first = fd;
			else
				close(fd);
		}
	}
	return first;
}

/* Returns the memfd of the answer. */
static int receive_answer(int sock)
{
	struct sv_reply reply;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov = {&reply, sizeof(reply)};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;

	_cleanup_(closep) int fd = take_fd(&msg);

	if (n == 0)
		return -ECONNREFUSED;
	if ((size_t)n < sizeof(reply) || reply.magic != SV_REPLY_MAGIC ||
	    reply.kind != SV_DONE)
		return -EPROTO;
	if (reply.result < 0)
		return (int)reply.result;
	return fd < 0 ? -EPROTO : TAKE_FD(fd);
}

/* json_loadfd() reads byte by byte. */
static json_t *load(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return NULL;

	size_t len = (size_t)st.st_size;
	_cleanup_(freep) char *text = malloc(len + 1);

	if (!text || pread(fd, text, len, 0) != st.st_size)
		return NULL;
	return json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
}

int control_ask(const char *dir, const char *cmd, json_t **ret_reply)
{
	return control_ask_of(dir, cmd, NULL, ret_reply);
}

int control_ask_of(const char *dir, const char *cmd, const char *device,
		   json_t **ret_reply)
{
	_cleanup_(closep) int sock = connect_door(dir);

	if (sock < 0)
		return sock;

	int r = send_command(sock, cmd, device);

	if (r)
		return r;

	_cleanup_(closep) int fd = receive_answer(sock);

	if (fd < 0)
		return fd;

	json_t *reply = load(fd);

	if (!json_is_object(reply)) {
		json_decref(reply);
		return -EPROTO;
	}
	*ret_reply = reply;
	return 0;
}

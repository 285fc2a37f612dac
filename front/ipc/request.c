/* SPDX-License-Identifier: BSD-3-Clause */
/* Taking requests apart and putting answers together: front/ipc/request.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "front/ipc/discard.h"
#include "front/ipc/request.h"
#include "front/ipc/server_impl.h"
#include "lib/cleanup.h"
#include "lib/evfd.h"
#include "lib/refuse.h"
#include "lib/sched.h"

/* Kernel limit on descriptors of one message (SCM_MAX_FD). */
#define MSG_FDS_MAX 253

union control {
	char buf[CMSG_SPACE(MSG_FDS_MAX * sizeof(int)) +
		 CMSG_SPACE(sizeof(struct ucred))];
	struct cmsghdr align;
};

/*
 * Memory files, eventfds and our own files: whatever a program has made of one,
 * closing it waits for nobody. Other sockets may have anything in their queue.
 */
static bool closes_at_once(const struct request *req, int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0 ||
	       server_owns(req->call.server, fd) || evfd_check(fd) == 0;
}

static void close_received(const struct request *req, int fd)
{
	if (closes_at_once(req, fd))
		close(fd);
	else
		discard_fd(req->owner, fd);
}

static void take_fds(struct request *req, const struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int fd;

	for (size_t i = 0; i < n; i++) {
		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		if (req->n_fds < REQ_FDS_MAX)
			req->fds[req->n_fds++] = fd;
		else
			close_received(req, fd); /* surplus */
	}
}

static void take_sender(struct request *req, const struct cmsghdr *c)
{
	struct ucred cred;

	memcpy(&cred, CMSG_DATA(c), sizeof(cred));
	req->call.pid = cred.pid;
}

static void take_control(struct request *req, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS)
			take_fds(req, c);
		else if (c->cmsg_type == SCM_CREDENTIALS)
			take_sender(req, c);
	}
}

/*
 * A socket closed with our wake byte unread says so once (ECONNRESET), before
 * what was queued and the end: ask again.
 */
static ssize_t receive(int sock, struct msghdr *msg, int flags)
{
	ssize_t n = recvmsg(sock, msg, flags);

	if (n < 0 && errno == ECONNRESET)
		n = recvmsg(sock, msg, flags);
	return n;
}

/*
 * One message: its head to @head, the rest behind req->bytes. Returns its
 * length, 0 at the peer's end, -EBADMSG when truncated (of bytes or, for want
 * of free descriptors, of those), or -errno.
 */
static ssize_t take_message(struct request *req, int sock, void *head,
			    size_t head_len)
{
	bool crowded = discard_crowded(req->owner);
	union control control;
	struct iovec iov[] = {
		{head, head_len},
		{req->bytes + req->n_bytes, REQ_BYTES_MAX - req->n_bytes},
	};
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control.buf,
		.msg_controllen = crowded ? CMSG_SPACE(sizeof(struct ucred))
					  : sizeof(control.buf),
	};
	ssize_t n = receive(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	take_control(req, &msg);
	/* an empty message, unlike the end, carries its sender's credentials */
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ||
	    (n == 0 && msg.msg_controllen))
		return -EBADMSG;
	return n;
}

bool req_at_end(int sock)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))];
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};

	/* peeking at descriptors would install them, so leave room for none */
	return receive(sock, &msg, MSG_PEEK | MSG_DONTWAIT) == 0 &&
	       !msg.msg_controllen;
}

static bool take_parts(struct request *req, int sock)
{
	for (unsigned int i = 0; i < req->hdr.n_parts; i++) {
		struct sv_part part;
		ssize_t n = take_message(req, sock, &part, sizeof(part));

		if (n < (ssize_t)sizeof(part) || part.magic != SV_MAGIC ||
		    part.seq != req->hdr.seq ||
		    part.bytes != (size_t)n - sizeof(part))
			return false;
		req->n_bytes += part.bytes;
	}
	return true;
}

/* Find the sections and check that they are exactly what the head says. */
static bool find_sections(struct request *req)
{
	const struct sv_request *h = &req->hdr;
	const uint8_t *p = req->bytes;
	size_t total = 0;

	if (h->n_segs > SV_SEGS_MAX || h->n_fdrefs > SV_FDREFS_MAX ||
	    h->n_vmas > SV_VMAS_MAX)
		return false;
	size_t tables = h->n_segs * sizeof(struct sv_seg) +
			h->n_fdrefs * sizeof(struct sv_fdref) +
			h->n_vmas * sizeof(struct sv_vma);
	if (tables > req->n_bytes)
		return false;
	req->seg = (const void *)p;
	p += h->n_segs * sizeof(struct sv_seg);
	req->fdref = (const void *)p;
	p += h->n_fdrefs * sizeof(struct sv_fdref);
	req->vma = (const void *)p;
	p += h->n_vmas * sizeof(struct sv_vma);
	req->seg_bytes = p;
	for (uint32_t i = 0; i < h->n_segs; i++) {
		if (req->seg[i].len > req->seg[i].want)
			return false;
		total += req->seg[i].len;
	}
	return total == req->n_bytes - tables;
}

struct request *req_new(struct server *s)
{
	struct request *req = calloc(1, sizeof(*req));

	if (!req)
		return NULL;
	req->call.ops = &req_ops;
	req->call.conf = server_conf(s);
	req->call.server = s;
	req->call.arg = req->hdr.arg;
	return req;
}

static void req_reset(struct request *req)
{
	req->call.pid = 0;
	req->hdr.channel = 0;
	req->reply = -1;
	req->reply_owned = false;
	req->channel = req->made = NULL;
	req->n_fds = req->n_bytes = 0;
	req->next_fdref = 0;
	req->call.fd_out = req->channel_fd = -1;
	req->call.fd_result = req->call.cloexec = false;
	req->call.n_copies = req->call.n_out = 0;
	req->n_needs = req->n_need_fds = 0;
	req->need_mark = 0;
	req->call.name = "request";
}

/* Others wait in shutdown() for whoever is at them. */
static bool is_unix_socket(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       domain == AF_UNIX;
}

/* Where the answer goes that does not go to a channel kept before. */
static bool take_reply_socket(struct request *req)
{
	if (!req->n_fds)
		return false;
	req->reply = req->fds[0];
	req->reply_owned = true;
	req->n_fds--;
	memmove(req->fds, req->fds + 1, req->n_fds * sizeof(req->fds[0]));
	return true;
}

/*
 * Its other end sees the end now, whenever the closing's turn comes. What is no
 * reply socket was refused: a file of ours, say, which goes on.
 */
static void close_reply(struct request *req)
{
	if (!req->reply_owned)
		return;
	if (is_unix_socket(req->reply) &&
	    !server_owns(req->call.server, req->reply))
		shutdown(req->reply, SHUT_RDWR);
	close_received(req, req->reply);
}

int req_drop(struct request *req)
{
	req_finish(req);
	close_reply(req);
	return -EBADMSG;
}

bool req_on_channel(const struct request *req)
{
	return req->hdr.channel && !(req->hdr.flags & SV_REQ_KEEP);
}

static bool head_is_sane(const struct request *req, bool own_line)
{
	const struct sv_request *h = &req->hdr;

	if (h->op == 0 || h->op >= SV_OP_END || h->n_parts > SV_PARTS_MAX)
		return false;
	return !h->n_parts || (!own_line && req_on_channel(req));
}

/* @n: bytes of the message whose head is in req->hdr */
static int take_apart(struct request *req, int sock, size_t n, bool own_line)
{
	bool whole = n >= sizeof(req->hdr) && req->hdr.magic == SV_MAGIC;

	if (!whole)
		req->hdr.channel = 0;
	if (own_line)
		req->reply = sock;
	else if (!req_on_channel(req) && !take_reply_socket(req))
		return req_drop(req);
	if (!whole || !head_is_sane(req, own_line))
		return req_drop(req);
	req->n_bytes = n - sizeof(req->hdr);
	return 1;
}

int req_complete(struct request *req, int parts)
{
	return take_parts(req, parts) && find_sections(req) ? 1 : req_drop(req);
}

int req_receive(struct request *req, int sock, bool own_line)
{
	req_reset(req);

	ssize_t n = take_message(req, sock, &req->hdr, sizeof(req->hdr));

	if (n == 0)
		return req_drop(req), 0;
	if (n == -EAGAIN)
		return -EAGAIN;
	if (n < 0)
		return req_drop(req);
	return take_apart(req, sock, (size_t)n, own_line);
}

void req_finish(struct request *req)
{
	for (size_t i = 0; i < req->n_fds; i++)
		close_received(req, req->fds[i]);
	req->n_fds = 0;
}

#define REPLY_FDS_MAX 2

/* The result goes first: it is to have the lowest number that is free. */
static unsigned int reply_fds(const struct request *req, int fds[REPLY_FDS_MAX])
{
	unsigned int n = 0;

	if (req->call.fd_out >= 0)
		fds[n++] = req->call.fd_out;
	if (req->channel_fd >= 0)
		fds[n++] = req->channel_fd;
	return n;
}

static void attach_fds(struct msghdr *msg, char *control, const int *fds,
		       unsigned int n)
{
	if (!n)
		return;
	memset(control, 0, CMSG_SPACE(n * sizeof(int)));
	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE(n * sizeof(int));

	struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
}

static int send_reply(struct request *req, struct sv_reply *reply,
		      const void *table, size_t table_len, const void *data,
		      size_t data_len)
{
	_Alignas(struct cmsghdr) char
		control[CMSG_SPACE(REPLY_FDS_MAX * sizeof(int))];
	int fds[REPLY_FDS_MAX];
	struct iovec iov[] = {
		{reply, sizeof(*reply)},
		{(void *)(uintptr_t)table, table_len},
		{(void *)(uintptr_t)data, data_len},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};

	reply->n_fds = reply_fds(req, fds);
	attach_fds(&msg, control, fds, reply->n_fds);

	ssize_t n = sendmsg(req->reply, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	int r = n < 0 ? -errno : 0;

	sched_point("sent");
	for (unsigned int i = 0; i < reply->n_fds; i++)
		close(fds[i]);
	req->call.fd_out = req->channel_fd = -1;
	close_reply(req);
	return r;
}

static uint32_t reply_flags(const struct request *req)
{
	const struct call *call = &req->call;

	return (req->made ? SV_REPLY_KEPT : 0) |
	       (call->fd_result ? SV_REPLY_FD : 0) |
	       (call->cloexec ? SV_REPLY_CLOEXEC : 0);
}

void req_forget(struct request *req)
{
	closep(&req->call.fd_out);
	closep(&req->channel_fd);
	req->call.fd_out = req->channel_fd = -1;
	close_reply(req);
}

int req_reply(struct request *req, int64_t result)
{
	struct sv_reply reply = {
		.magic = SV_REPLY_MAGIC,
		.kind = SV_DONE,
		.n = (uint16_t)req->call.n_copies,
		.seq = req->hdr.seq,
		.result = result,
		.flags = reply_flags(req),
	};

	if (result == -ERESTART) {
		if (req->n_need_fds)
			req_need(req, SV_NEED_FDS, 0, req->n_need_fds);
		reply.kind = SV_NEED;
		reply.result = (int64_t)req->need_mark;
		reply.n = (uint16_t)req->n_needs;
		return send_reply(req, &reply, req->need,
				  req->n_needs * sizeof(req->need[0]),
				  req->need_fd,
				  req->n_need_fds * sizeof(req->need_fd[0]));
	}
	return send_reply(req, &reply, req->call.copy,
			  req->call.n_copies * sizeof(req->call.copy[0]),
			  req->call.out, req->call.n_out);
}

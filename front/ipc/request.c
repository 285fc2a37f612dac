/* SPDX-License-Identifier: BSD-3-Clause */
/* Taking requests apart and putting answers together: front/ipc/request.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "front/ipc/discard.h"
#include "front/ipc/request.h"
#include "front/ipc/server.h"
#include "lib/cleanup.h"
#include "lib/evfd.h"
#include "lib/proc.h"
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
	return fcntl(fd, F_GET_SEALS) >= 0 || server_owns(req->server, fd) ||
	       evfd_check(fd) == 0;
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

static void take_control(struct request *req, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS)
			take_fds(req, c);
		else if (c->cmsg_type == SCM_CREDENTIALS)
			memcpy(&req->cred, CMSG_DATA(c), sizeof(req->cred));
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

static void req_reset(struct request *req)
{
	req->cred = (struct ucred){0};
	req->hdr.channel = 0;
	req->reply = -1;
	req->reply_owned = false;
	req->channel = req->made = NULL;
	req->n_fds = req->n_bytes = 0;
	req->next_fdref = 0;
	req->flags = 0;
	req->fd_out = req->channel_fd = -1;
	req->n_copies = req->n_out = req->n_needs = req->n_need_fds = 0;
	req->need_mark = 0;
	req->call = "request";
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
	if (is_unix_socket(req->reply) && !server_owns(req->server, req->reply))
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

static const uint8_t *seg_data(const struct request *req, uint32_t index)
{
	const uint8_t *p = req->seg_bytes;

	for (uint32_t i = 0; i < index; i++)
		p += req->seg[i].len;
	return p;
}

static int need(struct request *req, uint32_t kind, uint64_t addr, uint64_t len)
{
	if (req->n_needs == SV_NEEDS_MAX)
		return -ENOMEM;
	req->need[req->n_needs++] =
		(struct sv_need){.kind = kind, .addr = addr, .len = len};
	return -ERESTART;
}

int req_copy_in(struct request *req, uint64_t addr, void *buf, size_t len)
{
	for (uint32_t i = 0; i < req->hdr.n_segs; i++) {
		const struct sv_seg *s = &req->seg[i];

		if (addr < s->addr || addr - s->addr > s->want ||
		    len > s->want - (addr - s->addr))
			continue;
		if (len > s->len || addr - s->addr > s->len - len)
			return refuse(EFAULT,
				      "%zu bytes at %#llx cannot be "
				      "read",
				      len, (unsigned long long)addr);
		memcpy(buf, seg_data(req, i) + (addr - s->addr), len);
		return 0;
	}
	return need(req, SV_NEED_BYTES, addr, len);
}

int req_set_bits(struct request *req, uint64_t bitmap, uint64_t first,
		 uint64_t count)
{
	const uint64_t word = sizeof(uint64_t) * CHAR_BIT;
	int r = need(req, SV_NEED_BITS,
		     bitmap + first / word * sizeof(uint64_t), count);

	if (r == -ERESTART)
		req->need[req->n_needs - 1].flags = first % word;
	return r;
}

int req_string(struct request *req, uint64_t addr, char *buf, size_t size)
{
	for (uint32_t i = 0; i < req->hdr.n_segs; i++) {
		const struct sv_seg *s = &req->seg[i];

		if (s->addr != addr)
			continue;

		size_t max = s->len < size ? s->len : size;
		const uint8_t *p = seg_data(req, i);
		const uint8_t *nul = memchr(p, 0, max);

		if (nul) {
			memcpy(buf, p, (size_t)(nul - p) + 1);
			return 0;
		}
		if (s->len >= size)
			return refuse(EINVAL, "string longer than %zu bytes",
				      size - 1);
		if (s->len < s->want)
			return refuse(EFAULT, "string at %#llx cannot be read",
				      (unsigned long long)addr);
	}
	return need(req, SV_NEED_BYTES, addr, size);
}

int req_out(struct request *req, const void *buf, size_t len)
{
	if (len > sizeof(req->out) - req->n_out)
		return -ENOMEM;
	memcpy(req->out + req->n_out, buf, len);
	req->n_out += len;
	return 0;
}

int req_copy_out(struct request *req, uint64_t addr, const void *buf,
		 size_t len)
{
	if (req->n_copies == SV_COPIES_MAX || req_out(req, buf, len) < 0)
		return -ENOMEM;
	req->copy[req->n_copies++] =
		(struct sv_copy){.addr = addr, .len = (uint32_t)len};
	return 0;
}

/* The shim answers in the order it was asked, so the next one is the one. */
static const struct sv_fdref *find_fdref(struct request *req, int32_t number)
{
	uint32_t n = req->hdr.n_fdrefs;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = (req->next_fdref + i) % n;

		if (req->fdref[at].number != number)
			continue;
		req->next_fdref = at + 1;
		return &req->fdref[at];
	}
	return NULL;
}

static int need_fd(struct request *req, int32_t number)
{
	if (req->n_need_fds == SV_FDREFS_MAX)
		return -ENOMEM;
	req->need_fd[req->n_need_fds++] = number;
	return -ERESTART;
}

int req_fd(struct request *req, int32_t number, int *ret_fd)
{
	const struct sv_fdref *ref = find_fdref(req, number);

	if (!ref)
		return need_fd(req, number);
	if (ref->index < 0 || (size_t)ref->index >= req->n_fds)
		return refuse(EBADF, "%d is not an open descriptor", number);
	*ret_fd = req->fds[ref->index];
	return 0;
}

/* What is private memory will be asked for next: better at once. */
static int need_vmas(struct request *req, uint64_t addr, uint64_t len)
{
	struct mm_id id = {{req->hdr.mm_id[0], req->hdr.mm_id[1]}};
	size_t at = req->n_needs;
	struct mem *mem;
	int r = need(req, SV_NEED_VMAS, addr, len);

	if (r != -ERESTART)
		return r;
	if (mem_mm(req->cred.pid, &id, -1, &mem) == 0)
		mem_put(mem);
	else
		req->need[at].flags = SV_NEED_WITH_MM;
	return r;
}

int req_vmas(struct request *req, uint64_t addr, uint64_t len,
	     const struct sv_vma **ret_vma, uint32_t *ret_n)
{
	if (!(req->hdr.flags & SV_REQ_VMAS))
		return need_vmas(req, addr, len);
	*ret_vma = req->vma;
	*ret_n = req->hdr.n_vmas;
	return 0;
}

int req_vma_fd(const struct request *req, const struct sv_vma *vma)
{
	if (vma->index < 0 || (size_t)vma->index >= req->n_fds)
		return -1;
	return req->fds[vma->index];
}

int req_mm(struct request *req, struct mem **ret_mem)
{
	struct mm_id id = {{req->hdr.mm_id[0], req->hdr.mm_id[1]}};
	int fd = -1;

	if (!id.w[0] && !id.w[1])
		return refuse(EFAULT, "the program's address space has no "
				      "name");
	if (req->hdr.flags & SV_REQ_MEM_FD && req->n_fds)
		fd = req->fds[req->n_fds - 1];
	if (fd >= 0 && !proc_is_mem(req->cred.pid, fd))
		return refuse(EFAULT, "what was sent as the program's memory "
				      "is no /proc/PID/mem");

	int r = mem_mm(req->cred.pid, &id, fd, ret_mem);

	return r == -ENOENT ? need(req, SV_NEED_MM, 0, 0) : r;
}

const uint8_t *req_data(const struct request *req, size_t *ret_len)
{
	*ret_len = req->hdr.n_segs ? req->seg[0].len : 0;
	return req->seg_bytes;
}

int req_path(const struct request *req, char *buf, size_t size)
{
	size_t len;
	const uint8_t *p = req_data(req, &len);

	while (len && !p[len - 1]) /* a NUL may or may not be sent along */
		len--;
	if (!len || len >= size || memchr(p, 0, len))
		return refuse(EINVAL, "not a path");
	memcpy(buf, p, len);
	buf[len] = '\0';
	return 0;
}

void req_send_fd(struct request *req, int fd, bool as_result, bool cloexec)
{
	req->fd_out = fd;
	req->flags = (as_result ? SV_REPLY_FD : 0) |
		     (cloexec ? SV_REPLY_CLOEXEC : 0);
}

#define REPLY_FDS_MAX 2

/* The result goes first: it is to have the lowest number that is free. */
static unsigned int reply_fds(const struct request *req, int fds[REPLY_FDS_MAX])
{
	unsigned int n = 0;

	if (req->fd_out >= 0)
		fds[n++] = req->fd_out;
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
	req->fd_out = req->channel_fd = -1;
	close_reply(req);
	return r;
}

void req_forget(struct request *req)
{
	closep(&req->fd_out);
	closep(&req->channel_fd);
	req->fd_out = req->channel_fd = -1;
	close_reply(req);
}

int req_reply(struct request *req, int64_t result)
{
	struct sv_reply reply = {
		.magic = SV_MAGIC,
		.kind = SV_DONE,
		.n = (uint16_t)req->n_copies,
		.seq = req->hdr.seq,
		.result = result,
		.flags = req->flags,
	};

	if (req->made)
		reply.flags |= SV_REPLY_KEPT;

	if (result == -ERESTART) {
		if (req->n_need_fds)
			need(req, SV_NEED_FDS, 0, req->n_need_fds);
		reply.kind = SV_NEED;
		reply.result = (int64_t)req->need_mark;
		reply.n = (uint16_t)req->n_needs;
		return send_reply(req, &reply, req->need,
				  req->n_needs * sizeof(req->need[0]),
				  req->need_fd,
				  req->n_need_fds * sizeof(req->need_fd[0]));
	}
	return send_reply(req, &reply, req->copy,
			  req->n_copies * sizeof(req->copy[0]), req->out,
			  req->n_out);
}

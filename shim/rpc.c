/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * Every request makes its own reply pair, sends one end along, closes its copy
 * and waits on the other. Nothing outlives the request: threads, forked
 * children and signal handlers that come in between have pairs of their own,
 * and the daemon's death closes the far end, which ends the wait.
 *
 * A request is sent, and sent again with what the daemon says is missing,
 * until it is done. The daemon changes nothing while something is missing, so
 * a round that is abandoned leaves no trace. See lib/proto.h for the messages.
 *
 * The reply is looked at before it is taken (MSG_PEEK), so that data goes
 * straight to the program's buffer and the host kernel judges the pointer.
 */
#include "shim/shim.h"

#include "shim/mmid.h"
#include "shim/need.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#define SECTIONS     6 /* of a request, see request_sections() */
#define STACK_COPIES 1024
#define HEAD_FDS     (SV_MSG_FDS - 1) /* beside the reply socket */

/* A request's message, or stream of messages, ready to be cut into pieces. */
struct request {
	struct sv_request head;
	struct sv_seg segs[SV_SEGS_MAX];
	struct iovec sections[SECTIONS];
	size_t len;
	const int *fds;
	uint32_t n_fds;
};

/* Room for the descriptors of one message. */
union fd_control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(SV_MSG_FDS * sizeof(int))];
};

/* ------------------------------------------------------------------ */
/* Sending                                                            */

/* How sendmsg() fails when nobody is there to receive. */
static int send_error(long r)
{
	switch (r) {
	case -EPIPE:
	case -ECONNRESET:
	case -ECONNREFUSED:
	case -ENOTCONN:
	case -ESHUTDOWN:
		return -ENODEV;
	case -EMSGSIZE:
	case -ENOBUFS:
	case -ETOOMANYREFS:
		return -ENOMEM;
	}
	return (int)r;
}

static void wait_for_room(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	(void)SYS(poll, &p, 1, -1); /* EINTR: the caller looks again */
}

/* @wait: wait until the socket takes it; else -ENOMEM when it does not. */
static int send_message(int fd, const struct msghdr *msg, bool wait)
{
	for (;;) {
		long r = SYS(sendmsg, fd, msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (r >= 0)
			return 0;
		if (r == -EAGAIN && !wait)
			return -ENOMEM;
		if (r == -EAGAIN)
			wait_for_room(fd);
		else if (r != -EINTR)
			return send_error(r);
	}
}

static void put_fds(struct msghdr *msg, union fd_control *control, int first,
		    const int *fds, uint32_t n)
{
	uint32_t skip = first >= 0;

	if (!n && !skip)
		return;
	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE((n + skip) * sizeof(int));

	struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN((n + skip) * sizeof(int));
	if (skip)
		memcpy(CMSG_DATA(c), &first, sizeof(first));
	if (n)
		memcpy(CMSG_DATA(c) + skip * sizeof(int), fds, n * sizeof(int));
}

/* [@off, @off + @len) of the request's sections. Returns how many vectors. */
static int cut(const struct request *req, size_t off, size_t len,
	       struct iovec *ret_iov)
{
	int n = 0;

	for (int i = 0; i < SECTIONS && len; i++) {
		const struct iovec *s = &req->sections[i];

		if (off >= s->iov_len) {
			off -= s->iov_len;
			continue;
		}

		size_t take = s->iov_len - off < len ? s->iov_len - off : len;

		ret_iov[n++] = (struct iovec){(char *)s->iov_base + off, take};
		len -= take;
		off = 0;
	}
	return n;
}

/* The part that begins at byte @off and carries @n descriptors from @fds. */
static int send_part(int fd, const struct request *req, size_t off, size_t len,
		     const int *fds, uint32_t n)
{
	struct sv_part part = {
		.magic = SV_MAGIC,
		.bytes = (uint32_t)len,
		.seq = req->head.seq,
	};
	struct iovec iov[1 + SECTIONS] = {{&part, sizeof(part)}};
	union fd_control control = {0};
	struct msghdr msg = {.msg_iov = iov};

	msg.msg_iovlen = 1 + cut(req, off, len, iov + 1);
	put_fds(&msg, &control, -1, fds, n);
	return send_message(fd, &msg, false);
}

/* What does not fit the head goes ahead of it, into our end of the pair. */
static int send_parts(int fd, struct request *req)
{
	uint32_t fds_at = req->n_fds < HEAD_FDS ? req->n_fds : HEAD_FDS;
	size_t at = req->len < SV_MSG_MAX ? req->len : SV_MSG_MAX;
	int r = 0;

	while (r == 0 && (at < req->len || fds_at < req->n_fds)) {
		size_t room = SV_MSG_MAX - sizeof(struct sv_part);
		size_t len = req->len - at < room ? req->len - at : room;
		uint32_t n = req->n_fds - fds_at;

		if (n > SV_MSG_FDS)
			n = SV_MSG_FDS;
		if (req->head.n_parts == SV_PARTS_MAX)
			return -ENOMEM;
		req->head.n_parts++;
		r = send_part(fd, req, at, len, req->fds + fds_at, n);
		at += len;
		fds_at += n;
	}
	return r;
}

static int send_head(int fd, const struct request *req, int reply_fd)
{
	struct iovec iov[SECTIONS];
	union fd_control control = {0};
	struct msghdr msg = {.msg_iov = iov};
	size_t len = req->len < SV_MSG_MAX ? req->len : SV_MSG_MAX;

	msg.msg_iovlen = cut(req, 0, len, iov);
	put_fds(&msg, &control, reply_fd, req->fds,
		req->n_fds < HEAD_FDS ? req->n_fds : HEAD_FDS);
	return send_message(fd, &msg, true);
}

static uint64_t next_seq(void)
{
	static atomic_uint_least64_t seq;

	return atomic_fetch_add(&seq, 1) + 1;
}

static void request_head(struct request *req, const struct shim_rpc *rpc,
			 struct needed *n)
{
	req->head = (struct sv_request){
		.magic = SV_MAGIC,
		.op = rpc->op,
		.seq = next_seq(),
		.n_segs = rpc->n_segs,
	};
	memcpy(req->head.arg, rpc->arg, sizeof(rpc->arg));
	shim_mm_id(req->head.mm_id);
	if (rpc->n_segs)
		req->segs[0] = (struct sv_seg){rpc->seg_addr, rpc->seg_want,
					       rpc->seg_len};
	if (!n)
		return;

	memcpy(req->segs + rpc->n_segs, n->segs, n->n_segs * sizeof(*n->segs));
	req->head.n_segs += n->n_segs;
	req->head.n_fdrefs = n->n_fdrefs;
	req->head.n_vmas = n->n_vmas;
	req->head.flags = (n->has_vmas ? SV_REQ_VMAS : 0) |
			  (n->mem_fd >= 0 ? SV_REQ_MEM_FD : 0);
}

static void request_sections(struct request *req, const struct shim_rpc *rpc,
			     struct needed *n, const int pair[2])
{
	struct iovec *s = req->sections;

	memset(s, 0, sizeof(req->sections));
	s[0] = (struct iovec){&req->head, sizeof(req->head)};
	s[1] = (struct iovec){req->segs, req->head.n_segs * sizeof(*req->segs)};
	if (rpc->n_segs)
		s[4] = (struct iovec){(void *)rpc->seg, rpc->seg_len};
	if (n) {
		need_collect(n, pair);
		req->fds = n->fds;
		req->n_fds = n->n_fds;
		s[2] = (struct iovec){n->fdrefs,
				      n->n_fdrefs * sizeof(*n->fdrefs)};
		s[3] = (struct iovec){n->vmas, n->n_vmas * sizeof(*n->vmas)};
		s[5] = (struct iovec){n->bytes, n->n_bytes};
	}
	req->len = 0;
	for (int i = 0; i < SECTIONS; i++)
		req->len += s[i].iov_len;
}

/* ------------------------------------------------------------------ */
/* Receiving                                                          */

/* Our own reply socket; it can only fail when nobody will ever answer. */
static long receive(int fd, struct msghdr *msg, int flags)
{
	for (;;) {
		long r = SYS(recvmsg, fd, msg, flags);

		if (r == -EFAULT)
			return r;
		if (r > 0)
			return r;
		if (r != -EINTR)
			return -ENODEV;
	}
}

/* Waits. Returns the length of the reply, still to be taken, or -errno. */
static long reply_wait(int fd, uint64_t seq, struct sv_reply *ret_reply)
{
	struct iovec iov = {ret_reply, sizeof(*ret_reply)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	long r = receive(fd, &msg, MSG_PEEK | MSG_TRUNC);

	if (r < 0)
		return r;
	if ((size_t)r < sizeof(*ret_reply) || ret_reply->magic != SV_MAGIC ||
	    ret_reply->seq != seq)
		return -EIO;
	return r;
}

/*
 * Takes the reply: its head, then up to @len bytes to @data. A descriptor that
 * came with it goes to *ret_fd. Returns the bytes at @data or -errno.
 */
static long reply_take(int fd, struct sv_reply *reply, void *data, size_t len,
		       int *ret_fd)
{
	struct iovec iov[2] = {{reply, sizeof(*reply)}, {data, len}};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = len ? 2 : 1,
		.msg_control = &control,
		/* not CMSG_SPACE: its padding would take a second one */
		.msg_controllen = CMSG_LEN(sizeof(int)),
	};
	long r = receive(fd, &msg, MSG_CMSG_CLOEXEC);

	/* the length is the kernel's to change: nothing came, nothing left */
	struct cmsghdr *c = r < 0 ? NULL : CMSG_FIRSTHDR(&msg);

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	return r < 0 ? r : r - (long)sizeof(*reply);
}

/* Writes what the daemon wants in program memory. */
static int copy_outs(const uint8_t *body, size_t len, uint16_t n)
{
	const struct sv_copy *copies = (const void *)body;
	const uint8_t *bytes = (const uint8_t *)(copies + n);
	const uint8_t *end = body + len;

	if (n > len / sizeof(*copies))
		return -EIO;
	for (uint16_t i = 0; i < n; i++) {
		const struct sv_copy *c = &copies[i];

		if (c->len > (size_t)(end - bytes))
			return -EIO;
		if (shim_copy_out((void *)(uintptr_t)c->addr, bytes, c->len))
			return -EFAULT;
		bytes += c->len;
	}
	return 0;
}

static long take_copies_at(int fd, struct sv_reply *reply, uint8_t *body,
			   size_t len, int *ret_fd)
{
	long r = reply_take(fd, reply, body, len, ret_fd);

	return r < 0 ? r : copy_outs(body, (size_t)r, reply->n);
}

static long take_copies(int fd, struct sv_reply *reply, size_t len, int *ret_fd)
{
	uint8_t small[STACK_COPIES] __attribute__((aligned(8)));

	if (len <= sizeof(small))
		return take_copies_at(fd, reply, small, len, ret_fd);

	uint8_t *body = shim_scratch(len);
	if (!body)
		return -ENOMEM;

	long r = take_copies_at(fd, reply, body, len, ret_fd);

	shim_scratch_free(body, len);
	return r;
}

static long take_data(int fd, struct sv_reply *reply, struct shim_rpc *rpc,
		      int *ret_fd)
{
	long r = reply_take(fd, reply, rpc->data, rpc->data_max, ret_fd);

	if (r < 0)
		return r;
	rpc->ret_len = (size_t)r;
	return 0;
}

/* The descriptor that came is the result, is wanted besides, or is closed. */
static int64_t settle_fd(struct shim_rpc *rpc, const struct sv_reply *reply,
			 int fd, int64_t r)
{
	bool is_result = reply->flags & SV_REPLY_FD && reply->result >= 0;

	if (r >= 0 && is_result) {
		if (fd < 0)
			return -EMFILE; /* the host had no number for it */
		if (!(reply->flags & SV_REPLY_CLOEXEC))
			SYS(fcntl, fd, F_SETFD, 0);
		return fd;
	}
	if (r >= 0 && rpc->op == SV_MMAP) {
		rpc->ret_fd = fd;
		return r;
	}
	if (fd >= 0)
		SYS(close, fd);
	return r;
}

static bool carries_data(uint16_t op)
{
	return op == SV_READ || op == SV_STAT || op == SV_FSTAT ||
	       op == SV_ACCESS || op == SV_MMAP;
}

static int64_t reply_done(int fd, struct shim_rpc *rpc, struct sv_reply *reply,
			  size_t len)
{
	int got = -1;
	long r;

	if (carries_data(rpc->op))
		r = take_data(fd, reply, rpc, &got);
	else
		r = take_copies(fd, reply, len, &got);
	return settle_fd(rpc, reply, got, r < 0 ? r : reply->result);
}

/* ------------------------------------------------------------------ */
/* Rounds                                                             */

enum { ROUND_AGAIN = 1 }; /* something was missing and is there now */

static int reply_need(int fd, struct shim_rpc *rpc, struct needed **n,
		      size_t len)
{
	struct sv_reply head;
	int stray = -1;

	if (!*n)
		*n = need_new();
	if (!*n)
		return -ENOMEM;
	if (len > sizeof((*n)->reply) - sizeof(head))
		return -EIO;

	long r = reply_take(fd, &head, (*n)->reply + sizeof(head), len, &stray);
	if (stray >= 0)
		SYS(close, stray);
	if (r < 0)
		return (int)r;
	memcpy((*n)->reply, &head, sizeof(head));

	int served = need_serve(*n, sizeof(head) + (size_t)r, rpc->n_segs);
	return served < 0 ? served : ROUND_AGAIN;
}

/* Returns 0 with the result in *ret, ROUND_AGAIN, or -errno. */
static int round_reply(int fd, uint64_t seq, struct shim_rpc *rpc,
		       struct needed **n, int64_t *ret)
{
	struct sv_reply reply;
	long len = reply_wait(fd, seq, &reply);

	if (len < 0)
		return (int)len;
	len -= (long)sizeof(reply);
	if (reply.kind == SV_NEED)
		return reply_need(fd, rpc, n, (size_t)len);
	if (reply.kind != SV_DONE)
		return -EIO;
	*ret = reply_done(fd, rpc, &reply, (size_t)len);
	return 0;
}

/*
 * Sends a round: on a file with a reply pair, at the door without. EBADF is a
 * descriptor that another thread closed while it was being attached: looked at
 * again in the next round, unless it is the file itself.
 */
static int round_send(struct shim_rpc *rpc, struct needed *n, int to,
		      const int pair[2], uint64_t *ret_seq)
{
	struct request req = {0};

	request_head(&req, rpc, n);
	request_sections(&req, rpc, n, pair);
	*ret_seq = req.head.seq;

	bool at_door = pair[1] < 0;
	int r = at_door && req.len > SV_MSG_MAX ? -ENOMEM : 0;
	if (r == 0 && !at_door)
		r = send_parts(pair[0], &req);
	if (r == 0)
		r = send_head(to, &req, pair[1]);
	if (r == -EBADF && n && SYS(fcntl, to, F_GETFD) >= 0)
		return ROUND_AGAIN;
	return r;
}

static int round_on_file(struct shim_rpc *rpc, struct needed **n, int64_t *ret)
{
	uint64_t seq;
	int pair[2];
	int r = (int)SYS(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
			 pair);

	if (r < 0)
		return r;
	r = round_send(rpc, *n, rpc->fd, pair, &seq);
	SYS(close, pair[1]);
	if (r == 0)
		r = round_reply(pair[0], seq, rpc, n, ret);
	SYS(close, pair[0]);
	return r;
}

/* ------------------------------------------------------------------ */
/* The door                                                           */

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

static int round_at_door(struct shim_rpc *rpc, struct needed **n, int64_t *ret)
{
	static const int no_pair[2] = {-1, -1};
	uint64_t seq;
	long sock = SYS(socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (sock < 0)
		return (int)sock;

	int r = shim_active() ? door_connect((int)sock) : -ENODEV;
	if (r == 0)
		r = round_send(rpc, *n, (int)sock, no_pair, &seq);
	if (r == 0)
		r = round_reply((int)sock, seq, rpc, n, ret);
	SYS(close, sock);
	return r;
}

int64_t shim_rpc(struct shim_rpc *rpc)
{
	struct needed *n = NULL;
	int64_t result = -EIO;
	int r = ROUND_AGAIN;

	rpc->ret_fd = -1;
	rpc->ret_len = 0;
	for (int i = 0; i < SV_ATTEMPTS_MAX && r == ROUND_AGAIN; i++)
		r = rpc->fd < 0 ? round_at_door(rpc, &n, &result)
				: round_on_file(rpc, &n, &result);
	need_free(n);
	return r < 0 ? r : result;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * A request is sent, and sent again with what the daemon says is missing,
 * until it is done. The daemon changes nothing while something is missing, so
 * a round that is abandoned leaves no trace. See lib/proto.h for the messages.
 *
 * The answer comes on a line (line.h) that nobody else uses meanwhile: threads,
 * forked children and signal handlers that come in between have lines of their
 * own, and the daemon's death closes the far end, which ends the wait.
 *
 * A line that was kept may turn out to be dead: the daemon has closed its end
 * before it took the request, which is then made again on a fresh one. When it
 * has not closed but only shut down its end, it could not answer: the request
 * may have been carried out, and is not made again. On a fresh line an end is
 * the daemon's death.
 *
 * Receiving from the door returns now and then (line.h), so that a trapped
 * access, during which every signal is blocked, can leave its wait to one.
 *
 * The reply is looked at before it is taken (MSG_PEEK), so that data goes
 * straight to the program's memory and the host kernel judges the pointers.
 */
#include "shim/shim.h"

#include "shim/base/keep.h"
#include "shim/call/line.h"
#include "shim/base/mmid.h"
#include "shim/call/need.h"
#include "shim/call/peer.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define SECTIONS 6		  /* of a request, see request_sections() */
#define CROWD_MS 200		  /* see wait_for_quiet() */
#define HEAD_FDS (SV_MSG_FDS - 1) /* beside the reply socket */

/* How a round ends besides with 0 and -errno. */
enum {
	ROUND_AGAIN = 1,    /* something was missing and is there now */
	ROUND_DEAD = -4096, /* nobody took the request: the line was dead */
	ROUND_LEFT = -4097, /* the wait was left, see struct shim_wait */
};

/* A request's message, or stream of messages, ready to be cut into pieces. */
struct request {
	struct sv_request head;
	struct sv_seg segs[SV_SEGS_MAX];
	struct iovec sections[SECTIONS];
	size_t len;
	const int *fds;
	uint32_t n_fds;
};

/* What the daemon says first. */
struct answer {
	struct sv_reply head;
	struct sv_copy copies[SV_COPIES_MAX]; /* of most operations */
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
		return -ENOMEM;
	case -ETOOMANYREFS:
		return -EMFILE;
	}
	return (int)r;
}

static void wait_for_room(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	(void)SYS(poll, &p, 1, -1); /* EINTR: the caller looks again */
}

/*
 * The host counts an ordinary user's descriptors in flight, all his programs
 * together, against the limit of the one that sends: with a low limit another
 * program can be in the way, for as long as it takes to receive.
 */
static bool wait_for_quiet(int *ms_left)
{
	if (--*ms_left < 0)
		return false;
	(void)SYS(poll, NULL, 0, 1);
	return true;
}

/* @wait: wait until the socket takes it; else -ENOMEM when it does not. */
static int send_message(int fd, const struct msghdr *msg, bool wait)
{
	int ms_left = CROWD_MS;

	for (;;) {
		long r = SYS(sendmsg, fd, msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (r >= 0)
			return 0;
		if (r == -ETOOMANYREFS && wait_for_quiet(&ms_left))
			continue;
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
	union fd_control control;
	struct msghdr msg = {.msg_iov = iov};

	msg.msg_iovlen = 1 + cut(req, off, len, iov + 1);
	put_fds(&msg, &control, -1, fds, n);
	return send_message(fd, &msg, false);
}

/* What does not fit the head goes ahead of it, over the channel. */
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
	union fd_control control;
	struct msghdr msg = {.msg_iov = iov};
	size_t len = req->len < SV_MSG_MAX ? req->len : SV_MSG_MAX;

	msg.msg_iovlen = cut(req, 0, len, iov);
	put_fds(&msg, &control, reply_fd, req->fds,
		req->n_fds < HEAD_FDS ? req->n_fds : HEAD_FDS);
	return send_message(fd, &msg, true);
}

static void request_head(struct request *req, const struct shim_rpc *rpc,
			 struct needed *n, const struct line *l)
{
	req->head = (struct sv_request){
		.magic = SV_MAGIC,
		.op = rpc->op,
		.seq = line_seq(),
		.channel = l->channel,
		.flags = l->channel && l->give >= 0 ? SV_REQ_KEEP : 0,
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
	req->head.flags |= (n->has_vmas ? SV_REQ_VMAS : 0) |
			   (n->mem_fd >= 0 ? SV_REQ_MEM_FD : 0) |
			   (n->bits_fault ? SV_REQ_FAULT : 0);
	if (n->mark) {
		req->head.arg[SV_ARG_MARK] = n->mark;
		req->head.arg[SV_ARG_DONE] = n->bits_done;
	}
}

static void request_sections(struct request *req, const struct shim_rpc *rpc,
			     struct needed *n, const struct line *l)
{
	struct iovec *s = req->sections;

	memset(s, 0, sizeof(req->sections));
	s[0] = (struct iovec){&req->head, sizeof(req->head)};
	s[1] = (struct iovec){req->segs, req->head.n_segs * sizeof(*req->segs)};
	if (rpc->n_segs)
		s[4] = (struct iovec){(void *)rpc->seg, rpc->seg_len};
	if (n) {
		need_collect(n, l);
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

/*
 * Sends a round. EBADF is a descriptor that another thread closed while it was
 * being attached: looked at again in the next round, unless it is the file
 * itself.
 */
static int send_round(const struct shim_rpc *rpc, struct needed *n,
		      struct line *l, uint64_t *ret_seq)
{
	bool at_door = l->kind == LINE_DOOR;
	int to = at_door ? l->fd : rpc->fd;
	struct request req = {0};

	request_head(&req, rpc, n, l);
	request_sections(&req, rpc, n, l);
	*ret_seq = req.head.seq;

	int r = at_door && req.len > SV_MSG_MAX ? -ENOMEM : 0;
	if (r == 0 && !at_door)
		r = send_parts(l->fd, &req);
	if (r == 0)
		r = send_head(to, &req, l->give);
	if (r < 0 && req.head.n_parts)
		l->clean = false;
	if (r == -EBADF && n && SYS(fcntl, to, F_GETFD) >= 0)
		return ROUND_AGAIN;
	return r;
}

/* The same with no more of the program's memory than can be read. */
static int send_readable(const struct shim_rpc *rpc, struct needed *n,
			 struct line *l, uint64_t *ret_seq)
{
	uint8_t bytes[SV_PREFETCH];
	struct shim_rpc part = *rpc;

	part.seg = bytes;
	part.seg_len = (uint32_t)shim_copy_in(bytes, rpc->seg, sizeof(bytes));
	return send_round(&part, n, l, ret_seq);
}

/* Does it, or may it, take more than one message? */
static bool takes_parts(const struct shim_rpc *rpc, const struct needed *n)
{
	if (!n)
		return false;

	size_t len = sizeof(struct sv_request) +
		     (n->n_segs + rpc->n_segs) * sizeof(struct sv_seg) +
		     n->n_fdrefs * sizeof(*n->fdrefs) +
		     n->n_vmas * sizeof(*n->vmas) + rpc->seg_len + n->n_bytes;

	return len > SV_MSG_MAX || n->n_files + n->n_fdrefs >= HEAD_FDS;
}

static int round_send(const struct shim_rpc *rpc, struct needed *n,
		      struct line *l, uint64_t *ret_seq)
{
	int r = -EFAULT;

	if (!rpc->seg_prefetch || !takes_parts(rpc, n))
		r = send_round(rpc, n, l, ret_seq);
	if (r == -EFAULT && rpc->seg_prefetch)
		r = send_readable(rpc, n, l, ret_seq);
	return r;
}

/* ------------------------------------------------------------------ */
/* Receiving                                                          */

/* Returns the length; 0 at the end; or -errno. */
static long receive(const struct line *l, struct msghdr *msg, int flags)
{
	long r;

	do
		r = SYS(recvmsg, l->fd, msg, flags);
	while (r == -EINTR && !line_lost(l));
	return r == -ECONNRESET ? 0 : r;
}

/* Room for a result and a channel. */
union reply_control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(2 * sizeof(int))];
};
static_assert(CMSG_SPACE(2 * sizeof(int)) == CMSG_LEN(2 * sizeof(int)),
	      "no padding that would take a third one");

static size_t reply_fds(struct msghdr *msg, int fds[2])
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return 0;
	memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	return (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
}

/*
 * A channel is the line's, another descriptor the caller's if he wants one.
 * Who has too few numbers left gets the first ones only.
 */
static void settle_fds(struct line *l, const struct sv_reply *head,
		       struct msghdr *msg, int *ret_fd)
{
	int fds[2];
	size_t n = reply_fds(msg, fds);
	bool whole = n && n == head->n_fds;

	if (ret_fd && whole && head->flags & SV_REPLY_KEPT)
		line_adopt(l, fds[--n]);
	if (ret_fd)
		*ret_fd = n ? fds[--n] : -1;
	while (n > 0)
		SYS(close, fds[--n]);
}

/*
 * Takes the reply: its head, then what @iov has room for behind its first
 * entry, which is the head's. A descriptor that came along goes to *ret_fd;
 * @ret_fd is NULL for a reply that nobody wants. Returns the bytes behind the
 * head or -errno.
 */
static long reply_take(struct line *l, struct iovec *iov, int n, int *ret_fd)
{
	struct sv_reply head = {0};
	union reply_control control;
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = n,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	iov[0] = (struct iovec){&head, sizeof(head)};

	long r = receive(l, &msg, MSG_CMSG_CLOEXEC);

	l->clean = r > 0; /* EFAULT may have left it there, or not */

	/* the length is the kernel's to change: nothing came, nothing left */
	if (r < 0)
		msg.msg_controllen = 0;
	settle_fds(l, &head, &msg, ret_fd);
	if (r >= (long)sizeof(head))
		return r - (long)sizeof(head);
	return r == -EFAULT ? r : -ENODEV;
}

static void drop_reply(struct line *l)
{
	struct iovec head;

	(void)reply_take(l, &head, 1, NULL);
	l->clean = false;
}

/* At the end of a line: why? */
static int line_ended(const struct line *l)
{
	struct pollfd p = {.fd = l->fd};
	bool closed = SYS(poll, &p, 1, 0) == 1 && p.revents & POLLHUP;

	return line_reused(l) && closed ? ROUND_DEAD : -ENODEV;
}

/*
 * Waits. What answers another request is dropped: one that somebody has
 * abandoned, or none of ours at all. Returns how much follows the head, still
 * to be taken; ROUND_DEAD; -errno.
 */
static long reply_wait(struct line *l, uint64_t seq, struct shim_wait *w,
		       struct answer *ret)
{
	struct iovec iov = {ret, sizeof(*ret)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	for (;;) {
		long r = receive(l, &msg, MSG_PEEK | MSG_TRUNC);

		if (line_lost(l))
			return -EINTR;
		if (r == -EAGAIN) {
			if (w && w->leave(w->arg))
				return ROUND_LEFT;
			continue;
		}
		if (r <= 0)
			return r == 0 ? line_ended(l) : -ENODEV;
		if ((size_t)r >= sizeof(ret->head) &&
		    ret->head.magic == SV_REPLY_MAGIC && ret->head.seq == seq)
			return r - (long)sizeof(ret->head);
		drop_reply(l);
	}
}

/*
 * Writes what the daemon wants in program memory: the bytes go there as they
 * are taken. @len: of all that follows the head.
 */
static long take_copies(struct line *l, const struct answer *a, size_t len,
			int *ret_fd)
{
	struct iovec iov[2 + SV_COPIES_MAX];
	struct sv_copy again[SV_COPIES_MAX];
	size_t left = len, n = a->head.n;

	if (n > SV_COPIES_MAX || len < n * sizeof(again[0]))
		return -EIO;
	left -= n * sizeof(again[0]);
	iov[1] = (struct iovec){again, n * sizeof(again[0])};
	for (size_t i = 0; i < n; i++) {
		const struct sv_copy *c = &a->copies[i];

		if (c->len > left)
			return -EIO;
		iov[2 + i] = (struct iovec){(void *)(uintptr_t)c->addr, c->len};
		left -= c->len;
	}

	long r = reply_take(l, iov, 2 + (int)n, ret_fd);

	return r < 0 ? r : 0;
}

static long take_data(struct line *l, struct shim_rpc *rpc, int *ret_fd)
{
	struct iovec iov[2] = {{0}, {rpc->data, rpc->data_max}};
	long r = reply_take(l, iov, rpc->data_max ? 2 : 1, ret_fd);

	rpc->ret_len = r < 0 ? 0 : (size_t)r;
	return r < 0 ? r : 0;
}

/* The descriptor that came is the result, is wanted besides, or is closed. */
static int64_t settle_fd(struct shim_rpc *rpc, const struct sv_reply *reply,
			 int fd, int64_t r)
{
	bool is_result = reply->flags & SV_REPLY_FD && reply->result >= 0;

	if (r >= 0 && is_result) {
		if (fd < 0)
			return -EMFILE; /* the host had no number for it */
		peer_learn(fd);
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

static int64_t reply_done(struct line *l, struct shim_rpc *rpc,
			  const struct answer *a, size_t len)
{
	int got = -1;
	long r = carries_data(rpc->op) ? take_data(l, rpc, &got)
				       : take_copies(l, a, len, &got);

	/* what the daemon gave and the program's memory did not take */
	if (r == -EFAULT && a->head.result > 0)
		rpc->ret_len = (size_t)a->head.result;
	return settle_fd(rpc, &a->head, got, r < 0 ? r : a->head.result);
}

/* ------------------------------------------------------------------ */
/* Rounds                                                             */

static int reply_need(struct line *l, struct shim_rpc *rpc, struct needed **n,
		      const struct answer *a, size_t len)
{
	struct iovec iov[2];
	int stray = -1;

	if (!*n)
		*n = need_new();
	if (!*n)
		return -ENOMEM;
	if (len > sizeof((*n)->list))
		return -EIO;
	iov[1] = (struct iovec){(*n)->list, len};

	long r = reply_take(l, iov, 2, &stray);

	if (stray >= 0)
		SYS(close, stray);
	if (r < 0)
		return (int)r;

	int served = need_serve(*n, (uint64_t)a->head.result, a->head.n,
				(size_t)r, rpc->n_segs);
	return served < 0 ? served : ROUND_AGAIN;
}

/* Returns 0 with the result in *ret, ROUND_*, or -errno. */
static int round_reply(struct line *l, uint64_t seq, struct shim_rpc *rpc,
		       struct needed **n, int64_t *ret)
{
	struct answer a;
	long len = reply_wait(l, seq, rpc->wait, &a);

	if (len < 0)
		return (int)len;
	if (a.head.kind == SV_NEED)
		return reply_need(l, rpc, n, &a, (size_t)len);
	if (a.head.kind != SV_DONE)
		return -EIO;
	*ret = reply_done(l, rpc, &a, (size_t)len);
	return 0;
}

/* The line stays in use until the wait is taken up again, or dropped. */
static int leave_round(struct shim_wait *w, const struct line *l, uint64_t seq)
{
	w->left = true;
	w->line = *l;
	w->seq = seq;
	w->pid = (int)SYS(getpid);
	return ROUND_LEFT;
}

static int round_on(struct line *l, struct shim_rpc *rpc, struct needed **n,
		    int64_t *ret)
{
	uint64_t seq;
	int r = line_open(l);

	if (r < 0)
		return r;
	if (rpc->wait && l->kind == LINE_PAIR)
		line_limit(l->fd);
	r = round_send(rpc, *n, l, &seq);
	line_given(l);
	if (r == 0) {
		l->clean = false;
		r = round_reply(l, seq, rpc, n, ret);
		if (r == ROUND_LEFT)
			return leave_round(rpc->wait, l, seq);
	} else if (r == -ENODEV) {
		l->clean = false;
		r = line_reused(l) ? ROUND_DEAD : -ENODEV;
	}
	line_settle(l);
	return r;
}

/* A channel that is not kept beyond the request, if it can't be. */
static int get_channel(struct line *l, int fd)
{
	struct shim_rpc rpc = {.fd = fd, .op = SV_CHANNEL};
	struct needed *n = NULL;
	int64_t result = -EIO;

	l->wanted = true;

	int r = round_on(l, &rpc, &n, &result);

	need_free(n);
	if (r < 0)
		return r;
	return l->kept ? (int)result : -EMFILE;
}

/* What takes several messages takes a channel. */
static int round_run(struct line *l, struct shim_rpc *rpc, struct needed **n,
		     int64_t *ret)
{
	int r = 0;

	if (l->kind == LINE_PAIR && !l->kept && takes_parts(rpc, *n))
		r = get_channel(l, rpc->fd);
	return r < 0 ? r : round_on(l, rpc, n, ret);
}

/* Another thread may have put something else under the number; what goes along
 * now is the program's memory. */
static bool still_ours(int fd)
{
	return fd < 0 || shim_peer(fd, NULL) == 0;
}

/* A way to the daemon: on the file; at the door; where that is out of reach, at
 * the side door, which is a file. */
static int reach(struct shim_rpc *rpc, struct line *l)
{
	int r = rpc->fd >= 0 ? 0 : line_open(l);
	int side = r < 0 ? keep_fd(KEEP_SIDE_DOOR) : -1;

	if (side < 0)
		return r;
	line_end(l);
	rpc->fd = side;
	line_begin(l, LINE_PAIR);
	return 0;
}

/* What was sent is not sent again, so nothing that is missing can be added. */
static int64_t wait_on(struct shim_rpc *rpc)
{
	struct shim_wait *w = rpc->wait;
	struct line line = w->line;
	struct needed *n = NULL;
	int64_t result = -EIO;
	int r = round_reply(&line, w->seq, rpc, &n, &result);

	need_free(n);
	if (r == ROUND_LEFT)
		return leave_round(w, &line, w->seq), -EINTR;
	w->left = false;
	line_settle(&line);
	line_end(&line);
	return r == 0 ? result : -ENODEV;
}

int64_t shim_rpc(struct shim_rpc *rpc)
{
	struct needed *n = NULL;
	struct line line;
	int64_t result = -EIO;
	int r;

	rpc->ret_fd = -1;
	rpc->ret_len = 0;
	if (rpc->wait && rpc->wait->left)
		return wait_on(rpc);
	line_begin(&line, rpc->fd < 0 ? LINE_DOOR : LINE_PAIR);
	r = reach(rpc, &line);
	if (r == 0)
		r = ROUND_AGAIN;
	for (int i = 0; i < SV_ATTEMPTS_MAX && r == ROUND_AGAIN; i++) {
		if (i && !still_ours(rpc->fd)) {
			r = -EBADF;
			break;
		}
		r = round_run(&line, rpc, &n, &result);
		if (r != ROUND_DEAD)
			continue;
		r = reach(rpc, &line); /* it is closed: a fresh one */
		if (r == 0)
			r = round_run(&line, rpc, &n, &result);
	}
	if (r != ROUND_LEFT)
		line_end(&line);
	need_free(n);
	if (r == ROUND_LEFT)
		return -EINTR;
	if (r == ROUND_DEAD)
		r = -ENODEV;
	return r < 0 ? r : result;
}

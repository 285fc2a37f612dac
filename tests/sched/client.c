/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests and answers from the program's side: client.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"
#include "host.h"
#include "uapi/vfio.h"

#define MM_ID	 0x5eed /* the same for all: they are one process */
#define ARG_ADDR 0x10000
#define NO_FD	 (-1)

void client_new(struct client *c, const char *door, unsigned int number)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	*c = (struct client){
		.door = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0),
		.line = NO_FD,
		.once = NO_FD,
		.name = number + 1,
		.seq = (uint64_t)number << 32,
	};
	strncpy(sun.sun_path, door, sizeof(sun.sun_path) - 1);
	sched_expect(connect(c->door, (struct sockaddr *)&sun, sizeof(sun)) ==
			     0,
		     "connect: %s", strerror(errno));
}

void client_done(struct client *c)
{
	close(c->door);
	if (c->line >= 0)
		close(c->line);
}

/* --- one round --- */

struct message {
	struct sv_request head;
	struct sv_seg seg;
	struct sv_fdref fdref[CLIENT_FDS];
	int fds[CLIENT_FDS + 1];
	unsigned int n_fds;
};

static void number_files(struct message *m, const struct question *q)
{
	for (unsigned int i = 0; i < q->n_fds; i++) {
		m->fdref[i] = (struct sv_fdref){q->fds[i], (int32_t)i};
		m->fds[m->n_fds++] = q->fds[i];
	}
}

/* The other end of a pair for the first answer, which goes first. */
static void ask_to_keep(struct client *c, struct message *m)
{
	int pair[2];

	sched_expect(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
				pair) == 0,
		     "socketpair: %s", strerror(errno));
	c->once = pair[0];
	m->head.flags |= SV_REQ_KEEP;
	m->fds[m->n_fds++] = pair[1];
}

static void fill(struct client *c, const struct question *q, struct message *m)
{
	*m = (struct message){
		.head =
			{
				.magic = SV_MAGIC,
				.op = (uint16_t)q->op,
				.seq = ++c->seq,
				.mm_id = {MM_ID, MM_ID},
				.flags = q->flags | (q->vma ? SV_REQ_VMAS : 0),
				.n_segs = 1,
				.n_fdrefs = q->n_fds,
				.n_vmas = q->vma ? 1 : 0,
			},
		.seg = {q->addr, (uint32_t)q->len, (uint32_t)q->len},
	};
	memcpy(m->head.arg, q->arg, sizeof(q->arg));
	if (q->on >= 0) {
		m->head.channel = c->name;
		if (c->line < 0)
			ask_to_keep(c, m);
	}
	number_files(m, q);
}

static void attach(struct msghdr *msg, char *control, size_t size,
		   const struct message *m)
{
	if (!m->n_fds)
		return;
	memset(control, 0, size);
	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE(m->n_fds * sizeof(int));

	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(m->n_fds * sizeof(int));
	memcpy(CMSG_DATA(cmsg), m->fds, m->n_fds * sizeof(int));
}

/* 0; -ENODEV, if that may be: the other end has gone. */
static int send_question(struct client *c, const struct question *q)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int[8]))];
	struct message m;

	fill(c, q, &m);

	struct iovec iov[] = {
		{&m.head, sizeof(m.head)},
		{&m.seg, sizeof(m.seg)},
		{m.fdref, q->n_fds * sizeof(m.fdref[0])},
		{(void *)(uintptr_t)q->vma, q->vma ? sizeof(*q->vma) : 0},
		{(void *)(uintptr_t)q->bytes, q->len},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 5};

	attach(&msg, control, sizeof(control), &m);
	bool sent =
		sendmsg(q->on >= 0 ? q->on : c->door, &msg, MSG_NOSIGNAL) >= 0;

	sched_expect(sent || c->unsure, "%s: %s", q->call, strerror(errno));
	if (m.head.flags & SV_REQ_KEEP)
		close(m.fds[0]);
	return sent ? 0 : -ENODEV;
}

/* The next question on a file makes another, of another name. */
static void forget_line(struct client *c)
{
	if (c->line >= 0)
		close(c->line);
	c->line = NO_FD;
	c->name += 1ull << 32;
}

static void take_fds(struct client *c, struct msghdr *msg,
		     const struct sv_reply *reply, struct answer *a)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	uint32_t n = reply->n_fds;
	int fds[2];

	a->fd = NO_FD;
	if (n && cmsg && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(cmsg), n * sizeof(int));
	if (n && reply->flags & SV_REPLY_KEPT)
		c->line = fds[--n];
	if (n)
		a->fd = fds[0];
}

static void take_answer(struct client *c, int sock, const char *call,
			struct answer *a)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int[2]))];
	struct sv_reply reply;
	struct iovec iov[] = {
		{&reply, sizeof(reply)},
		{a->bytes, sizeof(a->bytes)},
	};
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};

	sched_wait_readable(sock, call);

	ssize_t n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < (ssize_t)sizeof(reply)) {
		sched_expect(c->unsure, "%s: no answer", call);
		a->lost = true;
		a->result = -ENODEV;
		return;
	}
	sched_expect(reply.seq == c->seq, "%s: an answer to something else",
		     call);
	a->needs = reply.kind == SV_NEED;
	sched_expect(!a->needs || c->unsure, "%s: more is needed", call);
	a->result = reply.result;
	a->flags = reply.flags;
	a->n = reply.n;
	a->len = (size_t)n - sizeof(reply);
	take_fds(c, &msg, &reply, a);
}

static int answers_on(const struct client *c, const struct question *q)
{
	if (q->on < 0)
		return c->door;
	return c->once < 0 ? c->line : c->once;
}

int64_t client_ask(struct client *c, const struct question *q,
		   struct answer *ret_answer)
{
	*ret_answer = (struct answer){.fd = NO_FD};
	sched_point(q->call);
	ret_answer->result = send_question(c, q);
	ret_answer->lost = ret_answer->result < 0;
	if (!ret_answer->lost)
		take_answer(c, answers_on(c, q), q->call, ret_answer);
	if (c->once >= 0)
		close(c->once);
	c->once = NO_FD;
	if (ret_answer->lost && q->on >= 0)
		forget_line(c);
	return ret_answer->result;
}

/* --- system calls --- */

int client_open(struct client *c, const char *path)
{
	struct question q = {
		.on = NO_FD,
		.op = SV_OPEN,
		.call = "open",
		.arg = {O_RDWR | O_CLOEXEC},
		.bytes = path,
		.len = strlen(path),
	};
	struct answer a;

	return client_ask(c, &q, &a) < 0 ? (int)a.result : a.fd;
}

static void copy_back(const struct answer *a, void *arg, size_t len)
{
	const struct sv_copy *copy = (const void *)a->bytes;
	const uint8_t *p = (const void *)(copy + a->n);

	for (uint32_t i = 0; i < a->n; p += copy[i++].len) {
		uint64_t at = copy[i].addr - ARG_ADDR;

		if (at < len && copy[i].len <= len - at)
			memcpy((uint8_t *)arg + at, p, copy[i].len);
	}
}

int64_t client_ioctl(struct client *c, int fd, const char *call,
		     unsigned int cmd, void *arg, size_t len, const int *fds,
		     unsigned int n_fds)
{
	struct question q = {
		.on = fd,
		.op = SV_IOCTL,
		.call = call,
		.arg = {cmd, ARG_ADDR},
		.addr = ARG_ADDR,
		.bytes = arg,
		.len = len,
		.n_fds = n_fds,
	};
	struct answer a;

	for (unsigned int i = 0; i < n_fds; i++)
		q.fds[i] = fds[i];
	if (client_ask(c, &q, &a) < 0)
		return a.result;
	copy_back(&a, arg, len);
	return a.fd >= 0 ? a.fd : a.result;
}

int64_t client_ioctl_val(struct client *c, int fd, const char *call,
			 unsigned int cmd, uint64_t val)
{
	struct question q = {
		.on = fd,
		.op = SV_IOCTL,
		.call = call,
		.arg = {cmd, val},
	};
	struct answer a;

	return client_ask(c, &q, &a);
}

int64_t client_read(struct client *c, int fd, uint64_t pos, void *buf,
		    size_t len)
{
	struct question q = {
		.on = fd,
		.op = SV_READ,
		.call = "pread",
		.arg = {pos, len},
	};
	struct answer a;
	int64_t r = client_ask(c, &q, &a);

	if (r > 0)
		memcpy(buf, a.bytes, (size_t)r);
	return r;
}

int64_t client_write(struct client *c, int fd, uint64_t pos, const void *buf,
		     size_t len)
{
	struct question q = {
		.on = fd,
		.op = SV_WRITE,
		.call = "pwrite",
		.arg = {pos},
		.bytes = buf,
		.len = len,
	};
	struct answer a;

	return client_ask(c, &q, &a);
}

void client_abandon(struct client *c, int fd)
{
	struct question q = {
		.on = fd,
		.op = SV_READ,
		.call = "pread, abandoned",
		.arg = {0, sizeof(uint32_t)},
	};

	sched_point(q.call);
	send_question(c, &q);
}

void *client_mmap(struct client *c, int fd, uint64_t pos, size_t len,
		  int64_t *ret_r)
{
	struct question q = {
		.on = fd,
		.op = SV_MMAP,
		.call = "mmap",
		.arg = {pos, len, PROT_READ | PROT_WRITE, MAP_SHARED},
	};
	struct answer a;

	*ret_r = client_ask(c, &q, &a);
	if (*ret_r < 0)
		return NULL;

	const struct sv_map *map = (const void *)a.bytes;
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, a.fd,
		       (off_t)map->offset);

	sched_expect(p != MAP_FAILED, "mmap: %s", strerror(errno));
	close(a.fd);
	return p;
}

int64_t client_fault(struct client *c, struct sv_bar_id bar, uint64_t off)
{
	struct question q = {
		.on = NO_FD,
		.op = SV_FAULT,
		.call = "SIGBUS",
		.arg = {off, 1},
		.bytes = &bar,
		.len = sizeof(bar),
	};
	struct answer a;

	return client_ask(c, &q, &a);
}

int64_t client_access(struct client *c, struct sv_bar_id bar, uint64_t off,
		      int write, uint64_t *val)
{
	struct question q = {
		.on = NO_FD,
		.op = SV_ACCESS,
		.call = "trapped access",
		.arg = {off, 4, (uint64_t)write, *val},
		.bytes = &bar,
		.len = sizeof(bar),
	};
	struct answer a;

	if (client_ask(c, &q, &a) == 0 && !write)
		memcpy(val, a.bytes, sizeof(*val));
	return a.result;
}

int64_t client_control(struct client *c, const char *json)
{
	struct question q = {
		.on = NO_FD,
		.op = SV_CONTROL,
		.call = "softvfio",
		.bytes = json,
		.len = strlen(json),
	};
	struct answer a;

	if (client_ask(c, &q, &a) >= 0 && a.fd >= 0)
		close(a.fd);
	return a.result;
}

int64_t client_map_dma(struct client *c, int container, uint64_t iova,
		       const void *vaddr, size_t len, int memfd)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)vaddr,
		.iova = iova,
		.size = len,
	};
	struct sv_vma vma = {
		.start = map.vaddr,
		.end = map.vaddr + len,
		.prot = PROT_READ | PROT_WRITE,
		.kind = memfd < 0 ? SV_VMA_MM : SV_VMA_FILE,
		.index = memfd < 0 ? -1 : 0,
	};
	struct question q = {
		.on = container,
		.op = SV_IOCTL,
		.call = "MAP_DMA",
		.arg = {VFIO_IOMMU_MAP_DMA, ARG_ADDR},
		.addr = ARG_ADDR,
		.bytes = &map,
		.len = sizeof(map),
		.flags = memfd < 0 ? SV_REQ_MEM_FD : 0,
		.fds = {memfd < 0 ? open("/proc/self/mem", O_RDWR) : memfd},
		.n_fds = 1,
		.vma = &vma,
	};
	struct answer a;

	client_ask(c, &q, &a);
	if (memfd < 0)
		close(q.fds[0]);
	return a.result;
}

int64_t client_unmap_dma(struct client *c, int container, uint64_t iova,
			 size_t len)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = len,
	};

	return client_ioctl(c, container, "UNMAP_DMA", VFIO_IOMMU_UNMAP_DMA,
			    &unmap, sizeof(unmap), NULL, 0);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What handlers ask of a call (struct call_ops), answered from what its request
 * carried. What did not come along becomes part of SV_NEED.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "core/dma/mem.h"
#include "front/ipc/request.h"
#include "front/ipc/stuck.h"
#include "lib/proc.h"
#include "lib/refuse.h"

static const uint8_t *seg_data(const struct request *req, uint32_t index)
{
	const uint8_t *p = req->seg_bytes;

	for (uint32_t i = 0; i < index; i++)
		p += req->seg[i].len;
	return p;
}

int req_need(struct request *req, uint32_t kind, uint64_t addr, uint64_t len)
{
	if (req->n_needs == SV_NEEDS_MAX)
		return -ENOMEM;
	req->need[req->n_needs++] =
		(struct sv_need){.kind = kind, .addr = addr, .len = len};
	return -ERESTART;
}

static int req_copy_in(struct call *call, uint64_t addr, void *buf, size_t len)
{
	struct request *req = req_of(call);

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
	return req_need(req, SV_NEED_BYTES, addr, len);
}

static int req_string(struct call *call, uint64_t addr, char *buf, size_t size)
{
	struct request *req = req_of(call);

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
	return req_need(req, SV_NEED_BYTES, addr, size);
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

static int req_fd(struct call *call, int32_t number, int *ret_fd)
{
	struct request *req = req_of(call);
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
	int r = req_need(req, SV_NEED_VMAS, addr, len);

	if (r != -ERESTART)
		return r;
	if (mem_mm(req->call.pid, &id, -1, &mem) == 0)
		mem_put(mem);
	else
		req->need[at].flags = SV_NEED_WITH_MM;
	return r;
}

static int req_vmas(struct call *call, uint64_t addr, uint64_t len,
		    const struct sv_vma **ret_vma, uint32_t *ret_n)
{
	struct request *req = req_of(call);

	if (!(req->hdr.flags & SV_REQ_VMAS))
		return need_vmas(req, addr, len);
	*ret_vma = req->vma;
	*ret_n = req->hdr.n_vmas;
	return 0;
}

static int req_vma_fd(const struct call *call, const struct sv_vma *vma)
{
	const struct request *req = req_of(call);

	if (vma->index < 0 || (size_t)vma->index >= req->n_fds)
		return -1;
	return req->fds[vma->index];
}

/* It is what it should be, so that closing it waits for nobody. */
static void close_mem_fd(struct request *req)
{
	close(req->fds[--req->n_fds]);
	req->hdr.flags &= ~SV_REQ_MEM_FD;
}

static int req_mm(struct call *call, struct mem **ret_mem)
{
	struct request *req = req_of(call);
	struct mm_id id = {{req->hdr.mm_id[0], req->hdr.mm_id[1]}};
	int fd = -1;

	if (!id.w[0] && !id.w[1])
		return refuse(EFAULT, "the program's address space has no "
				      "name");
	if (req->hdr.flags & SV_REQ_MEM_FD && req->n_fds)
		fd = req->fds[req->n_fds - 1];
	if (fd >= 0 && !proc_is_mem(req->call.pid, fd))
		return refuse(EFAULT, "what was sent as the program's memory "
				      "is no /proc/PID/mem");

	int r = mem_mm(req->call.pid, &id, fd, ret_mem);

	if (r == 0 && fd >= 0)
		close_mem_fd(req);
	return r == -ENOENT ? req_need(req, SV_NEED_MM, 0, 0) : r;
}

static const uint8_t *req_data(const struct call *call, size_t *ret_len,
			       size_t *ret_want)
{
	const struct request *req = req_of(call);

	*ret_len = req->hdr.n_segs ? req->seg[0].len : 0;
	*ret_want = req->hdr.n_segs ? req->seg[0].want : 0;
	return req->seg_bytes;
}

static struct call_bits req_bits(const struct call *call)
{
	const struct request *req = req_of(call);

	return (struct call_bits){
		.mark = call->arg[SV_ARG_MARK],
		.done = call->arg[SV_ARG_DONE],
		.fault = req->hdr.flags & SV_REQ_FAULT,
	};
}

static int req_set_bits(struct call *call, uint64_t mark, uint64_t bitmap,
			uint64_t first, uint64_t count)
{
	const uint64_t word = sizeof(uint64_t) * CHAR_BIT;
	struct request *req = req_of(call);
	int r = req_need(req, SV_NEED_BITS,
			 bitmap + first / word * sizeof(uint64_t), count);

	req->need_mark = mark;
	if (r == -ERESTART)
		req->need[req->n_needs - 1].flags = first % word;
	return r;
}

const struct call_ops req_ops = {
	.data = req_data,
	.copy_in = req_copy_in,
	.string = req_string,
	.fd = req_fd,
	.vmas = req_vmas,
	.vma_fd = req_vma_fd,
	.mm = req_mm,
	.bits = req_bits,
	.set_bits = req_set_bits,
	.enter = queue_enter,
};

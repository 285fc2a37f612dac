/* SPDX-License-Identifier: BSD-3-Clause */
/* A program's memory: front/usermem.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/machine/machine.h"
#include "front/call.h"
#include "front/usermem.h"
#include "lib/refuse.h"

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What the IOMMU driver's pinning would have found wrong with a mapping. */
static int vma_permits(const struct sv_vma *v, uint32_t prot)
{
	bool write = prot & IOPT_WRITE;

	if (v->prot & (write ? PROT_WRITE : PROT_READ))
		return 0;
	return refuse(EFAULT, "MAP_DMA: memory at %#llx is not %s",
		      (unsigned long long)v->start,
		      write ? "writable" : "readable");
}

static int bar_segment(struct call *call, const struct sv_vma *v,
		       struct mem_seg *seg)
{
	unsigned int bar;
	struct sv_dev *dev =
		machine_bar(call->conf->machine, v->dev, v->ino, &bar);

	if (!dev)
		return refuse(EFAULT, "MAP_DMA: a BAR of another instance");

	int r = device_fault(dev, bar, v->off); /* Linux faults it in */

	if (r < 0)
		return r;
	seg->off = v->off;
	return mem_bar(&device_p2p, dev, bar, &seg->mem);
}

static int mm_segment(struct call *call, const struct sv_vma *v,
		      struct mem_seg *seg)
{
	seg->off = v->start;
	return call_mm(call, &seg->mem);
}

/* One of our BARs, by whatever name it comes. */
static bool is_bar(struct call *call, int fd, struct sv_vma *v)
{
	struct stat st;
	unsigned int bar;

	/* only what has seals can be looked at without asking a server */
	if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &st) < 0)
		return false;
	v->dev = st.st_dev;
	v->ino = st.st_ino;
	return machine_bar(call->conf->machine, v->dev, v->ino, &bar);
}

/* A file the daemon can map too, and does within the program's share; else the
 * program's own view of it. */
static int file_segment(struct call *call, const struct sv_vma *v,
			uint32_t prot, struct mem_seg *seg)
{
	struct sv_vma bar = *v;
	int fd = call_vma_fd(call, v);

	if (fd < 0)
		return mm_segment(call, v, seg);
	if (is_bar(call, fd, &bar))
		return bar_segment(call, &bar, seg);

	int r = mem_file(call->pid, fd, prot & IOPT_WRITE,
			 v->off + (v->end - v->start), &seg->mem);

	seg->off = v->off;
	if (r == -EOPNOTSUPP || r == -EACCES || r == -ENOSPC)
		return mm_segment(call, v, seg);
	if (r == -EINVAL)
		return refuse(EFAULT,
			      "MAP_DMA: the file mapped at %#llx ends "
			      "before the mapping does",
			      (unsigned long long)v->start);
	return r;
}

static int make_segment(struct call *call, const struct sv_vma *v,
			uint32_t prot, struct mem_seg *seg)
{
	int r = vma_permits(v, prot);

	if (r < 0)
		return r;
	seg->len = v->end - v->start;
	switch (v->kind) {
	case SV_VMA_FILE:
		return file_segment(call, v, prot, seg);
	case SV_VMA_BAR:
		return bar_segment(call, v, seg);
	default:
		return mm_segment(call, v, seg);
	}
}

static void put_segments(struct mem_seg *segs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mem_put(segs[i].mem);
}

/*
 * Neighbours in one memory are one segment. A merged segment's reference to
 * the memory it shares with its neighbour is not needed.
 */
static bool merge_segment(struct mem_seg *last, const struct mem_seg *seg)
{
	if (last->mem != seg->mem || last->off + last->len != seg->off)
		return false;
	last->len += seg->len;
	mem_put(seg->mem);
	return true;
}

/* The memory behind [vaddr, vaddr + size), without holes, permitted. */
static int make_segments(struct call *call, const struct usermem *m,
			 struct mem_seg *segs, size_t *ret_n)
{
	const struct sv_vma *v;
	uint64_t at = m->addr, end = m->addr + m->size;
	size_t n = 0;
	uint32_t n_vmas;
	int r = call_vmas(call, m->addr, m->size, &v, &n_vmas);

	for (uint32_t i = 0; r == 0 && i < n_vmas && at < end; i++) {
		struct sv_vma cut = v[i];

		if (cut.start != at || cut.end <= cut.start)
			break;
		cut.end = min_u64(cut.end, end);
		r = make_segment(call, &cut, m->prot, &segs[n]);
		if (r < 0)
			break;
		at = cut.end;
		if (!n || !merge_segment(&segs[n - 1], &segs[n]))
			n++;
	}
	if (r == 0 && at != end)
		r = refuse(EFAULT, "MAP_DMA: nothing is mapped at %#llx",
			   (unsigned long long)at);
	if (r < 0)
		put_segments(segs, n);
	*ret_n = n;
	return r;
}

int usermem_pages(struct call *call, pid_t pid, const struct usermem *m,
		  struct pages **ret_pages)
{
	struct mem_seg segs[SV_VMAS_MAX];
	size_t n;
	int r = make_segments(call, m, segs, &n);

	if (r < 0)
		return r;
	r = pages_new(pid, m->addr, segs, n, ret_pages);
	if (r < 0)
		put_segments(segs, n);
	return r;
}

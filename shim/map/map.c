/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * mmap() of a VFIO file asks the daemon, which answers with a memfd and with
 * which stretches of it are memory and which are to trap. The memfd is mapped
 * where the program wanted the file, and closed: the mapping keeps it.
 *
 * Stretches that trap are mapped PROT_NONE, marked as such in their file
 * offset (shim/base/vma.h), so that a look into /proc is all it takes to know them.
 *
 * On Linux a BAR's mapping is VM_IO, VM_PFNMAP, VM_DONTEXPAND, VM_DONTDUMP of
 * a file that is never executable. A memfd's is none of this, so mprotect(),
 * madvise(), msync() and mremap() refuse here what Linux refuses there. Calls
 * on other memory never get this far (shim_in_bars()).
 */
#include "shim/map/map.h"

#include "shim/base/keep.h"
#include "shim/base/vma.h"

#include <sys/mman.h>

#define PAGE	   4096
#define PAGE_UP(x) (((x) + PAGE - 1) & ~(size_t)(PAGE - 1))

/* Room for the ranges of one mapping, and what they arrive in. */
#define RANGES_MAX 2048

struct map_answer {
	struct sv_map map;
	struct sv_map_range ranges[RANGES_MAX];
};

static bool is_error(long r)
{
	return r < 0 && r >= -4095;
}

/* ------------------------------------------------------------------ */
/* mmap                                                               */

/*
 * Populating and locking a BAR do nothing on Linux. On a memfd they would
 * allocate all of it.
 */
static int host_flags(int flags)
{
	return flags & ~(MAP_POPULATE | MAP_LOCKED);
}

static uint64_t trap_offset(uint64_t off, int prot)
{
	return off | SHIM_TRAP_OFF | (prot & PROT_READ ? SHIM_TRAP_READ : 0) |
	       (prot & PROT_WRITE ? SHIM_TRAP_WRITE : 0);
}

/* As the program asked, but for what @c has of its own. */
static long map_trap(const struct map_call *c)
{
	return SYS(mmap, c->addr, c->len, PROT_NONE, c->flags, c->fd,
		   trap_offset((uint64_t)c->off, c->prot));
}

static long map_direct(const struct map_call *c)
{
	return SYS(mmap, c->addr, c->len, c->prot, c->flags, c->fd, c->off);
}

/*
 * Everything as one trap first, which reserves the addresses, then the direct
 * stretches over it: at no moment can anybody else's mapping get in between.
 */
static long map_ranges(const struct map_answer *a, const struct map_call *c)
{
	int fixed = (c->flags & ~MAP_FIXED_NOREPLACE) | MAP_FIXED;
	long base = map_trap(c);
	size_t at = 0;

	if (is_error(base))
		return base;
	for (uint32_t i = 0; i < a->map.n && at < c->len; i++) {
		size_t left = c->len - at, n = a->ranges[i].len;
		struct map_call part = *c;
		long r = 0;

		part.addr = (uintptr_t)base + at;
		part.len = n < left ? n : left;
		part.off += (off_t)at;
		part.flags = fixed;
		if (!a->ranges[i].trap && n)
			r = map_direct(&part);
		if (is_error(r)) {
			SYS(munmap, base, c->len);
			return r;
		}
		at += part.len;
	}
	return base;
}

/* @c: what the program asked for, with the file and the offset that came. */
static long map_answer(const struct map_answer *a, struct map_call c)
{
	long base;

	shim_arm_faults();
	keep_all();
	bars_know(c.fd);
	c.len = PAGE_UP(c.len);
	c.flags = host_flags(c.flags);
	if (a->map.n != 1 || a->ranges[0].len < c.len)
		base = map_ranges(a, &c);
	else
		base = a->ranges[0].trap ? map_trap(&c) : map_direct(&c);
	if (is_error(base))
		return base;

	/* core dumps exclude device memory */
	SYS(madvise, base, c.len, MADV_DONTDUMP);
	bars_extend((uintptr_t)base, (uintptr_t)base + c.len);
	return base;
}

/* Is what arrived as long as it says? */
static bool answer_whole(const struct map_answer *a, size_t len)
{
	return len >= sizeof(a->map) && a->map.n &&
	       a->map.n <= (len - sizeof(a->map)) / sizeof(a->ranges[0]);
}

static long map_ask(struct map_answer *a, const struct map_call *c)
{
	struct map_call given = *c;
	struct shim_rpc rpc = {
		.fd = c->fd,
		.op = SV_MMAP,
		.arg = {(uint64_t)c->off, c->len, (unsigned int)c->prot,
			(unsigned int)c->flags},
		.data = a,
		.data_max = sizeof(*a),
	};
	long r = (long)shim_rpc(&rpc);

	if (r >= 0 && rpc.ret_fd < 0)
		r = -EMFILE; /* the host had no number for it */
	if (r >= 0 && !answer_whole(a, rpc.ret_len))
		r = -ENOMEM;
	if (r >= 0) {
		given.fd = rpc.ret_fd;
		given.off = (off_t)a->map.offset;
		r = map_answer(a, given);
	}
	if (rpc.ret_fd >= 0)
		SYS(close, rpc.ret_fd);
	return r;
}

long map_mmap(const struct map_call *c, long r)
{
	if (r != -ENODEV || !shim_active() || shim_peer(c->fd, NULL))
		return r;

	struct map_answer *a = shim_scratch(sizeof(*a));
	if (!a)
		return -ENOMEM;

	r = map_ask(a, c);

	shim_scratch_free(a, sizeof(*a));
	return r;
}

/* ------------------------------------------------------------------ */
/* mprotect                                                           */

/*
 * The program's new protection of a stretch that traps, kept in its offset.
 * remap_file_pages() maps the same file at another offset in place; the pages
 * stay PROT_NONE. Where a sandbox forbids it, the old protection stays.
 */
static void retrap(uint64_t start, uint64_t end, const struct shim_vma *vma,
		   int prot)
{
	uint64_t off = vma->off + (start - vma->start);

	if (((unsigned int)prot & (PROT_READ | PROT_WRITE)) != vma->prot)
		SYS(remap_file_pages, start, end - start, 0,
		    trap_offset(off, prot) / PAGE, 0);
}

/*
 * Linux goes from mapping to mapping and stops at the first that refuses, with
 * those before it changed. So here: what is not a BAR's trap is left to the
 * host, up to @ret_done.
 */
static long mprotect_walk(struct vma_walk *w, uintptr_t addr, uintptr_t end,
			  int prot, uintptr_t *ret_done)
{
	char path[VMA_PATH_MAX];
	struct shim_vma vma;
	uintptr_t done = addr;
	long r = 0;

	for (uintptr_t at = addr; at < end && r == 0; at = vma.end) {
		r = vma_walk_next(w, at, &vma, path, sizeof(path));
		if (r < 0 || vma.start >= end)
			break;
		if (!vma.bar || !(vma.trap || prot & PROT_EXEC))
			continue;

		uint64_t start = vma.start > addr ? vma.start : addr;

		if (start > done)
			r = SYS(mprotect, done, start - done, prot);
		if (r == 0 && prot & PROT_EXEC)
			r = -EACCES;
		if (r < 0)
			break;
		done = vma.end < end ? vma.end : end;
		retrap(start, done, &vma, prot);
	}
	*ret_done = done;
	return r == -ENOENT ? 0 : r; /* the host finds what is unmapped */
}

long map_mprotect(uintptr_t addr, size_t len, int prot)
{
	uintptr_t end = addr + PAGE_UP(len), done = addr;
	struct vma_walk w;

	/* nonsense is refused by the host, which has the right error */
	if (addr % PAGE || end <= addr)
		return SYS(mprotect, addr, len, prot);

	long r = vma_walk_begin(&w);
	if (r < 0)
		return SYS(mprotect, addr, len, prot);

	r = mprotect_walk(&w, addr, end, prot, &done);
	vma_walk_end(&w);
	if (r == 0 && done < end)
		r = SYS(mprotect, done, end - done, prot);
	return r;
}

/* ------------------------------------------------------------------ */
/* madvise                                                            */

/* Linux accepts these on VM_IO | VM_PFNMAP mappings, and no others. */
static bool advice_allowed(int advice)
{
	switch (advice) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_DONTFORK:
	case MADV_DONTDUMP:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_NOHUGEPAGE:
	case MADV_KEEPONFORK:
		return true;
	}
	return false;
}

/* Where the first BAR in a range begins, or @end. */
static uintptr_t first_bar(uintptr_t addr, uintptr_t end)
{
	char path[VMA_PATH_MAX];
	struct shim_vma vma;
	struct vma_walk w;
	uintptr_t first = end;

	if (vma_walk_begin(&w) < 0)
		return end;
	for (uintptr_t at = addr; at < end; at = vma.end) {
		if (vma_walk_next(&w, at, &vma, path, sizeof(path)) < 0 ||
		    vma.start >= end)
			break;
		if (vma.bar) {
			first = vma.start > addr ? vma.start : addr;
			break;
		}
	}
	vma_walk_end(&w);
	return first;
}

long map_madvise(uintptr_t addr, size_t len, int advice)
{
	uintptr_t end = addr + PAGE_UP(len);

	if (addr % PAGE || end <= addr || advice_allowed(advice))
		return SYS(madvise, addr, len, advice);

	uintptr_t bar = first_bar(addr, end);
	if (bar == end)
		return SYS(madvise, addr, len, advice);
	if (bar > addr) {
		/* holes are reported last, and EINVAL comes before that */
		long r = SYS(madvise, addr, bar - addr, advice);

		if (r < 0 && r != -ENOMEM)
			return r;
	}
	/* punching a hole is the file's affair, and it is no regular one */
	return advice == MADV_REMOVE ? -ENODEV : -EINVAL;
}

/* ------------------------------------------------------------------ */
/* msync                                                              */

/* Writing back is the file's affair too, and a device's has no way to. */
long map_msync(uintptr_t addr, size_t len, int flags)
{
	uintptr_t end = addr + PAGE_UP(len);

	if (addr % PAGE || end <= addr || !(flags & MS_SYNC))
		return SYS(msync, addr, len, flags);

	uintptr_t bar = first_bar(addr, end);
	if (bar == end)
		return SYS(msync, addr, len, flags);
	if (bar > addr) {
		/* holes are reported last */
		long r = SYS(msync, addr, bar - addr, flags);

		if (r < 0 && r != -ENOMEM)
			return r;
	}
	return -EINVAL;
}

/* ------------------------------------------------------------------ */
/* mlock                                                              */

/* Where the mapping at @addr ends, a BAR's as far as anybody knows. */
static uintptr_t mapping_end(uintptr_t addr)
{
	struct shim_vma vma;

	return shim_vma_find(addr, &vma) < 0 ? addr + PAGE : vma.end;
}

/*
 * Linux locks nothing of a device mapping and says so by succeeding. The
 * memory around it is locked by the host.
 */
long map_mlock(uintptr_t addr, size_t len, unsigned int flags)
{
	uintptr_t at = addr & ~(uintptr_t)(PAGE - 1);
	uintptr_t end = at + PAGE_UP(len + (addr - at));
	long r = 0;

	if (end < at)
		return SYS(mlock2, addr, len, flags);
	while (at < end && r == 0) {
		uintptr_t bar = first_bar(at, end);

		if (bar > at)
			r = SYS(mlock2, at, bar - at, flags);
		at = bar < end ? mapping_end(bar) : end;
	}
	return r;
}

/* ------------------------------------------------------------------ */
/* mremap                                                             */

/* What the host refuses without looking at any mapping. */
static bool mremap_nonsense(uintptr_t old, size_t new_len, int flags)
{
	int known = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;

	return flags & ~known || old % PAGE || !new_len ||
	       (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) &&
		!(flags & MREMAP_MAYMOVE));
}

/*
 * A BAR with traps is several mappings where Linux has one, and hosts before
 * 6.17 move only one at a time.
 */
static long move_pieces(uintptr_t old, size_t len, uintptr_t to)
{
	struct shim_vma vma;

	for (size_t at = 0; at < len;) {
		long r = shim_vma_find(old + at, &vma);

		if (r < 0 || !vma.bar)
			return -EFAULT;

		size_t n = vma.end - (old + at);

		if (n > len - at)
			n = len - at;
		r = SYS(mremap, old + at, n, n, MREMAP_MAYMOVE | MREMAP_FIXED,
			to + at);
		if (is_error(r))
			return r;
		at += n;
	}
	return (long)to;
}

static long mremap_bar(uintptr_t old, size_t old_len, size_t new_len, int flags,
		       uintptr_t to)
{
	if (flags & MREMAP_DONTUNMAP)
		return -EINVAL;
	if (new_len > old_len) /* growing, or with old_len 0 a duplicate */
		return -EFAULT;

	long r = SYS(mremap, old, old_len, new_len, flags, to);
	if (r == -EFAULT && flags & MREMAP_FIXED && new_len == old_len)
		r = move_pieces(old, new_len, to);
	return r;
}

long map_mremap(uintptr_t old, size_t old_len, size_t new_len, int flags,
		uintptr_t to)
{
	struct shim_vma vma;
	long r;

	if (mremap_nonsense(old, new_len, flags) ||
	    shim_vma_find(old, &vma) < 0 || !vma.bar)
		r = SYS(mremap, old, old_len, new_len, flags, to);
	else
		r = mremap_bar(old, PAGE_UP(old_len), PAGE_UP(new_len), flags,
			       to);
	/* a range that begins in other memory can have a BAR further on */
	if (!is_error(r))
		bars_extend((uintptr_t)r, (uintptr_t)r + PAGE_UP(new_len));
	return r;
}

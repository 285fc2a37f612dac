/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a device reads and writes: one access, many, and memory it asks to be
 * kept where it is. core/dma/ioas_impl.h says how that goes with an unmap.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "core/dma/ioas_impl.h"
#include "lib/sched.h"

#define FEW_AREAS 8  /* an access within so many allocates nothing */
#define WINDOW	  64 /* accesses of a list that are looked up together */

/* --- one access --- */

/*
 * Find the areas behind [@iova, @last], check all of them, and count in.
 * Return: 0; -EFAULT; -E2BIG @list is too short, @ret_n would do for now.
 */
static int pin_locked(struct ioas *ioas, uint64_t iova, uint64_t last,
		      uint32_t prot, struct area **list, size_t cap,
		      size_t *ret_n) REQUIRES_SHARED(&ioas->lock)
{
	size_t from = ioas_find(ioas, iova), i = from;

	for (uint64_t next = iova;; next = ioas->area[i++]->last + 1) {
		if (i == ioas->n || ioas->area[i]->first > next ||
		    prot & ~ioas->area[i]->prot)
			return -EFAULT;
		if (ioas->area[i]->last >= last)
			break;
	}
	*ret_n = i - from + 1;
	if (*ret_n > cap)
		return -E2BIG;
	for (i = 0; i < *ret_n; i++) {
		list[i] = ioas->area[from + i];
		atomic_fetch_add(&list[i]->users, 1);
	}
	return 0;
}

static int pin(struct ioas *ioas, uint64_t iova, uint64_t last, uint32_t prot,
	       struct area **list, size_t cap, size_t *ret_n)
{
	rwlock_read(&ioas->lock);
	int r = pin_locked(ioas, iova, last, prot, list, cap, ret_n);

	rwlock_unread(&ioas->lock);
	return r;
}

/* An area may be gone once its count is down; the ioas is the caller's. */
static void unpin(struct ioas *ioas, struct area **list, size_t n)
{
	bool last = false;

	sched_point("unpin");
	for (size_t i = 0; i < n; i++)
		if (atomic_fetch_sub(&list[i]->users, 1) == (AREA_REMOVED | 1))
			last = true;
	sched_point("unpinned");
	if (!last)
		return;
	mutex_lock(&ioas->idle_lock);
	cond_broadcast(&ioas->idle);
	mutex_unlock(&ioas->idle_lock);
}

/* The segment that holds byte @off of the area. */
static const struct area_seg *area_seg_at(const struct area *a, uint64_t off)
{
	size_t low = 0, high = a->n_segs;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (a->seg[mid].start <= off)
			low = mid;
		else
			high = mid;
	}
	return &a->seg[low];
}

static int area_copy(const struct area *a, struct dma_ctx *ctx, uint64_t off,
		     uint8_t *buf, size_t len, bool write)
{
	const struct area_seg *s = area_seg_at(a, off);
	struct mem_stop stop = {.cancel = &ctx->cancel, .revoked = &a->revoked};
	int r = 0;

	for (; len && r == 0; s++) {
		uint64_t skip = off - s->start;
		size_t n = s->seg.len - skip < len ? s->seg.len - skip : len;

		if (write)
			r = mem_write(s->seg.mem, &stop, s->seg.off + skip, buf,
				      n);
		else
			r = mem_read(s->seg.mem, &stop, s->seg.off + skip, buf,
				     n);
		off += n;
		buf += n;
		len -= n;
	}
	return r;
}

static int copy_pinned(struct area **list, struct dma_ctx *ctx, uint64_t iova,
		       uint8_t *buf, size_t len, bool write)
{
	int r = 0;

	for (; len && r == 0; list++) {
		uint64_t room = (*list)->last - iova + 1;
		size_t n = room < len ? room : len;

		r = area_copy(*list, ctx, iova - (*list)->first, buf, n, write);
		iova += n;
		buf += n;
		len -= n;
	}
	return r;
}

/* More areas than fit the stack; the table may change between two looks. */
static int access_many(struct ioas *ioas, struct dma_ctx *ctx, uint64_t iova,
		       uint8_t *buf, size_t len, bool write, size_t n)
{
	uint32_t prot = write ? IOAS_WRITE : IOAS_READ;
	struct area **list;
	size_t cap;
	int r;

	do {
		cap = n;
		list = malloc(cap * sizeof(list[0]));
		if (!list)
			return -EIO;
		r = pin(ioas, iova, iova + len - 1, prot, list, cap, &n);
		if (r == 0) {
			r = copy_pinned(list, ctx, iova, buf, len, write);
			unpin(ioas, list, n);
		}
		free(list);
	} while (r == -E2BIG);
	return r;
}

static int ioas_access(struct ioas *ioas, struct dma_ctx *ctx, uint64_t iova,
		       uint8_t *buf, size_t len, bool write)
{
	uint32_t prot = write ? IOAS_WRITE : IOAS_READ;
	struct area *few[FEW_AREAS];
	size_t n;

	if (!len)
		return 0;
	if (range_wraps(iova, len))
		return -EFAULT;

	int r = pin(ioas, iova, iova + len - 1, prot, few, FEW_AREAS, &n);

	if (r == -E2BIG)
		return access_many(ioas, ctx, iova, buf, len, write, n);
	if (r < 0)
		return r;
	r = copy_pinned(few, ctx, iova, buf, len, write);
	unpin(ioas, few, n);
	return r;
}

int ioas_read(struct ioas *ioas, struct dma_ctx *ctx, uint64_t iova, void *buf,
	      size_t len)
{
	return ioas_access(ioas, ctx, iova, buf, len, false);
}

int ioas_write(struct ioas *ioas, struct dma_ctx *ctx, uint64_t iova,
	       const void *buf, size_t len)
{
	return ioas_access(ioas, ctx, iova, (void *)(uintptr_t)buf, len, true);
}

/* --- several accesses --- */

/* Where an access of a list leads; @mem is NULL if to several segments. */
struct target {
	struct area *area;
	struct mem *mem;
	uint64_t off;
	bool counted; /* in area->users; not if the one before has the same */
};

/* Accesses looked up and made together, all to the same end. */
struct window {
	struct ioas *ioas;
	struct dma_ctx *ctx;
	const struct sv_dma *list;
	size_t n;
	struct target to[WINDOW];
};

static bool area_serves(const struct area *a, const struct sv_dma *d)
{
	return a->first <= d->iova && d->iova <= a->last &&
	       d->len - 1 <= a->last - d->iova &&
	       a->prot & (d->write ? IOAS_WRITE : IOAS_READ);
}

static void target_set(struct target *to, struct area *a,
		       const struct sv_dma *d)
{
	uint64_t off = d->iova - a->first;
	const struct area_seg *s = area_seg_at(a, off);
	bool whole = s->start + s->seg.len - off >= d->len;

	to->area = a;
	to->mem = whole ? s->seg.mem : NULL;
	to->off = s->seg.off + off - s->start;
}

/* As many as lie in one area each. */
static void window_look_locked(struct window *w, size_t n)
	REQUIRES_SHARED(&w->ioas->lock)
{
	struct area *a = NULL;

	for (w->n = 0; w->n < n && w->n < WINDOW; w->n++) {
		const struct sv_dma *d = &w->list[w->n];
		struct target *to = &w->to[w->n];

		to->counted = !a || !d->len || !area_serves(a, d);
		if (to->counted) {
			size_t i = ioas_find(w->ioas, d->iova);

			a = i < w->ioas->n ? w->ioas->area[i] : NULL;
			if (!a || !d->len || !area_serves(a, d))
				return;
			atomic_fetch_add(&a->users, 1);
		}
		target_set(to, a, d);
	}
}

static void window_release(struct window *w)
{
	struct area *list[WINDOW];
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++)
		if (w->to[i].counted)
			list[n++] = w->to[i].area;
	unpin(w->ioas, list, n);
}

static int window_one(struct window *w, size_t i)
{
	const struct sv_dma *d = &w->list[i];
	const struct area *a = w->to[i].area;

	return area_copy(a, w->ctx, d->iova - a->first, d->buf, d->len,
			 d->write);
}

/* How many, from @from on, go to the same memory. */
static size_t window_run(const struct window *w, size_t from)
{
	size_t i = from + 1;

	while (w->to[from].mem && i < w->n && w->to[i].mem == w->to[from].mem)
		i++;
	return i - from;
}

/*
 * To the same memory, so in one go. If that is told to stop, it may be on
 * behalf of one mapping among several: then one by one, to find out.
 */
static int window_together(struct window *w, size_t from, size_t n,
			   size_t *ret_done)
{
	const _Atomic bool *revoked[WINDOW];
	struct mem_stop stop = {.cancel = &w->ctx->cancel, .also = revoked};
	struct mem_io io[WINDOW];
	size_t done = 0;

	for (size_t i = 0; i < n; i++) {
		const struct sv_dma *d = &w->list[from + i];
		const struct target *to = &w->to[from + i];

		io[i] = (struct mem_io){to->off, d->buf, d->len, d->write};
		if (!i || to->counted)
			revoked[stop.n_also++] = &to->area->revoked;
	}
	int r = mem_many(w->to[from].mem, &stop, io, n, &done);

	for (; r == -ECANCELED && !atomic_load(&w->ctx->cancel) && done < n;
	     done++) {
		r = window_one(w, from + done);
		if (r < 0)
			break;
		r = done + 1 < n ? -ECANCELED : 0;
	}
	*ret_done = done;
	return r;
}

static int window_copy(struct window *w, size_t *ret_done)
{
	int r = 0;

	for (size_t i = 0; i < w->n && r == 0;) {
		size_t n = window_run(w, i), done = 0;

		if (n > 1)
			r = window_together(w, i, n, &done);
		else
			r = window_one(w, i);
		i += r < 0 ? done : n;
		*ret_done = i;
	}
	return r;
}

/* Return: 0 or an error; either way *@ret_done says how far it came. */
static int many_round(struct window *w, size_t n, size_t *ret_done)
{
	const struct sv_dma *first = w->list;

	*ret_done = 0;
	rwlock_read(&w->ioas->lock);
	window_look_locked(w, n);
	rwlock_unread(&w->ioas->lock);
	if (!w->n) { /* in several areas, or in none */
		int r = ioas_access(w->ioas, w->ctx, first->iova, first->buf,
				    first->len, first->write);

		*ret_done = r == 0;
		return r;
	}
	int r = window_copy(w, ret_done);

	window_release(w);
	return r;
}

int ioas_many(struct ioas *ioas, struct dma_ctx *ctx, const struct sv_dma *list,
	      size_t n, size_t *ret_done)
{
	struct window w = {.ioas = ioas, .ctx = ctx, .list = list};
	size_t done = 0;
	int r = 0;

	for (size_t all = 0; all < n && r == 0; all += done) {
		w.list = list + all;
		r = many_round(&w, n - all, &done);
		*ret_done = all + done;
	}
	return r;
}

/* --- memory that stays where it is --- */

struct holding {
	struct iovec *iov;
	size_t n;
	size_t max;
};

/* Does not join what lies side by side: the kernel has to look anyway. */
static bool hold_part(struct holding *h, const struct area *a, uint64_t iova,
		      uint64_t len, bool write)
{
	uint64_t off = iova - a->first;

	for (const struct area_seg *s = area_seg_at(a, off); len; s++) {
		uint64_t skip = off - s->start, n = s->seg.len - skip;

		n = n < len ? n : len;
		void *p = mem_host(s->seg.mem, s->seg.off + skip, n, write);

		if (!p || h->n == h->max)
			return false;
		h->iov[h->n++] = (struct iovec){p, n};
		off += n;
		len -= n;
	}
	return true;
}

/* One area more; the same one again is not counted again. */
static bool hold_area(struct sv_dma_hold *hold, struct area *a)
{
	for (unsigned int i = 0; i < hold->n; i++)
		if (hold->opaque[i] == a)
			return true;
	if (hold->n == SV_DMA_HOLD)
		return false;
	atomic_fetch_add(&a->users, 1);
	hold->opaque[hold->n++] = a;
	return true;
}

/* Return: 1; 0 or -EFAULT as ioas_hold(). */
static int hold_one_locked(struct ioas *ioas, const struct sv_dma *d,
			   struct holding *h, struct sv_dma_hold *hold)
	REQUIRES_SHARED(&ioas->lock)
{
	uint32_t prot = d->write ? IOAS_WRITE : IOAS_READ;
	uint64_t iova = d->iova, len = d->len;

	if (!len || range_wraps(iova, len))
		return -EFAULT;
	for (size_t i = ioas_find(ioas, iova); len; i++) {
		struct area *a = i < ioas->n ? ioas->area[i] : NULL;

		if (!a || a->first > iova || !(a->prot & prot))
			return -EFAULT;
		uint64_t n = a->last - iova + 1;

		n = n < len ? n : len;
		if (!hold_area(hold, a) || !hold_part(h, a, iova, n, d->write))
			return 0;
		iova += n;
		len -= n;
	}
	return 1;
}

int ioas_hold(struct ioas *ioas, const struct sv_dma *list, size_t n,
	      struct iovec *iov, size_t max, struct sv_dma_hold *hold)
{
	struct holding h = {.iov = iov, .max = max};
	int r = 1;

	hold->n = 0;
	rwlock_read(&ioas->lock);
	for (size_t i = 0; i < n && r == 1; i++)
		r = hold_one_locked(ioas, &list[i], &h, hold);
	rwlock_unread(&ioas->lock);
	if (r == 1)
		return (int)h.n;
	ioas_release(ioas, hold);
	return r;
}

void ioas_release(struct ioas *ioas, struct sv_dma_hold *hold)
{
	struct area *list[SV_DMA_HOLD];

	for (unsigned int i = 0; i < hold->n; i++)
		list[i] = hold->opaque[i];
	unpin(ioas, list, hold->n);
	hold->n = 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* DMA: core/dma/dma.h. core/dma/iopt_impl.h says how it goes with an unmap. */
#include <errno.h>
#include <stdlib.h>

#include "core/dma/dma.h"
#include "core/dma/iopt_impl.h"
#include "lib/sched.h"

#define FEW_AREAS 8  /* an access within so many allocates nothing */
#define WINDOW	  64 /* accesses of a list that are looked up together */

/* --- one access --- */

/* Areas counted in, one behind the other. */
struct pins {
	struct area **list;
	size_t cap;
	size_t n;
};

/*
 * Find the areas behind [@iova, @last], check all of them, and count in.
 * Return: 0; -EFAULT; -E2BIG the list is too short, pins->n would do for now.
 */
static int pin_locked(struct iopt *iopt, uint64_t iova, uint64_t last,
		      uint32_t prot, struct pins *pins)
	REQUIRES_SHARED(&iopt->lock)
{
	size_t from = area_index(iopt, iova), i = from;

	for (uint64_t next = iova;; next = iopt->area[i++]->last + 1) {
		if (i == iopt->n || iopt->area[i]->first > next ||
		    prot & ~iopt->area[i]->prot)
			return -EFAULT;
		if (iopt->area[i]->last >= last)
			break;
	}
	pins->n = i - from + 1;
	if (pins->n > pins->cap)
		return -E2BIG;
	for (i = 0; i < pins->n; i++) {
		pins->list[i] = iopt->area[from + i];
		atomic_fetch_add(&pins->list[i]->users, 1);
	}
	return 0;
}

/* An area may be gone once its count is down; the iopt is the caller's. */
static void unpin(struct iopt *iopt, struct area **list, size_t n)
{
	bool last = false;

	sched_point("unpin");
	for (size_t i = 0; i < n; i++)
		if (atomic_fetch_sub(&list[i]->users, 1) == (AREA_REMOVED | 1))
			last = true;
	sched_point("unpinned");
	if (!last)
		return;
	mutex_lock(&iopt->idle_lock);
	cond_broadcast(&iopt->idle);
	mutex_unlock(&iopt->idle_lock);
}

/* Have the memory of what is pinned looked up: 0 or -EIO. */
static int resolve(const struct pins *pins)
{
	for (size_t i = 0; i < pins->n; i++) {
		struct pages *p = pins->list[i]->pages;

		if (!pages_list(p) && pages_resolve(p) < 0)
			return -EIO;
	}
	return 0;
}

static int pin(struct iopt *iopt, uint64_t iova, uint64_t last, uint32_t prot,
	       struct pins *pins)
{
	rwlock_read(&iopt->lock);
	int r = pin_locked(iopt, iova, last, prot, pins);

	rwlock_unread(&iopt->lock);
	if (r == 0 && resolve(pins) < 0) {
		unpin(iopt, pins->list, pins->n);
		return -EIO;
	}
	return r;
}

/* The segment behind @iova, and how far that is into its pages. */
static const struct page_seg *seg_at(const struct area *a, uint64_t iova,
				     uint64_t *ret_off)
{
	*ret_off = iova - a->first + a->from;
	return pages_at(pages_list(a->pages), *ret_off);
}

static int area_copy(const struct area *a, struct dma_ctx *ctx, uint64_t iova,
		     uint8_t *buf, size_t len, bool write)
{
	uint64_t off;
	const struct page_seg *s = seg_at(a, iova, &off);
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

		r = area_copy(*list, ctx, iova, buf, n, write);
		iova += n;
		buf += n;
		len -= n;
	}
	return r;
}

/* One access, and which way it goes. */
struct access {
	struct dma_ctx *ctx;
	uint64_t iova;
	uint8_t *buf;
	size_t len;
	bool write;
};

static int access_pinned(struct iopt *iopt, const struct access *a,
			 struct pins *pins)
{
	uint32_t prot = a->write ? IOPT_WRITE : IOPT_READ;
	int r = pin(iopt, a->iova, a->iova + a->len - 1, prot, pins);

	if (r < 0)
		return r;
	r = copy_pinned(pins->list, a->ctx, a->iova, a->buf, a->len, a->write);
	unpin(iopt, pins->list, pins->n);
	return r;
}

/* More areas than fit the stack; the table may change between two looks. */
static int access_many(struct iopt *iopt, const struct access *a, size_t n)
{
	struct pins pins = {.n = n};
	int r;

	do {
		pins.cap = pins.n;
		pins.list = malloc(pins.cap * sizeof(pins.list[0]));
		if (!pins.list)
			return -EIO;
		r = access_pinned(iopt, a, &pins);
		free(pins.list);
	} while (r == -E2BIG);
	return r;
}

static int dma_access(struct iopt *iopt, const struct access *a)
{
	struct area *few[FEW_AREAS];
	struct pins pins = {.list = few, .cap = FEW_AREAS};

	if (!a->len)
		return 0;
	if (!iopt || range_wraps(a->iova, a->len))
		return -EFAULT;

	int r = access_pinned(iopt, a, &pins);

	return r == -E2BIG ? access_many(iopt, a, pins.n) : r;
}

int dma_read(struct iopt *iopt, struct dma_ctx *ctx, uint64_t iova, void *buf,
	     size_t len)
{
	const struct access a = {ctx, iova, buf, len, false};

	return dma_access(iopt, &a);
}

int dma_write(struct iopt *iopt, struct dma_ctx *ctx, uint64_t iova,
	      const void *buf, size_t len)
{
	const struct access a = {ctx, iova, (void *)(uintptr_t)buf, len, true};

	return dma_access(iopt, &a);
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
	struct iopt *iopt;
	struct dma_ctx *ctx;
	const struct sv_dma *list;
	size_t n;
	struct target to[WINDOW];
};

static bool area_serves(const struct area *a, const struct sv_dma *d)
{
	return a->first <= d->iova && d->iova <= a->last &&
	       d->len - 1 <= a->last - d->iova && pages_list(a->pages) &&
	       a->prot & (d->write ? IOPT_WRITE : IOPT_READ);
}

static void target_set(struct target *to, struct area *a,
		       const struct sv_dma *d)
{
	uint64_t off;
	const struct page_seg *s = seg_at(a, d->iova, &off);
	bool whole = s->start + s->seg.len - off >= d->len;

	to->area = a;
	to->mem = whole ? s->seg.mem : NULL;
	to->off = s->seg.off + off - s->start;
}

/* As many as lie in one area each, whose memory is known. */
static void window_look_locked(struct window *w, size_t n)
	REQUIRES_SHARED(&w->iopt->lock)
{
	struct area *a = NULL;

	for (w->n = 0; w->n < n && w->n < WINDOW; w->n++) {
		const struct sv_dma *d = &w->list[w->n];
		struct target *to = &w->to[w->n];

		to->counted = !a || !d->len || !area_serves(a, d);
		if (to->counted) {
			size_t i = area_index(w->iopt, d->iova);

			a = i < w->iopt->n ? w->iopt->area[i] : NULL;
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
	unpin(w->iopt, list, n);
}

static int window_one(struct window *w, size_t i)
{
	const struct sv_dma *d = &w->list[i];
	const struct area *a = w->to[i].area;

	return area_copy(a, w->ctx, d->iova, d->buf, d->len, d->write);
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
	rwlock_read(&w->iopt->lock);
	window_look_locked(w, n);
	rwlock_unread(&w->iopt->lock);
	if (!w->n) { /* in several areas, or in none */
		const struct access a = {w->ctx, first->iova, first->buf,
					 first->len, first->write};
		int r = dma_access(w->iopt, &a);

		*ret_done = r == 0;
		return r;
	}
	int r = window_copy(w, ret_done);

	window_release(w);
	return r;
}

int dma_many(struct iopt *iopt, struct dma_ctx *ctx, const struct sv_dma *list,
	     size_t n, size_t *ret_done)
{
	struct window w = {.iopt = iopt, .ctx = ctx, .list = list};
	size_t done = 0;
	int r = iopt ? 0 : -EFAULT;

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
	uint64_t off;

	if (!pages_list(a->pages))
		return false;
	for (const struct page_seg *s = seg_at(a, iova, &off); len; s++) {
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

/* Return: 1; 0 or -EFAULT as dma_hold(). */
static int hold_one_locked(struct iopt *iopt, const struct sv_dma *d,
			   struct holding *h, struct sv_dma_hold *hold)
	REQUIRES_SHARED(&iopt->lock)
{
	uint32_t prot = d->write ? IOPT_WRITE : IOPT_READ;
	uint64_t iova = d->iova, len = d->len;

	if (!len || range_wraps(iova, len))
		return -EFAULT;
	for (size_t i = area_index(iopt, iova); len; i++) {
		struct area *a = i < iopt->n ? iopt->area[i] : NULL;

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

int dma_hold(struct iopt *iopt, const struct sv_dma *list, size_t n,
	     struct iovec *iov, size_t max, struct sv_dma_hold *hold)
{
	struct holding h = {.iov = iov, .max = max};
	int r = 1;

	hold->n = 0;
	if (!iopt)
		return -EFAULT;
	rwlock_read(&iopt->lock);
	for (size_t i = 0; i < n && r == 1; i++)
		r = hold_one_locked(iopt, &list[i], &h, hold);
	rwlock_unread(&iopt->lock);
	if (r == 1)
		return (int)h.n;
	dma_release(iopt, hold);
	return r;
}

void dma_release(struct iopt *iopt, struct sv_dma_hold *hold)
{
	struct area *list[SV_DMA_HOLD];

	for (unsigned int i = 0; i < hold->n; i++)
		list[i] = hold->opaque[i];
	unpin(iopt, list, hold->n);
	hold->n = 0;
}

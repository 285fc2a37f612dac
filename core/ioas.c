/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * The table is an array of pointers to areas, ascending and disjoint. Areas
 * are immutable; they enter and leave the table under ioas->lock for writing.
 *
 * An access looks up every area it needs under the lock for reading and counts
 * itself into area->users; then it copies under no lock. A removal takes
 * areas out of the table, so that nobody new finds them, and sets AREA_REMOVED
 * in area->users. If there were users it waits for them, and whoever takes
 * the count down to AREA_REMOVED alone wakes it; that is the last touch of an
 * area by an access, and only the remover frees it. Copies that wait for the
 * program see area->revoked and give up.
 */
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "core/ioas.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"
#include "lib/sched.h"

#define AREA_REMOVED (1u << 31)
#define FEW_AREAS    8	/* an access within so many allocates nothing */
#define WINDOW	     64 /* accesses of a list that are looked up together */

typedef unsigned long long ull;

/* Where a segment begins in its area. */
struct area_seg {
	uint64_t start;
	struct mem_seg seg;
};

struct area {
	/* immutable */
	uint64_t first;
	uint64_t last;
	uint64_t vaddr;
	uint32_t prot;

	_Atomic uint32_t users; /* accesses in flight, and AREA_REMOVED */
	_Atomic bool revoked;
	struct area *next; /* the remover's */

	size_t n_segs;
	struct area_seg seg[]; /* immutable */
};

struct ioas {
	_Atomic uint32_t refs;
	uint32_t max_areas; /* immutable */

	struct rwlock lock; /* the table */
	struct area **area GUARDED_BY(&lock);
	size_t n GUARDED_BY(&lock);
	size_t cap GUARDED_BY(&lock);

	struct mutex idle_lock; /* taken to wait for, and to tell of, */
	struct cond idle;	/* a removed area without users */
};

static const struct iova_range valid_ranges[] = {
	{0, IOAS_MSI_FIRST - 1},
	{IOAS_MSI_LAST + 1, (1ull << IOAS_APERTURE_BITS) - 1},
};

/* --- areas --- */

static struct area *area_new(uint64_t vaddr, uint64_t iova, uint64_t size,
			     uint32_t prot, const struct mem_seg *segs,
			     size_t n_segs)
{
	struct area *a = calloc(1, sizeof(*a) + n_segs * sizeof(a->seg[0]));
	uint64_t start = 0;

	if (!a)
		return NULL;
	a->first = iova;
	a->last = iova + size - 1;
	a->vaddr = vaddr;
	a->prot = prot;
	a->n_segs = n_segs;
	for (size_t i = 0; i < n_segs; i++) {
		assert(segs[i].len);
		a->seg[i] = (struct area_seg){start, segs[i]};
		start += segs[i].len;
	}
	assert(start == size);
	return a;
}

static void area_free(struct area *a)
{
	for (size_t i = 0; i < a->n_segs; i++)
		mem_put(a->seg[i].seg.mem);
	free(a);
}

/* --- the table --- */

/* Index of the first area that ends at @iova or behind it. */
static size_t table_find(const struct ioas *ioas, uint64_t iova)
	REQUIRES_SHARED(&ioas->lock)
{
	size_t low = 0, high = ioas->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (ioas->area[mid]->last < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int table_reserve(struct ioas *ioas) REQUIRES(&ioas->lock)
{
	size_t cap = ioas->cap ? 2 * ioas->cap : 16;

	if (ioas->n < ioas->cap)
		return 0;

	struct area **area = realloc(ioas->area, cap * sizeof(*area));

	if (!area)
		return -ENOMEM;
	ioas->area = area;
	ioas->cap = cap;
	return 0;
}

static void table_insert(struct ioas *ioas, struct area *a)
	REQUIRES(&ioas->lock)
{
	size_t i = table_find(ioas, a->first);

	memmove(&ioas->area[i + 1], &ioas->area[i],
		(ioas->n - i) * sizeof(ioas->area[0]));
	ioas->area[i] = a;
	ioas->n++;
}

/* Take out the areas [@from, @end): a chain, in ascending order. */
static struct area *table_remove(struct ioas *ioas, size_t from, size_t end)
	REQUIRES(&ioas->lock)
{
	struct area *chain = NULL;

	if (from == end)
		return NULL;
	for (size_t i = end; i-- > from;) {
		ioas->area[i]->next = chain;
		chain = ioas->area[i];
	}
	memmove(&ioas->area[from], &ioas->area[end],
		(ioas->n - end) * sizeof(ioas->area[0]));
	ioas->n -= end - from;
	return chain;
}

/* --- life --- */

int ioas_new(uint32_t max_areas, struct ioas **ret_ioas)
{
	struct ioas *ioas = calloc(1, sizeof(*ioas));

	if (!ioas)
		return -ENOMEM;
	ioas->refs = 1;
	ioas->max_areas = max_areas;
	rwlock_init(&ioas->lock, RANK_IOAS, "ioas");
	mutex_init(&ioas->idle_lock, RANK_LEAF, "ioas.idle");
	cond_init(&ioas->idle);
	*ret_ioas = ioas;
	return 0;
}

struct ioas *ioas_get(struct ioas *ioas)
{
	atomic_fetch_add(&ioas->refs, 1);
	return ioas;
}

static void NO_TSA ioas_free(struct ioas *ioas)
{
	/* nobody else is left, so no access is in flight either */
	for (size_t i = 0; i < ioas->n; i++)
		area_free(ioas->area[i]);
	free(ioas->area);
	cond_done(&ioas->idle);
	mutex_done(&ioas->idle_lock);
	rwlock_done(&ioas->lock);
	free(ioas);
}

struct ioas *ioas_put(struct ioas *ioas)
{
	if (ioas && atomic_fetch_sub(&ioas->refs, 1) == 1)
		ioas_free(ioas);
	return NULL;
}

/* --- map --- */

static bool range_wraps(uint64_t first, uint64_t size)
{
	return size - 1 > UINT64_MAX - first;
}

/* Steps 4 to 7: what does not depend on the table. */
static int check_map_args(uint64_t vaddr, uint64_t iova, uint64_t size,
			  uint32_t prot)
{
	if (!size)
		return refuse(EINVAL, "map: size is 0");
	if (range_wraps(iova, size) || range_wraps(vaddr, size))
		return refuse(EOVERFLOW,
			      "map: iova %#llx or vaddr %#llx plus size %#llx "
			      "wraps around 2^64",
			      (ull)iova, (ull)vaddr, (ull)size);
	if (!prot || prot & ~(IOAS_READ | IOAS_WRITE))
		return refuse(EINVAL,
			      "map: permission %#x; it must be read (1), write "
			      "(2) or both",
			      prot);
	if ((vaddr | iova | size) % IOAS_PAGE)
		return refuse(EINVAL,
			      "map: iova %#llx, vaddr %#llx and size %#llx "
			      "must be multiples of %#x",
			      (ull)iova, (ull)vaddr, (ull)size, IOAS_PAGE);
	return 0;
}

static int check_ranges(uint64_t iova, uint64_t last)
{
	for (size_t i = 0; i < ARRAY_SIZE(valid_ranges); i++)
		if (iova >= valid_ranges[i].first &&
		    last <= valid_ranges[i].last)
			return 0;
	return refuse(EINVAL,
		      "map: iova %#llx-%#llx is not within one of the valid "
		      "ranges 0-%#llx and %#llx-%#llx",
		      (ull)iova, (ull)last, (ull)valid_ranges[0].last,
		      (ull)valid_ranges[1].first, (ull)valid_ranges[1].last);
}

/* Steps 8 to 10; Linux looks for an overlap before anything else. */
static int check_map_locked(const struct ioas *ioas, uint64_t iova,
			    uint64_t size) REQUIRES_SHARED(&ioas->lock)
{
	uint64_t last = iova + size - 1;
	size_t i = table_find(ioas, iova);

	if (i < ioas->n && ioas->area[i]->first <= last)
		return refuse(EEXIST,
			      "map: iova %#llx-%#llx overlaps the mapping "
			      "%#llx-%#llx; unmap that first",
			      (ull)iova, (ull)last, (ull)ioas->area[i]->first,
			      (ull)ioas->area[i]->last);
	if (ioas->n >= ioas->max_areas)
		return refuse(ENOSPC,
			      "map: all %u mappings (dma_entry_limit) are in "
			      "use",
			      ioas->max_areas);
	return check_ranges(iova, last);
}

int ioas_check_map(struct ioas *ioas, uint64_t vaddr, uint64_t iova,
		   uint64_t size, uint32_t prot)
{
	int r = check_map_args(vaddr, iova, size, prot);

	if (r < 0)
		return r;
	rwlock_read(&ioas->lock);
	r = check_map_locked(ioas, iova, size);
	rwlock_unread(&ioas->lock);
	return r;
}

static int map_locked(struct ioas *ioas, struct area *a) REQUIRES(&ioas->lock)
{
	int r = check_map_locked(ioas, a->first, a->last - a->first + 1);

	if (r == 0)
		r = table_reserve(ioas);
	if (r == 0)
		table_insert(ioas, a);
	return r;
}

int ioas_map(struct ioas *ioas, uint64_t vaddr, uint64_t iova, uint64_t size,
	     uint32_t prot, const struct mem_seg *segs, size_t n_segs)
{
	int r = check_map_args(vaddr, iova, size, prot);

	if (r < 0)
		return r;

	struct area *a = area_new(vaddr, iova, size, prot, segs, n_segs);

	if (!a)
		return -ENOMEM;
	rwlock_write(&ioas->lock);
	r = map_locked(ioas, a);
	rwlock_unwrite(&ioas->lock);
	if (r < 0)
		free(a); /* the segments stay the caller's */
	return r;
}

/* --- unmap --- */

static int check_unmap(enum ioas_unmap_mode mode, uint64_t iova, uint64_t size,
		       uint64_t *ret_last)
{
	if (iova % IOAS_PAGE)
		return refuse(EINVAL,
			      "unmap: iova %#llx must be a multiple of %#x",
			      (ull)iova, IOAS_PAGE);
	if (mode == IOAS_UNMAP_ALL) {
		if (iova || size)
			return refuse(EINVAL,
				      "unmap all: iova %#llx and size %#llx "
				      "must be 0",
				      (ull)iova, (ull)size);
		*ret_last = UINT64_MAX;
		return 0;
	}
	if (!size || size % IOAS_PAGE)
		return refuse(EINVAL,
			      "unmap: size %#llx must be a multiple of %#x and "
			      "not 0",
			      (ull)size, IOAS_PAGE);
	if (range_wraps(iova, size))
		return refuse(EOVERFLOW,
			      "unmap: iova %#llx plus size %#llx wraps around "
			      "2^64",
			      (ull)iova, (ull)size);
	*ret_last = iova + size - 1;
	return 0;
}

/* v2: no mapping may lie half inside. [@from, @end) are those that touch. */
static int check_bisect(const struct ioas *ioas, size_t from, size_t end,
			uint64_t iova, uint64_t last)
	REQUIRES_SHARED(&ioas->lock)
{
	if (from == end)
		return 0;

	const struct area *head = ioas->area[from];
	const struct area *tail = ioas->area[end - 1];

	if (head->first >= iova && tail->last <= last)
		return 0;

	const struct area *bad = head->first < iova ? head : tail;

	return refuse(EINVAL,
		      "unmap: iova %#llx-%#llx cuts through the mapping "
		      "%#llx-%#llx; mappings go as they were made",
		      (ull)iova, (ull)last, (ull)bad->first, (ull)bad->last);
}

static int unmap_locked(struct ioas *ioas, enum ioas_unmap_mode mode,
			uint64_t iova, uint64_t last, struct area **ret_chain)
	REQUIRES(&ioas->lock)
{
	size_t from = table_find(ioas, iova);
	size_t end = table_find(ioas, last);
	int r = 0;

	/* the one that contains @last, if any, goes as well */
	if (end < ioas->n && ioas->area[end]->first <= last)
		end++;
	if (mode == IOAS_UNMAP_V2)
		r = check_bisect(ioas, from, end, iova, last);
	else if (from < end && ioas->area[from]->first < iova)
		end = from; /* v1 stops at a cut, and calls that success */
	if (r == 0)
		*ret_chain = table_remove(ioas, from, end);
	return r;
}

/* Nobody finds the area any more; hurry those that did. */
static void area_revoke(struct area *a)
{
	sched_point("revoke");
	if (atomic_fetch_or(&a->users, AREA_REMOVED) == 0)
		return;
	atomic_store(&a->revoked, true);
	sched_point("nudge");
	for (size_t i = 0; i < a->n_segs; i++)
		mem_nudge(a->seg[i].seg.mem);
}

static void area_wait_idle(struct ioas *ioas, struct area *a)
{
	sched_point("idle?");
	if (atomic_load(&a->users) == AREA_REMOVED)
		return;
	mutex_lock(&ioas->idle_lock);
	while (atomic_load(&a->users) != AREA_REMOVED)
		cond_wait(&ioas->idle, &ioas->idle_lock);
	mutex_unlock(&ioas->idle_lock);
}

int ioas_unmap(struct ioas *ioas, enum ioas_unmap_mode mode, uint64_t iova,
	       uint64_t size, uint64_t *ret_unmapped)
{
	struct area *chain = NULL, *a;
	uint64_t last = 0, unmapped = 0;
	int r = check_unmap(mode, iova, size, &last);

	if (r < 0)
		return r;
	rwlock_write(&ioas->lock);
	r = unmap_locked(ioas, mode, iova, last, &chain);
	rwlock_unwrite(&ioas->lock);
	if (r < 0)
		return r;

	for (a = chain; a; a = a->next)
		area_revoke(a); /* all of them before waiting for the first */
	while ((a = chain)) {
		chain = a->next;
		area_wait_idle(ioas, a);
		unmapped += a->last - a->first + 1;
		area_free(a);
	}
	*ret_unmapped = unmapped;
	return 0;
}

/* --- DMA --- */

/*
 * Find the areas behind [@iova, @last], check all of them, and count in.
 * Return: 0; -EFAULT; -E2BIG @list is too short, @ret_n would do for now.
 */
static int pin_locked(struct ioas *ioas, uint64_t iova, uint64_t last,
		      uint32_t prot, struct area **list, size_t cap,
		      size_t *ret_n) REQUIRES_SHARED(&ioas->lock)
{
	size_t from = table_find(ioas, iova), i = from;

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
			size_t i = table_find(w->ioas, d->iova);

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
	for (size_t i = table_find(ioas, iova); len; i++) {
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

/* --- listings --- */

uint64_t ioas_mapped(struct ioas *ioas)
{
	uint64_t bytes = 0;

	rwlock_read(&ioas->lock);
	for (size_t i = 0; i < ioas->n; i++)
		bytes += ioas->area[i]->last - ioas->area[i]->first + 1;
	rwlock_unread(&ioas->lock);
	return bytes;
}

static uint64_t area_pinned(const struct area *a)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < a->n_segs; i++)
		if (mem_is_pinned(a->seg[i].seg.mem))
			bytes += a->seg[i].seg.len;
	return bytes;
}

uint64_t ioas_pinned(struct ioas *ioas)
{
	uint64_t bytes = 0;

	rwlock_read(&ioas->lock);
	for (size_t i = 0; i < ioas->n; i++)
		bytes += area_pinned(ioas->area[i]);
	rwlock_unread(&ioas->lock);
	return bytes;
}

uint32_t ioas_avail(struct ioas *ioas)
{
	rwlock_read(&ioas->lock);
	uint32_t avail = ioas->max_areas - (uint32_t)ioas->n;

	rwlock_unread(&ioas->lock);
	return avail;
}

const struct iova_range *ioas_ranges(const struct ioas *ioas, size_t *ret_n)
{
	*ret_n = ARRAY_SIZE(valid_ranges);
	return valid_ranges;
}

size_t ioas_list(struct ioas *ioas, struct ioas_entry *entries, size_t max)
{
	size_t n;

	rwlock_read(&ioas->lock);
	for (n = 0; n < ioas->n && n < max; n++) {
		const struct area *a = ioas->area[n];

		entries[n] = (struct ioas_entry){
			.iova = a->first,
			.size = a->last - a->first + 1,
			.vaddr = a->vaddr,
			.prot = a->prot,
		};
	}
	rwlock_unread(&ioas->lock);
	return n;
}

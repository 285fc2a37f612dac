/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of an I/O address space, and type1's rules for it: map, unmap.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/dma/ioas_impl.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"
#include "lib/sched.h"

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

static void area_free(struct ioas *ioas, struct area *a)
{
	for (size_t i = 0; i < a->n_segs; i++)
		mem_put(a->seg[i].seg.mem);
	share_less(&ioas->share, a->n_segs);
	free(a);
}

/* --- the table --- */

size_t ioas_find(const struct ioas *ioas, uint64_t iova)
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
	size_t i = ioas_find(ioas, a->first);

	memmove(&ioas->area[i + 1], &ioas->area[i],
		(ioas->n - i) * sizeof(ioas->area[0]));
	ioas->area[i] = a;
	ioas->n++;
	ioas->changes++;
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
	ioas->changes++;
	return chain;
}

/* --- life --- */

int NO_TSA ioas_new(pid_t pid, uint32_t max_areas, struct ioas **ret_ioas)
{
	struct ioas *ioas = calloc(1, sizeof(*ioas));

	if (!ioas)
		return -ENOMEM;
	ioas->refs = 1;
	ioas->pid = pid;
	ioas->max_areas = max_areas;
	ioas->changes = 1;
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
		area_free(ioas, ioas->area[i]);
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
	size_t i = ioas_find(ioas, iova);

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

/* On error the segments stay the caller's. */
static int map_area(struct ioas *ioas, struct area *a)
{
	int r = share_take(&ioas->share, SHARE_SEGMENTS, ioas->pid, a->n_segs);

	if (r < 0)
		return r;
	rwlock_write(&ioas->lock);
	r = map_locked(ioas, a);
	rwlock_unwrite(&ioas->lock);
	if (r < 0)
		share_less(&ioas->share, a->n_segs);
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
	r = map_area(ioas, a);
	if (r < 0)
		free(a);
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

/* Those with a page in [@iova, @last], which contains one of them or not. */
static void find_touched(const struct ioas *ioas, uint64_t iova, uint64_t last,
			 size_t *ret_from, size_t *ret_end)
	REQUIRES_SHARED(&ioas->lock)
{
	size_t end = ioas_find(ioas, last);

	if (end < ioas->n && ioas->area[end]->first <= last)
		end++;
	*ret_from = ioas_find(ioas, iova);
	*ret_end = end;
}

static int unmap_locked(struct ioas *ioas, enum ioas_unmap_mode mode,
			uint64_t iova, uint64_t last, struct area **ret_chain)
	REQUIRES(&ioas->lock)
{
	size_t from, end;
	int r = 0;

	find_touched(ioas, iova, last, &from, &end);
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

/* What was taken out of the table: frees it. Return: its bytes */
static uint64_t chain_drop(struct ioas *ioas, struct area *chain)
{
	uint64_t unmapped = 0;
	struct area *a;

	for (a = chain; a; a = a->next)
		area_revoke(a); /* all of them before waiting for the first */
	while ((a = chain)) {
		chain = a->next;
		area_wait_idle(ioas, a);
		unmapped += a->last - a->first + 1;
		area_free(ioas, a);
	}
	return unmapped;
}

int ioas_unmap(struct ioas *ioas, enum ioas_unmap_mode mode, uint64_t iova,
	       uint64_t size, uint64_t *ret_unmapped)
{
	struct area *chain = NULL;
	uint64_t last = 0;
	int r = check_unmap(mode, iova, size, &last);

	if (r < 0)
		return r;
	rwlock_write(&ioas->lock);
	r = unmap_locked(ioas, mode, iova, last, &chain);
	rwlock_unwrite(&ioas->lock);
	if (r < 0)
		return r;
	*ret_unmapped = chain_drop(ioas, chain);
	return 0;
}

/* --- dirty pages --- */

void ioas_track(struct ioas *ioas, bool on)
{
	rwlock_write(&ioas->lock);
	ioas->tracking = on;
	ioas->changes++;
	rwlock_unwrite(&ioas->lock);
}

static int dirty_locked(const struct ioas *ioas, uint64_t iova, uint64_t last,
			struct ioas_dirty *d, struct iova_range *ranges,
			size_t max, size_t *ret_n) REQUIRES_SHARED(&ioas->lock)
{
	size_t from, end, n = 0;

	if (!ioas->tracking)
		return refuse(EINVAL, "dirty pages: tracking is off; start it "
				      "by VFIO_IOMMU_DIRTY_PAGES");

	find_touched(ioas, iova, last, &from, &end);

	int r = check_bisect(ioas, from, end, iova, last);

	if (r < 0)
		return r;
	if (d->changes != ioas->changes || d->done > end - from)
		*d = (struct ioas_dirty){.changes = ioas->changes};
	for (from += d->done; from < end && n < max; from++, n++)
		ranges[n] = (struct iova_range){ioas->area[from]->first,
						ioas->area[from]->last};
	*ret_n = n;
	return 0;
}

int ioas_dirty(struct ioas *ioas, uint64_t iova, uint64_t size,
	       struct ioas_dirty *d, struct iova_range *ranges, size_t max,
	       size_t *ret_n)
{
	uint64_t last = 0;
	int r = check_unmap(IOAS_UNMAP_V2, iova, size, &last);

	if (r < 0)
		return r;
	rwlock_read(&ioas->lock);
	r = dirty_locked(ioas, iova, last, d, ranges, max, ret_n);
	rwlock_unread(&ioas->lock);
	return r;
}

int ioas_unmap_dirty(struct ioas *ioas, uint64_t iova,
		     const struct ioas_dirty *d, uint64_t *ret_unmapped)
{
	struct area *chain = NULL;
	int r = -EAGAIN;

	rwlock_write(&ioas->lock);
	if (ioas->changes == d->changes) {
		size_t from = ioas_find(ioas, iova);

		chain = table_remove(ioas, from, from + d->done);
		r = 0;
	}
	rwlock_unwrite(&ioas->lock);
	*ret_unmapped = chain_drop(ioas, chain);
	return r;
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

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * Every change of the table is asked for under type1->lock, and made under it,
 * so what was checked still holds. Waiting for DMA in flight comes behind: what
 * is taken out can be mapped anew meanwhile.
 *
 * Nobody tracks what devices write, so all that is mapped is dirty. What is told
 * of it is told by and by; `changes` shows whether it is still so.
 */
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/dma/domain.h"
#include "core/vfio/type1.h"
#include "lib/cleanup.h"
#include "lib/lock.h"
#include "lib/refuse.h"

/* linux/vfio.h: extensions; SET_IOMMU may be called with all but DMA_CC */
#define TYPE1	  1
#define TYPE1V2	  3
#define DMA_CC	  4
#define UNMAP_ALL 9

#define USER_END   0x7ffffffff000ull /* of a program's address space */
#define WORD_BYTES 8u
#define WORD_BITS  (WORD_BYTES * CHAR_BIT)

typedef unsigned long long ull;

struct type1 {
	_Atomic unsigned int refs;
	pid_t pid;	       /* immutable */
	bool v2;	       /* immutable */
	uint32_t max;	       /* immutable */
	struct domain *domain; /* immutable; one reference, one attachment */
	struct iopt *iopt;     /* of it; changed by us alone, under the lock */
	struct iova_range valid[TYPE1_RANGES_MAX]; /* immutable */
	size_t n_valid;				   /* immutable */

	struct mutex lock;
	uint32_t n GUARDED_BY(&lock);	    /* mappings */
	uint64_t changes GUARDED_BY(&lock); /* of them, so far; > 0 */
	bool tracking GUARDED_BY(&lock);
};

/* --- life --- */

/*
 * Linux offers the value to every driver that answers CHECK_EXTENSION for it;
 * type1 answers for UNMAP_ALL too, and then finds that it is no type.
 */
static int parse_type(uint64_t type, bool *ret_v2)
{
	switch (type) {
	case TYPE1:
	case TYPE1V2:
		*ret_v2 = type == TYPE1V2;
		return 0;
	case UNMAP_ALL:
		return refuse(EINVAL, "SET_IOMMU: 9 is an extension, not a "
				      "type; use 1 or 3");
	default:
		return refuse(ENODEV,
			      "SET_IOMMU: no IOMMU of type %llu; use 1 "
			      "(type1) or 3 (type1v2)",
			      (ull)type);
	}
}

static int new_domain(struct domain **ret_domain)
{
	struct iopt *iopt;
	int r = iopt_new(&iopt);

	if (r < 0)
		return r;
	r = domain_new(iopt, TYPE1_PAGE, ret_domain);
	iopt_put(iopt);
	return r;
}

/* The groups of the container, as one: they come and go with this IOMMU. */
static int attach_groups(struct type1 *t)
{
	static const struct iova_range reserved[] = {
		{TYPE1_MSI_FIRST, TYPE1_MSI_LAST},
		{1ull << TYPE1_APERTURE, UINT64_MAX},
	};
	struct domain *d;
	int r = new_domain(&d);

	if (r < 0)
		return r;
	r = domain_attach(d, t, reserved, ARRAY_SIZE(reserved));
	if (r < 0) {
		domain_put(d);
		return r;
	}
	t->domain = d;
	t->iopt = domain_iopt(d);
	t->n_valid = iopt_usable(t->iopt, t->valid, TYPE1_RANGES_MAX);
	return 0;
}

int NO_TSA type1_new(pid_t pid, uint64_t type, uint32_t max,
		     struct type1 **ret_type1)
{
	bool v2 = false;
	int r = parse_type(type, &v2);

	if (r < 0)
		return r;

	struct type1 *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->refs = 1;
	t->pid = pid;
	t->v2 = v2;
	t->max = max;
	t->changes = 1;
	mutex_init(&t->lock, RANK_TYPE1, "type1");
	r = attach_groups(t);
	if (r < 0)
		type1_put(t);
	else
		*ret_type1 = t;
	return r;
}

struct type1 *type1_get(struct type1 *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

struct type1 *type1_put(struct type1 *t)
{
	if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
		return NULL;
	if (t->domain)
		domain_detach(t->domain, t);
	domain_put(t->domain);
	mutex_done(&t->lock);
	free(t);
	return NULL;
}

bool type1_has_extension(const struct type1 *t, uint64_t extension)
{
	switch (extension) {
	case TYPE1:
	case TYPE1V2:
	case UNMAP_ALL:
		return true;
	case DMA_CC:
		return t != NULL;
	default:
		return false;
	}
}

struct domain *type1_domain(const struct type1 *t)
{
	return t->domain;
}

const char *type1_name(const struct type1 *t)
{
	return t->v2 ? "type1v2" : "type1";
}

pid_t type1_pid(const struct type1 *t)
{
	return t->pid;
}

/* --- map --- */

/* Steps 4 to 7: what does not depend on the table. */
static int check_map_args(const struct type1_map *map)
{
	uint64_t vaddr = map->vaddr, iova = map->iova, size = map->size;

	if (!size)
		return refuse(EINVAL, "map: size is 0");
	if (range_wraps(iova, size) || range_wraps(vaddr, size))
		return refuse(EOVERFLOW,
			      "map: iova %#llx or vaddr %#llx plus size %#llx "
			      "wraps around 2^64",
			      (ull)iova, (ull)vaddr, (ull)size);
	if (!map->prot || map->prot & ~(IOPT_READ | IOPT_WRITE))
		return refuse(EINVAL,
			      "map: permission %#x; it must be read (1), write "
			      "(2) or both",
			      map->prot);
	if ((vaddr | iova | size) % TYPE1_PAGE)
		return refuse(EINVAL,
			      "map: iova %#llx, vaddr %#llx and size %#llx "
			      "must be multiples of %#x",
			      (ull)iova, (ull)vaddr, (ull)size, TYPE1_PAGE);
	return 0;
}

static int check_ranges(const struct type1 *t, struct iova_range range)
{
	const struct iova_range *valid = t->valid;

	for (size_t i = 0; i < t->n_valid; i++)
		if (range.first >= valid[i].first &&
		    range.last <= valid[i].last)
			return 0;
	return refuse(EINVAL,
		      "map: iova %#llx-%#llx is not within one of the valid "
		      "ranges %#llx-%#llx and %#llx-%#llx",
		      (ull)range.first, (ull)range.last, (ull)valid[0].first,
		      (ull)valid[0].last, (ull)valid[1].first,
		      (ull)valid[1].last);
}

/* Steps 8 to 10; Linux looks for an overlap before anything else. */
static int check_map_locked(struct type1 *t, const struct type1_map *map)
	REQUIRES(&t->lock)
{
	struct iova_range range = {map->iova, map->iova + map->size - 1};
	struct iova_range head, tail;

	if (iopt_span(t->iopt, range.first, range.last, &head, &tail))
		return refuse(EEXIST,
			      "map: iova %#llx-%#llx overlaps the mapping "
			      "%#llx-%#llx; unmap that first",
			      (ull)range.first, (ull)range.last,
			      (ull)head.first, (ull)head.last);
	if (t->n >= t->max)
		return refuse(ENOSPC,
			      "map: all %u mappings (dma_entry_limit) are in "
			      "use",
			      t->max);
	return check_ranges(t, range);
}

int type1_check_map(struct type1 *t, const struct type1_map *map)
{
	int r = check_map_args(map);

	if (r < 0)
		return r;
	mutex_lock(&t->lock);
	r = check_map_locked(t, map);
	mutex_unlock(&t->lock);
	return r;
}

static int map_locked(struct type1 *t, const struct type1_map *map,
		      struct pages *pages) REQUIRES(&t->lock)
{
	int r = -ENOSPC;

	if (t->n < t->max)
		r = iopt_insert(t->iopt, map->iova, map->size, map->prot, pages,
				0);
	if (r < 0) { /* which Linux would have found first, and why */
		int why = r == -ENOMEM ? r : check_map_locked(t, map);

		return why < 0 ? why : r;
	}
	t->n++;
	t->changes++;
	return 0;
}

int type1_map(struct type1 *t, const struct type1_map *map, struct pages *pages)
{
	int r = check_map_args(map);

	if (r < 0)
		return r;
	mutex_lock(&t->lock);
	r = map_locked(t, map, pages);
	mutex_unlock(&t->lock);
	return r;
}

/* --- unmap --- */

static int check_unmap_all(uint64_t iova, uint64_t size)
{
	if (!iova && !size)
		return 0;
	return refuse(EINVAL, "unmap all: iova %#llx and size %#llx must be 0",
		      (ull)iova, (ull)size);
}

static int check_unmap(bool all, uint64_t iova, uint64_t size)
{
	if (iova % TYPE1_PAGE)
		return refuse(EINVAL,
			      "unmap: iova %#llx must be a multiple of %#x",
			      (ull)iova, TYPE1_PAGE);
	if (all)
		return check_unmap_all(iova, size);
	if (!size || size % TYPE1_PAGE)
		return refuse(EINVAL,
			      "unmap: size %#llx must be a multiple of %#x and "
			      "not 0",
			      (ull)size, TYPE1_PAGE);
	if (range_wraps(iova, size))
		return refuse(EOVERFLOW,
			      "unmap: iova %#llx plus size %#llx wraps around "
			      "2^64",
			      (ull)iova, (ull)size);
	return 0;
}

/* Version 2: no mapping may lie half inside. @ret_n: how many are inside. */
static int check_bisect(struct type1 *t, struct iova_range range, size_t *ret_n)
{
	struct iova_range head, tail;

	*ret_n = iopt_span(t->iopt, range.first, range.last, &head, &tail);
	if (!*ret_n || (head.first >= range.first && tail.last <= range.last))
		return 0;

	struct iova_range bad = head.first < range.first ? head : tail;

	return refuse(EINVAL,
		      "unmap: iova %#llx-%#llx cuts through the mapping "
		      "%#llx-%#llx; mappings go as they were made",
		      (ull)range.first, (ull)range.last, (ull)bad.first,
		      (ull)bad.last);
}

/* Version 1 stops at a cut, and calls that success. */
static bool begins_with_a_cut(struct type1 *t, struct iova_range range)
{
	struct iova_range head, tail;

	return iopt_span(t->iopt, range.first, range.last, &head, &tail) &&
	       head.first < range.first;
}

static void remove_locked(struct type1 *t, struct iova_range range,
			  struct iopt_removed *ret_removed) REQUIRES(&t->lock)
{
	iopt_remove(t->iopt, range.first, range.last, ret_removed);
	if (!ret_removed->n)
		return;
	t->n -= (uint32_t)ret_removed->n;
	t->changes++;
}

static int unmap_locked(struct type1 *t, bool all, struct iova_range range,
			struct iopt_removed *ret_removed) REQUIRES(&t->lock)
{
	if (!all && t->v2) {
		size_t n;
		int r = check_bisect(t, range, &n);

		if (r < 0)
			return r;
	} else if (!all && begins_with_a_cut(t, range)) {
		return 0;
	}
	remove_locked(t, range, ret_removed);
	return 0;
}

int type1_unmap(struct type1 *t, bool all, uint64_t iova, uint64_t size,
		uint64_t *ret_unmapped)
{
	struct iopt_removed removed = {0};
	int r = check_unmap(all, iova, size);

	if (r < 0)
		return r;

	struct iova_range range = {iova, all ? UINT64_MAX : iova + size - 1};

	mutex_lock(&t->lock);
	r = unmap_locked(t, all, range, &removed);
	mutex_unlock(&t->lock);
	if (r == 0)
		*ret_unmapped = iopt_drop(t->iopt, &removed);
	return r;
}

/* --- dirty pages --- */

int type1_check_dirty_pages(const struct type1 *t)
{
	if (t->v2)
		return 0;
	return refuse(EACCES, "DIRTY_PAGES: not of the first version of type1; "
			      "SET_IOMMU 3 is the second");
}

void type1_track(struct type1 *t, bool on)
{
	mutex_lock(&t->lock);
	t->tracking = on;
	t->changes++;
	mutex_unlock(&t->lock);
}

int type1_check_bitmap(const struct type1_bitmap *b, uint64_t size)
{
	if (b->size > USER_END || b->data > USER_END - b->size)
		return refuse(EINVAL,
			      "dirty bitmap: %llu bytes at %#llx are not a "
			      "program's",
			      (ull)b->size, (ull)b->data);
	if (b->pgsize != TYPE1_PAGE)
		return refuse(EINVAL,
			      "dirty bitmap: a page of %llu bytes; it must be "
			      "%u, the smallest the IOMMU has",
			      (ull)b->pgsize, TYPE1_PAGE);

	uint64_t pages = size / TYPE1_PAGE;
	uint64_t words = pages / WORD_BITS + (pages % WORD_BITS != 0);

	if (!pages || b->size > TYPE1_BITMAP_MAX ||
	    b->size < words * WORD_BYTES)
		return refuse(EINVAL,
			      "dirty bitmap: %llu bytes for %llu pages; it "
			      "takes %llu, and at most %llu are allowed",
			      (ull)b->size, (ull)pages,
			      (ull)(words * WORD_BYTES), (ull)TYPE1_BITMAP_MAX);
	return 0;
}

struct found {
	struct iova_range *ranges;
	size_t n;
	size_t max;
};

static bool note_range(void *opaque, const struct iopt_area *area)
{
	struct found *f = opaque;

	f->ranges[f->n++] = area->range;
	return f->n < f->max;
}

static int dirty_locked(struct type1 *t, struct type1_dirty *d,
			struct found *found) REQUIRES(&t->lock)
{
	struct iova_range range = {d->iova, d->iova + d->size - 1};

	if (!t->tracking)
		return refuse(EINVAL, "dirty pages: tracking is off; start it "
				      "by VFIO_IOMMU_DIRTY_PAGES");

	size_t touched;
	int r = check_bisect(t, range, &touched);

	if (r < 0)
		return r;
	if (d->changes != t->changes || d->done > touched) {
		d->changes = t->changes;
		d->done = 0;
	}
	iopt_for_each(t->iopt, range, d->done, note_range, found);
	return 0;
}

int type1_dirty(struct type1 *t, struct type1_dirty *d,
		struct iova_range *ranges, size_t max, size_t *ret_n)
{
	struct found found = {.ranges = ranges, .max = max};
	int r = check_unmap(false, d->iova, d->size);

	if (r < 0)
		return r;
	mutex_lock(&t->lock);
	r = dirty_locked(t, d, &found);
	mutex_unlock(&t->lock);
	*ret_n = found.n;
	return r;
}

static void remove_done_locked(struct type1 *t, const struct type1_dirty *d,
			       struct iopt_removed *ret_removed)
	REQUIRES(&t->lock)
{
	struct iova_range all = {d->iova, d->iova + d->size - 1}, last;
	struct found found = {.ranges = &last, .max = 1};

	if (d->done)
		iopt_for_each(t->iopt, all, d->done - 1, note_range, &found);
	if (found.n)
		remove_locked(t, (struct iova_range){d->iova, last.last},
			      ret_removed);
}

int type1_unmap_dirty(struct type1 *t, const struct type1_dirty *d,
		      uint64_t *ret_unmapped)
{
	struct iopt_removed removed = {0};
	int r = -EAGAIN;

	mutex_lock(&t->lock);
	if (t->changes == d->changes) {
		remove_done_locked(t, d, &removed);
		r = 0;
	}
	mutex_unlock(&t->lock);
	*ret_unmapped = iopt_drop(t->iopt, &removed);
	return r;
}

/* --- how much --- */

uint32_t type1_mappings(struct type1 *t)
{
	mutex_lock(&t->lock);
	uint32_t n = t->n;

	mutex_unlock(&t->lock);
	return n;
}

uint32_t type1_avail(struct type1 *t)
{
	return t->max - type1_mappings(t);
}

static bool add_mapped(void *opaque, const struct iopt_area *area)
{
	*(uint64_t *)opaque += area->range.last - area->range.first + 1;
	return true;
}

uint64_t type1_mapped(struct type1 *t)
{
	uint64_t bytes = 0;

	iopt_for_each(t->iopt, IOPT_ALL, 0, add_mapped, &bytes);
	return bytes;
}

static bool add_pinned(void *opaque, const struct iopt_area *area)
{
	*(uint64_t *)opaque +=
		pages_pinned(area->pages, area->from,
			     area->range.last - area->range.first + 1);
	return true;
}

uint64_t type1_pinned(struct type1 *t)
{
	uint64_t bytes = 0;

	iopt_for_each(t->iopt, IOPT_ALL, 0, add_pinned, &bytes);
	return bytes;
}

const struct iova_range *type1_ranges(const struct type1 *t, size_t *ret_n)
{
	*ret_n = t->n_valid;
	return t->valid;
}

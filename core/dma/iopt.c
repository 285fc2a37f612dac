/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of an I/O address space: core/dma/iopt.h. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/dma/iopt_impl.h"
#include "lib/cleanup.h"
#include "lib/sched.h"

/* --- areas --- */

static struct area *area_new(uint64_t iova, uint64_t len, uint32_t prot,
			     struct pages *pages, uint64_t from)
{
	struct area *a = calloc(1, sizeof(*a));

	assert(from <= pages->len && len <= pages->len - from);
	if (!a)
		return NULL;
	a->first = iova;
	a->last = iova + len - 1;
	a->prot = prot;
	a->pages = pages_get(pages);
	a->from = from;
	return a;
}

static void area_free(struct area *a)
{
	if (!a)
		return;
	pages_put(a->pages);
	free(a);
}

static struct iopt_area area_seen(const struct area *a)
{
	return (struct iopt_area){
		.range = {a->first, a->last},
		.prot = a->prot,
		.addr = a->pages->addr + a->from,
		.pages = a->pages,
		.from = a->from,
	};
}

/* --- the table --- */

size_t area_index(const struct iopt *iopt, uint64_t iova)
{
	size_t low = 0, high = iopt->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (iopt->area[mid]->last < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The areas [*@ret_from, *@ret_end) have a byte in [@first, @last]. */
static void find_touched(const struct iopt *iopt, uint64_t first, uint64_t last,
			 size_t *ret_from, size_t *ret_end)
	REQUIRES_SHARED(&iopt->lock)
{
	size_t from = area_index(iopt, first), end = from;

	/* mostly none or one, which takes no second search */
	if (from < iopt->n && iopt->area[from]->last < last)
		end = area_index(iopt, last);
	if (end < iopt->n && iopt->area[end]->first <= last)
		end++;
	*ret_from = from;
	*ret_end = end;
}

static int table_make_room(struct iopt *iopt) REQUIRES(&iopt->lock)
{
	size_t cap = iopt->cap ? 2 * iopt->cap : 16;

	if (iopt->n < iopt->cap)
		return 0;

	struct area **area = realloc(iopt->area, cap * sizeof(*area));

	if (!area)
		return -ENOMEM;
	iopt->area = area;
	iopt->cap = cap;
	return 0;
}

/* As the area at index @i. */
static void table_insert(struct iopt *iopt, size_t i, struct area *a)
	REQUIRES(&iopt->lock)
{
	memmove(&iopt->area[i + 1], &iopt->area[i],
		(iopt->n - i) * sizeof(iopt->area[0]));
	iopt->area[i] = a;
	iopt->n++;
}

/* Take out the areas [@from, @end): a chain, in ascending order. */
static struct area *table_remove(struct iopt *iopt, size_t from, size_t end)
	REQUIRES(&iopt->lock)
{
	struct area *chain = NULL;

	for (size_t i = end; i-- > from;) {
		iopt->area[i]->next = chain;
		chain = iopt->area[i];
	}
	memmove(&iopt->area[from], &iopt->area[end],
		(iopt->n - end) * sizeof(iopt->area[0]));
	iopt->n -= end - from;
	return chain;
}

/* --- life --- */

int NO_TSA iopt_new(struct iopt **ret_iopt)
{
	struct iopt *iopt = calloc(1, sizeof(*iopt));

	if (!iopt)
		return -ENOMEM;
	iopt->refs = 1;
	iopt->align = 1;
	LIST_INIT(&iopt->demands);
	LIST_INIT(&iopt->listeners);
	rwlock_init(&iopt->lock, RANK_IOPT, "iopt");
	mutex_init(&iopt->idle_lock, RANK_LEAF, "iopt.idle");
	cond_init(&iopt->idle);
	*ret_iopt = iopt;
	return 0;
}

struct iopt *iopt_get(struct iopt *iopt)
{
	atomic_fetch_add(&iopt->refs, 1);
	return iopt;
}

static void NO_TSA iopt_free(struct iopt *iopt)
{
	/* nobody else is left, so no access is in flight either */
	for (size_t i = 0; i < iopt->n; i++)
		area_free(iopt->area[i]);
	free(iopt->area);
	free(iopt->reserved);
	free(iopt->allowed);
	cond_done(&iopt->idle);
	mutex_done(&iopt->idle_lock);
	rwlock_done(&iopt->lock);
	free(iopt);
}

struct iopt *iopt_put(struct iopt *iopt)
{
	if (iopt && atomic_fetch_sub(&iopt->refs, 1) == 1)
		iopt_free(iopt);
	return NULL;
}

/* --- what is usable --- */

static bool overlap(struct iova_range a, struct iova_range b)
{
	return a.first <= b.last && b.first <= a.last;
}

static bool is_reserved(const struct iopt *iopt, struct iova_range range)
	REQUIRES_SHARED(&iopt->lock)
{
	for (size_t i = 0; i < iopt->n_reserved; i++)
		if (overlap(iopt->reserved[i].range, range))
			return true;
	return false;
}

static bool is_allowed(const struct iopt *iopt, struct iova_range range)
	REQUIRES_SHARED(&iopt->lock)
{
	for (size_t i = 0; i < iopt->n_allowed; i++)
		if (overlap(iopt->allowed[i], range))
			return true;
	return false;
}

static bool is_used(const struct iopt *iopt, struct iova_range range)
	REQUIRES_SHARED(&iopt->lock)
{
	size_t from, end;

	find_touched(iopt, range.first, range.last, &from, &end);
	return from < end;
}

/* Does an area begin or end within a page of @align? */
static bool is_finer(const struct iopt *iopt, uint64_t align)
	REQUIRES_SHARED(&iopt->lock)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < iopt->n; i++)
		bits |= iopt->area[i]->first | (iopt->area[i]->last + 1);
	return bits & (align - 1);
}

int iopt_demand(struct iopt *iopt, struct iopt_demand *d)
{
	int r = 0;

	rwlock_write(&iopt->lock);
	if (is_finer(iopt, d->align)) {
		r = -EADDRINUSE;
	} else {
		LIST_INSERT_HEAD(&iopt->demands, d, link);
		if (iopt->align < d->align)
			iopt->align = d->align;
	}
	rwlock_unwrite(&iopt->lock);
	return r;
}

void iopt_undemand(struct iopt *iopt, struct iopt_demand *d)
{
	rwlock_write(&iopt->lock);
	LIST_REMOVE(d, link);
	iopt->align = 1;
	LIST_FOREACH (d, &iopt->demands, link)
		if (iopt->align < d->align)
			iopt->align = d->align;
	rwlock_unwrite(&iopt->lock);
}

static int reserve(struct iopt *iopt, struct iova_range range,
		   const void *owner) REQUIRES(&iopt->lock)
{
	size_t i = iopt->n_reserved;

	if (is_used(iopt, range) || is_allowed(iopt, range))
		return -EADDRINUSE;

	struct reserved *r =
		realloc(iopt->reserved, (i + 1) * sizeof(iopt->reserved[0]));

	if (!r)
		return -ENOMEM;
	iopt->reserved = r;
	iopt->n_reserved++;
	for (; i && r[i - 1].range.first > range.first; i--)
		r[i] = r[i - 1];
	r[i] = (struct reserved){range, owner};
	return 0;
}

int iopt_reserve(struct iopt *iopt, uint64_t first, uint64_t last,
		 const void *owner)
{
	rwlock_write(&iopt->lock);
	int r = reserve(iopt, (struct iova_range){first, last}, owner);

	rwlock_unwrite(&iopt->lock);
	return r;
}

void iopt_unreserve(struct iopt *iopt, const void *owner)
{
	size_t left = 0;

	rwlock_write(&iopt->lock);
	for (size_t i = 0; i < iopt->n_reserved; i++)
		if (iopt->reserved[i].owner != owner)
			iopt->reserved[left++] = iopt->reserved[i];
	iopt->n_reserved = left;
	rwlock_unwrite(&iopt->lock);
}

/* Consumes @ranges on success. */
static int allow(struct iopt *iopt, struct iova_range *ranges, size_t n)
	REQUIRES(&iopt->lock)
{
	for (size_t i = 0; i < n; i++)
		if (is_reserved(iopt, ranges[i]))
			return -EADDRINUSE;
	free(iopt->allowed);
	iopt->allowed = ranges;
	iopt->n_allowed = n;
	return 0;
}

int iopt_allow(struct iopt *iopt, const struct iova_range *ranges, size_t n)
{
	struct iova_range *copy = n ? malloc(n * sizeof(*copy)) : NULL;

	if (n && !copy)
		return -ENOMEM;
	if (n)
		memcpy(copy, ranges, n * sizeof(*copy));
	rwlock_write(&iopt->lock);
	int r = allow(iopt, copy, n);

	rwlock_unwrite(&iopt->lock);
	if (r < 0)
		free(copy);
	return r;
}

size_t iopt_usable(struct iopt *iopt, struct iova_range *ranges, size_t max)
{
	uint64_t next = 0;
	size_t n = 0;
	bool end = false; /* of 2^64 */

	rwlock_read(&iopt->lock);
	for (size_t i = 0; i < iopt->n_reserved && !end; i++) {
		struct iova_range r = iopt->reserved[i].range;

		if (r.first > next && n++ < max)
			ranges[n - 1] = (struct iova_range){next, r.first - 1};
		end = r.last == UINT64_MAX;
		next = r.last + 1 > next ? r.last + 1 : next;
	}
	rwlock_unread(&iopt->lock);
	if (!end && n++ < max)
		ranges[n - 1] = (struct iova_range){next, UINT64_MAX};
	return n;
}

/* --- in --- */

/* Return: as iopt_insert(), but -EAGAIN if its memory has to be known first. */
static int insert(struct iopt *iopt, struct area *a) REQUIRES(&iopt->lock)
{
	struct iova_range range = {a->first, a->last};
	size_t at, end;

	if ((a->first | (a->last + 1)) & (iopt->align - 1))
		return -EINVAL;
	if (is_reserved(iopt, range))
		return -EINVAL;
	find_touched(iopt, a->first, a->last, &at, &end);
	if (at < end)
		return -EEXIST;
	if (!LIST_EMPTY(&iopt->demands) && !pages_list(a->pages))
		return -EAGAIN;

	int r = table_make_room(iopt);

	if (r == 0)
		table_insert(iopt, at, a);
	return r;
}

/* All of them or none. */
static int insert_chain(struct iopt *iopt, struct area *chain)
	REQUIRES(&iopt->lock)
{
	struct area *a;
	int r = 0;

	for (a = chain; a && r == 0; a = a->next)
		r = insert(iopt, a);
	if (r == 0)
		return 0;
	/* those before @a's predecessor, which failed, are in */
	for (struct area *in = chain; in->next != a; in = in->next) {
		size_t i = area_index(iopt, in->first);
		struct area *next = in->next;

		(void)table_remove(iopt, i, i + 1);
		in->next = next;
	}
	return r;
}

static int chain_resolve(const struct area *chain)
{
	int r = 0;

	for (const struct area *a = chain; a && r == 0; a = a->next)
		r = pages_resolve(a->pages);
	return r;
}

/* Consumes the chain on success. */
static int enter(struct iopt *iopt, struct area *chain)
{
	int r;

	do {
		rwlock_write(&iopt->lock);
		r = insert_chain(iopt, chain);
		rwlock_unwrite(&iopt->lock);
	} while (r == -EAGAIN && (r = chain_resolve(chain)) == 0);
	return r;
}

int iopt_insert(struct iopt *iopt, uint64_t iova, uint64_t len, uint32_t prot,
		struct pages *pages, uint64_t from)
{
	if (range_wraps(iova, len))
		return -EOVERFLOW;

	struct area *a = area_new(iova, len, prot, pages, from);

	if (!a)
		return -ENOMEM;

	int r = enter(iopt, a);

	if (r < 0)
		area_free(a);
	return r;
}

/* --- what is there --- */

size_t iopt_span(struct iopt *iopt, uint64_t first, uint64_t last,
		 struct iova_range *ret_head, struct iova_range *ret_tail)
{
	size_t from, end;

	rwlock_read(&iopt->lock);
	find_touched(iopt, first, last, &from, &end);
	if (from < end) {
		const struct area *head = iopt->area[from];
		const struct area *tail = iopt->area[end - 1];

		*ret_head = (struct iova_range){head->first, head->last};
		*ret_tail = (struct iova_range){tail->first, tail->last};
	}
	rwlock_unread(&iopt->lock);
	return end - from;
}

bool iopt_find(struct iopt *iopt, uint64_t iova, struct iova_range *ret_range)
{
	struct iova_range same;

	return iopt_span(iopt, iova, iova, ret_range, &same);
}

void iopt_for_each(struct iopt *iopt, struct iova_range range, size_t skip,
		   iopt_fn fn, void *opaque)
{
	size_t from, end;

	rwlock_read(&iopt->lock);
	find_touched(iopt, range.first, range.last, &from, &end);
	for (from += skip; from < end; from++) {
		struct iopt_area seen = area_seen(iopt->area[from]);

		if (!fn(opaque, &seen))
			break;
	}
	rwlock_unread(&iopt->lock);
}

/*
 * The first at *@iova or behind it whose memory is not looked up yet, with a
 * reference, and where it is; NULL: none.
 */
static struct pages *find_late(struct iopt *iopt, uint64_t *iova)
{
	struct pages *p = NULL;

	rwlock_read(&iopt->lock);
	for (size_t i = area_index(iopt, *iova); i < iopt->n && !p; i++) {
		const struct area *a = iopt->area[i];

		if (pages_list(a->pages))
			continue;
		p = pages_get(a->pages);
		*iova = a->first;
	}
	rwlock_unread(&iopt->lock);
	return p;
}

int iopt_resolve(struct iopt *iopt)
{
	struct pages *p;
	uint64_t at = 0;
	int r = 0;

	while (r == 0 && (p = find_late(iopt, &at))) {
		r = pages_resolve(p);
		pages_put(p);
	}
	return r;
}

/* --- out --- */

void iopt_remove(struct iopt *iopt, uint64_t first, uint64_t last,
		 struct iopt_removed *ret_removed)
{
	size_t from, end;

	*ret_removed = (struct iopt_removed){0};
	rwlock_write(&iopt->lock);
	find_touched(iopt, first, last, &from, &end);
	if (from < end) {
		ret_removed->n = end - from;
		ret_removed->chain = table_remove(iopt, from, end);
	}
	rwlock_unwrite(&iopt->lock);
}

static void area_nudge(const struct area *a)
{
	const struct page_list *l = pages_list(a->pages);

	for (size_t i = 0; l && i < l->n; i++)
		mem_nudge(l->seg[i].seg.mem);
}

/* Nobody finds the area any more; hurry those that did. */
static void area_revoke(struct area *a)
{
	sched_point("revoke");
	if (atomic_fetch_or(&a->users, AREA_REMOVED) == 0)
		return;
	atomic_store(&a->revoked, true);
	sched_point("nudge");
	area_nudge(a);
}

static void area_wait_idle(struct iopt *iopt, struct area *a)
{
	sched_point("idle?");
	if (atomic_load(&a->users) == AREA_REMOVED)
		return;
	mutex_lock(&iopt->idle_lock);
	while (atomic_load(&a->users) != AREA_REMOVED)
		cond_wait(&iopt->idle, &iopt->idle_lock);
	mutex_unlock(&iopt->idle_lock);
}

void iopt_listen(struct iopt *iopt, struct iopt_listener *l)
{
	l->calls = 0;
	l->leaving = false;
	mutex_lock(&iopt->idle_lock);
	LIST_INSERT_HEAD(&iopt->listeners, l, link);
	atomic_fetch_add(&iopt->n_listeners, 1);
	mutex_unlock(&iopt->idle_lock);
}

void iopt_unlisten(struct iopt *iopt, struct iopt_listener *l)
{
	mutex_lock(&iopt->idle_lock);
	l->leaving = true;
	while (l->calls)
		cond_wait(&iopt->idle, &iopt->idle_lock);
	LIST_REMOVE(l, link);
	atomic_fetch_sub(&iopt->n_listeners, 1);
	mutex_unlock(&iopt->idle_lock);
}

/* One that is called stays in the list, so that there is a next one. */
static void tell(struct iopt *iopt, struct iova_range range)
{
	struct iopt_listener *l;

	mutex_lock(&iopt->idle_lock);
	LIST_FOREACH (l, &iopt->listeners, link) {
		if (l->leaving)
			continue;
		l->calls++;
		mutex_unlock(&iopt->idle_lock);
		l->unmap(l, range);
		mutex_lock(&iopt->idle_lock);
		if (--l->calls == 0)
			cond_broadcast(&iopt->idle);
	}
	mutex_unlock(&iopt->idle_lock);
}

uint64_t iopt_drop(struct iopt *iopt, struct iopt_removed *removed)
{
	bool heard = atomic_load(&iopt->n_listeners);
	uint64_t unmapped = 0;
	struct area *a;

	for (a = removed->chain; a; a = a->next)
		area_revoke(a); /* all of them before waiting for the first */
	for (a = removed->chain; a && heard; a = a->next)
		tell(iopt, (struct iova_range){a->first, a->last});
	while ((a = removed->chain)) {
		removed->chain = a->next;
		area_wait_idle(iopt, a);
		unmapped += a->last - a->first + 1;
		area_free(a);
	}
	removed->n = 0;
	return unmapped;
}

/* --- once more --- */

/* Areas on their way to another table. */
struct copying {
	uint64_t first; /* in the source */
	uint64_t last;
	uint64_t to;   /* where @first goes */
	uint64_t next; /* the next byte that is to be found */
	uint32_t prot;
	struct area *chain; /* descending */
	int err;
};

static bool copy_one(void *opaque, const struct iopt_area *area)
{
	struct copying *c = opaque;
	uint64_t last = area->range.last < c->last ? area->range.last : c->last;
	uint64_t skip = c->next - area->range.first;

	if (area->range.first > c->next)
		c->err = -ENOENT;
	else if (c->prot & ~area->prot)
		c->err = -EACCES;
	if (c->err)
		return false;

	struct area *a = area_new(
		c->to + (c->next - c->first), last - c->next + 1, c->prot,
		(struct pages *)(uintptr_t)area->pages, area->from + skip);

	if (!a) {
		c->err = -ENOMEM;
		return false;
	}
	a->next = c->chain;
	c->chain = a;
	c->next = last + 1;
	return true;
}

static void chain_free(struct area *chain)
{
	while (chain) {
		struct area *a = chain;

		chain = a->next;
		area_free(a);
	}
}

int iopt_copy(struct iopt *dst, uint64_t dst_iova, struct iopt *src,
	      uint64_t src_iova, uint64_t len, uint32_t prot)
{
	if (range_wraps(src_iova, len) || range_wraps(dst_iova, len))
		return -EOVERFLOW;

	struct copying c = {
		.first = src_iova,
		.last = src_iova + len - 1,
		.to = dst_iova,
		.next = src_iova,
		.prot = prot,
	};

	iopt_for_each(src, (struct iova_range){c.first, c.last}, 0, copy_one,
		      &c);
	if (!c.err && (!c.chain || c.next - 1 != c.last))
		c.err = -ENOENT;
	if (!c.err)
		c.err = enter(dst, c.chain);
	if (c.err)
		chain_free(c.chain);
	return c.err;
}

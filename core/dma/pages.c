/* SPDX-License-Identifier: BSD-3-Clause */
/* What mappings name: core/dma/pages.h. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/dma/pages_impl.h"
#include "lib/cleanup.h"

static struct page_list *list_new(const struct mem_seg *segs, size_t n,
				  uint64_t len)
{
	struct page_list *l = malloc(sizeof(*l) + n * sizeof(l->seg[0]));
	uint64_t start = 0;

	if (!l)
		return NULL;
	l->n = n;
	for (size_t i = 0; i < n; i++) {
		assert(segs[i].len);
		l->seg[i] = (struct page_seg){start, segs[i]};
		start += segs[i].len;
	}
	assert(start == len);
	return l;
}

/* Consumes the references of @segs on success. */
static int pages_set(struct pages *p, const struct mem_seg *segs, size_t n)
{
	struct page_list *l = list_new(segs, n, p->len);

	if (!l)
		return -ENOMEM;

	int r = share_take(&p->share, SHARE_SEGMENTS, p->pid, n);

	if (r < 0) {
		free(l);
		return r;
	}
	atomic_store_explicit(&p->list, l, memory_order_release);
	return 0;
}

static struct pages *pages_alloc(pid_t pid, uint64_t addr, uint64_t len)
{
	struct pages *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->refs = 1;
	p->pid = pid;
	p->addr = addr;
	p->len = len;
	mutex_init(&p->lock, RANK_PAGES, "pages");
	return p;
}

static void pages_free(struct pages *p)
{
	struct page_list *l = pages_list(p);

	for (size_t i = 0; l && i < l->n; i++)
		mem_put(l->seg[i].seg.mem);
	share_give(&p->share);
	if (p->ops && p->ops->done)
		p->ops->done(p->opaque);
	mutex_done(&p->lock);
	free(l);
	free(p);
}

int pages_new(pid_t pid, uint64_t addr, const struct mem_seg *segs, size_t n,
	      struct pages **ret_pages)
{
	uint64_t len = 0;

	for (size_t i = 0; i < n; i++)
		len += segs[i].len;

	struct pages *p = pages_alloc(pid, addr, len);
	int r = p ? pages_set(p, segs, n) : -ENOMEM;

	if (r < 0) {
		pages_put(p);
		return r;
	}
	*ret_pages = p;
	return 0;
}

int pages_new_late(pid_t pid, uint64_t addr, uint64_t len,
		   const struct pages_ops *ops, void *opaque,
		   struct pages **ret_pages)
{
	struct pages *p = pages_alloc(pid, addr, len);

	if (!p)
		return -ENOMEM;
	p->ops = ops;
	p->opaque = opaque;
	*ret_pages = p;
	return 0;
}

static int resolve(struct pages *p) REQUIRES(&p->lock)
{
	if (pages_list(p))
		return 0; /* somebody else was first */

	_cleanup_(freep) struct mem_seg *segs =
		malloc(PAGES_LATE_SEGS * sizeof(segs[0]));
	int n = segs ? p->ops->resolve(p->opaque, segs, PAGES_LATE_SEGS)
		     : -ENOMEM;

	if (n < 0)
		return n;

	int r = pages_set(p, segs, (size_t)n);

	for (int i = 0; r < 0 && i < n; i++)
		mem_put(segs[i].mem);
	return r;
}

int pages_resolve(struct pages *p)
{
	if (pages_list(p))
		return 0;
	mutex_lock(&p->lock);
	int r = resolve(p);

	mutex_unlock(&p->lock);
	return r;
}

struct pages *pages_get(struct pages *p)
{
	atomic_fetch_add(&p->refs, 1);
	return p;
}

struct pages *pages_put(struct pages *p)
{
	if (p && atomic_fetch_sub(&p->refs, 1) == 1)
		pages_free(p);
	return NULL;
}

static uint64_t overlap(const struct page_seg *s, uint64_t from, uint64_t end)
{
	uint64_t first = s->start > from ? s->start : from;
	uint64_t s_end = s->start + s->seg.len;
	uint64_t last = s_end < end ? s_end : end;

	return last > first ? last - first : 0;
}

uint64_t pages_pinned(const struct pages *p, uint64_t from, uint64_t len)
{
	const struct page_list *l = pages_list(p);
	uint64_t bytes = 0;

	for (size_t i = 0; l && i < l->n; i++)
		if (mem_is_pinned(l->seg[i].seg.mem))
			bytes += overlap(&l->seg[i], from, from + len);
	return bytes;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* How pages look, for the rest of core/dma. */
#ifndef SOFTVFIO_CORE_DMA_PAGES_IMPL_H
#define SOFTVFIO_CORE_DMA_PAGES_IMPL_H

#include <stdatomic.h>

#include "core/common/share.h"
#include "core/dma/pages.h"
#include "lib/lock.h"

/* Where a segment begins in its pages. */
struct page_seg {
	uint64_t start;
	struct mem_seg seg;
};

struct page_list {
	size_t n;
	struct page_seg seg[];
};

struct pages {
	_Atomic uint32_t refs;
	pid_t pid; /* immutable, as is what follows */
	uint64_t addr;
	uint64_t len;
	const struct pages_ops *ops; /* NULL: known from the beginning */
	void *opaque;

	struct mutex lock;  /* held to look the memory up */
	struct share share; /* of @pid's: the segments */
	/* NULL: not looked up yet; immutable from then on */
	struct page_list *_Atomic list;
};

static inline struct page_list *pages_list(const struct pages *p)
{
	return atomic_load_explicit(&p->list, memory_order_acquire);
}

/** pages_at() - The segment that holds byte @off */
static inline const struct page_seg *pages_at(const struct page_list *l,
					      uint64_t off)
{
	size_t low = 0, high = l->n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (l->seg[mid].start <= off)
			low = mid;
		else
			high = mid;
	}
	return &l->seg[low];
}

#endif

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
#ifndef SOFTVFIO_CORE_DMA_IOAS_IMPL_H
#define SOFTVFIO_CORE_DMA_IOAS_IMPL_H

#include <stdatomic.h>

#include "core/dma/ioas.h"
#include "core/common/share.h"

#define AREA_REMOVED (1u << 31)

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
	pid_t pid;	    /* immutable */
	struct share share; /* of @pid's: all segments in the table */

	struct rwlock lock; /* the table */
	struct area **area GUARDED_BY(&lock);
	size_t n GUARDED_BY(&lock);
	size_t cap GUARDED_BY(&lock);
	uint64_t changes GUARDED_BY(&lock); /* of the table, so far; > 0 */
	bool tracking GUARDED_BY(&lock);

	struct mutex idle_lock; /* taken to wait for, and to tell of, */
	struct cond idle;	/* a removed area without users */
};

/** ioas_find() - Index of the first area that ends at @iova or behind it */
size_t ioas_find(const struct ioas *ioas, uint64_t iova)
	REQUIRES_SHARED(&ioas->lock);

static inline bool range_wraps(uint64_t first, uint64_t size)
{
	return size - 1 > UINT64_MAX - first;
}

#endif

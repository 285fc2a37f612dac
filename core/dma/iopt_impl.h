/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * The table is an array of pointers to areas, ascending and disjoint. Areas
 * are immutable; they enter and leave the table under iopt->lock for writing.
 *
 * An access looks up every area it needs under the lock for reading and counts
 * itself into area->users; then it copies under no lock. A removal takes
 * areas out of the table, so that nobody new finds them, and sets AREA_REMOVED
 * in area->users. If there were users it waits for them, and whoever takes
 * the count down to AREA_REMOVED alone wakes it; that is the last touch of an
 * area by an access, and only the remover frees it. Copies that wait for the
 * program see area->revoked and give up.
 */
#ifndef SOFTVFIO_CORE_DMA_IOPT_IMPL_H
#define SOFTVFIO_CORE_DMA_IOPT_IMPL_H

#include <stdatomic.h>

#include "core/dma/iopt.h"
#include "core/dma/pages_impl.h"

#define AREA_REMOVED (1u << 31)

struct area {
	/* immutable */
	uint64_t first;
	uint64_t last;
	uint32_t prot;
	struct pages *pages; /* one reference */
	uint64_t from;	     /* where in them it begins */

	_Atomic uint32_t users; /* accesses in flight, and AREA_REMOVED */
	_Atomic bool revoked;
	struct area *next; /* the remover's */
};

struct reserved {
	struct iova_range range;
	const void *owner;
};

struct iopt {
	_Atomic uint32_t refs;

	struct rwlock lock; /* the table */
	struct area **area GUARDED_BY(&lock);
	size_t n GUARDED_BY(&lock);
	size_t cap GUARDED_BY(&lock);
	LIST_HEAD(, iopt_demand) demands GUARDED_BY(&lock);
	uint64_t align GUARDED_BY(&lock); /* the largest of theirs, or 1 */
	struct reserved *reserved
		GUARDED_BY(&lock); /* ascending; may overlap */
	size_t n_reserved GUARDED_BY(&lock);
	struct iova_range *allowed GUARDED_BY(&lock);
	size_t n_allowed GUARDED_BY(&lock);

	struct mutex idle_lock; /* taken to wait for, and to tell of, a */
	struct cond idle;	/* removed area or a listener without users */
	LIST_HEAD(, iopt_listener) listeners GUARDED_BY(&idle_lock);
	_Atomic uint32_t n_listeners;
};

/** area_index() - Of the first area that ends at @iova or behind it */
size_t area_index(const struct iopt *iopt, uint64_t iova)
	REQUIRES_SHARED(&iopt->lock);

#endif

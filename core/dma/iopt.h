/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of an I/O address space: disjoint ranges of IOVAs (areas), each
 * naming pages, with what a device may do there. It knows ranges and bare
 * errnos; rules of an interface and their words are its translations':
 * core/vfio/type1.h. DMA goes through it by core/dma/dma.h.
 *
 * Whoever asks first and changes then (type1) has a lock of his own around both.
 */
#ifndef SOFTVFIO_CORE_DMA_IOPT_H
#define SOFTVFIO_CORE_DMA_IOPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "core/dma/pages.h"

#define IOPT_READ  1u /* the device may read */
#define IOPT_WRITE 2u

struct iopt; /* reference counted */

/** struct iova_range - @last is inclusive */
struct iova_range {
	uint64_t first;
	uint64_t last;
};

/** range_wraps() - Do @size bytes, not 0, from @first on go beyond 2^64? */
static inline bool range_wraps(uint64_t first, uint64_t size)
{
	return size - 1 > UINT64_MAX - first;
}

/**
 * iopt_new() - An empty table, with all of 2^64 usable, byte by byte
 *
 * Context: any thread.
 * Return: 0; -ENOMEM.
 */
int iopt_new(struct iopt **ret_iopt);

/**
 * iopt_get() - One more reference
 * iopt_put() - One less; the last drops every area. NULL is fine
 *
 * Context: any thread; the last put as pages_put().
 */
struct iopt *iopt_get(struct iopt *iopt);
struct iopt *iopt_put(struct iopt *iopt);

/**
 * struct iopt_demand - What a domain demands of its table
 * @align: areas begin and end at multiples of that, a power of two
 */
struct iopt_demand {
	uint64_t align;
	LIST_ENTRY(iopt_demand) link; /* the table's */
};

/**
 * iopt_demand() - The largest alignment of all demands counts from now on, and
 * memory is looked up before an area enters; that of those which are there is
 * the caller's to look up: iopt_resolve()
 * iopt_undemand() - As if it had not been
 *
 * Without any an area may begin and end at any byte.
 *
 * Context: take iopt->lock for writing.
 * Return: 0; -EADDRINUSE an area is not aligned that far.
 */
int iopt_demand(struct iopt *iopt, struct iopt_demand *d);
void iopt_undemand(struct iopt *iopt, struct iopt_demand *d);

/**
 * iopt_reserve() - No area may lie in [@first, @last] any more
 * @owner: who says so, for iopt_unreserve()
 * iopt_unreserve() - All of @owner's are usable again
 * iopt_allow() - Promise that these ranges stay usable, instead of those
 * promised before
 *
 * Context: take iopt->lock for writing.
 * Return: 0; -EADDRINUSE reserve: an area lies there, or the range is promised;
 * allow: something is reserved there; -ENOMEM.
 */
int iopt_reserve(struct iopt *iopt, uint64_t first, uint64_t last,
		 const void *owner);
void iopt_unreserve(struct iopt *iopt, const void *owner);
int iopt_allow(struct iopt *iopt, const struct iova_range *ranges, size_t n);

/**
 * iopt_usable() - What is not reserved, in ascending order
 *
 * Context: takes iopt->lock for reading.
 * Return: how many there are, also if that is more than @max.
 */
size_t iopt_usable(struct iopt *iopt, struct iova_range *ranges, size_t max);

/**
 * iopt_insert() - One area
 * @iova: of its first byte
 * @len:  not 0
 * @prot: IOPT_READ and IOPT_WRITE bits
 * @from: where in the pages it begins; @from + @len lie within them
 *
 * Takes a reference of @pages.
 *
 * Context: takes iopt->lock for writing; as pages_resolve(), in between.
 * Return: 0; -EINVAL misaligned, or some of it is reserved; -EOVERFLOW it wraps
 * around; -EEXIST an area is there; -ENOMEM; with a demand also as
 * pages_resolve().
 */
int iopt_insert(struct iopt *iopt, uint64_t iova, uint64_t len, uint32_t prot,
		struct pages *pages, uint64_t from);

/**
 * struct iopt_area - One area, as others see it
 * @range: of IOVAs
 * @prot:  IOPT_READ and IOPT_WRITE bits
 * @addr:  the program's address of its first byte
 * @pages: what it names, and @from where in that; borrowed
 */
struct iopt_area {
	struct iova_range range;
	uint32_t prot;
	uint64_t addr;
	const struct pages *pages;
	uint64_t from;
};

/**
 * iopt_span() - Areas with a byte in [@first, @last]
 * @ret_head: the first of them; untouched when there is none
 * @ret_tail: the last of them
 *
 * Context: takes iopt->lock for reading.
 * Return: how many.
 */
size_t iopt_span(struct iopt *iopt, uint64_t first, uint64_t last,
		 struct iova_range *ret_head, struct iova_range *ret_tail);

/** iopt_find() - The area that has @iova. Context: as iopt_span() */
bool iopt_find(struct iopt *iopt, uint64_t iova, struct iova_range *ret_range);

/** Return: go on? Must not come back to the table */
typedef bool (*iopt_fn)(void *opaque, const struct iopt_area *area);

/**
 * iopt_for_each() - Areas with a byte in @range, in ascending order
 * @skip: not the first so many of them
 *
 * Context: holds iopt->lock for reading around @fn.
 */
void iopt_for_each(struct iopt *iopt, struct iova_range range, size_t skip,
		   iopt_fn fn, void *opaque);

#define IOPT_ALL ((struct iova_range){0, UINT64_MAX})

/**
 * iopt_resolve() - Look up the memory of all areas that were made late
 *
 * What attaching to a domain does: so a program is told of memory that is not
 * there, and not its device.
 *
 * Context: as pages_resolve(), and takes iopt->lock for reading in between.
 * Return: 0; as pages_resolve() of the first that fails.
 */
int iopt_resolve(struct iopt *iopt);

/**
 * struct iopt_removed - Areas that nobody finds any more, but some may still use
 * @chain: ascending
 */
struct iopt_removed {
	size_t n;
	struct area *chain;
};

/**
 * iopt_remove() - Take out the areas with a byte in [@first, @last], each whole
 *
 * iopt_drop() is due, however many there were.
 *
 * Context: takes iopt->lock for writing.
 */
void iopt_remove(struct iopt *iopt, uint64_t first, uint64_t last,
		 struct iopt_removed *ret_removed);

/**
 * iopt_drop() - Wait until nobody uses them; they are gone then
 *
 * When it returns no DMA that began before reaches them any more: it tells
 * listeners, waits for accesses in flight on these areas (and no others), and
 * has copies give up that the program holds up.
 *
 * Context: waits; no lock that somebody needs who copies.
 * Return: bytes.
 */
uint64_t iopt_drop(struct iopt *iopt, struct iopt_removed *removed);

/**
 * iopt_copy() - The pages of [@src_iova, @src_iova + @len) in @src, once more in
 * @dst, which may be the same
 *
 * Each area of the source becomes one, all of them or none.
 *
 * Context: takes both locks, one after the other.
 * Return: as iopt_insert(); -ENOENT not all of it is there; -EACCES @prot asks
 * for more than an area has.
 */
int iopt_copy(struct iopt *dst, uint64_t dst_iova, struct iopt *src,
	      uint64_t src_iova, uint64_t len, uint32_t prot);

/**
 * struct iopt_listener - Who keeps something of what the table says
 * @unmap: [@range] is found no more, and waited for until nobody uses it: now
 *	   dma_release() is due, if it was dma_hold(). Context: no lock is held;
 *	   several threads may remove at once
 */
struct iopt_listener {
	void (*unmap)(struct iopt_listener *l, struct iova_range range);

	/* the table's */
	LIST_ENTRY(iopt_listener) link;
	unsigned int calls;
	bool leaving;
};

/**
 * iopt_listen() - Hear of what is removed from now on
 * iopt_unlisten() - No more; waits for calls that are under way, so not from one
 *
 * Context: take iopt->idle_lock.
 */
void iopt_listen(struct iopt *iopt, struct iopt_listener *l);
void iopt_unlisten(struct iopt *iopt, struct iopt_listener *l);

#endif

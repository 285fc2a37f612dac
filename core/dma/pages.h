/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a mapping names: stretches of memory, one after the other. Several
 * mappings may name the same pages, in several tables.
 */
#ifndef SOFTVFIO_CORE_DMA_PAGES_H
#define SOFTVFIO_CORE_DMA_PAGES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/dma/mem.h"

struct pages; /* reference counted */

/**
 * pages_new() - Pages whose memory is known
 * @pid:  whose share of SHARE_SEGMENTS they take
 * @addr: the program's address of the first byte, for listings
 * @segs: in order, none of them empty; on success the caller's reference of
 *	  each is theirs
 *
 * Context: any thread, no leaf lock held.
 * Return: 0; -ENOMEM, also beyond the program's share, with the reason said.
 */
int pages_new(pid_t pid, uint64_t addr, const struct mem_seg *segs, size_t n,
	      struct pages **ret_pages);

/**
 * struct pages_ops - Memory that is looked up when it is needed
 * @resolve: fill @segs, at most @max, adding up to what pages_new_late() was
 *	     told; each with a reference that is the pages'. Called once, or
 *	     again after it has failed, by whoever needs the memory first.
 *	     Return: how many; -errno
 * @done:    the pages are gone; NULL = nothing to do
 */
struct pages_ops {
	int (*resolve)(void *opaque, struct mem_seg *segs, size_t max);
	void (*done)(void *opaque);
};

#define PAGES_LATE_SEGS 256 /* of pages that are looked up late */

/**
 * pages_new_late() - Pages whose memory is looked up by the first that needs it
 * @len: bytes, not 0
 *
 * Context: any thread.
 * Return: 0; -ENOMEM.
 */
int pages_new_late(pid_t pid, uint64_t addr, uint64_t len,
		   const struct pages_ops *ops, void *opaque,
		   struct pages **ret_pages);

/**
 * pages_resolve() - Look the memory up, unless it is known
 *
 * Context: any thread; takes RANK_PAGES, and what @resolve takes inside.
 * Return: 0; as @resolve; as pages_new().
 */
int pages_resolve(struct pages *p);

/**
 * pages_get() - One more reference
 * pages_put() - One less; the last drops the references of memory. NULL is fine
 *
 * Context: any thread; the last put as mem_put(), and takes a leaf lock.
 */
struct pages *pages_get(struct pages *p);
struct pages *pages_put(struct pages *p);

/**
 * pages_pinned() - Those of [@from, @from + @len) that Linux would pin: no BARs,
 * and nothing that is not looked up yet
 *
 * Context: any thread, lock-free.
 */
uint64_t pages_pinned(const struct pages *p, uint64_t from, uint64_t len);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An I/O address space: disjoint IOVA ranges, each mapped to memory with a
 * permission. Everything a device reads or writes goes through ioas_read()
 * and ioas_write(). type1's rules (errno by errno) live here too, since it is
 * the only front door so far; iommufd's will be a second set of entry points
 * onto the same table.
 */
#ifndef SOFTVFIO_CORE_DMA_IOAS_H
#define SOFTVFIO_CORE_DMA_IOAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/dma/mem.h"
#include "lib/lock.h"
#include "softvfio/device.h"

#define IOAS_PAGE	     4096
#define IOAS_DMA_ENTRY_LIMIT 65535 /* vfio_iommu_type1.dma_entry_limit */
#define IOAS_APERTURE_BITS   48	   /* VT-d and AMD-Vi with 4 levels */
#define IOAS_MSI_FIRST	     0xfee00000ull /* the x86 MSI window is no IOVA */
#define IOAS_MSI_LAST	     0xfeefffffull

#define IOAS_READ  1u /* the device may read: VFIO_DMA_MAP_FLAG_READ */
#define IOAS_WRITE 2u

struct ioas;

/** struct iova_range - @last is inclusive */
struct iova_range {
	uint64_t first;
	uint64_t last;
};

/**
 * ioas_new() - An empty address space
 * @pid:       whose share of SHARE_SEGMENTS mappings take
 * @max_areas: dma_entry_limit
 *
 * Context: any thread.
 * Return: 0; -ENOMEM.
 */
int ioas_new(pid_t pid, uint32_t max_areas, struct ioas **ret_ioas);

/**
 * ioas_get() - One more reference
 * ioas_put() - One less; the last drops every mapping. NULL is fine
 *
 * Context: any thread; the last put drops references of memory: mem_put().
 */
struct ioas *ioas_get(struct ioas *ioas);
struct ioas *ioas_put(struct ioas *ioas);

/**
 * ioas_check_map() - type1 MAP_DMA: everything that Linux checks before it
 * looks at the memory
 * @vaddr: the program's address, for its alignment and range only
 * @prot:  IOAS_READ and IOAS_WRITE bits
 *
 * Order and errno as kernel-semantics 2.6 steps 4 to 10.
 *
 * Context: takes ioas->lock for reading.
 * Return: 0; -EINVAL size 0, no permission, misaligned, or outside the valid
 * IOVA ranges; -EOVERFLOW a range wraps; -EEXIST overlaps a mapping; -ENOSPC
 * no entry is left.
 */
int ioas_check_map(struct ioas *ioas, uint64_t vaddr, uint64_t iova,
		   uint64_t size, uint32_t prot);

/**
 * ioas_map() - type1 MAP_DMA: ioas_check_map() again, then insert
 * @segs:   memory behind the range, in order, sizes adding up to @size; on
 *	    success the caller's reference of each is ours
 * @n_segs: number of segments; together they are one mapping, that is one
 *	    entry of the limit and one unit for unmap
 *
 * Context: takes ioas->lock for writing.
 * Return: as ioas_check_map(); -ENOMEM, also beyond the program's share of
 * segments. On error nothing has changed.
 */
int ioas_map(struct ioas *ioas, uint64_t vaddr, uint64_t iova, uint64_t size,
	     uint32_t prot, const struct mem_seg *segs, size_t n_segs);

/** enum ioas_unmap_mode - type1 v1 tolerates what v2 refuses */
enum ioas_unmap_mode { IOAS_UNMAP_V1, IOAS_UNMAP_V2, IOAS_UNMAP_ALL };

/**
 * ioas_unmap() - type1 UNMAP_DMA
 * @ret_unmapped: bytes unmapped; may exceed @size with v1
 *
 * Rules of kernel-semantics 2.7. When it returns, no DMA that started before
 * reaches the range any more: it waits for accesses in flight on the ranges it
 * removes (and no others), and abandons copies that the program holds up.
 *
 * Context: takes ioas->lock for writing; then waits holding no lock.
 * Return: 0; -EINVAL misaligned, size 0, v2 bisecting a mapping, ALL with
 * iova or size set; -EOVERFLOW a range wraps.
 */
int ioas_unmap(struct ioas *ioas, enum ioas_unmap_mode mode, uint64_t iova,
	       uint64_t size, uint64_t *ret_unmapped);

/**
 * ioas_track() - VFIO_IOMMU_DIRTY_PAGES_FLAG_START, _STOP
 *
 * Context: takes ioas->lock for writing.
 */
void ioas_track(struct ioas *ioas, bool on);

/**
 * struct ioas_dirty - How far a question about dirty pages has come
 * @changes: the state of the table it is about; 0 = just begun
 * @done:    mappings of the range dealt with, in ascending order
 */
struct ioas_dirty {
	uint64_t changes;
	uint64_t done;
};

/**
 * ioas_dirty() - Which pages of a range are dirty: mappings, from d->done on
 * @ranges: filled, at most @max; all of their pages are dirty. As on Linux,
 *	    where a device behind an IOMMU that tracks nothing may have written
 *	    to whatever it could
 *
 * When the table is no longer as @d has seen it, @d begins again.
 *
 * Context: takes ioas->lock for reading.
 * Return: 0; -EINVAL tracking is off, a mapping lies half inside, or as for
 * ioas_unmap() of v2; -EOVERFLOW.
 */
int ioas_dirty(struct ioas *ioas, uint64_t iova, uint64_t size,
	       struct ioas_dirty *d, struct iova_range *ranges, size_t max,
	       size_t *ret_n);

/**
 * ioas_unmap_dirty() - Unmap what ioas_dirty() has told: d->done mappings of
 * the range that begins at @iova
 *
 * Context: as for ioas_unmap().
 * Return: 0; -EAGAIN the table has changed since, nothing was unmapped.
 */
int ioas_unmap_dirty(struct ioas *ioas, uint64_t iova,
		     const struct ioas_dirty *d, uint64_t *ret_unmapped);

/**
 * ioas_avail() - mappings left under the limit
 * ioas_mapped() - bytes mapped
 * ioas_pinned() - those that RLIMIT_MEMLOCK is compared with: no BARs
 *
 * Context: take ioas->lock for reading.
 */
uint32_t ioas_avail(struct ioas *ioas);
uint64_t ioas_mapped(struct ioas *ioas);
uint64_t ioas_pinned(struct ioas *ioas);

/**
 * ioas_ranges() - valid IOVA ranges, ascending; belongs to @ioas
 *
 * Context: any thread, lock-free.
 */
const struct iova_range *ioas_ranges(const struct ioas *ioas, size_t *ret_n);

/**
 * struct dma_ctx - One requester: a device thread's identity towards ioas
 * @cancel: how many want waiting copies to give up; raised before mem_wake()
 */
struct dma_ctx {
	_Atomic unsigned int cancel;
};

/**
 * ioas_read() - The device reads program memory
 * ioas_write() - The device writes program memory
 *
 * Every byte's mapping and permission is checked before anything is copied.
 *
 * Context: any thread; holds ioas->lock for reading while it looks up, none
 * while it copies. May wait for a copy worker (core/dma/mem.h), bounded by
 * MEM_TIMEOUT_NS for each 64 KiB. Locks as for mem_read().
 * Return: 0; -EFAULT not mapped or not permitted (an IOMMU fault); -EIO the
 * memory behind it has gone or did not answer in time; -ECANCELED @ctx->cancel,
 * or the range was unmapped while the copy waited. On error other than -EFAULT
 * part may have been copied.
 */
int ioas_read(struct ioas *ioas, struct dma_ctx *ctx, uint64_t iova, void *buf,
	      size_t len);
int ioas_write(struct ioas *ioas, struct dma_ctx *ctx, uint64_t iova,
	       const void *buf, size_t len);

/**
 * ioas_many() - Several accesses, in order, until one fails
 * @ret_done: on error, how many were made before; those behind the one that
 *	      failed were not begun
 *
 * Context, Return: as for ioas_read(), for each access by itself.
 */
int ioas_many(struct ioas *ioas, struct dma_ctx *ctx, const struct sv_dma *list,
	      size_t n, size_t *ret_done);

/**
 * ioas_hold() - Find memory that is mapped in this process and keep it there
 * @iov: filled; @max entries
 *
 * Context: takes ioas->lock for reading. An unmap of any of it waits until
 * ioas_release(), which is due after a positive return.
 * Return: entries of @iov; 0 some of it is not mapped here, or it takes more
 * entries or areas than there is room for; -EFAULT not mapped by the program,
 * or not permitted.
 */
int ioas_hold(struct ioas *ioas, const struct sv_dma *list, size_t n,
	      struct iovec *iov, size_t max, struct sv_dma_hold *hold);
void ioas_release(struct ioas *ioas, struct sv_dma_hold *hold);

/** struct ioas_entry - one mapping, for listings */
struct ioas_entry {
	uint64_t iova;
	uint64_t size;
	uint64_t vaddr;
	uint32_t prot;
};

/**
 * ioas_list() - up to @max mappings in ascending order; returns how many
 *
 * Context: takes ioas->lock for reading.
 */
size_t ioas_list(struct ioas *ioas, struct ioas_entry *entries, size_t max);

#endif

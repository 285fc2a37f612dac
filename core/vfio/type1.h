/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The type1 IOMMU of a container: VFIO_IOMMU_MAP_DMA and UNMAP_DMA with their
 * rules, in Linux's order of checks, and dirty pages. What it maps lies in a
 * table (core/dma/iopt.h), which is what its devices use.
 */
#ifndef SOFTVFIO_CORE_VFIO_TYPE1_H
#define SOFTVFIO_CORE_VFIO_TYPE1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/dma/domain.h"
#include "core/dma/iopt.h"

#define TYPE1_PAGE	  4096u
#define TYPE1_PAGE_SIZES  0x40201000u /* 4 KiB, 2 MiB, 1 GiB */
#define TYPE1_ENTRY_LIMIT 65535u      /* vfio_iommu_type1.dma_entry_limit */
#define TYPE1_APERTURE	  48	      /* bits: VT-d and AMD-Vi with 4 levels */
#define TYPE1_MSI_FIRST	  0xfee00000ull /* the x86 MSI window is no IOVA */
#define TYPE1_MSI_LAST	  0xfeefffffull
#define TYPE1_RANGES_MAX  8
#define TYPE1_BITMAP_MAX  (1ull << 28) /* bytes of a dirty bitmap */

struct type1; /* reference counted */

/**
 * type1_new() - What VFIO_SET_IOMMU makes
 * @pid:  who is charged with what is mapped
 * @type: as the program passed it
 * @max:  how many mappings at most: dma_entry_limit
 *
 * Context: any thread.
 * Return: 0; -EINVAL @type is an extension that is none; -ENODEV unknown type;
 * -ENOMEM.
 */
int type1_new(pid_t pid, uint64_t type, uint32_t max, struct type1 **ret_type1);

/**
 * type1_get() - One more reference
 * type1_put() - One less. NULL is fine
 *
 * Devices may have the table longer. Context: any thread; as iopt_put().
 */
struct type1 *type1_get(struct type1 *t);
struct type1 *type1_put(struct type1 *t);

/**
 * type1_has_extension() - VFIO_CHECK_EXTENSION
 * @t: NULL before SET_IOMMU; which is when Linux cannot tell of coherent DMA
 * @extension: as the program passed it
 *
 * Context: any thread, lock-free.
 */
bool type1_has_extension(const struct type1 *t, uint64_t extension);

/**
 * type1_domain() - What its devices are attached to, borrowed
 *
 * Context: any thread, lock-free.
 */
struct domain *type1_domain(const struct type1 *t);

/** type1_name() - "type1", "type1v2". Context: any thread, lock-free */
const char *type1_name(const struct type1 *t);

/** type1_pid() - Who is charged. Context: any thread, lock-free */
pid_t type1_pid(const struct type1 *t);

/**
 * struct type1_map - What MAP_DMA is asked for
 * @prot: IOPT_READ and IOPT_WRITE bits
 */
struct type1_map {
	uint64_t vaddr;
	uint64_t iova;
	uint64_t size;
	uint32_t prot;
};

/**
 * type1_check_map() - Everything that Linux checks before it looks at the memory
 *
 * Order and errno as kernel-semantics 2.6 steps 4 to 10.
 *
 * Context: takes type1->lock, and iopt->lock for reading.
 * Return: 0; -EINVAL size 0, no permission, misaligned, or outside the valid
 * IOVA ranges; -EOVERFLOW a range wraps; -EEXIST overlaps a mapping; -ENOSPC
 * no entry is left.
 */
int type1_check_map(struct type1 *t, const struct type1_map *map);

/**
 * type1_map() - type1_check_map() again, then map
 * @pages: of @map->size bytes; one reference is taken
 *
 * Context: takes type1->lock, and iopt->lock for writing.
 * Return: as type1_check_map(); -ENOMEM. On error nothing has changed.
 */
int type1_map(struct type1 *t, const struct type1_map *map,
	      struct pages *pages);

/**
 * type1_unmap() - UNMAP_DMA
 * @all: VFIO_DMA_UNMAP_FLAG_ALL
 * @ret_unmapped: bytes; may exceed @size with version 1
 *
 * Rules of kernel-semantics 2.7. When it returns, no DMA that started before
 * reaches the range any more: iopt_drop().
 *
 * Context: takes type1->lock, and iopt->lock for writing; then waits holding no
 * lock.
 * Return: 0; -EINVAL misaligned, size 0, version 2 bisecting a mapping, @all
 * with iova or size set; -EOVERFLOW a range wraps.
 */
int type1_unmap(struct type1 *t, bool all, uint64_t iova, uint64_t size,
		uint64_t *ret_unmapped);

/**
 * type1_check_dirty_pages() - Is there VFIO_IOMMU_DIRTY_PAGES at all?
 *
 * Context: any thread, lock-free.
 * Return: 0; -EACCES not with version 1.
 */
int type1_check_dirty_pages(const struct type1 *t);

/**
 * type1_track() - VFIO_IOMMU_DIRTY_PAGES_FLAG_START, _STOP
 *
 * Context: takes type1->lock.
 */
void type1_track(struct type1 *t, bool on);

/**
 * struct type1_bitmap - A program's bitmap; as struct vfio_bitmap
 * @pgsize: bytes of a page, one for each bit
 * @size:   of the bitmap, bytes
 * @data:   the program's address
 */
struct type1_bitmap {
	uint64_t pgsize;
	uint64_t size;
	uint64_t data;
};

/**
 * type1_check_bitmap() - May it describe @size bytes of IOVAs?
 *
 * Context: any thread, lock-free.
 * Return: 0; -EINVAL.
 */
int type1_check_bitmap(const struct type1_bitmap *b, uint64_t size);

/**
 * struct type1_dirty - A question about dirty pages, and how far it has come
 * @iova, @size: what it asks about
 * @changes:	 the state of the table it is about; 0 = just begun
 * @done:	 mappings of the range dealt with, in ascending order
 */
struct type1_dirty {
	uint64_t iova;
	uint64_t size;
	uint64_t changes;
	uint64_t done;
};

/**
 * type1_dirty() - Which pages of a range are dirty: mappings, from d->done on
 * @ranges: filled, at most @max; all of their pages are dirty. As on Linux,
 *	    where a device behind an IOMMU that tracks nothing may have written
 *	    to whatever it could
 *
 * When the table is no longer as @d has seen it, @d begins again.
 *
 * Context: takes type1->lock, and iopt->lock for reading.
 * Return: 0; -EINVAL tracking is off, a mapping lies half inside, or as for
 * type1_unmap() of version 2; -EOVERFLOW.
 */
int type1_dirty(struct type1 *t, struct type1_dirty *d,
		struct iova_range *ranges, size_t max, size_t *ret_n);

/**
 * type1_unmap_dirty() - Unmap what type1_dirty() has told: the first d->done
 * mappings of the range
 *
 * Context: as for type1_unmap().
 * Return: 0; -EAGAIN the table has changed since, nothing was unmapped.
 */
int type1_unmap_dirty(struct type1 *t, const struct type1_dirty *d,
		      uint64_t *ret_unmapped);

/**
 * type1_mappings() - how many
 * type1_avail() - how many more under the limit
 * type1_mapped() - bytes mapped
 * type1_pinned() - those that RLIMIT_MEMLOCK is compared with: no BARs
 *
 * Context: take type1->lock, or iopt->lock for reading.
 */
uint32_t type1_mappings(struct type1 *t);
uint32_t type1_avail(struct type1 *t);
uint64_t type1_mapped(struct type1 *t);
uint64_t type1_pinned(struct type1 *t);

/**
 * type1_ranges() - Valid IOVA ranges, ascending; they belong to @t
 * @ret_n: at most TYPE1_RANGES_MAX
 *
 * Context: any thread, lock-free.
 */
const struct iova_range *type1_ranges(const struct type1 *t, size_t *ret_n);

#endif

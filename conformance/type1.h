/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls of the type1 IOMMU, and what uapi/vfio.h has not got of it yet.
 */
#ifndef SOFTVFIO_CONFORMANCE_TYPE1_H
#define SOFTVFIO_CONFORMANCE_TYPE1_H

#include "conformance/conformance.h"

#define MAP_RW		(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
#define MAP_VADDR	(1u << 2)
#define UNMAP_BITMAP	VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP
#define UNMAP_ALL	VFIO_DMA_UNMAP_FLAG_ALL
#define UNMAP_VADDR	(1u << 2)
#define DMA_ENTRY_LIMIT 65535u
#define INFO_SIZE	1024 /* enough for GET_INFO with its capabilities */

/* The two types, as words in names. */
static const struct {
	const char *name;
	unsigned long type;
} types[] = {
	{"v1", VFIO_TYPE1_IOMMU},
	{"v2", VFIO_TYPE1v2_IOMMU},
};

/* Like the ioctl: 0, or -1 with errno. @size is replaced by what was done. */
int dma_map(int container, const void *vaddr, uint64_t iova, uint64_t size,
	    uint32_t flags);
int dma_unmap(int container, uint64_t iova, uint64_t *size, uint32_t flags);
void dma_unmap_all(int container);

/** info_cap() - In a GET_INFO reply of up to INFO_SIZE bytes; NULL: not there */
const void *info_cap(const void *info, uint16_t id);
/** say_mappings() - mappings= how many there are, as GET_INFO tells */
void say_mappings(int container);

#endif

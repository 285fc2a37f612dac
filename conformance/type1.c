/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls of the type1 IOMMU, for the areas that map memory.
 */
#include "conformance/type1.h"

int dma_map(int container, const void *vaddr, uint64_t iova, uint64_t size,
	    uint32_t flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.vaddr = (uintptr_t)vaddr,
		.iova = iova,
		.size = size,
	};

	return ioctl(container, VFIO_IOMMU_MAP_DMA, &map);
}

int dma_unmap(int container, uint64_t iova, uint64_t *size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = flags,
		.iova = iova,
		.size = *size,
	};
	int ret = ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap);

	*size = unmap.size;
	return ret;
}

void dma_unmap_all(int container)
{
	uint64_t size = 0;

	dma_unmap(container, 0, &size, VFIO_DMA_UNMAP_FLAG_ALL);
}

const void *info_cap(const void *info, uint16_t id)
{
	const uint8_t *buf = info;
	const struct vfio_info_cap_header *cap;
	uint32_t off = ((const struct vfio_iommu_type1_info *)info)->cap_offset;

	for (; off && off < INFO_SIZE; off = cap->next) {
		cap = (const void *)(buf + off);
		if (cap->id == id)
			return cap;
	}
	return NULL;
}

void say_mappings(int container)
{
	uint8_t buf[INFO_SIZE] = {0};
	struct vfio_iommu_type1_info *info = (void *)buf;
	const struct vfio_iommu_type1_info_dma_avail *cap;

	info->argsz = sizeof(buf);
	if (ioctl(container, VFIO_IOMMU_GET_INFO, info))
		return;
	cap = info_cap(buf, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
	if (cap)
		say("mappings=%u", DMA_ENTRY_LIMIT - cap->avail);
}

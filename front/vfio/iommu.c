/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ioctls of a container that has an IOMMU: type1's layouts, with Linux's
 * order of checks and what it writes back (kernel-semantics 2.5-2.7).
 */
#include <errno.h>
#include <string.h>

#include "front/ioctl.h"
#include "front/usermem.h"
#include "front/vfio/account.h"
#include "front/vfio/vfio.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"

/*
 * The capabilities behind the struct, chained, each 8-aligned; the last is
 * vfio_iommu_type1_info_cap_iova_range.
 */
struct info_caps {
	struct vfio_iommu_type1_info_cap_migration migration;
	struct vfio_iommu_type1_info_dma_avail avail;
	uint32_t pad;
	struct vfio_info_cap_header range_header;
	uint32_t nr_iovas;
	uint32_t reserved;
	struct vfio_iova_range ranges[TYPE1_RANGES_MAX];
};

/* @next: offset of the next one in struct info_caps, 0 = none */
static struct vfio_info_cap_header cap_header(uint16_t id, size_t next)
{
	return (struct vfio_info_cap_header){
		.id = id,
		.version = 1,
		.next = next ? sizeof(struct vfio_iommu_type1_info) +
					(uint32_t)next
			     : 0,
	};
}

static size_t info_caps(struct type1 *type1, struct info_caps *caps)
{
	size_t n;
	const struct iova_range *r = type1_ranges(type1, &n);

	memset(caps, 0, sizeof(*caps));
	caps->migration.header = cap_header(VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
					    offsetof(struct info_caps, avail));
	caps->migration.pgsize_bitmap = TYPE1_PAGE;
	caps->migration.max_dirty_bitmap_size = TYPE1_BITMAP_MAX;
	caps->avail.header =
		cap_header(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
			   offsetof(struct info_caps, range_header));
	caps->avail.avail = type1_avail(type1);
	caps->range_header =
		cap_header(VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 0);
	caps->nr_iovas = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		caps->ranges[i] =
			(struct vfio_iova_range){r[i].first, r[i].last};
	return offsetof(struct info_caps, ranges) + n * sizeof(caps->ranges[0]);
}

static int64_t get_info(struct call *call, struct type1 *type1)
{
	struct vfio_iommu_type1_info info = {0};
	struct info_caps caps;
	int r = ioctl_copy_in(
		call, &info,
		offsetof(struct vfio_iommu_type1_info, cap_offset));

	if (r < 0)
		return r;

	uint32_t argsz = info.argsz;
	size_t caps_len = info_caps(type1, &caps);

	info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info.iova_pgsizes = TYPE1_PAGE_SIZES;
	if (argsz < sizeof(info) + caps_len) {
		info.argsz = (uint32_t)(sizeof(info) + caps_len);
	} else {
		info.cap_offset = sizeof(info);
		r = call_copy_out(call, ioctl_arg(call) + sizeof(info), &caps,
				  caps_len);
	}
	if (r < 0)
		return r;
	return call_copy_out(call, ioctl_arg(call), &info,
			     argsz < sizeof(info) ? argsz : sizeof(info));
}

static int map_memory(struct call *call, struct type1 *type1,
		      const struct type1_map *map)
{
	const struct usermem mem = {map->vaddr, map->size, map->prot};
	struct pages *pages;
	int r = usermem_pages(call, type1_pid(type1), &mem, &pages);

	if (r < 0)
		return r;
	r = account_check(call, type1, pages_pinned(pages, 0, map->size));
	if (r == 0)
		r = type1_map(type1, map, pages);
	pages_put(pages);
	return r;
}

static int64_t map_dma(struct call *call, struct type1 *type1)
{
	const uint32_t known = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	struct vfio_iommu_type1_dma_map map;
	int r = ioctl_copy_in(call, &map, sizeof(map));

	if (r < 0)
		return r;
	if (map.flags & ~known)
		return refuse(EINVAL, "MAP_DMA: unknown flags %#x",
			      map.flags & ~known);

	const struct type1_map what = {
		.vaddr = map.vaddr,
		.iova = map.iova,
		.size = map.size,
		.prot = map.flags, /* the same bits */
	};

	r = type1_check_map(type1, &what);
	return r < 0 ? r : map_memory(call, type1, &what);
}

static int64_t unmap_dma(struct call *call, struct type1 *type1)
{
	const uint32_t known =
		VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_ALL;
	struct vfio_iommu_type1_dma_unmap unmap;
	int r = ioctl_copy_in(call, &unmap, sizeof(unmap));

	if (r < 0)
		return r;
	if (unmap.flags & ~known)
		return refuse(EINVAL, "UNMAP_DMA: unknown flags %#x",
			      unmap.flags & ~known);
	if (unmap.flags == known)
		return refuse(EINVAL, "UNMAP_DMA: ALL and GET_DIRTY_BITMAP do "
				      "not go together");
	if (unmap.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)
		r = dirty_unmap(call, type1, &unmap);
	else
		r = type1_unmap(type1, unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL,
				unmap.iova, unmap.size, &unmap.size);
	return r < 0 ? r
		     : call_copy_out(call, ioctl_arg(call), &unmap,
				     sizeof(unmap));
}

static const struct {
	unsigned int cmd;
	const char *name;
	int64_t (*fn)(struct call *call, struct type1 *type1);
} rows[] = {
	{VFIO_IOMMU_GET_INFO, "VFIO_IOMMU_GET_INFO", get_info},
	{VFIO_IOMMU_MAP_DMA, "VFIO_IOMMU_MAP_DMA", map_dma},
	{VFIO_IOMMU_UNMAP_DMA, "VFIO_IOMMU_UNMAP_DMA", unmap_dma},
	{VFIO_IOMMU_DIRTY_PAGES, "VFIO_IOMMU_DIRTY_PAGES", dirty_pages},
};

int64_t iommu_ioctl(struct call *call, struct type1 *type1)
{
	unsigned int cmd = ioctl_cmd(call);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].cmd != cmd)
			continue;
		call->name = rows[i].name;
		return rows[i].fn(call, type1);
	}
	return refuse(ENOTTY, "type1 has no ioctl %#x", cmd);
}

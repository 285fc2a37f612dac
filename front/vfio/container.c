/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The container's file: /dev/vfio/vfio and the type1 ioctls, with Linux's
 * order of checks and what it writes back (kernel-semantics 2.3, 2.5-2.7).
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "front/vfio/account.h"
#include "front/alive.h"
#include "front/ioctl.h"
#include "front/vfio/usermem.h"
#include "front/vfio/vfio.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"
#include "uapi/vfio.h"

#define MISC_MAJOR	10
#define CONTAINER_MINOR 196

struct container_file {
	struct file f;
	struct container *container; /* f.lock; NULL: released */
};

static struct container_file *container_file(const struct file *f)
{
	return container_of(f, struct container_file, f);
}

/* Not released while it is served. */
static struct container *container_of_call(const struct call *call)
{
	return container_file(call->file)->container;
}

static int64_t get_api_version(struct call *call)
{
	return VFIO_API_VERSION;
}

static int64_t check_extension(struct call *call)
{
	struct type1 *type1 = container_type1(container_of_call(call));
	bool has_iommu = type1;

	type1_put(type1);
	switch (ioctl_arg(call)) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
		return 1;
	case VFIO_DMA_CC_IOMMU:
		return has_iommu;
	default:
		return 0;
	}
}

static int64_t set_iommu(struct call *call)
{
	return container_set_iommu(container_of_call(call), ioctl_arg(call));
}

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

static int64_t iommu_get_info(struct call *call, struct type1 *type1)
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

static int64_t iommu_map_dma(struct call *call, struct type1 *type1)
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

static int64_t iommu_unmap_dma(struct call *call, struct type1 *type1)
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

static int64_t iommu_ioctl(struct call *call, struct type1 *type1)
{
	switch (ioctl_cmd(call)) {
	case VFIO_IOMMU_GET_INFO:
		call->name = "VFIO_IOMMU_GET_INFO";
		return iommu_get_info(call, type1);
	case VFIO_IOMMU_MAP_DMA:
		call->name = "VFIO_IOMMU_MAP_DMA";
		return iommu_map_dma(call, type1);
	case VFIO_IOMMU_UNMAP_DMA:
		call->name = "VFIO_IOMMU_UNMAP_DMA";
		return iommu_unmap_dma(call, type1);
	case VFIO_IOMMU_DIRTY_PAGES:
		call->name = "VFIO_IOMMU_DIRTY_PAGES";
		return dirty_pages(call, type1);
	default:
		return refuse(ENOTTY, "type1 has no ioctl %#x",
			      ioctl_cmd(call));
	}
}

static const struct ioctl_row container_rows[] = {
	{VFIO_GET_API_VERSION, "VFIO_GET_API_VERSION", get_api_version},
	{VFIO_CHECK_EXTENSION, "VFIO_CHECK_EXTENSION", check_extension},
	{VFIO_SET_IOMMU, "VFIO_SET_IOMMU", set_iommu},
};

static int64_t container_ioctl(struct call *call)
{
	const struct ioctl_row *row =
		ioctl_find(call, container_rows, ARRAY_SIZE(container_rows));

	/* whether there is an IOMMU depends on which groups are attached */
	alive_settle_container(call->server, container_of_call(call));
	if (row)
		return ioctl_run(call, row);

	struct type1 *type1 = container_type1(container_of_call(call));

	if (!type1)
		return refuse(EINVAL, "ioctl %#x before SET_IOMMU",
			      ioctl_cmd(call));

	int64_t r = iommu_ioctl(call, type1);

	type1_put(type1);
	return r;
}

void container_node_stat(struct sv_stat *st)
{
	st->mode = S_IFCHR | 0666;
	st->nlink = 1;
	st->rdev = makedev(MISC_MAJOR, CONTAINER_MINOR);
}

static void container_stat(struct file *f, struct sv_stat *st)
{
	container_node_stat(st);
}

/* Whoever else holds a reference to the file finds no container from now on. */
static int container_release(struct file *f)
{
	struct container_file *cf = container_file(f);

	mutex_lock(&f->lock);
	struct container *c = cf->container;

	cf->container = NULL;
	mutex_unlock(&f->lock);
	container_put(c);
	return 0;
}

static const struct file_ops container_ops = {
	.size = sizeof(struct container_file),
	.ioctl = container_ioctl,
	.stat = container_stat,
	.release = container_release,
};

struct container *container_file_get(struct file *f)
{
	if (f->ops != &container_ops)
		return NULL;
	mutex_lock(&f->lock);
	struct container *c = container_file(f)->container;

	if (c)
		container_get(c);
	mutex_unlock(&f->lock);
	return c;
}

static int container_file_make(struct call *call, struct container *c,
			       bool cloexec)
{
	struct file *f = file_new(call->server, &container_ops, call->pid,
				  CONTAINER_PATH);

	if (!f)
		return -ENOMEM;
	container_file(f)->container = c;
	return file_open(call, f, cloexec);
}

int64_t container_file_open(struct call *call, bool cloexec)
{
	struct container *c;
	int r = container_new(call->pid, &c);

	if (r < 0)
		return r;
	r = container_file_make(call, c, cloexec);
	if (r < 0)
		container_put(c);
	return r;
}

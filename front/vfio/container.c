/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The container's file: /dev/vfio/vfio and the type1 ioctls, with Linux's
 * order of checks and what it writes back (kernel-semantics 2.3, 2.5-2.7).
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "front/vfio/account.h"
#include "core/machine/machine.h"
#include "front/alive.h"
#include "front/ioctl.h"
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
	enum iommu_type type;
	struct ioas *ioas = container_ioas(container_of_call(call), &type);

	ioas_put(ioas);
	switch (ioctl_arg(call)) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
		return 1;
	case VFIO_DMA_CC_IOMMU:
		return type != IOMMU_NONE;
	default:
		return 0;
	}
}

static int64_t set_iommu(struct call *call)
{
	return container_set_iommu(container_of_call(call), ioctl_arg(call));
}

#define RANGES_MAX 8

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
	struct vfio_iova_range ranges[RANGES_MAX];
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

static size_t info_caps(struct ioas *ioas, struct info_caps *caps)
{
	size_t n;
	const struct iova_range *r = ioas_ranges(ioas, &n);

	memset(caps, 0, sizeof(*caps));
	assert(n <= RANGES_MAX);
	caps->migration.header = cap_header(VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
					    offsetof(struct info_caps, avail));
	caps->migration.pgsize_bitmap = IOAS_PAGE;
	caps->migration.max_dirty_bitmap_size = DIRTY_BITMAP_MAX;
	caps->avail.header =
		cap_header(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
			   offsetof(struct info_caps, range_header));
	caps->avail.avail = ioas_avail(ioas);
	caps->range_header =
		cap_header(VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 0);
	caps->nr_iovas = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		caps->ranges[i] =
			(struct vfio_iova_range){r[i].first, r[i].last};
	return offsetof(struct info_caps, ranges) + n * sizeof(caps->ranges[0]);
}

static int64_t iommu_get_info(struct call *call, struct ioas *ioas)
{
	struct vfio_iommu_type1_info info = {0};
	struct info_caps caps;
	int r = ioctl_copy_in(
		call, &info,
		offsetof(struct vfio_iommu_type1_info, cap_offset));

	if (r < 0)
		return r;

	uint32_t argsz = info.argsz;
	size_t caps_len = info_caps(ioas, &caps);

	info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info.iova_pgsizes = 0x40201000; /* 4 KiB, 2 MiB, 1 GiB */
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

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What the IOMMU driver's pinning would have found wrong with a mapping. */
static int vma_permits(const struct sv_vma *v, uint32_t flags)
{
	bool write = flags & VFIO_DMA_MAP_FLAG_WRITE;

	if (v->prot & (write ? PROT_WRITE : PROT_READ))
		return 0;
	return refuse(EFAULT, "MAP_DMA: memory at %#llx is not %s",
		      (unsigned long long)v->start,
		      write ? "writable" : "readable");
}

static int bar_segment(struct call *call, const struct sv_vma *v,
		       struct mem_seg *seg)
{
	struct machine *m = call->conf->machine;
	unsigned int bar;
	struct sv_dev *dev = machine_bar(m, v->dev, v->ino, &bar);

	if (!dev)
		return refuse(EFAULT, "MAP_DMA: a BAR of another instance");

	int r = device_fault(dev, bar, v->off); /* Linux faults it in */

	if (r < 0)
		return r;
	seg->off = v->off;
	return mem_bar(&device_p2p, dev, bar, &seg->mem);
}

static int mm_segment(struct call *call, const struct sv_vma *v,
		      struct mem_seg *seg)
{
	seg->off = v->start;
	return call_mm(call, &seg->mem);
}

/* One of our BARs, by whatever name it comes. */
static bool is_bar(struct call *call, int fd, struct sv_vma *v)
{
	struct stat st;
	unsigned int bar;

	/* only what has seals can be looked at without asking a server */
	if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &st) < 0)
		return false;
	v->dev = st.st_dev;
	v->ino = st.st_ino;
	return machine_bar(call->conf->machine, v->dev, v->ino, &bar);
}

/* A file the daemon can map too, and does within the program's share; else the
 * program's own view of it. */
static int file_segment(struct call *call, const struct sv_vma *v,
			uint32_t flags, struct mem_seg *seg)
{
	struct sv_vma bar = *v;
	int fd = call_vma_fd(call, v);

	if (fd < 0)
		return mm_segment(call, v, seg);
	if (is_bar(call, fd, &bar))
		return bar_segment(call, &bar, seg);

	int r = mem_file(call->pid, fd, flags & VFIO_DMA_MAP_FLAG_WRITE,
			 v->off + (v->end - v->start), &seg->mem);

	seg->off = v->off;
	if (r == -EOPNOTSUPP || r == -EACCES || r == -ENOSPC)
		return mm_segment(call, v, seg);
	if (r == -EINVAL)
		return refuse(EFAULT,
			      "MAP_DMA: the file mapped at %#llx ends "
			      "before the mapping does",
			      (unsigned long long)v->start);
	return r;
}

static int make_segment(struct call *call, const struct sv_vma *v,
			uint32_t flags, struct mem_seg *seg)
{
	int r = vma_permits(v, flags);

	if (r < 0)
		return r;
	seg->len = v->end - v->start;
	switch (v->kind) {
	case SV_VMA_FILE:
		return file_segment(call, v, flags, seg);
	case SV_VMA_BAR:
		return bar_segment(call, v, seg);
	default:
		return mm_segment(call, v, seg);
	}
}

static void put_segments(struct mem_seg *segs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mem_put(segs[i].mem);
}

/*
 * Neighbours in one memory are one segment. A merged segment's reference to
 * the memory it shares with its neighbour is not needed.
 */
static bool merge_segment(struct mem_seg *last, const struct mem_seg *seg)
{
	if (last->mem != seg->mem || last->off + last->len != seg->off)
		return false;
	last->len += seg->len;
	mem_put(seg->mem);
	return true;
}

/* The memory behind [vaddr, vaddr + size), without holes, permitted. */
static int make_segments(struct call *call,
			 const struct vfio_iommu_type1_dma_map *map,
			 struct mem_seg *segs, size_t *ret_n)
{
	const struct sv_vma *v;
	uint64_t at = map->vaddr, end = map->vaddr + map->size;
	size_t n = 0;
	uint32_t n_vmas;
	int r = call_vmas(call, map->vaddr, map->size, &v, &n_vmas);

	for (uint32_t i = 0; r == 0 && i < n_vmas && at < end; i++) {
		struct sv_vma cut = v[i];

		if (cut.start != at || cut.end <= cut.start)
			break;
		cut.end = min_u64(cut.end, end);
		r = make_segment(call, &cut, map->flags, &segs[n]);
		if (r < 0)
			break;
		at = cut.end;
		if (!n || !merge_segment(&segs[n - 1], &segs[n]))
			n++;
	}
	if (r == 0 && at != end)
		r = refuse(EFAULT, "MAP_DMA: nothing is mapped at %#llx",
			   (unsigned long long)at);
	if (r < 0)
		put_segments(segs, n);
	*ret_n = n;
	return r;
}

static uint64_t pinned_bytes(const struct mem_seg *segs, size_t n)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		if (mem_is_pinned(segs[i].mem))
			bytes += segs[i].len;
	return bytes;
}

static int map_memory(struct call *call, struct ioas *ioas,
		      const struct vfio_iommu_type1_dma_map *map)
{
	struct mem_seg segs[SV_VMAS_MAX];
	size_t n;
	int r = make_segments(call, map, segs, &n);

	if (r < 0)
		return r;
	r = account_check(call, ioas, pinned_bytes(segs, n));
	if (r == 0)
		r = ioas_map(ioas, map->vaddr, map->iova, map->size, map->flags,
			     segs, n);
	if (r < 0)
		put_segments(segs, n);
	return r;
}

static int64_t iommu_map_dma(struct call *call, struct ioas *ioas)
{
	const uint32_t known = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	struct vfio_iommu_type1_dma_map map;
	int r = ioctl_copy_in(call, &map, sizeof(map));

	if (r < 0)
		return r;
	if (map.flags & ~known)
		return refuse(EINVAL, "MAP_DMA: unknown flags %#x",
			      map.flags & ~known);
	r = ioas_check_map(ioas, map.vaddr, map.iova, map.size, map.flags);
	return r < 0 ? r : map_memory(call, ioas, &map);
}

static int unmap_range(struct ioas *ioas, enum iommu_type type,
		       struct vfio_iommu_type1_dma_unmap *unmap)
{
	enum ioas_unmap_mode mode =
		type == IOMMU_TYPE1 ? IOAS_UNMAP_V1 : IOAS_UNMAP_V2;
	uint64_t done;

	if (unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL)
		mode = IOAS_UNMAP_ALL;

	int r = ioas_unmap(ioas, mode, unmap->iova, unmap->size, &done);

	if (r == 0)
		unmap->size = done;
	return r;
}

static int64_t iommu_unmap_dma(struct call *call, struct ioas *ioas,
			       enum iommu_type type)
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
		r = dirty_unmap(call, ioas, &unmap);
	else
		r = unmap_range(ioas, type, &unmap);
	return r < 0 ? r
		     : call_copy_out(call, ioctl_arg(call), &unmap,
				     sizeof(unmap));
}

static int64_t iommu_ioctl(struct call *call, struct ioas *ioas,
			   enum iommu_type type)
{
	switch (ioctl_cmd(call)) {
	case VFIO_IOMMU_GET_INFO:
		call->name = "VFIO_IOMMU_GET_INFO";
		return iommu_get_info(call, ioas);
	case VFIO_IOMMU_MAP_DMA:
		call->name = "VFIO_IOMMU_MAP_DMA";
		return iommu_map_dma(call, ioas);
	case VFIO_IOMMU_UNMAP_DMA:
		call->name = "VFIO_IOMMU_UNMAP_DMA";
		return iommu_unmap_dma(call, ioas, type);
	case VFIO_IOMMU_DIRTY_PAGES:
		call->name = "VFIO_IOMMU_DIRTY_PAGES";
		return dirty_pages(call, ioas, type);
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
	enum iommu_type type;

	/* whether there is an IOMMU depends on which groups are attached */
	alive_settle_container(call->server, container_of_call(call));
	if (row)
		return ioctl_run(call, row);

	struct ioas *ioas = container_ioas(container_of_call(call), &type);

	if (!ioas)
		return refuse(EINVAL, "ioctl %#x before SET_IOMMU",
			      ioctl_cmd(call));

	int64_t r = iommu_ioctl(call, ioas, type);

	ioas_put(ioas);
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

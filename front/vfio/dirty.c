/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dirty pages of a type1 container: VFIO_IOMMU_DIRTY_PAGES, and UNMAP_DMA with
 * a bitmap (kernel-semantics 2.7, 2.10). The bitmap is the program's and may
 * be large, so runs of ones are written into it (call_set_bits()), one for each
 * mapping, before there is an answer. Rounds are marked with the state of the
 * table: the count of runs written is one of mappings dealt with, for as long
 * as nobody has changed it.
 */
#include <errno.h>
#include <stdlib.h>

#include "front/ioctl.h"
#include "front/vfio/vfio.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"
#include "uapi/vfio.h"

typedef unsigned long long ull;

static int check_bitmap(const struct vfio_bitmap *b, uint64_t size)
{
	const struct type1_bitmap bitmap = {
		.pgsize = b->pgsize,
		.size = b->size,
		.data = (uintptr_t)b->data,
	};

	return type1_check_bitmap(&bitmap, size);
}

static int ask_for(struct call *call, uint64_t mark, uint64_t bitmap,
		   uint64_t base, const struct iova_range *ranges, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t first = (ranges[i].first - base) / TYPE1_PAGE;
		uint64_t last = (ranges[i].last - base) / TYPE1_PAGE;

		if (call_set_bits(call, mark, bitmap, first,
				  last - first + 1) != -ERESTART)
			break;
	}
	return -ERESTART;
}

static int set_bits(struct call *call, struct type1 *type1,
		    const struct vfio_iommu_type1_dirty_bitmap_get *get,
		    struct type1_dirty *d)
{
	_cleanup_(freep) struct iova_range *ranges =
		malloc(SV_NEEDS_MAX * sizeof(ranges[0]));
	const struct call_bits written = call_bits(call);
	size_t n;

	if (!ranges)
		return -ENOMEM;
	*d = (struct type1_dirty){get->iova, get->size, written.mark,
				  written.done};

	int r = type1_dirty(type1, d, ranges, SV_NEEDS_MAX, &n);

	if (r < 0 || !n)
		return r;
	if (written.fault && d->changes == written.mark)
		return refuse(EFAULT,
			      "dirty bitmap at %#llx: cannot be written",
			      (ull)get->bitmap.data);
	return ask_for(call, d->changes, get->bitmap.data, get->iova, ranges,
		       n);
}

static int64_t get_bitmap(struct call *call, struct type1 *type1,
			  uint32_t argsz)
{
	const size_t head = sizeof(struct vfio_iommu_type1_dirty_bitmap);
	struct vfio_iommu_type1_dirty_bitmap_get get;
	struct type1_dirty d;

	if (argsz < head + sizeof(get))
		return refuse(EINVAL,
			      "GET_BITMAP: argsz %u; it takes %zu with the "
			      "bitmap's description",
			      argsz, head + sizeof(get));

	int r = call_copy_in(call, ioctl_arg(call) + head, &get, sizeof(get));

	if (r < 0)
		return r;
	if (get.size && range_wraps(get.iova, get.size))
		return refuse(EOVERFLOW,
			      "GET_BITMAP: iova %#llx plus size %#llx wraps "
			      "around 2^64",
			      (ull)get.iova, (ull)get.size);
	r = check_bitmap(&get.bitmap, get.size);
	return r < 0 ? r : set_bits(call, type1, &get, &d);
}

int64_t dirty_pages(struct call *call, struct type1 *type1)
{
	struct vfio_iommu_type1_dirty_bitmap dirty;
	int r = type1_check_dirty_pages(type1);

	if (r == 0)
		r = ioctl_copy_in(call, &dirty, sizeof(dirty));
	if (r < 0)
		return r;
	switch (dirty.flags) {
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
		type1_track(type1,
			    dirty.flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
		return 0;
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
		return get_bitmap(call, type1, dirty.argsz);
	default:
		return refuse(EINVAL,
			      "DIRTY_PAGES: flags %#x; exactly one of START "
			      "(1), STOP (2) and GET_BITMAP (4)",
			      dirty.flags);
	}
}

/*
 * As on Linux, mappings whose bits are written go, and what cannot be written
 * ends it.
 */
static int unmap_written(struct call *call, struct type1 *type1,
			 const struct vfio_iommu_type1_dirty_bitmap_get *get,
			 uint64_t *ret_unmapped)
{
	struct type1_dirty d;
	int r = set_bits(call, type1, get, &d);

	if (r != 0 && r != -EFAULT)
		return r;

	int gone = type1_unmap_dirty(type1, &d, ret_unmapped);

	return gone < 0 ? gone : r;
}

int dirty_unmap(struct call *call, struct type1 *type1,
		struct vfio_iommu_type1_dma_unmap *unmap)
{
	const size_t head = sizeof(*unmap);
	struct vfio_iommu_type1_dirty_bitmap_get get = {
		.iova = unmap->iova,
		.size = unmap->size,
	};

	if (unmap->argsz < head + sizeof(get.bitmap))
		return refuse(EINVAL,
			      "UNMAP_DMA: argsz %u; it takes %zu with the "
			      "bitmap's description",
			      unmap->argsz, head + sizeof(get.bitmap));

	int r = call_copy_in(call, ioctl_arg(call) + head, &get.bitmap,
			     sizeof(get.bitmap));

	if (r == 0)
		r = check_bitmap(&get.bitmap, get.size);
	if (r < 0)
		return r;
	do
		r = unmap_written(call, type1, &get, &unmap->size);
	while (r == -EAGAIN);
	return r;
}

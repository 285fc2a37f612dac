/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dirty bitmaps that conformance/area_dirty.c is too small for: of more
 * mappings than one message tells of, larger than a message, and in memory
 * that ends half-way.
 */
#include <stdlib.h>

#include "tests/abi/abi.h"

#define MANY	   5000u
#define STRIDE	   67u /* pages from one mapping to the next */
#define WORD_PAGES 64u
#define IOVA	   (4ull << 30) /* behind the MSI window */

/* vfio_iommu_type1_dirty_bitmap, _dma_unmap, and what is behind them */
struct get {
	uint32_t argsz;
	uint32_t flags;
	struct vfio_iommu_type1_dirty_bitmap_get get;
};

struct unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova;
	uint64_t size;
	struct vfio_bitmap bitmap;
};

static long track(int c, uint32_t flag)
{
	struct vfio_iommu_type1_dirty_bitmap head = {sizeof(head), flag};

	return R(ioctl(c, VFIO_IOMMU_DIRTY_PAGES, &head));
}

static long get_bitmap(int c, uint64_t iova, uint64_t size, void *bitmap,
		       size_t bytes)
{
	struct get g = {
		.argsz = sizeof(g),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.get = {iova, size, {PAGE, bytes, (uintptr_t)bitmap}},
	};

	return R(ioctl(c, VFIO_IOMMU_DIRTY_PAGES, &g));
}

static long unmap_bitmap(int c, uint64_t size, void *bitmap, size_t bytes,
			 uint64_t *ret_size)
{
	struct unmap u = {
		.argsz = sizeof(u),
		.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
		.size = size,
		.bitmap = {PAGE, bytes, (uintptr_t)bitmap},
	};
	long r = R(ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u));

	*ret_size = u.size;
	return r;
}

/* How many there are */
static long mappings(int c)
{
	uint8_t buf[INFO_SIZE] = {0};
	struct vfio_iommu_type1_info *info = (void *)buf;

	info->argsz = sizeof(buf);
	need(ioctl(c, VFIO_IOMMU_GET_INFO, info), "GET_INFO");
	const struct vfio_iommu_type1_info_dma_avail *cap =
		info_cap(buf, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);

	return cap ? (long)DMA_ENTRY_LIMIT - (long)cap->avail : -1;
}

static void *shared(size_t size)
{
	void *p = mmap(NULL, size, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	need(p == MAP_FAILED ? -1 : 0, "mmap of memory");
	return p;
}

static long map_result(int c, const void *vaddr, uint64_t iova)
{
	return R(dma_map(c, vaddr, iova, PAGE, MAP_RW));
}

static long unmap_result(int c, uint64_t iova, uint64_t size)
{
	return R(dma_unmap(c, iova, &size, 0));
}

static bool bit(const uint64_t *words, uint64_t at)
{
	return words[at / WORD_PAGES] >> at % WORD_PAGES & 1;
}

/* Mapping i is page i * STRIDE alone. */
static bool bits_of_many(const uint64_t *words, uint64_t pages)
{
	for (uint64_t at = 0; at < pages; at++)
		if (bit(words, at) != (at % STRIDE == 0))
			return false;
	return true;
}

static void many_mappings(int c)
{
	uint64_t pages = (uint64_t)MANY * STRIDE, unmapped;
	size_t bytes = (pages + WORD_PAGES - 1) / WORD_PAGES * sizeof(uint64_t);
	uint64_t *words = calloc(1, bytes);
	void *mem = shared(PAGE);

	for (uint64_t i = 0; i < MANY; i++)
		dma_map(c, mem, i * STRIDE * PAGE, PAGE, MAP_RW);
	want(mappings(c), MANY, "dirty: %u mappings", MANY);
	want(get_bitmap(c, 0, pages * PAGE, words, bytes), 0,
	     "dirty: more mappings than a message tells of");
	ok(bits_of_many(words, pages), "dirty: and each has its bit");
	memset(words, 0, bytes);
	want(unmap_bitmap(c, pages * PAGE, words, bytes, &unmapped), 0,
	     "dirty: unmapping them");
	want((long)unmapped, (long)(MANY * PAGE), "dirty: all of them");
	ok(bits_of_many(words, pages), "dirty: and each has its bit again");
	want(mappings(c), 0, "dirty: and none is left");
	munmap(mem, PAGE);
	free(words);
}

/* 8 GiB and 5 pages, of which there is none: 256 KiB of bits. */
static void large_mapping(int c)
{
	uint64_t pages = (8ull << 30) / PAGE + 5;
	size_t words = pages / WORD_PAGES + 1;
	int fd = memfd(pages * PAGE);
	void *mem =
		mmap(NULL, pages * PAGE, RW, MAP_SHARED | MAP_NORESERVE, fd, 0);
	uint64_t *bits = calloc(words + 1, sizeof(bits[0]));
	bool ones = true;

	want(R(dma_map(c, mem, IOVA, pages * PAGE, MAP_RW)), 0, "dirty: 8 GiB");
	bits[words] = FILL;
	want(get_bitmap(c, IOVA, pages * PAGE, bits, words * sizeof(bits[0])),
	     0, "dirty: a bitmap larger than a message");
	for (size_t i = 0; i < words - 1; i++)
		ones &= bits[i] == ~0ull;
	ok(ones && bits[words - 1] == 0x1f && bits[words] == FILL,
	   "dirty: all of its bits, and none behind them");
	unmap_result(c, IOVA, pages * PAGE);
	munmap(mem, pages * PAGE);
	close(fd);
	free(bits);
}

/* What could be told of goes; the rest stays. */
static void bitmap_ends_early(int c)
{
	uint8_t *mem = anon(PAGE);
	uint64_t *words = edge(2 * sizeof(uint64_t)), size;
	uint64_t pages = 4 * WORD_PAGES;

	for (uint64_t i = 0; i < 4; i++)
		dma_map(c, mem, i * WORD_PAGES * PAGE, PAGE, MAP_RW);
	want(get_bitmap(c, 0, pages * PAGE, words, 4 * sizeof(words[0])),
	     -EFAULT, "dirty: a bitmap that cannot be written is EFAULT");
	want(unmap_result(c, 0, PAGE), 0, "dirty: which unmaps nothing");
	dma_map(c, mem, 0, PAGE, MAP_RW);
	words[0] = words[1] = 0;
	want(unmap_bitmap(c, pages * PAGE, words, 4 * sizeof(words[0]), &size),
	     -EFAULT, "dirty: unmapping with it is EFAULT");
	ok(words[0] == 1 && words[1] == 1 && size == pages * PAGE,
	   "dirty: which has told what it could");
	want(map_result(c, mem, 0), 0, "dirty: what was told has gone");
	want(map_result(c, mem, 2 * WORD_PAGES * PAGE), -EEXIST,
	     "dirty: what was not told is still there");
	munmap(mem, PAGE);
}

void test_dirty(void)
{
	struct vfio v;

	device_all(&v, "edu", 0);
	want(track(v.container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0,
	     "dirty: tracking starts");
	many_mappings(v.container);
	large_mapping(v.container);
	bitmap_ends_early(v.container);
	want(track(v.container, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP), 0,
	     "dirty: tracking stops");
	vfio_close(&v);
}

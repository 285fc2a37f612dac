/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO_IOMMU_UNMAP_DMA on pages [2, 4), [4, 5) and [6, 8): every range of up
 * to eight pages, and what is wrong in other ways.
 */
#include "conformance/type1.h"

#define TOP (0 - PAGE)

static struct vfio v;
static uint8_t *mem;

/* For each case anew, by the area's process. */
static void lay_out(void)
{
	dma_unmap_all(v.container);
	dma_map(v.container, mem, 2 * PAGE, 2 * PAGE, MAP_RW);
	dma_map(v.container, mem, 4 * PAGE, PAGE, MAP_RW);
	dma_map(v.container, mem, 6 * PAGE, 2 * PAGE, MAP_RW);
}

static void say_state(void)
{
	say_mappings(v.container);
}

static void sweep_call(const char *type)
{
	const struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg),
		.flags = 0,
		.iova = 2 * PAGE,
		.size = 8 * PAGE,
	};

	sweep_whole(type, &v.container, VFIO_IOMMU_UNMAP_DMA, &arg, sizeof(arg),
		    say_state);
}

struct range {
	const char *name;
	uint64_t iova;
	uint64_t size;
	uint32_t flags;
};

static void unmap(const void *arg)
{
	const struct range *r = arg;
	uint64_t size = r->size;

	say_ret(dma_unmap(v.container, r->iova, &size, r->flags));
	say("size=%#" PRIx64, size);
	say_mappings(v.container);
}

/* Every one of 64 ranges of pages. */
static void grid(const char *type)
{
	for (unsigned int first = 1; first <= 8; first++) {
		for (unsigned int pages = 1; pages <= 8; pages++) {
			const struct range r = {NULL, first * PAGE,
						pages * PAGE, 0};

			run(unmap, &r, "%s.grid.%u+%u", type, first, pages);
		}
	}
}

static const struct range ranges[] = {
	{"size.0", 2 * PAGE, 0, 0},
	{"size.0_at_zero", 0, 0, 0},
	{"size.1", 2 * PAGE, 1, 0},
	{"size.half", 2 * PAGE, PAGE / 2, 0},
	{"size.plus_one", 2 * PAGE, PAGE + 1, 0},
	{"size.whole_plus_one", 2 * PAGE, 2 * PAGE + 1, 0},
	{"iova.plus_one", 2 * PAGE + 1, PAGE, 0},
	{"iova.half", 2 * PAGE + PAGE / 2, 2 * PAGE, 0},
	{"iova.in_hole_misaligned", 5 * PAGE + 1, PAGE, 0},
	{"everything", 0, TOP, 0},
	{"from_page_to_end", PAGE, TOP, 0},
	{"from_mapping_to_end", 2 * PAGE, 0 - 2 * PAGE, 0},
	{"low_48_bits", 0, 1ul << 48, 0},
	{"low_63_bits", 0, 1ul << 63, 0},
	{"last_page", TOP, PAGE, 0},
	{"last_page_wraps", TOP, 2 * PAGE, 0},
	{"last_page_wraps_to_mapping", TOP, 4 * PAGE, 0},
	{"wraps_by_size", 2 * PAGE, TOP, 0},
	{"wraps_misaligned", TOP + 1, PAGE, 0},
	{"size.max", 0, ~0ul, 0},
	{"size.max_from_page", PAGE, ~0ul, 0},
	{"past_48_bits", 1ul << 48, PAGE, 0},
	{"window", 0xfee00000, PAGE, 0},
	{"all", 0, 0, UNMAP_ALL},
	{"all.with_size", 0, PAGE, UNMAP_ALL},
	{"all.with_iova", 2 * PAGE, 0, UNMAP_ALL},
	{"all.with_both", 2 * PAGE, 2 * PAGE, UNMAP_ALL},
	{"all.with_misaligned", 1, 0, UNMAP_ALL},
	{"all.with_size_max", 0, ~0ul, UNMAP_ALL},
	{"bitmap_without", 2 * PAGE, 2 * PAGE, UNMAP_BITMAP},
	{"bitmap_and_all", 0, 0, UNMAP_BITMAP | UNMAP_ALL},
	{"bitmap_and_vaddr", 2 * PAGE, 2 * PAGE, UNMAP_BITMAP | UNMAP_VADDR},
	{"unknown_and_bad_range", 1, 0, 8},
};

/* Mappings of pages [4, 8) and [10, 12) */

static const struct {
	const char *name;
	uint64_t first;
	uint64_t pages;
} parts[] = {
	{"first", 4, 1},	{"middle", 5, 1},
	{"last", 7, 1},		{"up_to_first", 2, 3},
	{"up_to_middle", 2, 4}, {"from_middle", 6, 8},
	{"from_last", 7, 2},	{"one_and_half", 4, 7},
	{"both", 4, 8},		{"both_and_around", 2, 20},
};

static void unmap_part(const void *arg)
{
	const size_t *i = arg;
	uint64_t size = 0;

	need(dma_unmap(v.container, 0, &size, UNMAP_ALL), "unmap");
	need(dma_map(v.container, mem, 4 * PAGE, 4 * PAGE, MAP_RW), "map");
	need(dma_map(v.container, mem, 10 * PAGE, 2 * PAGE, MAP_RW), "map");
	size = parts[*i].pages * PAGE;
	say_ret(dma_unmap(v.container, parts[*i].first * PAGE, &size, 0));
	say("size=%#" PRIx64, size);
	say_mappings(v.container);
	say_step("map", dma_map(v.container, mem, 4 * PAGE, PAGE, MAP_RW));
}

/* Several calls */

static void say_unmap(uint64_t iova, uint64_t pages, uint32_t flags)
{
	uint64_t size = pages * PAGE;

	say_step("unmap", dma_unmap(v.container, iova, &size, flags));
	say("size=%#" PRIx64, size);
}

static void twice(const void *arg)
{
	say_unmap(2 * PAGE, 2, 0);
	say_unmap(2 * PAGE, 2, 0);
	say_mappings(v.container);
}

static void all_twice(const void *arg)
{
	say_unmap(0, 0, UNMAP_ALL);
	say_unmap(0, 0, UNMAP_ALL);
	say_mappings(v.container);
}

/* What a refusal has left is whole. */
static void after_refusal(const void *arg)
{
	say_unmap(2 * PAGE, 5, 0);
	say_unmap(2 * PAGE, 2, 0);
	say_unmap(4 * PAGE, 1, 0);
	say_unmap(6 * PAGE, 2, 0);
	say_mappings(v.container);
}

static void remap_in_hole(const void *arg)
{
	say_unmap(4 * PAGE, 1, 0);
	say_step("map", dma_map(v.container, mem, 4 * PAGE, 2 * PAGE, MAP_RW));
	say_unmap(2 * PAGE, 6, 0);
	say_mappings(v.container);
}

static void one_large(const void *arg)
{
	say_unmap(0, 0, UNMAP_ALL);
	say_step("map", dma_map(v.container, mem, 0, 16 * PAGE, MAP_RW));
	say_unmap(0, 1, 0);
	say_unmap(0, 16, 0);
	say_mappings(v.container);
}

static void unmap_in(const char *type)
{
	sweep_call(type);
	grid(type);
	for (size_t i = 0; i < COUNT(ranges); i++)
		run(unmap, &ranges[i], "%s.range.%s", type, ranges[i].name);
	for (size_t i = 0; i < COUNT(parts); i++)
		run(unmap_part, &i, "%s.part.%s", type, parts[i].name);
	run(twice, NULL, "%s.twice", type);
	run(all_twice, NULL, "%s.all_twice", type);
	run(after_refusal, NULL, "%s.after_refusal", type);
	run(remap_in_hole, NULL, "%s.remap_in_hole", type);
	run(one_large, NULL, "%s.one_large", type);
}

void area_unmap(void)
{
	mem = anon(16 * PAGE);
	for (size_t i = 0; i < COUNT(types); i++) {
		fixture_open(&v, "edu", 0, IOMMU, types[i].type);
		lay_out();
		run_after(lay_out);
		unmap_in(types[i].name);
		run_after(NULL);
		fixture_close(&v);
	}
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO_IOMMU_MAP_DMA: sizes, flags, pointers, ranges, overlaps. What memory
 * can be mapped is area_memory.c's.
 */
#include <stdio.h>

#include "conformance/type1.h"

#define MEM_SIZE   (2ul << 20)
#define TOP	   (0 - PAGE)	/* the last page of 64 bits */
#define WINDOW	   0xfee00000ul /* of interrupts, on x86 */
#define WINDOW_END 0xfef00000ul

static struct vfio v;
static uint8_t *mem;

static void unmap_all(void)
{
	dma_unmap_all(v.container);
}

static void say_state(void)
{
	say_mappings(v.container);
}

static void sweep_call(const char *type)
{
	const struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = MAP_RW,
		.vaddr = (uintptr_t)mem,
		.iova = PAGE,
		.size = PAGE,
	};

	sweep_whole(type, &v.container, VFIO_IOMMU_MAP_DMA, &arg, sizeof(arg),
		    say_state);
}

/* Ranges */

struct range {
	const char *name;
	enum { MEM, AT } base; /* vaddr counts from mem, or is the address */
	uint64_t vaddr;
	uint64_t iova;
	uint64_t size;
};

static void *address_of(const struct range *r)
{
	return r->base == MEM ? mem + r->vaddr : (void *)r->vaddr;
}

static const struct range ranges[] = {
	{"good", MEM, 0, PAGE, PAGE},
	{"good_many", MEM, 0, PAGE, 64 * PAGE},
	{"good_large", MEM, 0, 2ul << 20, MEM_SIZE},
	{"iova_zero", MEM, 0, 0, PAGE},
	{"size.0", MEM, 0, PAGE, 0},
	{"size.1", MEM, 0, PAGE, 1},
	{"size.half", MEM, 0, PAGE, PAGE / 2},
	{"size.less_one", MEM, 0, PAGE, PAGE - 1},
	{"size.plus_one", MEM, 0, PAGE, PAGE + 1},
	{"size.page_and_half", MEM, 0, PAGE, PAGE + PAGE / 2},
	{"iova.plus_one", MEM, 0, PAGE + 1, PAGE},
	{"iova.half", MEM, 0, PAGE / 2, PAGE},
	{"iova.less_one", MEM, 0, PAGE - 1, PAGE},
	{"vaddr.plus_one", MEM, 1, PAGE, PAGE},
	{"vaddr.half", MEM, PAGE / 2, PAGE, PAGE},
	{"vaddr.and_iova_half", MEM, PAGE / 2, PAGE / 2, PAGE},
	{"vaddr.and_size_half", MEM, PAGE / 2, PAGE, PAGE / 2},
	{"all_misaligned", MEM, 1, 1, 1},
	{"size_zero_misaligned", MEM, 1, 1, 0},
	{"iova.last_page", MEM, 0, TOP, PAGE},
	{"iova.last_page_wraps", MEM, 0, TOP, 2 * PAGE},
	{"iova.last_byte", MEM, 0, ~0ul, 1},
	{"iova.wraps_misaligned", MEM, 0, TOP + 1, PAGE},
	{"iova.wraps_by_size", MEM, 0, PAGE, TOP},
	{"iova.wraps_to_zero", MEM, 0, TOP, TOP},
	{"size.all_but_page", MEM, 0, 0, TOP},
	{"size.max", MEM, 0, 0, ~0ul},
	{"size.max_from_page", MEM, 0, PAGE, ~0ul},
	{"size.2_63", MEM, 0, 0, 1ul << 63},
	{"size.2_62", MEM, 0, 0, 1ul << 62},
	{"size.2_48", MEM, 0, 0, 1ul << 48},
	{"vaddr.zero", AT, 0, PAGE, PAGE},
	{"vaddr.low", AT, PAGE, PAGE, PAGE},
	{"vaddr.top_of_user", AT, 0x7ffffffff000, PAGE, PAGE},
	{"vaddr.into_top", AT, 0x7fffffffe000, PAGE, 4 * PAGE},
	{"vaddr.not_canonical", AT, 0x800000000000, PAGE, PAGE},
	{"vaddr.tagged", AT, 1ul << 62, PAGE, PAGE},
	{"vaddr.kernel", AT, 0xffff800000000000, PAGE, PAGE},
	{"vaddr.vsyscall", AT, 0xffffffffff600000, PAGE, PAGE},
	{"vaddr.last_page", AT, TOP, PAGE, PAGE},
	{"vaddr.last_page_wraps", AT, TOP, PAGE, 2 * PAGE},
	{"vaddr.wraps_by_size", AT, 2 * PAGE, 0, TOP},
	{"window.before", MEM, 0, WINDOW - PAGE, PAGE},
	{"window.into", MEM, 0, WINDOW - PAGE, 2 * PAGE},
	{"window.first", MEM, 0, WINDOW, PAGE},
	{"window.middle", MEM, 0, WINDOW + 0x80000, PAGE},
	{"window.last", MEM, 0, WINDOW_END - PAGE, PAGE},
	{"window.out_of", MEM, 0, WINDOW_END - PAGE, 2 * PAGE},
	{"window.after", MEM, 0, WINDOW_END, PAGE},
	{"window.all", MEM, 0, WINDOW, 0x100000},
	{"window.around", MEM, 0, WINDOW - PAGE, 0x102000},
	{"bits.32_last", MEM, 0, (1ul << 32) - PAGE, PAGE},
	{"bits.32_across", MEM, 0, (1ul << 32) - PAGE, 2 * PAGE},
	{"bits.32", MEM, 0, 1ul << 32, PAGE},
	{"bits.39_last", MEM, 0, (1ul << 39) - PAGE, PAGE},
	{"bits.39_across", MEM, 0, (1ul << 39) - PAGE, 2 * PAGE},
	{"bits.39", MEM, 0, 1ul << 39, PAGE},
	{"bits.47", MEM, 0, 1ul << 47, PAGE},
	{"bits.48_last", MEM, 0, (1ul << 48) - PAGE, PAGE},
	{"bits.48_across", MEM, 0, (1ul << 48) - PAGE, 2 * PAGE},
	{"bits.48", MEM, 0, 1ul << 48, PAGE},
	{"bits.52", MEM, 0, 1ul << 52, PAGE},
	{"bits.57", MEM, 0, 1ul << 57, PAGE},
	{"bits.63", MEM, 0, 1ul << 63, PAGE},
};

/* The same range after a refusal shows that nothing of it is left. */
static void map_range(const void *arg)
{
	const struct range *r = arg;

	say_ret(dma_map(v.container, address_of(r), r->iova, r->size, MAP_RW));
	say_mappings(v.container);
	say_step("good", dma_map(v.container, mem, PAGE, PAGE, MAP_RW));
}

/* Of several things that are wrong, which is seen first? */

struct wrong {
	struct range range;
	uint32_t flags;
};

static const struct wrong wrongs[] = {
	{{"wraps_no_flags", MEM, 0, TOP, 2 * PAGE}, 0},
	{{"wraps_unknown_flag", MEM, 0, TOP, 2 * PAGE}, MAP_RW | 8},
	{{"wraps_misaligned", MEM, 0, TOP + 1, 2 * PAGE}, MAP_RW},
	{{"wraps_size_zero", MEM, 0, TOP, 0}, MAP_RW},
	{{"misaligned_no_flags", MEM, 0, PAGE + 1, PAGE}, 0},
	{{"window_no_memory", AT, 0, WINDOW, PAGE}, MAP_RW},
	{{"window_no_flags", MEM, 0, WINDOW, PAGE}, 0},
};

static void map_wrong(const void *arg)
{
	const struct wrong *w = arg;

	say_ret(dma_map(v.container, address_of(&w->range), w->range.iova,
			w->range.size, w->flags));
	say_mappings(v.container);
}

/* Overlaps with [4, 8) of pages */

struct overlap {
	uint64_t first;
	uint64_t pages;
};

static void map_overlap(const void *arg)
{
	const struct overlap *o = arg;

	need(dma_map(v.container, mem, 4 * PAGE, 4 * PAGE, MAP_RW), "map");
	say_ret(dma_map(v.container, mem, o->first * PAGE, o->pages * PAGE,
			MAP_RW));
	say_mappings(v.container);
}

static void overlaps(const char *type)
{
	static const uint64_t sizes[] = {1, 2, 4, 8};
	struct overlap o;

	for (o.first = 2; o.first <= 8; o.first++) {
		for (size_t i = 0; i < COUNT(sizes); i++) {
			o.pages = sizes[i];
			run(map_overlap, &o, "%s.overlap.%" PRIu64 "+%" PRIu64,
			    type, o.first, o.pages);
		}
	}
}

/* An overlap that has something else wrong with it: which is seen first? */
static void map_overlap_bad(const void *arg)
{
	const struct range *r = arg;

	need(dma_map(v.container, mem, 0, 4 * PAGE, MAP_RW), "map");
	say_ret(dma_map(v.container, address_of(r), r->iova, r->size, MAP_RW));
	say_mappings(v.container);
}

static const struct range bad_overlaps[] = {
	{"vaddr", AT, 0, PAGE, PAGE},
	{"vaddr_misaligned", MEM, 1, PAGE, PAGE},
	{"size_zero", MEM, 0, PAGE, 0},
	{"wraps", MEM, 0, PAGE, TOP},
	{"into_window", MEM, 0, PAGE, WINDOW},
	{"past_48_bits", MEM, 0, PAGE, 1ul << 49},
};

/* Several calls */

static void same_memory_twice(const void *arg)
{
	say_step("first", dma_map(v.container, mem, PAGE, PAGE, MAP_RW));
	say_step("second", dma_map(v.container, mem, 2 * PAGE, PAGE, MAP_RW));
	say_step("third", dma_map(v.container, mem, 8 * PAGE, PAGE,
				  VFIO_DMA_MAP_FLAG_READ));
	say_mappings(v.container);
}

/* Neighbours in both address spaces stay two mappings. */
static void neighbours(const void *arg)
{
	uint64_t size = PAGE;

	say_step("first", dma_map(v.container, mem, PAGE, PAGE, MAP_RW));
	say_step("second",
		 dma_map(v.container, mem + PAGE, 2 * PAGE, PAGE, MAP_RW));
	say_mappings(v.container);
	say_step("unmap", dma_unmap(v.container, PAGE, &size, 0));
	say("size=%#" PRIx64, size);
	say_mappings(v.container);
}

static void map_again(const void *arg)
{
	uint64_t size = PAGE;

	say_step("map", dma_map(v.container, mem, PAGE, PAGE, MAP_RW));
	say_step("unmap", dma_unmap(v.container, PAGE, &size, 0));
	say_step("map", dma_map(v.container, mem, PAGE, PAGE, MAP_RW));
	say_step("twice", dma_map(v.container, mem, PAGE, PAGE, MAP_RW));
	say_mappings(v.container);
}

static void memory_unmapped_later(const void *arg)
{
	uint8_t *own = anon(4 * PAGE);
	uint64_t size = 4 * PAGE;

	say_step("map", dma_map(v.container, own, PAGE, 4 * PAGE, MAP_RW));
	say_step("munmap", munmap(own, 4 * PAGE));
	say_mappings(v.container);
	say_step("unmap", dma_unmap(v.container, PAGE, &size, 0));
	say("size=%#" PRIx64, size);
}

static void map_in(const char *type)
{
	sweep_call(type);
	for (size_t i = 0; i < COUNT(ranges); i++)
		run(map_range, &ranges[i], "%s.range.%s", type, ranges[i].name);
	for (size_t i = 0; i < COUNT(wrongs); i++)
		run(map_wrong, &wrongs[i], "%s.wrong.%s", type,
		    wrongs[i].range.name);
	overlaps(type);
	for (size_t i = 0; i < COUNT(bad_overlaps); i++)
		run(map_overlap_bad, &bad_overlaps[i], "%s.overlap_bad.%s",
		    type, bad_overlaps[i].name);
	run(same_memory_twice, NULL, "%s.same_memory", type);
	run(neighbours, NULL, "%s.neighbours", type);
	run(map_again, NULL, "%s.again", type);
	run(memory_unmapped_later, NULL, "%s.memory_unmapped", type);
}

/* Before there is an IOMMU, a good call. */
static void too_early(const void *arg)
{
	uint64_t size = PAGE;

	say_step("map", dma_map(v.container, mem, PAGE, PAGE, MAP_RW));
	say_step("unmap", dma_unmap(v.container, PAGE, &size, 0));
	say("size=%#" PRIx64, size);
}

void area_map(void)
{
	mem = anon(MEM_SIZE);
	fixture_open(&v, "edu", 0, CONTAINER, 0);
	run(too_early, NULL, "early.bare");
	fixture_close(&v);
	fixture_open(&v, "edu", 0, ATTACHED, 0);
	run(too_early, NULL, "early.joined");
	fixture_close(&v);
	for (size_t i = 0; i < COUNT(types); i++) {
		fixture_open(&v, "edu", 0, IOMMU, types[i].type);
		run_after(unmap_all);
		map_in(types[i].name);
		run_after(NULL);
		fixture_close(&v);
	}
}

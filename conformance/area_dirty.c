/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO_IOMMU_DIRTY_PAGES, and UNMAP_DMA with a bitmap, on pages [2, 4), [4, 5)
 * and [6, 8).
 */
#include "conformance/type1.h"

#define START VFIO_IOMMU_DIRTY_PAGES_FLAG_START
#define STOP  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
#define GET   VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP
#define TOP   (0 - PAGE)

static struct vfio v;
static uint8_t *mem;

struct head {
	uint32_t argsz;
	uint32_t flags;
};

struct get {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova;
	uint64_t size;
	struct vfio_bitmap bitmap;
};

static int track(uint32_t flags)
{
	struct head head = {sizeof(head), flags};

	return ioctl(v.container, VFIO_IOMMU_DIRTY_PAGES, &head);
}

/* Tracking off and everything mapped; tracking on. */
static void lay_out(void)
{
	track(STOP);
	dma_unmap_all(v.container);
	dma_map(v.container, mem, 2 * PAGE, 2 * PAGE, MAP_RW);
	dma_map(v.container, mem, 4 * PAGE, PAGE, MAP_RW);
	dma_map(v.container, mem, 6 * PAGE, 2 * PAGE, VFIO_DMA_MAP_FLAG_READ);
}

static void lay_out_and_start(void)
{
	lay_out();
	track(START);
}

/* Whether tracking is on: then only this asks for a bitmap of nothing. */
static void say_tracking(void)
{
	uint64_t word = 0;
	struct get get = {
		.argsz = sizeof(get),
		.flags = GET,
		.iova = 2 * PAGE,
		.size = 2 * PAGE,
		.bitmap = {PAGE, sizeof(word), (uintptr_t)&word},
	};

	say_step("tracking", ioctl(v.container, VFIO_IOMMU_DIRTY_PAGES, &get));
	say("bits=%#" PRIx64, word);
}

static void sweep_command(const char *name, uint32_t flags)
{
	const struct head arg = {sizeof(arg), flags};

	sweep_whole(name, &v.container, VFIO_IOMMU_DIRTY_PAGES, &arg,
		    sizeof(arg), say_tracking);
}

/* Its bitmap is in memory that the case inherits. */
static void sweep_get(const char *name)
{
	const struct get arg = {
		.argsz = sizeof(arg),
		.flags = GET,
		.iova = 2 * PAGE,
		.size = 2 * PAGE,
		.bitmap = {PAGE, 8, (uintptr_t)mem},
	};
	const struct request r = {
		.name = name,
		.fd = &v.container,
		.cmd = VFIO_IOMMU_DIRTY_PAGES,
		.arg = &arg,
		.size = sizeof(arg),
		.min = sizeof(struct head),
	};

	sweep_argsz(&r);
	sweep_pointers(&r);
}

/* Bitmaps */

struct query {
	const char *name;
	uint64_t iova;
	uint64_t size;
	uint64_t pgsize;
	uint64_t bytes; /* of bitmap */
	enum { GOOD, NOWHERE, SHORT, ODD, KERNEL } where;
};

static const struct query queries[] = {
	{"one_mapping", 2 * PAGE, 2 * PAGE, PAGE, 8, GOOD},
	{"one_page", 4 * PAGE, PAGE, PAGE, 8, GOOD},
	{"read_only", 6 * PAGE, 2 * PAGE, PAGE, 8, GOOD},
	{"two_mappings", 2 * PAGE, 3 * PAGE, PAGE, 8, GOOD},
	{"all_and_hole", 2 * PAGE, 6 * PAGE, PAGE, 8, GOOD},
	{"around", 0, 64 * PAGE, PAGE, 8, GOOD},
	{"around_two_words", 0, 65 * PAGE, PAGE, 16, GOOD},
	{"hole", 5 * PAGE, PAGE, PAGE, 8, GOOD},
	{"nothing", 32 * PAGE, 8 * PAGE, PAGE, 8, GOOD},
	{"first_half", 2 * PAGE, PAGE, PAGE, 8, GOOD},
	{"second_half", 3 * PAGE, PAGE, PAGE, 8, GOOD},
	{"into_third", 2 * PAGE, 5 * PAGE, PAGE, 8, GOOD},
	{"from_middle", 3 * PAGE, 2 * PAGE, PAGE, 8, GOOD},
	{"size_zero", 2 * PAGE, 0, PAGE, 8, GOOD},
	{"size_half", 2 * PAGE, PAGE / 2, PAGE, 8, GOOD},
	{"iova_odd", 2 * PAGE + 1, 2 * PAGE, PAGE, 8, GOOD},
	{"wraps", TOP, 2 * PAGE, PAGE, 8, GOOD},
	{"last_page", TOP, PAGE, PAGE, 8, GOOD},
	{"everything", 0, TOP, PAGE, 8, GOOD},
	{"pgsize_zero", 2 * PAGE, 2 * PAGE, 0, 8, GOOD},
	{"pgsize_2M", 0, 2ul << 20, 2ul << 20, 8, GOOD},
	{"pgsize_1", 2 * PAGE, 2 * PAGE, 1, 8, GOOD},
	{"pgsize_3", 2 * PAGE, 2 * PAGE, 3, 8, GOOD},
	{"pgsize_two", 2 * PAGE, 2 * PAGE, 2 * PAGE, 8, GOOD},
	{"bytes_zero", 2 * PAGE, 2 * PAGE, PAGE, 0, GOOD},
	{"bytes_1", 2 * PAGE, 2 * PAGE, PAGE, 1, GOOD},
	{"bytes_7", 2 * PAGE, 2 * PAGE, PAGE, 7, GOOD},
	{"bytes_9", 2 * PAGE, 2 * PAGE, PAGE, 9, GOOD},
	{"bytes_more", 2 * PAGE, 2 * PAGE, PAGE, 64, GOOD},
	{"bytes_too_few", 0, 65 * PAGE, PAGE, 8, GOOD},
	{"bytes_limit", 2 * PAGE, 2 * PAGE, PAGE, 1ul << 28, GOOD},
	{"bytes_over_limit", 2 * PAGE, 2 * PAGE, PAGE, (1ul << 28) + 8, GOOD},
	{"bytes_max", 2 * PAGE, 2 * PAGE, PAGE, ~0ul, GOOD},
	{"data_nowhere", 2 * PAGE, 2 * PAGE, PAGE, 8, NOWHERE},
	{"data_short", 2 * PAGE, 2 * PAGE, PAGE, 8, SHORT},
	{"data_odd", 2 * PAGE, 2 * PAGE, PAGE, 8, ODD},
	{"data_kernel", 2 * PAGE, 2 * PAGE, PAGE, 8, KERNEL},
	{"data_nowhere_of_hole", 5 * PAGE, PAGE, PAGE, 8, NOWHERE},
};

#define BITMAP_ROOM 64

static uint8_t *bitmap_at(const struct query *q)
{
	switch (q->where) {
	case NOWHERE:
		return nowhere();
	case SHORT:
		return edge(4);
	case ODD:
		return (uint8_t *)anon(PAGE) + 1;
	case KERNEL:
		return (uint8_t *)0xffff800000000000;
	default:
		return anon(PAGE);
	}
}

/* What is asked, and how: to read a bitmap, or to unmap with one. */
static void ask(const struct query *q, unsigned long cmd, uint32_t flags)
{
	static const uint8_t before[BITMAP_ROOM] = {0, 0x80};
	uint8_t *bitmap = bitmap_at(q);
	bool usable = q->where == GOOD || q->where == ODD;
	struct get get = {
		.argsz = sizeof(get),
		.flags = flags,
		.iova = q->iova,
		.size = q->size,
		.bitmap = {q->pgsize, q->bytes, (uintptr_t)bitmap},
	};

	if (usable) /* bits that were set stay set */
		memcpy(bitmap, before, sizeof(before));
	say_ret(ioctl(v.container, cmd, &get));
	say("size=%#" PRIx64, get.size);
	if (usable)
		say_changes(before, bitmap, sizeof(before));
	say_mappings(v.container);
}

static void get_bitmap(const void *arg)
{
	ask(arg, VFIO_IOMMU_DIRTY_PAGES, GET);
}

static void unmap_bitmap(const void *arg)
{
	ask(arg, VFIO_IOMMU_UNMAP_DMA, UNMAP_BITMAP);
}

static void each_query(const char *type, const char *state)
{
	for (size_t i = 0; i < COUNT(queries); i++)
		run(get_bitmap, &queries[i], "%s.%s.get.%s", type, state,
		    queries[i].name);
	for (size_t i = 0; i < COUNT(queries); i++)
		run(unmap_bitmap, &queries[i], "%s.%s.unmap.%s", type, state,
		    queries[i].name);
}

/* Several calls */

static void commands(const void *arg)
{
	say_step("stop", track(STOP));
	say_tracking();
	say_step("start", track(START));
	say_tracking();
	say_step("start", track(START));
	say_tracking();
	say_tracking();
	say_step("stop", track(STOP));
	say_tracking();
	say_step("stop", track(STOP));
}

static void map_while_tracking(const void *arg)
{
	uint64_t size = 2 * PAGE;

	say_step("start", track(START));
	say_step("unmap", dma_unmap(v.container, 2 * PAGE, &size, 0));
	say_tracking();
	say_step("map", dma_map(v.container, mem, 2 * PAGE, 2 * PAGE, MAP_RW));
	say_tracking();
}

/* Gone with the IOMMU. */
static void tracking_ends(const void *arg)
{
	say_step("start", track(START));
	say_step("leave", ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER));
	say_step("start", track(START));
	say_step("join", group_join(v.group, v.container));
	say_step("set_iommu",
		 ioctl(v.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	say_step("map", dma_map(v.container, mem, 2 * PAGE, 2 * PAGE, MAP_RW));
	say_tracking();
}

static void when_off(const char *type)
{
	char name[32] = {0};

	lay_out();
	run_after(lay_out);
	strcat(strcpy(name, type), ".start");
	sweep_command(name, START);
	strcat(strcpy(name, type), ".get_off");
	sweep_get(name);
	run(commands, NULL, "%s.commands", type);
	run(map_while_tracking, NULL, "%s.map_while_tracking", type);
	each_query(type, "off");
}

static void when_on(const char *type)
{
	char name[32] = {0};

	lay_out_and_start();
	run_after(lay_out_and_start);
	strcat(strcpy(name, type), ".stop");
	sweep_command(name, STOP);
	strcat(strcpy(name, type), ".get");
	sweep_get(name);
	each_query(type, "on");
}

/* v1 has no tracking, so it is never on there. */
void area_dirty(void)
{
	mem = anon(16 * PAGE);
	for (size_t i = 0; i < COUNT(types); i++) {
		fixture_open(&v, "edu", 0, IOMMU, types[i].type);
		when_off(types[i].name);
		if (types[i].type == VFIO_TYPE1v2_IOMMU)
			when_on(types[i].name);
		run_after(NULL);
		fixture_close(&v);
	}
	fixture_open(&v, "edu", 0, IOMMU, VFIO_TYPE1v2_IOMMU);
	run(tracking_ends, NULL, "ends_with_iommu");
	fixture_close(&v);
}

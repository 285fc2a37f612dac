/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO_IOMMU_GET_INFO: its sizes, and the chain of capabilities behind it.
 */
#include <stdio.h>

#include "conformance/type1.h"

#define LONG_INFO 152 /* more than the chain needs */

static struct vfio v;

/* The chain, and each capability's words. */
static void say_chain(const uint8_t *buf)
{
	const struct vfio_iommu_type1_info *info = (const void *)buf;
	const struct vfio_info_cap_header *cap;
	uint32_t off = info->cap_offset;

	for (; off && off < INFO_SIZE - sizeof(*cap); off = cap->next) {
		cap = (const void *)(buf + off);
		say("cap%u=v%u@%u->%u", cap->id, cap->version, off, cap->next);
	}
}

static void say_ranges(const uint8_t *buf)
{
	const struct vfio_iommu_type1_info_cap_iova_range *cap =
		info_cap(buf, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);

	for (uint32_t i = 0; cap && i < cap->nr_iovas && i < 32; i++)
		say("range=%#" PRIx64 "-%#" PRIx64, cap->iova_ranges[i].start,
		    cap->iova_ranges[i].end);
}

/* flags, page sizes, dirty page sizes, largest bitmap */
static void say_migration(const uint8_t *buf)
{
	const uint8_t *cap = info_cap(buf, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION);
	uint64_t fields[2];
	uint32_t flags;

	if (!cap)
		return;
	memcpy(&flags, cap + 8, sizeof(flags));
	memcpy(fields, cap + 16, sizeof(fields));
	say("migration_flags=%#x dirty_pgsizes=%#" PRIx64
	    " max_bitmap=%#" PRIx64,
	    flags, fields[0], fields[1]);
}

static void say_info(void)
{
	uint8_t buf[INFO_SIZE];
	struct vfio_iommu_type1_info *info = (void *)buf;

	memset(buf, FILL, sizeof(buf));
	info->argsz = sizeof(buf);
	info->cap_offset = 0;
	if (say_ret(ioctl(v.container, VFIO_IOMMU_GET_INFO, info)))
		return;
	say("argsz=%u flags=%#x pgsizes=%#" PRIx64 " cap_offset=%u",
	    info->argsz, info->flags, info->iova_pgsizes, info->cap_offset);
	say_chain(buf);
	say_ranges(buf);
	say_migration(buf);
	say_mappings(v.container);
}

static void whole(const void *arg)
{
	say_info();
}

static void with_mappings(const void *arg)
{
	uint64_t size = 2 * PAGE;
	void *mem = anon(2 * PAGE);

	say_step("map", dma_map(v.container, mem, PAGE, PAGE, MAP_RW));
	say_step("map", dma_map(v.container, mem, 4 * PAGE, 2 * PAGE, MAP_RW));
	say_step("overlap", dma_map(v.container, mem, PAGE, PAGE, MAP_RW));
	say_mappings(v.container);
	say_step("unmap", dma_unmap(v.container, 4 * PAGE, &size, 0));
	say_mappings(v.container);
}

static void with_second_group(const void *arg)
{
	const struct function *other = function_elsewhere(v.function);

	if (!other)
		skip("no function in another group");
	int group = (int)need(group_open(other, O_RDWR), "open of a group");

	say_step("join", group_join(group, v.container));
	say_info();
}

/* A byte less than is asked for, and that. */
static void one_short(const void *arg)
{
	uint8_t buf[INFO_SIZE];
	struct vfio_iommu_type1_info *info = (void *)buf;

	memset(buf, FILL, sizeof(buf));
	info->argsz = sizeof(*info);
	say_step("head", ioctl(v.container, VFIO_IOMMU_GET_INFO, info));
	uint32_t asked = info->argsz;

	info->argsz = asked - 1;
	say_step("short", ioctl(v.container, VFIO_IOMMU_GET_INFO, info));
	say("asked=%u cap_offset=%u chain=%#x", info->argsz - asked,
	    info->cap_offset, buf[sizeof(*info)]);
	info->argsz = asked;
	say_step("exact", ioctl(v.container, VFIO_IOMMU_GET_INFO, info));
	say("cap_offset=%u behind=%#x", info->cap_offset, buf[asked]);
}

/* argsz says LONG_INFO, the memory ends in the struct or in the chain. */
static void memory_ends(const void *arg)
{
	const uint32_t *size = arg;
	struct vfio_iommu_type1_info *info = edge(*size);
	uint32_t argsz = LONG_INFO;

	memcpy(info, &argsz, sizeof(argsz));
	say_ret(ioctl(v.container, VFIO_IOMMU_GET_INFO, info));
	memcpy(&argsz, info, sizeof(argsz));
	say("argsz=%u", argsz);
}

static void info_of(const char *type)
{
	const uint32_t arg[LONG_INFO / 4] = {sizeof(arg)};
	const struct request chain = {
		.name = type,
		.fd = &v.container,
		.cmd = VFIO_IOMMU_GET_INFO,
		.arg = arg,
		.size = sizeof(arg),
		.min = offsetof(struct vfio_iommu_type1_info, cap_offset),
	};
	struct request plain = chain;
	const uint32_t argsz = sizeof(struct vfio_iommu_type1_info);

	plain.arg = (const uint32_t[6]){argsz};
	plain.size = argsz;
	run(whole, NULL, "%s.whole", type);
	run(one_short, NULL, "%s.one_short", type);
	run(with_mappings, NULL, "%s.with_mappings", type);
	run(with_second_group, NULL, "%s.with_second_group", type);
	sweep_argsz(&chain);
	sweep_flags(&plain);
	sweep_pointers(&plain);
	for (uint32_t size = 16; size < LONG_INFO; size += 8)
		run(memory_ends, &size, "%s.memory_ends.%u", type, size);
}

static void unmap_all(void)
{
	dma_unmap_all(v.container);
}

void area_info(void)
{
	for (size_t i = 0; i < COUNT(types); i++) {
		fixture_open(&v, "edu", 0, IOMMU, types[i].type);
		run_after(unmap_all);
		info_of(types[i].name);
		run_after(NULL);
		fixture_close(&v);
	}
}

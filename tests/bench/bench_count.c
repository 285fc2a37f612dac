/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Does one thing COUNT times, so that somebody else can count what one costs:
 * bench_count.py. Run under softvfio with an edu's BDF.
 *
 *     bench_count BDF map|pread|trap COUNT
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/bench/device.h"
#include "uapi/vfio.h"

#define PAGE	4096ull
#define CONFIG	(7ll << 40)
#define COMMAND (CONFIG + 4)

struct program {
	int container;
	int device;
	uint8_t *page;
};

static void map(const struct program *p)
{
	struct vfio_iommu_type1_dma_map m = {
		.argsz = sizeof(m),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)p->page,
		.iova = PAGE,
		.size = PAGE,
	};
	struct vfio_iommu_type1_dma_unmap u = {
		.argsz = sizeof(u),
		.iova = PAGE,
		.size = PAGE,
	};

	if (ioctl(p->container, VFIO_IOMMU_MAP_DMA, &m) < 0 ||
	    ioctl(p->container, VFIO_IOMMU_UNMAP_DMA, &u) < 0)
		die("map");
}

static void read_config(const struct program *p)
{
	uint32_t id;

	if (pread(p->device, &id, sizeof(id), CONFIG) != sizeof(id))
		die("pread");
}

static void touch(const struct program *p)
{
	static volatile uint32_t *bar;
	static const uint16_t memory = 2;

	if (!bar) {
		if (pwrite(p->device, &memory, sizeof(memory), COMMAND) !=
		    sizeof(memory))
			die("COMMAND");
		bar = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			   p->device, 0);
		if (bar == MAP_FAILED)
			die("mmap");
	}
	(void)bar[0];
}

static const struct {
	const char *name;
	void (*fn)(const struct program *p);
} things[] = {
	{"map", map},
	{"pread", read_config},
	{"trap", touch},
};

int main(int argc, char **argv)
{
	struct program p;

	if (argc != 4) {
		fprintf(stderr, "usage: bench_count BDF THING COUNT\n");
		return 2;
	}
	p.device = device_open(argv[1], &p.container);
	p.page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < sizeof(things) / sizeof(things[0]); i++)
		if (!strcmp(argv[2], things[i].name))
			for (long n = atol(argv[3]); n > 0; n--)
				things[i].fn(&p);
	return 0;
}

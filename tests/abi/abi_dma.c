/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA in both directions by the educational device: every kind of program
 * memory, what is not allowed, and what outlives what.
 */
#include "tests/abi/abi.h"

#define IOVA 0x100000ull
#define LEN  PAGE

struct buffer {
	const char *name;
	uint8_t *mem; /* page-aligned */
};

static void pattern(uint8_t *mem, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		mem[i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

static bool has_pattern(const uint8_t *mem, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		if (mem[i] != (uint8_t)(seed + i * 7 + (i >> 8)))
			return false;
	return true;
}

/* Program to device to program: @len bytes from one iova to another. */
static bool carry(int device, uint64_t from, uint64_t to, uint32_t len)
{
	return edu_fetch(device, from, len) && edu_store(device, to, len);
}

static void both_ways(struct vfio *v, const struct buffer *b)
{
	uint8_t *other = anon(LEN);

	if (want(dma_map(v->container, b->mem, IOVA, LEN, MAP_RW), 0,
		 "dma: %s can be mapped", b->name)) {
		dma_map(v->container, other, 2 * IOVA, LEN, MAP_RW);
		pattern(b->mem, LEN, 3);
		ok(carry(v->device, IOVA, 2 * IOVA, LEN) &&
			   has_pattern(other, LEN, 3),
		   "dma: the device reads %s", b->name);
		pattern(other, LEN, 77);
		ok(carry(v->device, 2 * IOVA, IOVA, LEN) &&
			   has_pattern(b->mem, LEN, 77),
		   "dma: the device writes %s", b->name);
		dma_unmap(v->container, IOVA, LEN);
		dma_unmap(v->container, 2 * IOVA, LEN);
	}
	munmap(other, LEN);
}

static void *heap_page(void)
{
	uintptr_t old = (uintptr_t)sbrk(3 * (intptr_t)PAGE);

	return (void *)((old + 2 * PAGE - 1) & ~(PAGE - 1));
}

static void check_kinds(struct vfio *v)
{
	int file = memfd(4 * PAGE);
	uint8_t *view = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, file, 0);
	uint8_t *offset = mmap(NULL, PAGE, RW, MAP_SHARED, file, 3 * PAGE);
	uint8_t *private = mmap(NULL, PAGE, RW, MAP_PRIVATE, file, 0);
	uint8_t *sh = shared(8 * PAGE);
	uint8_t *an = anon(8 * PAGE);
	const struct buffer buffers[] = {
		{"a memfd", view},
		{"the middle of a memfd", view + PAGE},
		{"a memfd mapped from its middle", offset},
		{"a memfd mapped MAP_PRIVATE", private},
		{"shared anonymous memory", sh},
		{"the middle of shared anonymous memory", sh + 3 * PAGE},
		{"private anonymous memory", an},
		{"the middle of private anonymous memory", an + 3 * PAGE},
		{"the brk heap", heap_page()},
	};

	for (size_t i = 0; i < COUNT(buffers); i++)
		both_ways(v, &buffers[i]);
	close(file);
}

/* Ranges that are not whole pages, or more than one mapping. */
static void check_ranges(struct vfio *v)
{
	uint8_t *a = anon(PAGE);
	uint8_t *b = shared(PAGE);
	uint8_t *src = anon(PAGE);

	dma_map(v->container, a, IOVA, PAGE, MAP_RW);
	dma_map(v->container, b, IOVA + PAGE, PAGE, MAP_RW);
	dma_map(v->container, src, 2 * IOVA, PAGE, MAP_RW);
	pattern(src, PAGE, 9);
	ok(carry(v->device, 2 * IOVA, IOVA + PAGE - 100, 300) &&
		   has_pattern(a + PAGE - 100, 100, 9) &&
		   !memcmp(b, src + 100, 200) && !b[200] && !a[PAGE - 101],
	   "dma: across two neighbouring mappings of two kinds");
	ok(carry(v->device, 2 * IOVA, IOVA + 13, 1) && a[13] == src[0] &&
		   !a[12] && !a[14],
	   "dma: one byte");
	dma_unmap(v->container, 0, ~0ull - PAGE + 1);
	dma_map(v->container, a, IOVA, PAGE, MAP_RW);
	dma_map(v->container, a, 3 * IOVA, PAGE, MAP_RW);
	dma_map(v->container, src, 2 * IOVA, PAGE, MAP_RW);
	pattern(src, PAGE, 31);
	ok(carry(v->device, 2 * IOVA, 3 * IOVA, PAGE) &&
		   has_pattern(a, PAGE, 31),
	   "dma: one page at two addresses");
	dma_unmap(v->container, 0, ~0ull - PAGE + 1);
}

/* The device is given a pattern which it must not bring to memory. */
static void load_device(struct vfio *v, uint8_t *src, unsigned int seed)
{
	dma_map(v->container, src, 4 * IOVA, PAGE, MAP_RW);
	pattern(src, PAGE, seed);
	edu_fetch(v->device, 4 * IOVA, PAGE);
}

/* What the device has in its buffer, through a mapping of its own. */
static bool device_has(struct vfio *v, uint8_t *src, unsigned int seed)
{
	memset(src, 0, PAGE);
	edu_store(v->device, 4 * IOVA, PAGE);
	return has_pattern(src, PAGE, seed);
}

static void check_refused(struct vfio *v)
{
	uint8_t *src = anon(PAGE);
	uint8_t *mem = anon(PAGE);

	load_device(v, src, 5);
	ok(edu_store(v->device, IOVA, PAGE),
	   "dma: a write to an unmapped address ends");
	ok(edu_fetch(v->device, IOVA, PAGE),
	   "dma: a read of an unmapped address ends");
	load_device(v, src, 5);
	dma_map(v->container, mem, IOVA, PAGE, MAP_RW);
	dma_unmap(v->container, IOVA, PAGE);
	edu_store(v->device, IOVA, PAGE);
	ok(filled(mem, PAGE, 0), "dma: after unmap nothing is written");
	dma_map(v->container, mem, IOVA, PAGE, VFIO_DMA_MAP_FLAG_READ);
	edu_store(v->device, IOVA, PAGE);
	ok(filled(mem, PAGE, 0), "dma: a mapping without WRITE is not written");
	dma_unmap(v->container, IOVA, PAGE);
	dma_map(v->container, mem, IOVA, PAGE, VFIO_DMA_MAP_FLAG_WRITE);
	pattern(mem, PAGE, 99);
	edu_fetch(v->device, IOVA, PAGE);
	ok(!device_has(v, src, 99), "dma: a mapping without READ is not read");
	load_device(v, src, 6);
	edu_store(v->device, IOVA, PAGE);
	ok(has_pattern(mem, PAGE, 6), "dma: a mapping with WRITE is written");
	dma_unmap(v->container, 0, ~0ull - PAGE + 1);
}

static void check_bus_master(struct vfio *v)
{
	uint8_t *src = anon(PAGE);
	uint8_t *mem = anon(PAGE);

	load_device(v, src, 8);
	dma_map(v->container, mem, IOVA, PAGE, MAP_RW);
	set_command(v->device, 4, 0);
	edu_store(v->device, IOVA, PAGE);
	ok(filled(mem, PAGE, 0), "dma: with bus mastering off nothing happens");
	set_command(v->device, 0, 4);
	edu_store(v->device, IOVA, PAGE);
	ok(has_pattern(mem, PAGE, 8), "dma: with bus mastering on it does");
	dma_unmap(v->container, 0, ~0ull - PAGE + 1);
}

/* The memory is pinned: what happens to the addresses does not matter. */
static void check_pinned(struct vfio *v)
{
	int file = memfd(PAGE);
	uint8_t *view = mmap(NULL, PAGE, RW, MAP_SHARED, file, 0);
	uint8_t *again = mmap(NULL, PAGE, RW, MAP_SHARED, file, 0);
	uint8_t *src = anon(PAGE);
	uint8_t *mem = anon(PAGE);

	load_device(v, src, 21);
	dma_map(v->container, view, IOVA, PAGE, MAP_RW);
	munmap(view, PAGE);
	close(file);
	edu_store(v->device, IOVA, PAGE);
	ok(has_pattern(again, PAGE, 21),
	   "dma: goes on to a memfd after munmap and close");
	dma_map(v->container, mem, 2 * IOVA, PAGE, MAP_RW);
	mprotect(mem, PAGE, PROT_NONE);
	edu_store(v->device, 2 * IOVA, PAGE);
	mprotect(mem, PAGE, RW);
	ok(has_pattern(mem, PAGE, 21), "dma: goes on after mprotect");
	dma_unmap(v->container, 0, ~0ull - PAGE + 1);
}

static int child_sees_zeroes(void *arg)
{
	uint8_t *mem = arg;

	/* written here: the parent's memory must stay the device's */
	memset(mem + PAGE, 1, 16);
	return filled(mem, PAGE, 0) ? 0 : 1;
}

static void check_fork(struct vfio *v)
{
	uint8_t *src = anon(PAGE);
	uint8_t *mem = anon(2 * PAGE);

	load_device(v, src, 41);
	dma_map(v->container, mem, IOVA, 2 * PAGE, MAP_RW);
	want(run_child(child_sees_zeroes, mem), 0, "dma: a child of fork");
	mem[0] = 1;
	edu_store(v->device, IOVA, PAGE);
	ok(has_pattern(mem, PAGE, 41),
	   "dma: private memory stays the parent's over fork");
	pattern(mem, PAGE, 42);
	ok(carry(v->device, IOVA, 4 * IOVA, PAGE) && has_pattern(src, PAGE, 42),
	   "dma: and what the parent writes afterwards is read");
	dma_unmap(v->container, 0, ~0ull - PAGE + 1);
}

/* The device's memory as the target of another device's DMA. */
static void check_peer(struct vfio *v)
{
	uint8_t *src = anon(PAGE);
	uint8_t back[64];

	if (!have("ram"))
		return;
	int g = group_open("ram");

	want(set_container(g, v->container), 0, "peer: ram joins");
	int ram = device_open(g, "ram");
	uint8_t *bar = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, ram, (off_t)BAR2);

	set_command(ram, 2, 0);
	want(dma_map(v->container, bar, IOVA, PAGE, MAP_RW), -EFAULT,
	     "peer: a BAR with memory disabled is EFAULT");
	set_command(ram, 0, 2);
	want(dma_map(v->container, bar, IOVA, 4 * PAGE, MAP_RW), 0,
	     "peer: a BAR can be mapped");
	load_device(v, src, 55);
	edu_store(v->device, IOVA + PAGE, PAGE);
	ok(pread(ram, back, 64, (off_t)(BAR2 + PAGE)) == 64 &&
		   has_pattern(back, 64, 55),
	   "peer: one device writes the other's BAR");
	memset(src, 0, PAGE);
	ok(carry(v->device, IOVA + PAGE, 4 * IOVA, PAGE) &&
		   has_pattern(src, PAGE, 55),
	   "peer: and reads it");
	dma_unmap(v->container, 0, ~0ull - PAGE + 1);
	munmap(bar, 4 * PAGE);
	close(ram);
	close(g);
}

/* Order of closing: DMA goes on as long as the device is open. */
static void check_outlives(struct vfio *v)
{
	uint8_t *src = anon(PAGE);
	uint8_t *mem = anon(PAGE);

	load_device(v, src, 61);
	dma_map(v->container, mem, IOVA, PAGE, MAP_RW);
	close_fd(&v->container);
	edu_store(v->device, IOVA, PAGE);
	ok(has_pattern(mem, PAGE, 61),
	   "dma: goes on after the container is closed");
	int again = device_open(v->group, "edu");

	ok(again >= 0, "get_device_fd: after the container is closed");
	close(again);
	close_fd(&v->group);
	memset(mem, 0, PAGE);
	edu_store(v->device, IOVA, PAGE);
	ok(has_pattern(mem, PAGE, 61),
	   "dma: goes on after the group is closed too");
	vfio_close(v);
}

void test_dma(void)
{
	struct vfio v;

	if (!have("edu"))
		return;
	vfio_open(&v, "edu");
	set_command(v.device, 0, 4 | 2);
	want(rd32(v.device, BAR0 + EDU_ID), EDU_ID_VALUE,
	     "dma: the device is an edu");
	check_kinds(&v);
	check_ranges(&v);
	check_refused(&v);
	check_bus_master(&v);
	check_pinned(&v);
	check_fork(&v);
	check_peer(&v);
	check_outlives(&v);
}

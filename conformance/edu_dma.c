/* SPDX-License-Identifier: BSD-3-Clause */
/* The DMA of area_edu.c: what hits and what misses, from memory of every kind. */
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "conformance/edu.h"

static void map_at_iova(const uint8_t *p, size_t size, uint32_t flags)
{
	need(dma_map(edu.container, p, IOVA, size, flags), "MAP_DMA");
}

/* Memory that has been written to, mapped. */
static uint8_t *dma_memory(size_t size, uint32_t flags)
{
	uint8_t *p = anon(size);

	memset(p, 0, size);
	map_at_iova(p, size, flags);
	return p;
}

static void reg64_set(uint32_t at, uint64_t val)
{
	need(pwrite(edu.device, &val, sizeof(val), at), "register write");
}

/* Start it, and wait for the interrupt that ends it; by MSI needs MASTER. */
static bool transfer(uint64_t from, uint64_t to, uint32_t size, uint32_t cmd)
{
	int event = event_new();

	need(irq_trigger(edu.device, INTX, 0, event), "INTx");
	reg64_set(REG_SRC, from);
	reg64_set(REG_DST, to);
	reg64_set(REG_COUNT, size);
	reg64_set(REG_CMD, cmd | DMA_START | DMA_IRQ);
	bool done = event_wait(event);

	reg_set(REG_ACK, IRQ_OF_DMA);
	irq_off(edu.device, INTX);
	return done;
}

static bool to_device(uint64_t iova, uint32_t size)
{
	return transfer(iova, BUFFER, size, 0);
}

static bool from_device(uint64_t iova, uint32_t size)
{
	return transfer(BUFFER, iova, size, DMA_FROM_DEVICE);
}

static void pattern(uint8_t *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)(i * 7 + 3);
}

/* What @p holds now, in words that do not depend on how an abort reads */
static const char *holds(const uint8_t *p, size_t size)
{
	uint8_t good[MOVED];

	pattern(good, size);
	if (!memcmp(p, good, size))
		return "pattern";
	for (size_t i = 0; i < size; i++)
		if (p[i] != FILL)
			return "other";
	return "fill";
}

struct copy {
	uint32_t offset;
	uint32_t size;
};

static void dma_both(const void *arg)
{
	const struct copy *c = arg;
	uint8_t *p = dma_memory(4 * PAGE, VFIO_DMA_MAP_FLAG_READ |
						  VFIO_DMA_MAP_FLAG_WRITE);

	command(edu.device, 0, PCI_COMMAND_MASTER);
	pattern(p + c->offset, c->size);
	say("to_device=%d", to_device(IOVA + c->offset, c->size));
	memset(p, FILL, 4 * PAGE);
	say("from_device=%d", from_device(IOVA + c->offset, c->size));
	say("memory=%s", holds(p + c->offset, c->size));
	say("before=%d", !c->offset || p[c->offset - 1] == FILL);
	say("behind=%d", p[c->offset + c->size] == FILL);
}

static void each_copy(void)
{
	static const struct copy copies[] = {
		{0, 4},	       {0, MOVED}, {4094, 4},	   {1, 3},
		{4000, MOVED}, {8192, 1},  {2 * 4096, 64},
	};

	for (size_t i = 0; i < COUNT(copies); i++)
		run(dma_both, &copies[i], "dma.both.%u_at_%u", copies[i].size,
		    copies[i].offset);
}

/* Fill the device's buffer with the pattern, over a mapping of its own. */
static void load_device(void)
{
	uint8_t *p = dma_memory(PAGE, VFIO_DMA_MAP_FLAG_READ);

	pattern(p, MOVED);
	if (!to_device(IOVA, MOVED))
		need(-1, "DMA to the device");
	dma_unmap_all(edu.container);
}

static uint8_t *fill_memory(uint32_t flags)
{
	uint8_t *p = dma_memory(PAGE, flags);

	memset(p, FILL, PAGE);
	return p;
}

static void dma_unmapped(const void *arg)
{
	command(edu.device, 0, PCI_COMMAND_MASTER);
	load_device();
	say("from_device=%d", from_device(IOVA, 64));
	say("to_device=%d", to_device(IOVA, 64));
	uint8_t *p =
		fill_memory(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);

	say("beside=%d", from_device(IOVA + PAGE, 64));
	say("memory=%s", holds(p, 64));
	pattern(p, 64);
	say("to_device=%d", to_device(IOVA, 64));
	memset(p, FILL, PAGE);
	say("from_device=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

static void dma_after_unmap(const void *arg)
{
	command(edu.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p =
		fill_memory(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);

	say("mapped=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
	memset(p, FILL, PAGE);
	dma_unmap_all(edu.container);
	say("unmapped=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

static void dma_read_only(const void *arg)
{
	command(edu.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p = fill_memory(VFIO_DMA_MAP_FLAG_READ);

	say("from_device=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
	say("to_device=%d", to_device(IOVA, 64));
	dma_unmap_all(edu.container);
	p = dma_memory(PAGE, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	say("back=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

/* Written to only when it is mapped; then a device is to see that. */
static void dma_untouched(const void *arg)
{
	uint8_t *p = anon(PAGE);

	command(edu.device, 0, PCI_COMMAND_MASTER);
	map_at_iova(p, PAGE, VFIO_DMA_MAP_FLAG_READ);
	pattern(p, 64);
	say("to_device=%d", to_device(IOVA, 64));
	dma_unmap_all(edu.container);
	p = fill_memory(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	say("back=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

static void dma_write_only(const void *arg)
{
	command(edu.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p = fill_memory(VFIO_DMA_MAP_FLAG_WRITE);

	say("from_device=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

/* A device may not read it, whatever an abort gives it in its place. */
static void dma_write_only_read(const void *arg)
{
	command(edu.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p = fill_memory(VFIO_DMA_MAP_FLAG_WRITE);

	say("to_device=%d", to_device(IOVA, 64));
	dma_unmap_all(edu.container);
	p = dma_memory(PAGE, MAP_RW);
	say("from_device=%d", from_device(IOVA, 64));
	say("read=%d", !strcmp(holds(p, 64), "fill"));
}

static void dma_without_master(const void *arg)
{
	command(edu.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p =
		fill_memory(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);

	command(edu.device, PCI_COMMAND_MASTER, 0);
	say("off=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
	command(edu.device, 0, PCI_COMMAND_MASTER);
	say("on=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

/* Memory decode does not matter to what the device does itself. */
static void dma_memory_disabled(const void *arg)
{
	int event = event_new();

	command(edu.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p =
		fill_memory(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);

	need(irq_trigger(edu.device, INTX, 0, event), "INTx");
	reg64_set(REG_SRC, BUFFER);
	reg64_set(REG_DST, IOVA);
	reg64_set(REG_COUNT, 64);
	reg64_set(REG_CMD, DMA_START | DMA_IRQ | DMA_FROM_DEVICE);
	command(edu.device, PCI_COMMAND_MEMORY, 0);
	say("done=%ld", event_wait(event));
	say("memory=%s", holds(p, 64));
	command(edu.device, 0, PCI_COMMAND_MEMORY);
	reg_set(REG_ACK, IRQ_OF_DMA);
}

/* Half of it is mapped. */
static void dma_across_end(const void *arg)
{
	command(edu.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p =
		fill_memory(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);

	say("done=%d", from_device(IOVA + PAGE - 32, 64));
	say("first=%s", holds(p, 64));
}

static void dma_by_msi(const void *arg)
{
	uint8_t *p = dma_memory(PAGE, VFIO_DMA_MAP_FLAG_READ |
					      VFIO_DMA_MAP_FLAG_WRITE);

	command(edu.device, 0, PCI_COMMAND_MASTER);
	pattern(p, 64);
	need(to_device(IOVA, 64) ? 0 : -1, "DMA to the device");
	memset(p, FILL, PAGE);
	int event = edu_msi_on();

	reg64_set(REG_SRC, BUFFER);
	reg64_set(REG_DST, IOVA);
	reg64_set(REG_COUNT, 64);
	reg64_set(REG_CMD, DMA_START | DMA_IRQ | DMA_FROM_DEVICE);
	say("events=%ld", event_wait(event));
	say("status=%#x", reg(REG_IRQ_STATUS));
	say("memory=%s", holds(p, 64));
	reg_set(REG_ACK, IRQ_OF_DMA);
	say("status=%#x", reg(REG_IRQ_STATUS));
}

/* Neighbours of two kinds are one range to the device. */
static void dma_across_two(const void *arg)
{
	uint8_t *a = anon(PAGE);
	uint8_t *b = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint8_t got[300];

	command(edu.device, 0, PCI_COMMAND_MASTER);
	load_device();
	memset(a, FILL, PAGE);
	memset(b, FILL, PAGE);
	map_at_iova(a, PAGE, MAP_RW);
	need(dma_map(edu.container, b, IOVA + PAGE, PAGE, MAP_RW), "MAP_DMA");
	say("done=%d", from_device(IOVA + PAGE - 100, sizeof(got)));
	memcpy(got, a + PAGE - 100, 100);
	memcpy(got + 100, b, 200);
	say("memory=%s", holds(got, sizeof(got)));
	say("before=%d behind=%d", a[PAGE - 101] == FILL, b[200] == FILL);
}

/* Below a mapping there is nothing, and between two. */
static void dma_hole(const void *arg)
{
	command(edu.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p = fill_memory(MAP_RW);

	need(dma_map(edu.container, anon(PAGE), IOVA + 2 * PAGE, PAGE, MAP_RW),
	     "MAP_DMA");
	say("below=%d", from_device(IOVA - PAGE, 64));
	say("between=%d", from_device(IOVA + PAGE, 64));
	say("memory=%s", holds(p, MOVED));
	say("into=%d", from_device(IOVA + PAGE - 32, 64));
	say("memory=%s", holds(p, 64));
}

static void dma_two_addresses(const void *arg)
{
	uint8_t *p = dma_memory(PAGE, MAP_RW);

	need(dma_map(edu.container, p, 2 * IOVA, PAGE, MAP_RW), "MAP_DMA");
	command(edu.device, 0, PCI_COMMAND_MASTER);
	pattern(p, 64);
	say("to_device=%d", to_device(IOVA, 64));
	memset(p, FILL, PAGE);
	say("from_device=%d", from_device(2 * IOVA, 64));
	say("memory=%s", holds(p, 64));
}

/* What was mapped is pinned: its addresses do not matter any more. */
static void dma_protected(const void *arg)
{
	command(edu.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p = fill_memory(MAP_RW);

	say_step("none", mprotect(p, PAGE, PROT_NONE));
	say("from_device=%d", from_device(IOVA, 64));
	say_step("rw", mprotect(p, PAGE, RW));
	say("memory=%s", holds(p, 64));
}

/* Over a fork it stays the parent's, whoever writes first. */
static void dma_forked(const void *arg)
{
	command(edu.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p = dma_memory(2 * PAGE, MAP_RW);
	pid_t pid = fork();

	if (!pid) {
		memset(p + PAGE, 1, 16);
		say("child=%u", p[0]);
		_exit(0);
	}
	need(waitpid(pid, NULL, 0), "waitpid");
	p[0] = 1;
	say("from_device=%d", from_device(IOVA, 64));
	say("memory=%s beside=%u", holds(p, 64), p[PAGE]);
	memset(p, FILL, PAGE);
	say("to_device=%d", to_device(IOVA, 64));
	memset(p, 0, PAGE);
	say("from_device=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

/* Of each kind of memory that a program maps */

static uint8_t *map_page(int flags, int fd, off_t pos)
{
	void *p = mmap(NULL, PAGE, RW, flags, fd, pos);

	need(p == MAP_FAILED ? -1 : 0, "mmap of memory");
	return p;
}

static uint8_t *of_memfd(void)
{
	return map_page(MAP_SHARED, memfd(4 * PAGE), 0);
}

static uint8_t *of_memfd_end(void)
{
	return map_page(MAP_SHARED, memfd(4 * PAGE), 3 * PAGE);
}

static uint8_t *of_memfd_private(void)
{
	return map_page(MAP_PRIVATE, memfd(4 * PAGE), 0);
}

static uint8_t *of_shared(void)
{
	return map_page(MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* Page @n of a larger mapping */
static uint8_t *inside(int flags, int fd, unsigned int n)
{
	uint8_t *p = mmap(NULL, 8 * PAGE, RW, flags, fd, 0);

	need(p == MAP_FAILED ? -1 : 0, "mmap of memory");
	return p + n * PAGE;
}

static uint8_t *in_memfd(void)
{
	return inside(MAP_SHARED, memfd(8 * PAGE), 1);
}

static uint8_t *in_shared(void)
{
	return inside(MAP_SHARED | MAP_ANONYMOUS, -1, 3);
}

static uint8_t *in_anon(void)
{
	return inside(MAP_PRIVATE | MAP_ANONYMOUS, -1, 3);
}

static uint8_t *of_heap(void)
{
	uintptr_t old = (uintptr_t)sbrk(3 * (intptr_t)PAGE);

	return (uint8_t *)((old + 2 * PAGE - 1) & ~(PAGE - 1));
}

struct kind {
	const char *name;
	uint8_t *(*make)(void);
};

static const struct kind kinds[] = {
	{"memfd", of_memfd},
	{"memfd_end", of_memfd_end},
	{"memfd_private", of_memfd_private},
	{"in_memfd", in_memfd},
	{"shared", of_shared},
	{"in_shared", in_shared},
	{"in_anon", in_anon},
	{"heap", of_heap},
};

static void dma_kind(const void *arg)
{
	const struct kind *kind = arg;
	uint8_t *p = kind->make();

	map_at_iova(p, PAGE, MAP_RW);
	command(edu.device, 0, PCI_COMMAND_MASTER);
	pattern(p, MOVED);
	say("to_device=%d", to_device(IOVA, MOVED));
	memset(p, FILL, PAGE);
	say("from_device=%d", from_device(IOVA, MOVED));
	say("memory=%s behind=%d", holds(p, MOVED), p[MOVED] == FILL);
}

static void dma_memfd(const void *arg)
{
	int fd = memfd(PAGE);
	uint8_t *p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
	uint8_t *other = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);

	command(edu.device, 0, PCI_COMMAND_MASTER);
	load_device();
	memset(p, FILL, PAGE);
	map_at_iova(p, PAGE, MAP_RW);
	munmap(p, PAGE);
	close(fd);
	say("from_device=%d", from_device(IOVA, 64));
	say("other_view=%s", holds(other, 64));
}

/* The cases below open the device for themselves. */

/* Another device's BAR, as memory */
static void dma_peer(const void *arg)
{
	const struct function *f = function_need("ram", 0);
	uint8_t bytes[64];

	vfio_open(&edu, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	int group = (int)need(group_open(f, O_RDWR), "open of the other group");

	need(group_join(group, edu.container), "SET_CONTAINER");
	int ram = (int)need(device_open(group, f), "GET_DEVICE_FD");
	uint8_t *m = bar_map(ram, REGION(2), 4 * PAGE);

	command(edu.device, 0, PCI_COMMAND_MASTER);
	load_device();
	command(ram, PCI_COMMAND_MEMORY, 0);
	say_step("off", dma_map(edu.container, m, IOVA, PAGE, MAP_RW));
	command(ram, 0, PCI_COMMAND_MEMORY);
	say_step("map", dma_map(edu.container, m, IOVA, 4 * PAGE, MAP_RW));
	say("from_device=%d", from_device(IOVA + PAGE, 64));
	need(pread(ram, bytes, 64, REGION(2) + PAGE), "read of a BAR");
	say("bar=%s", holds(bytes, 64));
	memset(bytes, FILL, 64);
	need(pwrite(ram, bytes, 64, REGION(2) + PAGE), "write of a BAR");
	say("to_device=%d", to_device(IOVA + PAGE, 64));
	dma_unmap_all(edu.container);
	uint8_t *p = dma_memory(PAGE, MAP_RW);

	say("from_device=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

/* It goes on as long as the device is open. */
static void dma_outlives(const void *arg)
{
	vfio_open(&edu, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	command(edu.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p = fill_memory(MAP_RW);

	close_fd(&edu.container);
	say("from_device=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
	int again = device_open(edu.group, edu.function);

	say_step("device", again < 0 ? -1 : 0);
	close(again);
	close_fd(&edu.group);
	memset(p, FILL, PAGE);
	say("from_device=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

static const struct {
	const char *name;
	case_fn *fn;
} cases[] = {
	{"dma.unmapped", dma_unmapped},
	{"dma.after_unmap", dma_after_unmap},
	{"dma.read_only", dma_read_only},
	{"dma.untouched", dma_untouched},
	{"dma.write_only", dma_write_only},
	{"dma.write_only_read", dma_write_only_read},
	{"dma.without_master", dma_without_master},
	{"dma.memory_disabled", dma_memory_disabled},
	{"dma.across_end", dma_across_end},
	{"dma.by_msi", dma_by_msi},
	{"dma.memfd", dma_memfd},
	{"dma.across_two", dma_across_two},
	{"dma.hole", dma_hole},
	{"dma.two_addresses", dma_two_addresses},
	{"dma.protected", dma_protected},
	{"dma.forked", dma_forked},
};

void edu_dma(void)
{
	for (size_t i = 0; i < COUNT(cases); i++)
		run(cases[i].fn, NULL, "%s", cases[i].name);
	each_copy();
	for (size_t i = 0; i < COUNT(kinds); i++)
		run(dma_kind, &kinds[i], "dma.kind.%s", kinds[i].name);
}

void edu_dma_by_itself(void)
{
	run(dma_peer, NULL, "dma.peer");
	run(dma_outlives, NULL, "dma.outlives");
}

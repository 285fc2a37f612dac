/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Real traffic on QEMU's edu: registers, interrupts, and DMA that hits and
 * misses. Its factorial and its DMA take their time on a real machine, so a
 * case waits for the interrupt that ends them.
 *
 * A transfer that leaves the device's own buffer is not asked for, nor one of
 * all of it: some versions of QEMU end their machine over either.
 */
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "conformance/device.h"
#include "conformance/type1.h"

enum {
	REG_ID = 0x00,
	REG_LIVENESS = 0x04,
	REG_FACTORIAL = 0x08,
	REG_STATUS = 0x20,
	REG_IRQ_STATUS = 0x24,
	REG_RAISE = 0x60,
	REG_ACK = 0x64,
	REG_SRC = 0x80,
	REG_DST = 0x88,
	REG_COUNT = 0x90,
	REG_CMD = 0x98,
};

#define BUFFER 0x40000 /* as the device addresses it */

#define STATUS_COMPUTING 0x01
#define STATUS_IRQ	 0x80
#define DMA_START	 1
#define DMA_FROM_DEVICE	 2
#define DMA_IRQ		 4
#define IRQ_OF_FACTORIAL 0x001
#define IRQ_OF_DMA	 0x100

#define IOVA  0x100000
#define MOVED 2048 /* at most */

static struct vfio v;

static uint32_t reg(uint32_t at)
{
	return rd32(v.device, at);
}

static void reg_set(uint32_t at, uint32_t val)
{
	wr32(v.device, at, val);
}

/* Registers */

static void identity(const void *arg)
{
	say("id=%#x", reg(REG_ID));
	reg_set(REG_ID, 0);
	say("written=%#x", reg(REG_ID));
}

static void liveness(const void *arg)
{
	const uint32_t *val = arg;

	reg_set(REG_LIVENESS, *val);
	say("read=%#x", reg(REG_LIVENESS));
}

static void liveness_mapped(const void *arg)
{
	volatile uint32_t *m = (void *)bar_map(v.device, 0, PAGE);

	m[REG_LIVENESS / 4] = *(const uint32_t *)arg;
	say("read=%#x", m[REG_LIVENESS / 4]);
}

/* Without an interrupt: until the bit clears, for as long as it may take. */
static bool wait_clear(uint32_t at, uint32_t bit)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	for (time_t end = now.tv_sec + 5; now.tv_sec < end;) {
		if (!(reg(at) & bit))
			return true;
		clock_gettime(CLOCK_MONOTONIC, &now);
	}
	return false;
}

static void factorial(const void *arg)
{
	const uint32_t *n = arg;

	reg_set(REG_FACTORIAL, *n);
	say("done=%d", wait_clear(REG_STATUS, STATUS_COMPUTING));
	say("factorial=%#x", reg(REG_FACTORIAL));
}

static void factorial_irq(const void *arg)
{
	int event = event_new();

	say_step("set",
		 irq_trigger(v.device, *(const uint32_t *)arg, 0, event));
	command(v.device, 0, PCI_COMMAND_MASTER);
	reg_set(REG_STATUS, STATUS_IRQ);
	reg_set(REG_FACTORIAL, 6);
	say("events=%ld", event_wait(event));
	say("status=%#x", reg(REG_IRQ_STATUS));
	say("factorial=%u", reg(REG_FACTORIAL));
	reg_set(REG_ACK, IRQ_OF_FACTORIAL);
	say("status=%#x", reg(REG_IRQ_STATUS));
	reg_set(REG_STATUS, 0);
}

static void reset_state(const void *arg)
{
	reg_set(REG_LIVENESS, 1);
	reg_set(REG_FACTORIAL, 5);
	wait_clear(REG_STATUS, STATUS_COMPUTING);
	reg_set(REG_STATUS, STATUS_IRQ);
	say_step("reset", ioctl(v.device, VFIO_DEVICE_RESET));
	say("status=%#x irq=%#x", reg(REG_STATUS), reg(REG_IRQ_STATUS));
}

/* INTx: a level that masks itself */

static long irq_none(const char *key, uint32_t action)
{
	return say_step(key, set_irqs(v.device, IRQ_NONE | action, INTX, 0, 1,
				      NULL, 0));
}

static int intx_on(void)
{
	int event = event_new();

	need(irq_trigger(v.device, INTX, 0, event), "INTx");
	return event;
}

static void intx_automask(const void *arg)
{
	int event = intx_on();

	reg_set(REG_RAISE, 1);
	say("first=%ld", event_wait(event));
	reg_set(REG_RAISE, 2);
	say("masked=%ld", event_none(event));
	irq_none("unmask", IRQ_UNMASK);
	say("still_up=%ld", event_wait(event));
	reg_set(REG_ACK, 3);
	irq_none("unmask", IRQ_UNMASK);
	say("down=%ld", event_none(event));
	reg_set(REG_RAISE, 4);
	say("again=%ld", event_wait(event));
	reg_set(REG_ACK, 4);
}

static void intx_mask(const void *arg)
{
	int event = intx_on();

	irq_none("mask", IRQ_MASK);
	reg_set(REG_RAISE, 1);
	say("masked=%ld", event_none(event));
	irq_none("unmask", IRQ_UNMASK);
	say("unmasked=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
	irq_none("unmask", IRQ_UNMASK);
	irq_none("mask", IRQ_MASK);
	reg_set(REG_RAISE, 1);
	reg_set(REG_ACK, 1);
	irq_none("unmask", IRQ_UNMASK);
	say("went_by=%ld", event_none(event));
}

static long irq_bool(const char *key, uint32_t action, uint8_t val)
{
	return say_step(key, set_irqs(v.device, IRQ_BOOL | action, INTX, 0, 1,
				      &val, sizeof(val)));
}

static void intx_mask_bool(const void *arg)
{
	int event = intx_on();

	irq_bool("mask0", IRQ_MASK, 0);
	irq_bool("mask1", IRQ_MASK, 1);
	reg_set(REG_RAISE, 4);
	say("masked=%ld", event_none(event));
	irq_bool("unmask0", IRQ_UNMASK, 0);
	say("masked=%ld", event_none(event));
	irq_bool("unmask1", IRQ_UNMASK, 1);
	say("unmasked=%ld", event_wait(event));
	reg_set(REG_ACK, 4);
}

static void intx_unmask_fd(const void *arg)
{
	int event = intx_on();
	int32_t unmask = event_new();
	int32_t minus = -1;
	const uint64_t one = 1;

	say_step("install", set_irqs(v.device, IRQ_EVENTFD | IRQ_UNMASK, INTX,
				     0, 1, &unmask, sizeof(unmask)));
	reg_set(REG_RAISE, 1);
	say("first=%ld", event_wait(event));
	say_step("write", write(unmask, &one, sizeof(one)));
	say("still_up=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
	say_step("write", write(unmask, &one, sizeof(one)));
	say("down=%ld", event_none(event));
	reg_set(REG_RAISE, 2);
	say("again=%ld", event_wait(event));
	say_step("remove", set_irqs(v.device, IRQ_EVENTFD | IRQ_UNMASK, INTX, 0,
				    1, &minus, sizeof(minus)));
	say_step("write", write(unmask, &one, sizeof(one)));
	say("removed=%ld", event_none(event));
	reg_set(REG_ACK, 2);
}

/* Masked by the first, with the line still up */
static int intx_up(void)
{
	int event = intx_on();

	reg_set(REG_RAISE, 1);
	say("first=%ld", event_wait(event));
	return event;
}

static void unmask_by(int32_t unmask)
{
	say_step("install", set_irqs(v.device, IRQ_EVENTFD | IRQ_UNMASK, INTX,
				     0, 1, &unmask, sizeof(unmask)));
}

/* One signal unmasks once, and takes one. */
static void intx_unmask_semaphore(const void *arg)
{
	int event = intx_up();
	int unmask = event_semaphore();

	unmask_by(unmask);
	for (uint64_t n = 3; n; n = n == 3) {
		say_step("write", write(unmask, &n, sizeof(n)));
		say("still_up=%ld", event_wait(event));
		say("more=%ld", event_none(event));
		say("left=%" PRIu64, event_left(unmask, 2));
	}
	reg_set(REG_ACK, 1);
}

/* Signalled before it was given: unmasks once, and takes nothing. */
static void unmask_before(int unmask, uint64_t then_left)
{
	int event = intx_up();
	uint64_t n = 3;

	say_step("write", write(unmask, &n, sizeof(n)));
	unmask_by(unmask);
	say("still_up=%ld", event_wait(event));
	say("more=%ld", event_none(event));
	say("left=%" PRIu64, event_left(unmask, 3));
	n = 1;
	say_step("write", write(unmask, &n, sizeof(n)));
	say("still_up=%ld", event_wait(event));
	say("more=%ld", event_none(event));
	say("left=%" PRIu64, event_left(unmask, then_left));
	reg_set(REG_ACK, 1);
}

static void intx_unmask_before(const void *arg)
{
	unmask_before(event_new(), 0);
}

static void intx_unmask_semaphore_before(const void *arg)
{
	unmask_before(event_semaphore(), 3);
}

/* What DisINTx masks stays masked, and the signal is taken. */
static void intx_unmask_disabled(const void *arg)
{
	int event = intx_up();
	int unmask = event_semaphore();
	const uint64_t n = 2;

	unmask_by(unmask);
	command(v.device, 0, PCI_COMMAND_INTX_DISABLE);
	say_step("write", write(unmask, &n, sizeof(n)));
	say("left=%" PRIu64, event_left(unmask, 1));
	say("disabled=%ld", event_none(event));
	command(v.device, PCI_COMMAND_INTX_DISABLE, 0);
	say("enabled=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
}

static void intx_disable_bit(const void *arg)
{
	int event = intx_on();

	command(v.device, 0, PCI_COMMAND_INTX_DISABLE);
	reg_set(REG_RAISE, 1);
	say("disabled=%ld", event_none(event));
	irq_none("unmask", IRQ_UNMASK);
	say("unmasked=%ld", event_none(event));
	command(v.device, PCI_COMMAND_INTX_DISABLE, 0);
	say("enabled=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
}

static void intx_enabled_late(const void *arg)
{
	int event = event_new();

	reg_set(REG_RAISE, 1);
	say_step("set", irq_trigger(v.device, INTX, 0, event));
	say("pending=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
}

static void intx_enabled_disabled(const void *arg)
{
	int event = event_new();

	command(v.device, 0, PCI_COMMAND_INTX_DISABLE);
	say_step("set", irq_trigger(v.device, INTX, 0, event));
	reg_set(REG_RAISE, 1);
	say("disabled=%ld", event_none(event));
	command(v.device, PCI_COMMAND_INTX_DISABLE, 0);
	say("enabled=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
}

static void intx_off(const void *arg)
{
	int event = intx_on();

	irq_off(v.device, INTX);
	reg_set(REG_RAISE, 1);
	say("off=%ld", event_none(event));
	reg_set(REG_ACK, 1);
}

static void intx_swap(const void *arg)
{
	int event = intx_on();
	int other = event_new();

	reg_set(REG_RAISE, 1);
	say("first=%ld", event_wait(event));
	say_step("swap", irq_trigger(v.device, INTX, 0, other));
	irq_none("unmask", IRQ_UNMASK);
	say("other=%ld first=%ld", event_wait(other), event_now(event));
	reg_set(REG_ACK, 1);
}

/* STATUS in config space shows the line, masked or not. */
static void intx_status(const void *arg)
{
	int event = intx_on();

	reg_set(REG_RAISE, 1);
	say("events=%ld", event_wait(event));
	say("up=%#x", cfg(v.device, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	reg_set(REG_ACK, 1);
	say("down=%#x", cfg(v.device, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
}

/* MSI: a message, and so DMA */

static int msi_on(void)
{
	int event = event_new();

	need(irq_trigger(v.device, MSI, 0, event), "MSI");
	return event;
}

static void msi(const void *arg)
{
	int event = msi_on();

	command(v.device, 0, PCI_COMMAND_MASTER);
	reg_set(REG_RAISE, 1);
	say("first=%ld", event_wait(event));
	reg_set(REG_RAISE, 2);
	say("second=%ld", event_wait(event));
	reg_set(REG_ACK, 3);
	say("status=%#x", reg(REG_IRQ_STATUS));
}

static void msi_without_master(const void *arg)
{
	int event = msi_on();

	command(v.device, PCI_COMMAND_MASTER, 0);
	reg_set(REG_RAISE, 1);
	say("off=%ld", event_none(event));
	command(v.device, 0, PCI_COMMAND_MASTER);
	reg_set(REG_RAISE, 2);
	say("on=%ld", event_wait(event));
	reg_set(REG_ACK, 3);
}

static void msi_off(const void *arg)
{
	int event = msi_on();

	command(v.device, 0, PCI_COMMAND_MASTER);
	irq_off(v.device, MSI);
	reg_set(REG_RAISE, 1);
	reg_set(REG_ACK, 1);
	say("off=%ld", event_none(event));
}

static void msi_removed(const void *arg)
{
	int event = msi_on();

	command(v.device, 0, PCI_COMMAND_MASTER);
	say_step("remove", irq_trigger(v.device, MSI, 0, -1));
	reg_set(REG_RAISE, 1);
	say("removed=%ld", event_none(event));
	say_step("set", irq_trigger(v.device, MSI, 0, event));
	reg_set(REG_RAISE, 2);
	say("set=%ld", event_wait(event));
	reg_set(REG_ACK, 3);
}

static void msi_after_reset(const void *arg)
{
	int event = msi_on();

	command(v.device, 0, PCI_COMMAND_MASTER);
	say_step("reset", ioctl(v.device, VFIO_DEVICE_RESET));
	reg_set(REG_RAISE, 1);
	say("events=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
}

static void msi_then_intx(const void *arg)
{
	int event = msi_on();

	irq_off(v.device, MSI);
	say_step("intx", irq_trigger(v.device, INTX, 0, event));
	reg_set(REG_RAISE, 1);
	say("events=%ld", event_wait(event));
	reg_set(REG_ACK, 1);
}

/* DMA */

static void map_at_iova(const uint8_t *p, size_t size, uint32_t flags)
{
	need(dma_map(v.container, p, IOVA, size, flags), "MAP_DMA");
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
	need(pwrite(v.device, &val, sizeof(val), at), "register write");
}

/* Start it, and wait for the interrupt that ends it; by MSI needs MASTER. */
static bool transfer(uint64_t from, uint64_t to, uint32_t size, uint32_t cmd)
{
	int event = event_new();

	need(irq_trigger(v.device, INTX, 0, event), "INTx");
	reg64_set(REG_SRC, from);
	reg64_set(REG_DST, to);
	reg64_set(REG_COUNT, size);
	reg64_set(REG_CMD, cmd | DMA_START | DMA_IRQ);
	bool done = event_wait(event);

	reg_set(REG_ACK, IRQ_OF_DMA);
	irq_off(v.device, INTX);
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

	command(v.device, 0, PCI_COMMAND_MASTER);
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
	dma_unmap_all(v.container);
}

static uint8_t *fill_memory(uint32_t flags)
{
	uint8_t *p = dma_memory(PAGE, flags);

	memset(p, FILL, PAGE);
	return p;
}

static void dma_unmapped(const void *arg)
{
	command(v.device, 0, PCI_COMMAND_MASTER);
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
	command(v.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p =
		fill_memory(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);

	say("mapped=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
	memset(p, FILL, PAGE);
	dma_unmap_all(v.container);
	say("unmapped=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

static void dma_read_only(const void *arg)
{
	command(v.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p = fill_memory(VFIO_DMA_MAP_FLAG_READ);

	say("from_device=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
	say("to_device=%d", to_device(IOVA, 64));
	dma_unmap_all(v.container);
	p = dma_memory(PAGE, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	say("back=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

/* Written to only when it is mapped; then a device is to see that. */
static void dma_untouched(const void *arg)
{
	uint8_t *p = anon(PAGE);

	command(v.device, 0, PCI_COMMAND_MASTER);
	map_at_iova(p, PAGE, VFIO_DMA_MAP_FLAG_READ);
	pattern(p, 64);
	say("to_device=%d", to_device(IOVA, 64));
	dma_unmap_all(v.container);
	p = fill_memory(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	say("back=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

static void dma_write_only(const void *arg)
{
	command(v.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p = fill_memory(VFIO_DMA_MAP_FLAG_WRITE);

	say("from_device=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

/* A device may not read it, whatever an abort gives it in its place. */
static void dma_write_only_read(const void *arg)
{
	command(v.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p = fill_memory(VFIO_DMA_MAP_FLAG_WRITE);

	say("to_device=%d", to_device(IOVA, 64));
	dma_unmap_all(v.container);
	p = dma_memory(PAGE, MAP_RW);
	say("from_device=%d", from_device(IOVA, 64));
	say("read=%d", !strcmp(holds(p, 64), "fill"));
}

static void dma_without_master(const void *arg)
{
	command(v.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p =
		fill_memory(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);

	command(v.device, PCI_COMMAND_MASTER, 0);
	say("off=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
	command(v.device, 0, PCI_COMMAND_MASTER);
	say("on=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

/* Memory decode does not matter to what the device does itself. */
static void dma_memory_disabled(const void *arg)
{
	int event = event_new();

	command(v.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p =
		fill_memory(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);

	need(irq_trigger(v.device, INTX, 0, event), "INTx");
	reg64_set(REG_SRC, BUFFER);
	reg64_set(REG_DST, IOVA);
	reg64_set(REG_COUNT, 64);
	reg64_set(REG_CMD, DMA_START | DMA_IRQ | DMA_FROM_DEVICE);
	command(v.device, PCI_COMMAND_MEMORY, 0);
	say("done=%ld", event_wait(event));
	say("memory=%s", holds(p, 64));
	command(v.device, 0, PCI_COMMAND_MEMORY);
	reg_set(REG_ACK, IRQ_OF_DMA);
}

/* Half of it is mapped. */
static void dma_across_end(const void *arg)
{
	command(v.device, 0, PCI_COMMAND_MASTER);
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

	command(v.device, 0, PCI_COMMAND_MASTER);
	pattern(p, 64);
	need(to_device(IOVA, 64) ? 0 : -1, "DMA to the device");
	memset(p, FILL, PAGE);
	int event = msi_on();

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

	command(v.device, 0, PCI_COMMAND_MASTER);
	load_device();
	memset(a, FILL, PAGE);
	memset(b, FILL, PAGE);
	map_at_iova(a, PAGE, MAP_RW);
	need(dma_map(v.container, b, IOVA + PAGE, PAGE, MAP_RW), "MAP_DMA");
	say("done=%d", from_device(IOVA + PAGE - 100, sizeof(got)));
	memcpy(got, a + PAGE - 100, 100);
	memcpy(got + 100, b, 200);
	say("memory=%s", holds(got, sizeof(got)));
	say("before=%d behind=%d", a[PAGE - 101] == FILL, b[200] == FILL);
}

/* Below a mapping there is nothing, and between two. */
static void dma_hole(const void *arg)
{
	command(v.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p = fill_memory(MAP_RW);

	need(dma_map(v.container, anon(PAGE), IOVA + 2 * PAGE, PAGE, MAP_RW),
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

	need(dma_map(v.container, p, 2 * IOVA, PAGE, MAP_RW), "MAP_DMA");
	command(v.device, 0, PCI_COMMAND_MASTER);
	pattern(p, 64);
	say("to_device=%d", to_device(IOVA, 64));
	memset(p, FILL, PAGE);
	say("from_device=%d", from_device(2 * IOVA, 64));
	say("memory=%s", holds(p, 64));
}

/* What was mapped is pinned: its addresses do not matter any more. */
static void dma_protected(const void *arg)
{
	command(v.device, 0, PCI_COMMAND_MASTER);
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
	command(v.device, 0, PCI_COMMAND_MASTER);
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
	command(v.device, 0, PCI_COMMAND_MASTER);
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

	command(v.device, 0, PCI_COMMAND_MASTER);
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

	vfio_open(&v, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	int group = (int)need(group_open(f, O_RDWR), "open of the other group");

	need(group_join(group, v.container), "SET_CONTAINER");
	int ram = (int)need(device_open(group, f), "GET_DEVICE_FD");
	uint8_t *m = bar_map(ram, REGION(2), 4 * PAGE);

	command(v.device, 0, PCI_COMMAND_MASTER);
	load_device();
	command(ram, PCI_COMMAND_MEMORY, 0);
	say_step("off", dma_map(v.container, m, IOVA, PAGE, MAP_RW));
	command(ram, 0, PCI_COMMAND_MEMORY);
	say_step("map", dma_map(v.container, m, IOVA, 4 * PAGE, MAP_RW));
	say("from_device=%d", from_device(IOVA + PAGE, 64));
	need(pread(ram, bytes, 64, REGION(2) + PAGE), "read of a BAR");
	say("bar=%s", holds(bytes, 64));
	memset(bytes, FILL, 64);
	need(pwrite(ram, bytes, 64, REGION(2) + PAGE), "write of a BAR");
	say("to_device=%d", to_device(IOVA + PAGE, 64));
	dma_unmap_all(v.container);
	uint8_t *p = dma_memory(PAGE, MAP_RW);

	say("from_device=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

/* It goes on as long as the device is open. */
static void dma_outlives(const void *arg)
{
	vfio_open(&v, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	command(v.device, 0, PCI_COMMAND_MASTER);
	load_device();
	uint8_t *p = fill_memory(MAP_RW);

	close_fd(&v.container);
	say("from_device=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
	int again = device_open(v.group, v.function);

	say_step("device", again < 0 ? -1 : 0);
	close(again);
	close_fd(&v.group);
	memset(p, FILL, PAGE);
	say("from_device=%d", from_device(IOVA, 64));
	say("memory=%s", holds(p, 64));
}

static void after(void)
{
	if (v.device < 0)
		return;
	dma_unmap_all(v.container);
	device_quiet(v.device);
}

static const struct {
	const char *name;
	case_fn *fn;
} cases[] = {
	{"identity", identity},
	{"reset", reset_state},
	{"intx.automask", intx_automask},
	{"intx.mask", intx_mask},
	{"intx.mask_bool", intx_mask_bool},
	{"intx.unmask_fd", intx_unmask_fd},
	{"intx.unmask_semaphore", intx_unmask_semaphore},
	{"intx.unmask_before", intx_unmask_before},
	{"intx.unmask_semaphore_before", intx_unmask_semaphore_before},
	{"intx.unmask_disabled", intx_unmask_disabled},
	{"intx.disable_bit", intx_disable_bit},
	{"intx.enabled_late", intx_enabled_late},
	{"intx.enabled_disabled", intx_enabled_disabled},
	{"intx.off", intx_off},
	{"intx.swap", intx_swap},
	{"intx.status", intx_status},
	{"msi.raise", msi},
	{"msi.without_master", msi_without_master},
	{"msi.off", msi_off},
	{"msi.removed", msi_removed},
	{"msi.after_reset", msi_after_reset},
	{"msi.then_intx", msi_then_intx},
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

static void each_value(void)
{
	static const uint32_t values[] = {0, 1, 0x12345678, UINT32_MAX};
	static const uint32_t numbers[] = {0, 1, 2, 5, 12, 13, 33, 34, 1000};
	static const uint32_t indices[] = {INTX, MSI};

	for (size_t i = 0; i < COUNT(values); i++) {
		run(liveness, &values[i], "liveness.%08x", values[i]);
		run(liveness_mapped, &values[i], "liveness_mapped.%08x",
		    values[i]);
	}
	for (size_t i = 0; i < COUNT(numbers); i++)
		run(factorial, &numbers[i], "factorial.%u", numbers[i]);
	for (size_t i = 0; i < COUNT(indices); i++)
		run(factorial_irq, &indices[i], "factorial.irq_%u", indices[i]);
}

void area_edu(void)
{
	run_after(after);
	fixture_open(&v, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	each_value();
	for (size_t i = 0; i < COUNT(cases); i++)
		run(cases[i].fn, NULL, "%s", cases[i].name);
	each_copy();
	for (size_t i = 0; i < COUNT(kinds); i++)
		run(dma_kind, &kinds[i], "dma.kind.%s", kinds[i].name);
	fixture_close(&v);
	run(dma_peer, NULL, "dma.peer");
	run(dma_outlives, NULL, "dma.outlives");
}

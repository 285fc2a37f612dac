/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * QEMU's educational device (QEMU docs/specs/edu.rst): the smallest device that
 * has all a driver has to deal with. Courses and examples are written for it,
 * so the registers behave as QEMU's do, odd corners included: a 4-byte write to
 * a DMA register clears its upper half, a command without the start bit is
 * dropped, and raising nothing while something is pending interrupts again.
 *
 * Two things differ. A DMA that leaves the device's buffer moves nothing, where
 * QEMU only logs it; and a reset returns to power-on state.
 *
 * DOC: Theory of operation
 *
 * Work is started by a register write and done later in run(): a driver has to
 * wait for STATUS.computing or the DMA start bit to clear, or for the
 * interrupt. While either bit is set the registers it reads from are locked
 * against writes, so run() needs no copy of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "edu.h"

#define EDU_BAR_SIZE (1u << 20)
#define EDU_ID	     0x010000edu

#define EDU_BUF_START 0x40000u /* as the DMA engine addresses it */
#define EDU_BUF_SIZE  4096u

#define EDU_DMA_MASK ((1ull << 28) - 1)

enum edu_reg {
	REG_ID = 0x00,
	REG_LIVENESS = 0x04,
	REG_FACTORIAL = 0x08,
	REG_STATUS = 0x20,
	REG_IRQ_STATUS = 0x24,
	REG_IRQ_RAISE = 0x60,
	REG_IRQ_ACK = 0x64,
	/* from here on accesses may be 8 bytes wide */
	REG_DMA_SRC = 0x80,
	REG_DMA_DST = 0x88,
	REG_DMA_COUNT = 0x90,
	REG_DMA_CMD = 0x98,
};

#define STATUS_COMPUTING 0x01u
#define STATUS_IRQ	 0x80u

#define IRQ_FACTORIAL 0x001u
#define IRQ_DMA	      0x100u

#define DMA_START   0x1u
#define DMA_TO_RAM  0x2u
#define DMA_ADD_IRQ 0x4u

struct edu {
	uint64_t dma_mask; /* from the options, survives a reset */
	struct edu_regs {
		uint32_t liveness;
		uint32_t factorial;
		uint32_t status;
		uint32_t irq_status;
		uint64_t dma_src;
		uint64_t dma_dst;
		uint64_t dma_count;
		uint64_t dma_cmd;
		uint8_t buf[EDU_BUF_SIZE];
	} r;
};

static int edu_init(struct sv_dev *dev)
{
	struct edu *edu = sv_state(dev);
	const char *text = sv_option(dev, "dma_mask");
	char *end = NULL;

	edu->dma_mask = EDU_DMA_MASK;
	if (!text)
		return 0;
	errno = 0;
	edu->dma_mask = strtoull(text, &end, 0);
	if (!errno && *text >= '0' && *text <= '9' && !*end)
		return 0;
	sv_error(dev, "dma_mask=%s: not a number, such as 0xffffffff", text);
	return -EINVAL;
}

static void edu_reset(struct sv_dev *dev, enum sv_reset why)
{
	struct edu *edu = sv_state(dev);

	(void)why;
	edu->r = (struct edu_regs){0};
	sv_irq_level(dev, false);
}

static void raise_irq(struct sv_dev *dev, uint32_t bits)
{
	struct edu *edu = sv_state(dev);

	edu->r.irq_status |= bits;
	if (!edu->r.irq_status)
		return;
	if (sv_irq_mode(dev) == SV_IRQ_MSI)
		sv_irq_raise(dev, 0);
	else
		sv_irq_level(dev, true);
}

static void acknowledge_irq(struct sv_dev *dev, uint32_t bits)
{
	struct edu *edu = sv_state(dev);

	edu->r.irq_status &= ~bits;
	if (!edu->r.irq_status)
		sv_irq_level(dev, false);
}

/* Modulo 2^32, where 34! and everything above it is 0. */
static uint32_t factorial(uint32_t n)
{
	uint32_t product = 1;

	while (n && product)
		product *= n--;
	return product;
}

static void compute(struct sv_dev *dev)
{
	struct edu *edu = sv_state(dev);

	edu->r.factorial = factorial(edu->r.factorial);
	edu->r.status &= ~STATUS_COMPUTING;
	if (edu->r.status & STATUS_IRQ)
		raise_irq(dev, IRQ_FACTORIAL);
}

/* The part of the device's buffer at @addr; NULL unless all of it is inside. */
static uint8_t *buffer_at(struct edu *edu, uint64_t addr, uint64_t len)
{
	if (addr < EDU_BUF_START || addr - EDU_BUF_START > EDU_BUF_SIZE)
		return NULL;
	uint64_t off = addr - EDU_BUF_START;

	return len <= EDU_BUF_SIZE - off ? edu->r.buf + off : NULL;
}

static int transfer(struct sv_dev *dev)
{
	struct edu *edu = sv_state(dev);
	const struct edu_regs *r = &edu->r;
	bool to_ram = r->dma_cmd & DMA_TO_RAM;
	uint64_t here = to_ram ? r->dma_src : r->dma_dst;
	uint64_t there = (to_ram ? r->dma_dst : r->dma_src) & edu->dma_mask;
	uint8_t *buf = buffer_at(edu, here, r->dma_count);

	if (!buf) {
		sv_driver_error(
			dev,
			"DMA of %#llx bytes at %#llx of the device; its "
			"buffer is %#x to %#x",
			(unsigned long long)r->dma_count,
			(unsigned long long)here, EDU_BUF_START,
			EDU_BUF_START + EDU_BUF_SIZE - 1);
		return -EINVAL;
	}
	if (to_ram)
		return sv_dma_write(dev, there, buf, r->dma_count);
	return sv_dma_read(dev, there, buf, r->dma_count);
}

static void do_dma(struct sv_dev *dev)
{
	struct edu *edu = sv_state(dev);

	/*
	 * A failed transfer finishes like any other: the registers have no
	 * error bit. One cut short by a reset must not finish.
	 */
	if (transfer(dev) == -ECANCELED)
		return;
	edu->r.dma_cmd &= ~(uint64_t)DMA_START;
	if (edu->r.dma_cmd & DMA_ADD_IRQ)
		raise_irq(dev, IRQ_DMA);
}

static bool edu_run(struct sv_dev *dev)
{
	struct edu *edu = sv_state(dev);

	if (edu->r.status & STATUS_COMPUTING)
		compute(dev);
	else if (edu->r.dma_cmd & DMA_START)
		do_dma(dev);
	else
		return false;
	return true;
}

static bool access_valid(unsigned int bar, uint64_t off, unsigned int size)
{
	if (bar != 0)
		return false;
	return size == 4 || (size == 8 && off >= REG_DMA_SRC);
}

static uint64_t read_register(const struct edu_regs *r, uint64_t off)
{
	switch (off) {
	case REG_ID:
		return EDU_ID;
	case REG_LIVENESS:
		return r->liveness;
	case REG_FACTORIAL:
		return r->factorial;
	case REG_STATUS:
		return r->status;
	case REG_IRQ_STATUS:
		return r->irq_status;
	case REG_DMA_SRC:
		return r->dma_src;
	case REG_DMA_DST:
		return r->dma_dst;
	case REG_DMA_COUNT:
		return r->dma_count;
	case REG_DMA_CMD:
		return r->dma_cmd;
	default:
		return UINT64_MAX;
	}
}

static uint64_t edu_read(struct sv_dev *dev, unsigned int bar, uint64_t off,
			 unsigned int size)
{
	const struct edu *edu = sv_state(dev);
	uint64_t ones = UINT64_MAX >> (64 - 8 * size);

	if (!access_valid(bar, off, size))
		return ones;
	return read_register(&edu->r, off) & ones;
}

static void write_factorial(struct sv_dev *dev, uint32_t val)
{
	struct edu *edu = sv_state(dev);

	if (edu->r.status & STATUS_COMPUTING)
		return;
	edu->r.factorial = val;
	edu->r.status |= STATUS_COMPUTING;
	sv_kick(dev);
}

static void write_dma(struct sv_dev *dev, uint64_t off, uint64_t val)
{
	struct edu_regs *r = &((struct edu *)sv_state(dev))->r;

	if (r->dma_cmd & DMA_START)
		return;
	if (off == REG_DMA_SRC)
		r->dma_src = val;
	else if (off == REG_DMA_DST)
		r->dma_dst = val;
	else if (off == REG_DMA_COUNT)
		r->dma_count = val;
	else if (off == REG_DMA_CMD && val & DMA_START) {
		r->dma_cmd = val;
		sv_kick(dev);
	}
}

static void edu_write(struct sv_dev *dev, unsigned int bar, uint64_t off,
		      uint64_t val, unsigned int size)
{
	struct edu_regs *r = &((struct edu *)sv_state(dev))->r;

	if (!access_valid(bar, off, size))
		return;
	switch (off) {
	case REG_LIVENESS:
		r->liveness = ~(uint32_t)val;
		break;
	case REG_FACTORIAL:
		write_factorial(dev, (uint32_t)val);
		break;
	case REG_STATUS:
		r->status &= ~STATUS_IRQ;
		r->status |= (uint32_t)val & STATUS_IRQ;
		break;
	case REG_IRQ_RAISE:
		raise_irq(dev, (uint32_t)val);
		break;
	case REG_IRQ_ACK:
		acknowledge_irq(dev, (uint32_t)val);
		break;
	default:
		write_dma(dev, off, val);
	}
}

static const struct sv_option edu_options[] = {
	{"dma_mask", "MASK  address bits of its DMA engine, 0x0fffffff"},
	{NULL, NULL},
};

const struct sv_dev_ops edu_ops = {
	.api = SV_API,
	.name = "edu",
	.summary = "QEMU's educational device: factorial, DMA, interrupts",
	.options = edu_options,
	.shape =
		{
			.vendor = 0x1234,
			.device = 0x11e8,
			.subsys_vendor = 0x1af4,
			.subsys_device = 0x1100,
			.class_code = 0x00ff00,
			.revision = 0x10,
			.bar[0] =
				{
					.size = EDU_BAR_SIZE,
					.kind = SV_BAR_MEM32,
					.access = SV_ACCESS_TRAP,
				},
			.msi = 1,
			.no_pcie = true,
		},
	.state_size = sizeof(struct edu),
	.init = edu_init,
	.reset = edu_reset,
	.read = edu_read,
	.write = edu_write,
	.run = edu_run,
};

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory behind a BAR, in the shape of QEMU's ivshmem-plain (QEMU
 * docs/specs/ivshmem-spec.rst): what to test mapping, faulting and
 * peer-to-peer DMA of large BARs with, since the memory is sparse.
 *
 * The registers of BAR 0 are left over from ivshmem's interrupts, which this
 * variant does not have. They behave as QEMU's do, which decodes 4 bytes at a
 * time whatever the size of the access.
 */
#include <errno.h>
#include <inttypes.h>

#include "ram.h"

#define REGS_SIZE    256u
#define SIZE_DEFAULT (4ull << 20)
#define SIZE_MIN     16ull
#define SIZE_MAX_BAR (1ull << 40) /* a VFIO region holds no more */

enum ram_reg {
	REG_IRQ_MASK = 0x00,
	REG_IRQ_STATUS = 0x04, /* a read clears it */
	REG_POSITION = 0x08,   /* 0: no peers */
	REG_DOORBELL = 0x0c,
};

struct ram {
	uint32_t irq_mask;
	uint32_t irq_status;
};

static int ram_shape_up(struct sv_dev *dev, struct sv_shape *shape)
{
	uint64_t size = SIZE_DEFAULT;
	int ret = sv_option_size(dev, "size", &size);

	if (ret)
		return ret;
	if (size < SIZE_MIN || size > SIZE_MAX_BAR || size & (size - 1)) {
		sv_error(dev,
			 "size=%s: %" PRIu64
			 " bytes is not a power of two from 16 to 1T",
			 sv_option(dev, "size"), size);
		return -EINVAL;
	}
	shape->bar[2].size = size;
	return 0;
}

static void ram_reset(struct sv_dev *dev, enum sv_reset why)
{
	(void)why;
	*(struct ram *)sv_state(dev) = (struct ram){0};
}

static uint32_t read_register(struct ram *ram, uint64_t off)
{
	uint32_t val = 0;

	if (off == REG_IRQ_MASK)
		val = ram->irq_mask;
	if (off == REG_IRQ_STATUS) {
		val = ram->irq_status;
		ram->irq_status = 0;
	}
	return val;
}

static uint64_t ram_read(struct sv_dev *dev, unsigned int bar, uint64_t off,
			 unsigned int size)
{
	struct ram *ram = sv_state(dev);

	if (bar != 0)
		return UINT64_MAX;
	uint64_t val = read_register(ram, off);

	if (size == 8)
		val |= (uint64_t)read_register(ram, off + 4) << 32;
	return val & (UINT64_MAX >> (64 - 8 * size));
}

static void write_register(struct ram *ram, uint64_t off, uint32_t val)
{
	if (off == REG_IRQ_MASK)
		ram->irq_mask = val;
	if (off == REG_IRQ_STATUS)
		ram->irq_status = val;
}

static void ram_write(struct sv_dev *dev, unsigned int bar, uint64_t off,
		      uint64_t val, unsigned int size)
{
	struct ram *ram = sv_state(dev);
	uint64_t word = off & ~3ull;

	if (bar != 0)
		return;
	write_register(ram, word, (uint32_t)val);
	if (size == 8)
		write_register(ram, word + 4, (uint32_t)(val >> 32));
}

static const struct sv_option ram_options[] = {
	{"size", "BYTES  of memory in BAR 2, a power of two up to 1T; 4M"},
	{NULL, NULL},
};

const struct sv_dev_ops ram_ops = {
	.api = SV_API,
	.name = "ram",
	.summary = "memory behind a BAR, as QEMU's ivshmem-plain",
	.options = ram_options,
	.shape =
		{
			.vendor = 0x1af4,
			.device = 0x1110,
			.subsys_vendor = 0x1af4,
			.subsys_device = 0x1100,
			.class_code = 0x050000,
			.revision = 1,
			.bar[0] =
				{
					.size = REGS_SIZE,
					.kind = SV_BAR_MEM32,
					.access = SV_ACCESS_TRAP,
				},
			.bar[2] =
				{
					.size = SIZE_DEFAULT,
					.kind = SV_BAR_MEM64,
					.access = SV_ACCESS_DIRECT,
					.persistent = true,
					.prefetch = true,
				},
			.no_intx = true,
			.no_pcie = true,
		},
	.state_size = sizeof(struct ram),
	.shape_up = ram_shape_up,
	.reset = ram_reset,
	.read = ram_read,
	.write = ram_write,
};

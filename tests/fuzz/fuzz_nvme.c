/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NVMe controller and a program that does whatever the input says: writes
 * registers, rings doorbells, fills queues, PRP lists and SGLs, resets. It must
 * not crash, not go on for ever, and not write where it was told it may not.
 *
 * The input is a program of its own: a byte that says what to do, then what
 * that needs. Addresses are mostly made to hit something, or nothing but
 * refusals would be tested; and there is an instruction for a controller that
 * is ready, which is far to go by chance.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "dev/nvme/nvme.h"
#include "dev/nvme/nvme_spec.h"
#include "tests/fuzz/input.h"
#include "tests/unit/devhost.h"

#define PAGE	 4096u
#define RUNS_MAX 20000u

#define ADMIN_SQ 0x010000u
#define ADMIN_CQ 0x020000u
#define IO_SQ	 0x030000u
#define IO_CQ	 0x040000u
#define LISTS	 0x080000u
#define ENTRIES	 32u
#define ENABLE	 (NVME_CC_EN | 6u << 16 | 4u << 20)

/* No bus address of the program's: nothing may be written here. */
#define HOLE	  0x800000u
#define HOLE_LEN  0x002000u
#define HOLE_BYTE 0xa5

/* Lists, pages, pages with an offset, the hole's edge, and anything */
static uint64_t take_addr(struct input *in)
{
	uint8_t kind = (uint8_t)take(in, 1);
	uint64_t val = take(in, 3);

	switch (kind & 7) {
	case 0:
		return LISTS + (val & 0xfff8);
	case 1:
		return val & (DEVHOST_RAM - 1);
	case 2:
		return HOLE - PAGE + (val & 0x1fff);
	case 3:
		return take(in, 8);
	case 4:
		return LISTS + (val & 0xf) * PAGE + PAGE - 8 - (kind & 0x38);
	default:
		return val & (DEVHOST_RAM - 1) & ~(uint64_t)(PAGE - 1);
	}
}

static void do_register(struct devhost *h, struct input *in)
{
	static const unsigned int sizes[] = {4, 4, 8, 1};
	unsigned int size = sizes[take(in, 1) & 3];
	uint64_t off = take(in, 2) & 0x3fff;

	off = off & 1 ? off & 0x3f : off; /* mostly where there is something */
	devhost_write(h, 0, off & ~(uint64_t)(size - 1), take(in, size), size);
}

static void do_doorbell(struct devhost *h, struct input *in)
{
	uint8_t db = (uint8_t)take(in, 1);

	devhost_write(h, 0, NVME_REG_DOORBELL + (db & 0xc0 ? db & 7 : db) * 4,
		      take(in, 1) & (db & 0x80 ? 0xff : 0x1f), 4);
}

static void do_entry(struct devhost *h, struct input *in)
{
	static const uint64_t ring[] = {IO_SQ, ADMIN_SQ, IO_SQ, IO_SQ + PAGE};
	uint8_t where = (uint8_t)take(in, 1);
	struct nvme_sqe sqe = {
		.opcode = (uint8_t)take(in, 1) & 0x8f,
		.flags = (uint8_t)take(in, 1),
		.cid = (uint16_t)take(in, 1),
		.nsid = (where & 0x80) ? (uint32_t)take(in, 4) : 1,
		.prp1 = take_addr(in),
		.prp2 = where & 0x40 ? take(in, 8) : take_addr(in),
		.cdw10 = (uint32_t)take(in, 4),
		.cdw11 = (uint32_t)take(in, 2),
		.cdw12 = (uint32_t)take(in, 2),
		.cdw13 = (uint32_t)take(in, 1),
	};

	sqe.cdw12 |= (uint32_t)(where & 0x20) << 21;
	memcpy(devhost_ram(h) + ring[take(in, 1) & 3] +
		       (where & (ENTRIES - 1)) * sizeof(sqe),
	       &sqe, sizeof(sqe));
}

/* PRP entries or SGL descriptors one after the other */
static void do_list(struct devhost *h, struct input *in)
{
	uint64_t at = LISTS + (take(in, 2) & 0xfff8);
	uint8_t count = (uint8_t)take(in, 1) & 31;
	bool sgl = take(in, 1) & 1;

	for (; count; count--) {
		struct nvme_sgl d = {.addr = take_addr(in)};

		if (sgl) {
			d.len = (uint32_t)take(in, 2);
			d.id = (uint8_t)take(in, 1);
		}
		memcpy(devhost_ram(h) + at, &d, sgl ? sizeof(d) : 8);
		at += sgl ? sizeof(d) : 8;
	}
}

static void do_run(struct devhost *h, struct input *in)
{
	assert(devhost_run(h) < RUNS_MAX);
}

static void put_command(struct devhost *h, uint32_t slot, uint8_t opcode,
			uint64_t prp, uint32_t cdw11)
{
	struct nvme_sqe sqe = {
		.opcode = opcode,
		.prp1 = prp,
		.cdw10 = (ENTRIES - 1) << 16 | 1,
		.cdw11 = cdw11,
	};

	memcpy(devhost_ram(h) + ADMIN_SQ + slot * sizeof(sqe), &sqe,
	       sizeof(sqe));
}

static void do_ready(struct devhost *h, struct input *in)
{
	devhost_write(h, 0, NVME_REG_CC, 0, 4);
	do_run(h, in);
	devhost_write(h, 0, NVME_REG_AQA, (ENTRIES - 1) * 0x10001, 4);
	devhost_write(h, 0, NVME_REG_ASQ, ADMIN_SQ, 8);
	devhost_write(h, 0, NVME_REG_ACQ, ADMIN_CQ, 8);
	devhost_write(h, 0, NVME_REG_CC, ENABLE, 4);
	do_run(h, in);
	put_command(h, 0, NVME_ADM_CREATE_CQ, IO_CQ, 3);
	put_command(h, 1, NVME_ADM_CREATE_SQ, IO_SQ, 1u << 16 | 1);
	devhost_write(h, 0, NVME_REG_DOORBELL, 2, 4);
	do_run(h, in);
	devhost_write(h, 0, NVME_REG_DOORBELL + 4, 2, 4);
}

/* What the host has been given is taken, whatever it is. */
static void do_take(struct devhost *h, struct input *in)
{
	for (uint32_t head = 0; head < ENTRIES; head++) {
		devhost_write(h, 0, NVME_REG_DOORBELL + 12, head, 4);
		do_run(h, in);
	}
}

static void do_reset(struct devhost *h, struct input *in)
{
	devhost_reset(h, take(in, 1) & 1 ? SV_RESET_FUNCTION : SV_RESET_OPEN);
}

static void do_irq_mode(struct devhost *h, struct input *in)
{
	devhost_set_irq_mode(h, (enum sv_irq_mode)(take(in, 1) & 3));
}

static void do_mapping(struct devhost *h, struct input *in)
{
	devhost_refuse_map(h, take(in, 1) & 1);
}

static void (*const deeds[])(struct devhost *h, struct input *in) = {
	do_run,	  do_register, do_doorbell, do_entry, do_entry,	   do_list,
	do_ready, do_doorbell, do_take,	    do_reset, do_irq_mode, do_mapping,
};

static struct devhost *host_new(uint8_t kind)
{
	static const char *const options[][4] = {
		{"size=3M", NULL},
		{"size=1M", "ro", NULL},
		{"size=3M", "ns2=1M", NULL},
		{"file=/proc/self/exe", "ro", NULL},
	};
	struct devhost *h = devhost_new(&nvme_ops, options[kind]);

	assert(h);
	return h;
}

/*
 * As new but for what is in its storage: making one takes a hundred times as
 * long as most inputs.
 */
static struct devhost *host_get(uint8_t kind)
{
	static struct devhost *hosts[4];
	struct devhost *h = hosts[kind & 3];

	if (!h)
		h = hosts[kind & 3] = host_new(kind & 3);
	devhost_reset(h, SV_RESET_OPEN);
	madvise(devhost_ram(h), DEVHOST_RAM, MADV_DONTNEED);
	devhost_set_irq_mode(h, SV_IRQ_MSIX);
	devhost_refuse_map(h, false);
	memset(devhost_ram(h) + HOLE, HOLE_BYTE, HOLE_LEN);
	devhost_fail_dma(h, HOLE, HOLE + HOLE_LEN - 1);
	return h;
}

static void check_hole(struct devhost *h)
{
	const uint8_t *hole = devhost_ram(h) + HOLE;

	for (uint32_t i = 0; i < HOLE_LEN; i++)
		assert(hole[i] == HOLE_BYTE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct devhost *h = host_get((uint8_t)take(&in, 1));

	do_ready(h, &in);
	while (in.left)
		deeds[take(&in, 1) % (sizeof(deeds) / sizeof(deeds[0]))](h,
									 &in);
	do_run(h, &in);
	check_hole(h);
	return 0;
}

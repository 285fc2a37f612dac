/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NVMe controller against programs that write anything anywhere. Most of
 * it is nearly right, or nothing but refusals would be tested. Meant to be run
 * with sanitizers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "tests/unit/nvme_rig.h"

#define GARBAGE_ROUNDS 5000 /* a second or two with sanitizers */

#define CMB_BASE 0x40000000u /* behind program memory */
#define CMB_SIZE 0x10000u

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now);

/* Time flies, so that no interrupt is coalesced for long. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now)
{
	static uint64_t now_ms;

	(void)clock;
	now_ms++;
	ret_now->tv_sec = (time_t)(now_ms / 1000);
	ret_now->tv_nsec = (long)(now_ms % 1000) * 1000000;
	return 0;
}

static uint64_t random_next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* An address that is often good, sometimes nearly, sometimes not at all */
static uint64_t random_addr(uint64_t *s)
{
	uint64_t r = random_next(s);

	switch (r >> 60) {
	case 0:
		return random_next(s);
	case 1:
		return ~(uint64_t)0 - (r & 0xffff);
	case 2:
		return r & (DEVHOST_RAM - 1);
	case 3:
		return r & (DEVHOST_RAM - 1) & ~7ull;
	case 4:
		return CMB_BASE + (r & (2 * CMB_SIZE - 1) & ~0x1ffull);
	case 5:
		/* a list whose end is near */
		return (r & (DEVHOST_RAM - PAGE)) |
		       (PAGE - 64 + (r >> 32 & 56));
	default:
		return r & (DEVHOST_RAM - 1) & ~(uint64_t)(PAGE - 1);
	}
}

/* Mostly @likely, sometimes anything */
static uint32_t random_field(uint64_t *s, uint32_t likely)
{
	uint64_t r = random_next(s);

	return r >> 60 ? likely : (uint32_t)r;
}

static void random_entry(uint64_t *s, struct nvme_sqe *sqe)
{
	static const uint32_t nsid[] = {1, 1, 1, 1, 1, 0, NVME_NSID_ALL, 2};
	static const uint8_t rare[] = {NVME_ADM_DBBUF, NVME_ADM_FORMAT, 0xc0};
	uint64_t r = random_next(s);

	*sqe = (struct nvme_sqe){
		.opcode = r & 0x3f0000 ? r & 15 : rare[(r & 15) % 3],
		.flags = r & 0xf00 ? 0 : (uint8_t)(r >> 32),
		.cid = (uint16_t)(r >> 16),
		.nsid = random_field(s, nsid[r >> 40 & 7]),
		.prp1 = random_addr(s),
		.prp2 = random_addr(s),
		.cdw10 = random_field(s, r >> 24 & 0x007f000f),
		.cdw11 = random_field(s, r >> 63 ? 0 : r >> 20 & 0x0003000f),
		.cdw12 = random_field(s, r >> 44 & 0x01fc),
		.cdw13 = random_field(s, 0),
	};
}

/* Entries all over the rings, PRP entries all over the rest */
static void random_memory(struct rig *r, uint64_t *s)
{
	uint8_t *ram = devhost_ram(r->h);
	struct nvme_sqe sqe;

	for (int i = 0; i < 256; i++) {
		random_entry(s, &sqe);
		memcpy(ram + ADMIN_SQ + random_next(s) % 1024 * sizeof(sqe),
		       &sqe, sizeof(sqe));
		random_entry(s, &sqe);
		memcpy(ram + IO_SQ + random_next(s) % 64 * sizeof(sqe), &sqe,
		       sizeof(sqe));
		put_entry(r, random_next(s) & (DEVHOST_RAM - 1) & ~7ull,
			  random_addr(s));
	}
}

static void random_doorbells(struct rig *r, uint64_t *s)
{
	for (int i = 0; i < 8; i++) {
		uint64_t x = random_next(s);
		uint32_t db = (uint32_t)x % (x >> 63 ? 140 : 8);

		wr(r, 0x1000 + db * 4,
		   x >> 62 & 1 ? x >> 20 & 0xffff : x >> 20 & 31);
	}
}

/* Some heads are right by accident, and the queues go on. */
static void random_heads(struct rig *r, uint64_t *s)
{
	for (uint32_t i = 0; i < 96; i++) {
		wr(r, 0x1004 + i % 3 * 8, (uint32_t)random_next(s) & 31);
		devhost_run(r->h);
	}
}

static void random_registers(struct rig *r, uint64_t *s)
{
	uint64_t x = random_next(s);

	switch (x >> 59) {
	case 0:
		wr(r, (uint32_t)x & 0x7c, (uint32_t)random_next(s));
		break;
	case 1:
		wr(r, NVME_REG_CC, (uint32_t)(x >> 20) & 0xffffff);
		break;
	case 2:
		devhost_reset(r->h, SV_RESET_FUNCTION);
		break;
	case 3:
		devhost_set_irq_mode(r->h, (enum sv_irq_mode)(x >> 8 & 3));
		break;
	case 5:
		devhost_write(r->h, 0, NVME_REG_CMBMSC, CMB_BASE | 3, 8);
		break;
	case 4:
		devhost_fail_dma(r->h, x & 0xffffff, x >> 24 & 0xffffff);
		break;
	default:
		break;
	}
}

static void revive(struct rig *r)
{
	devhost_fail_dma(r->h, UINT64_MAX, 0);
	wr(r, NVME_REG_CC, 0);
	devhost_run(r->h);
	wr(r, NVME_REG_AQA, 15u << 16 | 31);
	devhost_write(r->h, 0, NVME_REG_ASQ, ADMIN_SQ, 8);
	devhost_write(r->h, 0, NVME_REG_ACQ, ADMIN_CQ, 8);
	wr(r, NVME_REG_CC, ENABLE);
	devhost_run(r->h);
}

/* Two I/O queues over the same garbage, so that data commands run too. */
static void revive_queues(struct rig *r)
{
	struct nvme_sqe sqe[4] = {
		{.opcode = 5,
		 .prp1 = IO_CQ,
		 .cdw10 = 31u << 16 | 1,
		 .cdw11 = 3},
		{.opcode = 1,
		 .prp1 = IO_SQ,
		 .cdw10 = 31u << 16 | 1,
		 .cdw11 = 1u << 16 | 1},
		{.opcode = 5,
		 .prp1 = OTHER_RING,
		 .cdw10 = 7u << 16 | 2,
		 .cdw11 = 3},
		{.opcode = 1,
		 .prp1 = ADMIN_SQ,
		 .cdw10 = 63u << 16 | 2,
		 .cdw11 = 2u << 16 | 1},
	};

	memcpy(devhost_ram(r->h) + ADMIN_SQ, sqe, sizeof(sqe));
	wr(r, 0x1000, 4);
	devhost_run(r->h);
}

static void nvme_survives_garbage(void **state)
{
	static const char *const options[] = {"size=3M", "ns2=1M", "cmb=64K",
					      NULL};
	struct rig r = {.h = devhost_new(&nvme_ops, options)};
	uint64_t seed = 0x5eed5eed5eed5eedull;

	assert_non_null(r.h);
	for (int i = 0; i < GARBAGE_ROUNDS; i++) {
		if (i % 16 == 0) {
			revive(&r);
			revive_queues(&r);
		}
		random_memory(&r, &seed);
		random_doorbells(&r, &seed);
		random_registers(&r, &seed);
		assert_true(devhost_run(r.h) < 10000);
		random_heads(&r, &seed);
	}
	/* and works as if nothing had happened */
	devhost_fail_dma(r.h, UINT64_MAX, 0);
	devhost_reset(r.h, SV_RESET_FUNCTION);
	devhost_set_irq_mode(r.h, SV_IRQ_MSIX);
	enable(&r);
	make_io_queues(&r, IO_SIZE, IO_SIZE);
	assert_int_equal(io_status(&r, .opcode = NVME_IO_READ, .prp1 = BUF), 0);
	devhost_free(r.h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nvme_survives_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

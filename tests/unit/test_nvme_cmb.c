/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The Controller Memory Buffer: its registers, and queues, lists and data that
 * lie in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nvme_rig.h"

#define CMB	 2
#define CMB_SIZE 0x100000u
#define BASE	 0x7f0000000000ull /* where no program memory is */

#define CRE  1u
#define CMSE 2u

static uint8_t *cmb(struct rig *r)
{
	return sv_bar_memory(devhost_dev(r->h), CMB);
}

static void move(struct rig *r, uint64_t base, uint32_t bits)
{
	devhost_write(r->h, 0, NVME_REG_CMBMSC, base | bits, 8);
	devhost_run(r->h);
}

static int setup_cmb(void **state)
{
	struct rig *r = rig_ready((const char *[]){"cmb=1M", NULL});

	move(r, BASE, CRE | CMSE);
	*state = r;
	return 0;
}

#define with_cmb(f) cmocka_unit_test_setup_teardown(f, setup_cmb, teardown)

static void registers_tell_where_it_is(void **state)
{
	struct rig *r = *state;
	const struct sv_bar *bar = &devhost_shape(r->h)->bar[CMB];
	uint32_t loc = rd(r, NVME_REG_CMBLOC);
	uint32_t size = rd(r, NVME_REG_CMBSZ);

	assert_int_equal(bar->size, CMB_SIZE);
	assert_int_equal(bar->kind, SV_BAR_MEM64);
	assert_int_equal(bar->access, SV_ACCESS_DIRECT);
	assert_int_equal(devhost_read(r->h, 0, NVME_REG_CAP, 8) >> 57 & 1, 1);
	assert_int_equal(loc & 7, CMB);
	assert_int_equal(loc >> 12, 0);
	assert_int_equal(size & 0x1f, 0x1f);  /* all kinds of use */
	assert_int_equal(size >> 8 & 0xf, 0); /* 4 KiB units */
	assert_int_equal(size >> 12, CMB_SIZE / 4096);
	assert_int_equal(rd(r, NVME_REG_CMBSTS), 0);
	/* read-only */
	wr(r, NVME_REG_CMBLOC, 0);
	wr(r, NVME_REG_CMBSZ, 0);
	devhost_run(r->h);
	assert_int_equal(rd(r, NVME_REG_CMBLOC), loc);
	assert_int_equal(rd(r, NVME_REG_CMBSZ), size);
}

static void there_is_none_unless_asked_for(void **state)
{
	struct rig *r = *state;

	assert_int_equal(devhost_shape(r->h)->bar[CMB].kind, SV_BAR_NONE);
	assert_int_equal(devhost_read(r->h, 0, NVME_REG_CAP, 8) >> 57 & 1, 0);
	move(r, BASE, CRE | CMSE);
	assert_int_equal(rd(r, NVME_REG_CMBLOC), 0);
	assert_int_equal(rd(r, NVME_REG_CMBSZ), 0);
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = BASE),
			 NVME_SC_DATA_TRANSFER);
}

static void data_in_the_buffer(void **state)
{
	struct rig *r = *state;

	assert_int_equal(io_status(r, .opcode = NVME_IO_READ,
				   .prp1 = BASE + 0x800, .cdw10 = 9),
			 0);
	for (uint32_t i = 0; i < BLOCK; i++)
		assert_int_equal(cmb(r)[0x800 + i], pattern(9 * BLOCK + i, 1));
	memset(cmb(r) + CMB_SIZE - BLOCK, 0x5a, BLOCK);
	assert_int_equal(io_status(r, .opcode = NVME_IO_WRITE,
				   .prp1 = BASE + CMB_SIZE - BLOCK,
				   .cdw10 = 20),
			 0);
	assert_int_equal(
		io_status(r, .opcode = NVME_IO_READ, .prp1 = BUF, .cdw10 = 20),
		0);
	assert_int_equal(devhost_ram(r->h)[BUF + BLOCK - 1], 0x5a);
}

static void list_in_the_buffer_of_data_in_both(void **state)
{
	static const uint64_t page[] = {DATA, BASE + 0x4000, DATA + PAGE,
					BASE + 0x9000};
	struct rig *r = *state;

	memcpy(cmb(r) + 0x2000, page + 1, 3 * sizeof(page[0]));
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = page[0],
				   .prp2 = BASE + 0x2000, .cdw12 = 31),
			 0);
	for (uint32_t i = 0; i < 4 * PAGE; i++) {
		uint64_t at = page[i / PAGE] + i % PAGE;
		const uint8_t *p = at < BASE ? devhost_ram(r->h) + at
					     : cmb(r) + (at - BASE);

		assert_int_equal(*p, pattern(i, 1));
	}
}

/* A pair in the buffer: entries go there, completions come from there. */
static void queues_in_the_buffer(void **state)
{
	struct rig *r = *state;
	struct nvme_sqe sqe = {
		.opcode = NVME_IO_READ, .cid = 77, .nsid = 1, .prp1 = BUF};
	struct queue q = queue_new(2, BASE + 0x10000, BASE + 0x20000, 16);
	struct nvme_cqe cqe;

	assert_int_equal(create_cq(r, &q, 0), 0);
	assert_int_equal(create_sq(r, &q), 0);
	memcpy(cmb(r) + 0x10000, &sqe, sizeof(sqe));
	wr(r, 0x1010, 1);
	devhost_run(r->h);
	memcpy(&cqe, cmb(r) + 0x20000, sizeof(cqe));
	assert_int_equal(cqe.cid, 77);
	assert_int_equal(cqe.status, 1);
	assert_int_equal(devhost_ram(r->h)[BUF], pattern(0, 1));
}

static void queue_lies_in_one_kind_of_memory(void **state)
{
	struct rig *r = *state;
	struct queue q = queue_new(2, BASE - PAGE, BASE + CMB_SIZE - PAGE, 512);

	assert_int_equal(create_cq(r, &q, 0), NVME_SC_CMB_USE | DNR);
	q.cq = OTHER_RING;
	assert_int_equal(create_cq(r, &q, 0), 0);
	assert_int_equal(create_sq(r, &q), NVME_SC_CMB_USE | DNR);
	q.sq = BASE + CMB_SIZE - 8 * PAGE; /* just fits */
	assert_int_equal(create_sq(r, &q), 0);
}

static void data_across_the_border_is_split(void **state)
{
	struct rig *r = *state;

	/* from the last page before program memory into it, and out again */
	move(r, BUF, CRE | CMSE);
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ,
				   .prp1 = BUF - PAGE, .prp2 = BUF,
				   .cdw12 = 15),
			 0);
	for (uint32_t i = 0; i < PAGE; i++) {
		assert_int_equal(devhost_ram(r->h)[BUF - PAGE + i],
				 pattern(i, 1));
		assert_int_equal(cmb(r)[i], pattern(PAGE + i, 1));
	}
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ,
				   .prp1 = BUF + CMB_SIZE - PAGE,
				   .prp2 = BUF + CMB_SIZE, .cdw12 = 15),
			 0);
	for (uint32_t i = 0; i < PAGE; i++) {
		assert_int_equal(cmb(r)[CMB_SIZE - PAGE + i], pattern(i, 1));
		assert_int_equal(devhost_ram(r->h)[BUF + CMB_SIZE + i],
				 pattern(PAGE + i, 1));
	}
}

/* CMBSTS.CBAI, NVMe 1.4 3.1.17 */
static void base_that_cannot_be_is_told(void **state)
{
	struct rig *r = *state;
	uint64_t base = ~(uint64_t)(CMB_SIZE / 2 - 1);

	move(r, base, CRE | CMSE);
	assert_int_equal(rd(r, NVME_REG_CMBSTS), 1);
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = base),
			 NVME_SC_DATA_TRANSFER);
	move(r, BASE, CRE | CMSE);
	assert_int_equal(rd(r, NVME_REG_CMBSTS), 0);
}

static void only_while_the_host_wants_it(void **state)
{
	struct rig *r = *state;

	move(r, BASE, CRE);
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = BASE),
			 NVME_SC_DATA_TRANSFER);
	move(r, BASE, CRE | CMSE);
	/* a controller reset leaves it as it is, a function reset does not */
	disable(r);
	enable(r);
	make_io_queues(r, IO_SIZE, IO_SIZE);
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = BASE), 0);
	devhost_reset(r->h, SV_RESET_FUNCTION);
	enable(r);
	make_io_queues(r, IO_SIZE, IO_SIZE);
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = BASE),
			 NVME_SC_DATA_TRANSFER);
}

static void sizes_are_checked(void **state)
{
	static const char *const bad[] = {"cmb=",   "cmb=x",  "cmb=2K",
					  "cmb=3M", "cmb=4G", "cmb=0"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *options[] = {bad[i], NULL};

		assert_null(devhost_new(&nvme_ops, options));
		assert_true(devhost_error()[0]);
	}
	for (int i = 0; i < 2; i++) {
		const char *options[] = {i ? "cmb=2G" : "cmb=4K", NULL};
		struct devhost *h = devhost_new(&nvme_ops, options);

		assert_non_null(h);
		devhost_free(h);
	}
}

/* With memory decode off the controller does not reach its own memory either. */
static void queue_in_it_stops_while_it_is_closed(void **state)
{
	struct rig *r = *state;

	for (int cq = 0; cq < 2; cq++) {
		struct queue q = queue_new(2, cq ? OTHER_RING : BASE,
					   cq ? BASE : OTHER_RING, 8);
		uint16_t event = request_event(r);
		uint32_t tail = 1;

		assert_int_equal(create_cq(r, &q, 0), 0);
		assert_int_equal(create_sq(r, &q), 0);
		assert_int_equal(admin_status(r, .opcode = NVME_ADM_DBBUF,
					      .prp1 = LIST,
					      .prp2 = LIST + PAGE),
				 0);
		memset(cmb(r), 0, PAGE);
		memset(devhost_ram(r->h) + OTHER_RING, 0, PAGE);
		devhost_set_decode(r->h, false);
		memcpy(devhost_ram(r->h) + LIST + 16, &tail, sizeof(tail));
		devhost_run(r->h);
		devhost_set_decode(r->h, true);
		expect_event(r, event, 0x010400);
		assert_int_equal(rd(r, NVME_REG_CSTS), NVME_CSTS_RDY);
		assert_int_equal(get_log(r, NVME_LOG_ERROR, 64, 0), 0);
		assert_int_equal(admin_status(r, .opcode = NVME_ADM_DELETE_SQ,
					      .cdw10 = 2),
				 0);
		assert_int_equal(admin_status(r, .opcode = NVME_ADM_DELETE_CQ,
					      .cdw10 = 2),
				 0);
		tail = 0;
		memcpy(devhost_ram(r->h) + LIST + 16, &tail, sizeof(tail));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_cmb(registers_tell_where_it_is),
		with_ready(there_is_none_unless_asked_for),
		with_cmb(data_in_the_buffer),
		with_cmb(list_in_the_buffer_of_data_in_both),
		with_cmb(queues_in_the_buffer),
		with_cmb(queue_lies_in_one_kind_of_memory),
		with_cmb(data_across_the_border_is_split),
		with_cmb(base_that_cannot_be_is_told),
		with_cmb(only_while_the_host_wants_it),
		with_cmb(queue_in_it_stops_while_it_is_closed),
		cmocka_unit_test(sizes_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

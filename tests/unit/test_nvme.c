/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NVMe controller: registers and states, admin commands, options.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nvme_rig.h"

/* Registers and states */

static void shape_is_what_drivers_look_for(void **state)
{
	struct rig *r = *state;
	const struct sv_shape *s = devhost_shape(r->h);

	assert_int_equal(s->class_code, 0x010802);
	assert_int_equal(s->vendor, 0x1b36);
	assert_int_equal(s->device, 0x0010);
	assert_int_equal(s->bar[0].size, 0x4000);
	assert_int_equal(s->bar[0].kind, SV_BAR_MEM64);
	assert_int_equal(s->bar[0].access, SV_ACCESS_DIRECT);
	assert_false(s->bar[0].prefetch);
	assert_int_equal(s->bar[s->msix_bar].kind, SV_BAR_NONE);
}

static void registers_after_power_on(void **state)
{
	struct rig *r = *state;
	uint64_t cap = devhost_read(r->h, 0, NVME_REG_CAP, 8);

	assert_int_equal(cap & 0xffff, 4095);  /* MQES */
	assert_int_equal(cap >> 16 & 1, 1);    /* CQR */
	assert_int_equal(cap >> 17 & 3, 1);    /* AMS: weighted */
	assert_true((cap >> 24 & 0xff) > 0);   /* TO */
	assert_int_equal(cap >> 32 & 0xf, 0);  /* DSTRD */
	assert_int_equal(cap >> 36 & 1, 0);    /* NSSRS */
	assert_int_equal(cap >> 37 & 0xff, 1); /* CSS */
	assert_int_equal(cap >> 48 & 0xf, 0);  /* MPSMIN */
	assert_int_equal(rd(r, NVME_REG_VS), 0x00010400);
	assert_int_equal(rd(r, NVME_REG_CSTS), 0);
	assert_int_equal(rd(r, NVME_REG_CC), 0);
}

static void read_only_registers_are_put_back(void **state)
{
	struct rig *r = *state;

	enable(r);
	devhost_write(r->h, 0, NVME_REG_CAP, 0x1234, 8);
	wr(r, NVME_REG_VS, 7);
	wr(r, NVME_REG_CSTS, 0xff);
	wr(r, NVME_REG_NSSR, 0x4e564d65);
	devhost_run(r->h);
	assert_int_equal(rd(r, NVME_REG_CAP) & 0xffff, 4095);
	assert_int_equal(rd(r, NVME_REG_VS), 0x00010400);
	assert_int_equal(rd(r, NVME_REG_CSTS), NVME_CSTS_RDY);
	assert_int_equal(rd(r, NVME_REG_NSSR), 0);
}

static void enable_and_disable(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 3; i++) {
		enable(r);
		make_io_queues(r, IO_SIZE, IO_SIZE);
		assert_int_equal(io_status(r, .opcode = NVME_IO_FLUSH), 0);
		disable(r);
		assert_int_equal(rd(r, 0x1000), 0);
		assert_int_equal(rd(r, 0x1008), 0);
		/* retained, NVMe 1.4 3.1.5 */
		assert_int_equal(rd(r, NVME_REG_ASQ), ADMIN_SQ);
	}
}

static void enable_rejects_what_is_not_there(void **state)
{
	static const uint32_t cc[] = {1u << 4, 1u << 7, 2u << 11, 7u << 11};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(cc) / sizeof(cc[0]); i++) {
		enable(r);
		disable(r);
		wr(r, NVME_REG_CC, ENABLE | cc[i]);
		devhost_run(r->h);
		assert_int_equal(rd(r, NVME_REG_CSTS), NVME_CSTS_CFS);
		disable(r);
	}
	wr(r, NVME_REG_AQA, 31);
	wr(r, NVME_REG_CC, ENABLE);
	devhost_run(r->h);
	assert_int_equal(rd(r, NVME_REG_CSTS), NVME_CSTS_CFS);
	disable(r);
	enable(r);
}

static void shutdown_ends_and_stops_commands(void **state)
{
	struct rig *r = *state;
	struct nvme_cqe cqe;

	for (uint32_t shn = 1; shn <= 2; shn++) {
		enable(r);
		wr(r, NVME_REG_CC, ENABLE | shn << 14);
		devhost_run(r->h);
		assert_int_equal(rd(r, NVME_REG_CSTS),
				 NVME_CSTS_RDY | NVME_CSTS_SHST_DONE);
		submit(r, &r->admin, (struct nvme_sqe){.opcode = 6});
		ring_sq(r, &r->admin);
		devhost_run(r->h);
		assert_false(reap(r, &r->admin, &cqe));
		disable(r);
	}
	wr(r, NVME_REG_CC, 1u << 14);
	devhost_run(r->h);
	assert_int_equal(rd(r, NVME_REG_CSTS), NVME_CSTS_SHST_DONE);
	enable(r);
}

static void reset_is_power_on(void **state)
{
	struct rig *r = *state;

	devhost_reset(r->h, SV_RESET_FUNCTION);
	registers_after_power_on(state);
	assert_int_equal(rd(r, NVME_REG_AQA), 0);
	assert_int_equal(devhost_run(r->h), 0);
	enable(r);
	make_io_queues(r, IO_SIZE, IO_SIZE);
	assert_int_equal(io_status(r, .opcode = NVME_IO_FLUSH), 0);
}

/* Admin commands */

static void identify_controller(void **state)
{
	struct rig *r = *state;
	const uint8_t *id = identify(r, NVME_CNS_CTRL, 0);

	assert_int_equal(le(id, 2), 0x1b36);
	assert_memory_equal(id + 4, "SV", 2);
	assert_memory_equal(id + 24, "softvfio NVMe      ", 19);
	assert_int_equal(id[77], 9);
	assert_int_equal(le(id + 80, 4), 0x00010400);
	assert_int_equal(id[512], 0x66);
	assert_int_equal(id[513], 0x44);
	assert_int_equal(le(id + 516, 4), 1);
	assert_int_equal(le(id + 78, 2), 0);		    /* CNTLID */
	assert_int_equal(le(id + 92, 4), 1 << 8);	    /* OAES */
	assert_int_equal(id[111], 1);			    /* CNTRLTYPE */
	assert_int_equal(le(id + 256, 2), 1 << 1 | 1 << 8); /* OACS */
	assert_int_equal(id[260] & 1, 1);		    /* FRMW */
	assert_int_equal(id[261], 1 << 1 | 1 << 2);	    /* LPA */
	assert_int_equal(id[262], 63);			    /* ELPE */
	assert_int_equal(le(id + 520, 2),
			 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 7);
	assert_int_equal(le(id + 522, 2), 1); /* fused compare and write */
	assert_int_equal(id[524], 0);	      /* FNA */
	assert_int_equal(id[525] & 1, 1);
	assert_int_equal(le(id + 536, 4), 1 | 1 << 16 | 1 << 18); /* SGLs */
	assert_memory_equal(id + 768, "nqn.2014-08.", 12);
}

static void bad_opcode_and_flags(void **state)
{
	static const uint8_t admin[] = {0x03, 0x0b, 0x0d, 0x10, 0x18, 0xff};
	static const uint8_t io[] = {0x03, 0x04, 0x06, 0x0a, 0x7f, 0xff};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(admin); i++)
		assert_int_equal(admin_status(r, .opcode = admin[i]),
				 NVME_SC_INVALID_OPCODE | DNR);
	for (size_t i = 0; i < sizeof(io); i++)
		assert_int_equal(io_status(r, .opcode = io[i]),
				 NVME_SC_INVALID_OPCODE | DNR);
	/* no SGL and nothing fused here; reserved bits are nobody's business */
	for (uint8_t flags = 1; flags; flags = (uint8_t)(flags << 1)) {
		bool bad = flags & 0xc3;

		assert_int_equal(admin_status(r, .opcode = NVME_ADM_IDENTIFY,
					      .flags = flags, .prp1 = BUF,
					      .cdw10 = 1),
				 bad ? NVME_SC_INVALID_FIELD | DNR : 0);
	}
}

static void create_queue_rejects(void **state)
{
	static const struct {
		uint8_t opcode;
		uint16_t id;
		uint16_t size;
		uint32_t cdw11;
		uint64_t prp1;
		int status;
	} bad[] = {
		{5, 0, 15, 1, OTHER_RING, NVME_SC_QUEUE_ID},
		{5, 1, 15, 1, OTHER_RING, NVME_SC_QUEUE_ID}, /* exists */
		{5, 65, 15, 1, OTHER_RING, NVME_SC_QUEUE_ID},
		{5, 0xffff, 15, 1, OTHER_RING, NVME_SC_QUEUE_ID},
		{5, 2, 0, 1, OTHER_RING, NVME_SC_QUEUE_SIZE},
		{5, 2, 4096, 1, OTHER_RING, NVME_SC_QUEUE_SIZE},
		{5, 2, 15, 0, OTHER_RING, NVME_SC_INVALID_FIELD},
		{5, 2, 15, 1, OTHER_RING + 64, NVME_SC_PRP_OFFSET},
		{5, 2, 15, 64u << 16 | 3, OTHER_RING, NVME_SC_VECTOR},
		{5, 2, 15, 0xffffu << 16 | 3, OTHER_RING, NVME_SC_VECTOR},
		{1, 0, 15, 1u << 16 | 1, OTHER_RING, NVME_SC_QUEUE_ID},
		{1, 1, 15, 1u << 16 | 1, OTHER_RING, NVME_SC_QUEUE_ID},
		{1, 65, 15, 1u << 16 | 1, OTHER_RING, NVME_SC_QUEUE_ID},
		{1, 2, 0, 1u << 16 | 1, OTHER_RING, NVME_SC_QUEUE_SIZE},
		{1, 2, 4096, 1u << 16 | 1, OTHER_RING, NVME_SC_QUEUE_SIZE},
		{1, 2, 15, 1u << 16, OTHER_RING, NVME_SC_INVALID_FIELD},
		{1, 2, 15, 1u << 16 | 1, OTHER_RING + 8, NVME_SC_PRP_OFFSET},
		{1, 2, 15, 1, OTHER_RING, NVME_SC_QUEUE_ID},
		{1, 2, 15, 65u << 16 | 1, OTHER_RING, NVME_SC_QUEUE_ID},
		{1, 2, 15, 2u << 16 | 1, OTHER_RING, NVME_SC_CQ_INVALID},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			admin_status(r, .opcode = bad[i].opcode,
				     .prp1 = bad[i].prp1,
				     .cdw10 = (uint32_t)bad[i].size << 16 |
					      bad[i].id,
				     .cdw11 = bad[i].cdw11),
			bad[i].status | DNR);
}

static void create_queue_wants_entry_sizes(void **state)
{
	struct rig *r = *state;
	struct queue q = queue_new(2, IO_SQ, OTHER_RING, 16);

	wr(r, NVME_REG_CC, NVME_CC_EN);
	devhost_run(r->h);
	assert_int_equal(create_cq(r, &q, 0), NVME_SC_QUEUE_SIZE | DNR);
	wr(r, NVME_REG_CC, ENABLE);
	devhost_run(r->h);
	assert_int_equal(create_cq(r, &q, 0), 0);
}

static void only_msix_has_many_vectors(void **state)
{
	struct rig *r = *state;
	struct queue q = queue_new(2, IO_SQ, OTHER_RING, 16);

	devhost_set_irq_mode(r->h, SV_IRQ_MSI);
	assert_int_equal(create_cq(r, &q, 1), NVME_SC_VECTOR | DNR);
	devhost_set_irq_mode(r->h, SV_IRQ_INTX);
	assert_int_equal(create_cq(r, &q, 1), NVME_SC_VECTOR | DNR);
	devhost_set_irq_mode(r->h, SV_IRQ_MSIX);
	assert_int_equal(create_cq(r, &q, 63), 0);
}

static int delete_queue(struct rig *r, uint8_t opcode, uint16_t id)
{
	return admin_status(r, .opcode = opcode, .cdw10 = id);
}

static void delete_queue_rejects(void **state)
{
	struct rig *r = *state;

	for (uint8_t op = NVME_ADM_DELETE_SQ; op <= NVME_ADM_DELETE_CQ;
	     op = (uint8_t)(op + 4)) {
		assert_int_equal(delete_queue(r, op, 0),
				 NVME_SC_QUEUE_ID | DNR);
		assert_int_equal(delete_queue(r, op, 2),
				 NVME_SC_QUEUE_ID | DNR);
		assert_int_equal(delete_queue(r, op, 0xffff),
				 NVME_SC_QUEUE_ID | DNR);
	}
	assert_int_equal(delete_queue(r, NVME_ADM_DELETE_CQ, 1),
			 NVME_SC_QUEUE_DELETION | DNR);
	assert_int_equal(delete_queue(r, NVME_ADM_DELETE_SQ, 1), 0);
	assert_int_equal(delete_queue(r, NVME_ADM_DELETE_CQ, 1), 0);
	assert_int_equal(delete_queue(r, NVME_ADM_DELETE_CQ, 1),
			 NVME_SC_QUEUE_ID | DNR);
}

/* The doorbell of a new queue starts at 0, whatever the old one left. */
static void queue_can_be_made_again(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 3; i++) {
		for (int k = 0; k < 5; k++)
			assert_int_equal(io_status(r, .opcode = 0), 0);
		assert_int_equal(delete_queue(r, NVME_ADM_DELETE_SQ, 1), 0);
		assert_int_equal(delete_queue(r, NVME_ADM_DELETE_CQ, 1), 0);
		memset(devhost_ram(r->h) + IO_CQ, 0, PAGE);
		make_io_queues(r, IO_SIZE, IO_SIZE);
	}
}

static void all_queue_pairs_work(void **state)
{
	struct rig *r = *state;

	for (uint16_t id = 2; id <= 64; id++) {
		struct queue q = queue_new(id, 0x400000 + id * 0x2000u,
					   0x401000 + id * 0x2000u, 8);

		assert_int_equal(create_cq(r, &q, id % 64), 0);
		assert_int_equal(create_sq(r, &q), 0);
		unsigned int before = devhost_irqs(r->h, id % 64);
		struct nvme_cqe cqe =
			command(r, &q,
				(struct nvme_sqe){.opcode = NVME_IO_READ,
						  .nsid = 1,
						  .prp1 = BUF,
						  .cdw10 = id});

		assert_int_equal(status_of(cqe), 0);
		assert_int_equal(devhost_irqs(r->h, id % 64), before + 1);
		assert_int_equal(devhost_ram(r->h)[BUF],
				 pattern(id * BLOCK, 1));
	}
}

/* Options */

static bool refuses(const char *const *options)
{
	struct devhost *h = devhost_new(&nvme_ops, options);

	if (!h)
		return devhost_error()[0];
	devhost_free(h);
	return false;
}

static void options_are_checked(void **state)
{
	static const char *const bad[][3] = {
		{"file=/nowhere/at/all"},
		{"file=/"},
		{"file=/dev/null"},
		{"file=/dev/zero", "size=1M"},
		{"size=what"},
		{"size=4095"},
		{"block=1024"},
		{"block=x"},
		{"ns2=4095"},
		{"ns2=/nowhere/at/all"},
		{"ns8=/"},
		{"ns3="},
		{"size=18446744073709551615"},
		{"serial=123456789012345678901"},
		{"serial="},
		{"serial=\xc3\xa4"},
		{"mn=12345678901234567890123456789012345678901"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!refuses(bad[i]))
			fail_msg("%s accepted", bad[i][0]);
}

static void options_reach_identify(void **state)
{
	static const char *const options[] = {"size=1M", "serial=ABC",
					      "mn=Fine disk", NULL};
	struct rig r = {.h = devhost_new(&nvme_ops, options)};

	assert_non_null(r.h);
	enable(&r);
	assert_memory_equal(identify(&r, NVME_CNS_CTRL, 0) + 4,
			    "ABC                 Fine disk  ", 31);
	assert_int_equal(le(identify(&r, NVME_CNS_NS, 1), 4), 2048);
	devhost_free(r.h);
}

static void serial_numbers_differ(void **state)
{
	char serial[2][20];

	for (int i = 0; i < 2; i++) {
		struct rig r = {.h = devhost_new(&nvme_ops, NULL)};

		assert_non_null(r.h);
		enable(&r);
		memcpy(serial[i], identify(&r, NVME_CNS_CTRL, 0) + 4, 20);
		assert_int_equal(le(identify(&r, NVME_CNS_NS, 1), 4),
				 (64u << 20) / BLOCK);
		devhost_free(r.h);
	}
	assert_memory_not_equal(serial[0], serial[1], 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_rig(shape_is_what_drivers_look_for),
		with_rig(registers_after_power_on),
		with_rig(read_only_registers_are_put_back),
		with_rig(enable_and_disable),
		with_rig(enable_rejects_what_is_not_there),
		with_rig(shutdown_ends_and_stops_commands),
		with_ready(reset_is_power_on),
		with_ready(identify_controller),
		with_ready(bad_opcode_and_flags),
		with_ready(create_queue_rejects),
		with_ready(create_queue_wants_entry_sizes),
		with_ready(only_msix_has_many_vectors),
		with_ready(delete_queue_rejects),
		with_ready(queue_can_be_made_again),
		with_ready(all_queue_pairs_work),
		cmocka_unit_test(options_are_checked),
		cmocka_unit_test(options_reach_identify),
		cmocka_unit_test(serial_numbers_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

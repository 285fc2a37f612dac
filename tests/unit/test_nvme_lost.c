/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queues whose memory cannot be reached: what stops, what goes on, what the
 * host hears, and how it gets rid of them. Shadow doorbells: test_nvme_dbbuf.c;
 * data and lists, which cost one command: test_nvme_io.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nvme_rig.h"

#define LOST_EVENT 0x010400u /* error log page, transient error, error */

static const struct nvme_sqe read_one = {
	.opcode = NVME_IO_READ, .nsid = 1, .prp1 = BUF};
static const struct nvme_sqe flush = {.opcode = NVME_IO_FLUSH, .nsid = 1};

static void lose(struct rig *r, uint64_t page)
{
	devhost_fail_dma(r->h, page, page + PAGE - 1);
}

static void lose_nothing(struct rig *r)
{
	devhost_fail_dma(r->h, UINT64_MAX, 0);
}

/* The host is told once, and of which queue. */
static void expect_lost(struct rig *r, uint16_t event, uint16_t sq_id)
{
	const uint8_t *log = devhost_ram(r->h) + BUF;

	expect_event(r, event, LOST_EVENT);
	assert_int_equal(rd(r, NVME_REG_CSTS), NVME_CSTS_RDY);
	assert_int_equal(get_log(r, NVME_LOG_ERROR, 64, 0), 0);
	assert_int_equal(le(log + 8, 2), sq_id);
	assert_int_equal(le(log + 10, 2), 0xffff);
	assert_int_equal(le(log + 12, 2) >> 1, NVME_SC_DATA_TRANSFER);
}

static uint32_t reap_all(struct rig *r, struct queue *q)
{
	struct nvme_cqe cqe;
	uint32_t n = 0;

	while (reap(r, q, &cqe)) {
		assert_int_equal(status_of(cqe), 0);
		n++;
	}
	return n;
}

/* Each with a page of its own: two may be moved at the same time. */
static void submit_many(struct rig *r, struct queue *q, uint32_t n,
			struct nvme_sqe sqe)
{
	for (uint32_t i = 0; i < n; i++) {
		submit(r, q, sqe);
		if (sqe.prp1)
			sqe.prp1 += PAGE;
	}
	ring_sq(r, q);
	devhost_run(r->h);
}

static int delete_queue(struct rig *r, uint8_t opcode, uint16_t id)
{
	return admin_status(r, .opcode = opcode, .cdw10 = id);
}

static void delete_pair(struct rig *r, uint16_t id)
{
	assert_int_equal(delete_queue(r, NVME_ADM_DELETE_SQ, id), 0);
	assert_int_equal(delete_queue(r, NVME_ADM_DELETE_CQ, id), 0);
}

static struct queue pair_two(struct rig *r)
{
	struct queue q = queue_new(2, OTHER_RING, OTHER_RING + PAGE, 8);

	assert_int_equal(create_cq(r, &q, 0), 0);
	assert_int_equal(create_sq(r, &q), 0);
	return q;
}

static void check_works(struct rig *r, struct queue *q)
{
	for (int i = 0; i < 20; i++)
		assert_int_equal(
			status_of(command(r, q, i & 1 ? flush : read_one)), 0);
}

static void stops_alone(struct rig *r, uint64_t page)
{
	struct queue two = pair_two(r);
	uint16_t event = request_event(r);

	lose(r, page);
	submit_many(r, &r->io, 3, read_one);
	expect_lost(r, event, 1);
	check_works(r, &two);
	/* it stays so, and says nothing more */
	lose_nothing(r);
	event = request_event(r);
	submit_many(r, &r->io, 3, read_one);
	assert_int_equal(reap_all(r, &r->io), 0);
	check_works(r, &two);
	delete_pair(r, 1);
	make_io_queues(r, IO_SIZE, IO_SIZE);
	check_works(r, &r->io);
	check_works(r, &two);
	/* the request is still there */
	ring_cq(r, &two);
	wr(r, 0x1000 + 8 * 9, 1);
	expect_event(r, event, 0x010000);
}

static void queue_out_of_reach_stops_alone(void **state)
{
	static const uint64_t page[] = {IO_SQ, IO_CQ};
	static const char *const options[] = {NULL, "threads=4"};

	(void)state;
	for (int p = 0; p < 2; p++)
		for (int o = 0; o < 2; o++) {
			struct rig *r =
				rig_ready((const char *[]){options[o], NULL});

			stops_alone(r, page[p]);
			teardown((void *[]){r});
		}
}

/* There is nobody to be told. */
static void admin_queue_out_of_reach_is_fatal(void **state)
{
	static const uint64_t page[] = {ADMIN_SQ, ADMIN_CQ};
	struct rig *r = *state;

	for (int i = 0; i < 2; i++) {
		enable(r);
		lose(r, page[i]);
		submit_many(r, &r->admin, 1, (struct nvme_sqe){.opcode = 6});
		assert_int_equal(rd(r, NVME_REG_CSTS),
				 NVME_CSTS_RDY | NVME_CSTS_CFS);
		assert_int_equal(devhost_run(r->h), 0);
		lose_nothing(r);
		disable(r);
	}
	enable(r);
	make_io_queues(r, IO_SIZE, IO_SIZE);
	check_works(r, &r->io);
}

/* Nor can an event be told of without the queue that it would go to. */
static void event_without_admin_queue_is_fatal(void **state)
{
	struct rig *r = *state;

	request_event(r);
	lose(r, ADMIN_CQ);
	wr(r, 0x1000 + 8 * 9, 1);
	devhost_run(r->h);
	assert_int_equal(rd(r, NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_CFS);
}

#define SQ_PAGE (PAGE / sizeof(struct nvme_sqe))
#define CQ_PAGE (PAGE / sizeof(struct nvme_cqe))

static struct rig *rig_long(uint32_t sq_size, uint32_t cq_size)
{
	struct rig *r = rig_with((const char *[]){NULL});

	enable(r);
	make_io_queues(r, sq_size, cq_size);
	return r;
}

static void commands_before_the_hole_are_carried_out(void **state)
{
	(void)state;
	for (uint32_t begin = 0; begin < SQ_PAGE; begin += 21) {
		struct rig *r = rig_long(2 * SQ_PAGE, 256);
		uint16_t event = request_event(r);

		submit_many(r, &r->io, begin, flush);
		lose(r, IO_SQ + PAGE);
		submit_many(r, &r->io, 100, read_one);
		assert_int_equal(reap_all(r, &r->io), SQ_PAGE);
		ring_cq(r, &r->io);
		expect_lost(r, event, 1);
		delete_pair(r, 1);
		teardown((void *[]){r});
	}
}

static void completions_before_the_hole_are_posted(void **state)
{
	static const struct nvme_sqe *const kind[] = {&read_one, &flush};

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct rig *r = rig_long(SQ_PAGE, 2 * CQ_PAGE);
		uint16_t event = request_event(r);

		for (uint32_t i = 0; i < CQ_PAGE - 6; i++)
			assert_int_equal(status_of(command(r, &r->io, flush)),
					 0);
		lose(r, IO_CQ + PAGE);
		submit_many(r, &r->io, 12, *kind[k]);
		assert_int_equal(reap_all(r, &r->io), 6);
		ring_cq(r, &r->io);
		expect_lost(r, event, 1);
		delete_pair(r, 1);
		teardown((void *[]){r});
	}
}

/* All that complete there stop, each when it is found out or already before. */
static void queues_that_share_a_lost_one_stop(void **state)
{
	struct rig *r = *state;
	struct queue two = pair_two(r);
	struct queue three = queue_new(3, LIST, IO_CQ, 8);
	uint16_t event = request_event(r);

	assert_int_equal(admin_status(r, .opcode = NVME_ADM_CREATE_SQ,
				      .prp1 = three.sq, .cdw10 = 7u << 16 | 3,
				      .cdw11 = 1u << 16 | 1),
			 0);
	lose(r, IO_CQ);
	submit_many(r, &three, 1, flush);
	expect_lost(r, event, 3);
	lose_nothing(r);
	submit_many(r, &r->io, 1, flush);
	assert_int_equal(reap_all(r, &r->io), 0);
	check_works(r, &two);
	assert_int_equal(delete_queue(r, NVME_ADM_DELETE_CQ, 1),
			 NVME_SC_QUEUE_DELETION | DNR);
	assert_int_equal(delete_queue(r, NVME_ADM_DELETE_SQ, 3), 0);
	delete_pair(r, 1);
	check_works(r, &two);
}

/* The second half of a fused pair, on a page of its own */
static void half_of_a_pair_is_not_carried_out(void **state)
{
	struct rig *r = rig_long(2 * SQ_PAGE, 256);
	struct nvme_sqe first = read_one;
	struct nvme_sqe second = read_one;
	uint16_t event = request_event(r);

	(void)state;
	submit_many(r, &r->io, SQ_PAGE - 1, flush);
	assert_int_equal(reap_all(r, &r->io), SQ_PAGE - 1);
	ring_cq(r, &r->io);
	first.opcode = NVME_IO_COMPARE;
	first.flags = NVME_FUSE_FIRST;
	second.opcode = NVME_IO_WRITE;
	second.flags = NVME_FUSE_SECOND;
	submit(r, &r->io, first);
	submit(r, &r->io, second);
	lose(r, IO_SQ + PAGE);
	ring_sq(r, &r->io);
	devhost_run(r->h);
	assert_int_equal(reap_all(r, &r->io), 0);
	expect_lost(r, event, 1);
	check_image(r, 0, BLOCK, 1);
	delete_pair(r, 1);
	teardown((void *[]){r});
}

/* By weight, by urgency, one by one: nobody waits for a lost one. */
static void arbitration_passes_by_what_is_lost(void **state)
{
	struct rig *r = *state;
	uint32_t aqa = (ADMIN_SIZE - 1) << 16 | (ADMIN_SIZE - 1);

	disable(r);
	wr(r, NVME_REG_AQA, aqa);
	r->admin = queue_new(0, ADMIN_SQ, ADMIN_CQ, ADMIN_SIZE);
	memset(devhost_ram(r->h), 0, DATA);
	wr(r, NVME_REG_CC, ENABLE | NVME_AMS_WEIGHTED << 11);
	devhost_run(r->h);
	make_io_queues(r, IO_SIZE, IO_SIZE); /* urgent: QPRIO 0 */
	struct queue two = pair_two(r);
	uint16_t event = request_event(r);

	lose(r, IO_SQ);
	submit(r, &two, flush);
	ring_sq(r, &two);
	submit_many(r, &r->io, 5, flush);
	assert_int_equal(reap_all(r, &two), 1);
	ring_cq(r, &two);
	expect_lost(r, event, 1);
	check_works(r, &two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue_out_of_reach_stops_alone),
		with_rig(admin_queue_out_of_reach_is_fatal),
		with_ready(event_without_admin_queue_is_fatal),
		cmocka_unit_test(commands_before_the_hole_are_carried_out),
		cmocka_unit_test(completions_before_the_hole_are_posted),
		with_ready(queues_that_share_a_lost_one_stop),
		cmocka_unit_test(half_of_a_pair_is_not_carried_out),
		with_ready(arbitration_passes_by_what_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

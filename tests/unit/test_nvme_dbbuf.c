/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shadow doorbells: I/O queues that are rung in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nvme_rig.h"

#define SHADOW 0x60000u
#define EVENT  0x61000u

#define SQ1 2 /* doorbells of queue pair 1 */
#define CQ1 3

static uint32_t *word(struct rig *r, uint32_t page, unsigned int db)
{
	return (uint32_t *)(void *)(devhost_ram(r->h) + page) + db;
}

static int config(struct rig *r, uint64_t shadow, uint64_t event)
{
	return admin_status(r, .opcode = NVME_ADM_DBBUF, .prp1 = shadow,
			    .prp2 = event);
}

static int setup_shadow(void **state)
{
	struct rig *r;

	setup_ready(state);
	r = *state;
	assert_int_equal(config(r, SHADOW, EVENT), 0);
	return 0;
}

#define with_shadow(f)                                                         \
	cmocka_unit_test_setup_teardown(f, setup_shadow, teardown)

/* Rings in memory only, and takes what has been completed by then. */
static uint32_t flushes(struct rig *r, uint32_t n)
{
	struct nvme_cqe cqe;
	uint32_t done = 0;

	for (uint32_t i = 0; i < n; i++)
		submit(r, &r->io, (struct nvme_sqe){.nsid = 1});
	*word(r, SHADOW, SQ1) = r->io.tail;
	devhost_run(r->h);
	while (reap(r, &r->io, &cqe)) {
		assert_int_equal(status_of(cqe), 0);
		done++;
	}
	*word(r, SHADOW, CQ1) = r->io.head;
	devhost_run(r->h);
	return done;
}

static void bad_pages_are_refused(void **state)
{
	struct rig *r = *state;

	assert_int_equal(config(r, 0, EVENT), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(config(r, SHADOW, 0), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(config(r, SHADOW + 8, EVENT),
			 NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(config(r, SHADOW, EVENT + 2048),
			 NVME_SC_INVALID_FIELD | DNR);
	/* and change nothing */
	assert_int_equal(io_status(r, .opcode = NVME_IO_FLUSH), 0);
}

static void shadow_is_enough(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(flushes(r, i % 5), i % 5);
	assert_int_equal(rd(r, 0x1008), 0); /* the register itself */
}

/* An idle controller wants to hear of the next entry, whatever it is. */
static void event_index_is_what_was_seen_last(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < 3 * IO_SIZE; i++) {
		assert_int_equal(flushes(r, 1), 1);
		assert_int_equal(*word(r, EVENT, SQ1), r->io.tail);
		assert_int_equal(*word(r, EVENT, CQ1), r->io.head);
	}
	assert_int_equal(*word(r, EVENT, 0), 0); /* not the admin queue's */
	assert_int_equal(*word(r, EVENT, 1), 0);
}

/* While there is work the host is not asked to ring. */
static void event_index_rests_while_busy(void **state)
{
	struct rig *r = *state;

	submit(r, &r->io, (struct nvme_sqe){.nsid = 1});
	*word(r, SHADOW, SQ1) = r->io.tail;
	nvme_ops.run(devhost_dev(r->h));
	assert_int_equal(*word(r, EVENT, SQ1), 0);
	devhost_run(r->h);
	assert_int_equal(*word(r, EVENT, SQ1), 1);
}

/* The admin queue keeps its registers, and the others' count no more. */
static void registers_are_for_the_admin_queue(void **state)
{
	struct rig *r = *state;
	struct nvme_cqe cqe;

	identify(r, NVME_CNS_CTRL, 0);
	*word(r, SHADOW, 0) = 9;
	*word(r, SHADOW, 1) = 9;
	identify(r, NVME_CNS_CTRL, 0);
	submit(r, &r->io, (struct nvme_sqe){.nsid = 1});
	ring_sq(r, &r->io);
	devhost_run(r->h);
	assert_false(reap(r, &r->io, &cqe));
	assert_int_equal(flushes(r, 0), 1);
}

static void queue_made_later_is_shadowed(void **state)
{
	struct rig *r = *state;
	struct queue q = queue_new(7, OTHER_RING, OTHER_RING + PAGE, 8);
	struct nvme_cqe cqe;

	assert_int_equal(create_cq(r, &q, 0), 0);
	assert_int_equal(create_sq(r, &q), 0);
	submit(r, &q, (struct nvme_sqe){.nsid = 1});
	*word(r, SHADOW, 14) = q.tail;
	devhost_run(r->h);
	assert_true(reap(r, &q, &cqe));
	assert_int_equal(*word(r, EVENT, 14), 1);
}

static void bad_shadow_is_a_bad_doorbell(void **state)
{
	struct rig *r = *state;
	uint16_t cid = request_event(r);

	*word(r, SHADOW, SQ1) = IO_SIZE;
	*word(r, SHADOW, 80) = 5; /* no queue, so nobody's business */
	expect_event(r, cid, 0x010100);
	*word(r, SHADOW, SQ1) = 0;
	devhost_run(r->h);
	assert_int_equal(flushes(r, 3), 3);
}

static void reset_ends_it(void **state)
{
	struct rig *r = *state;

	disable(r);
	enable(r);
	make_io_queues(r, IO_SIZE, IO_SIZE);
	*word(r, SHADOW, SQ1) = 5;
	assert_int_equal(io_status(r, .opcode = NVME_IO_FLUSH), 0);
}

static void memory_that_has_gone_is_fatal(void **state)
{
	struct rig *r = *state;

	devhost_fail_dma(r->h, SHADOW, SHADOW + PAGE - 1);
	devhost_run(r->h);
	assert_true(rd(r, NVME_REG_CSTS) & NVME_CSTS_CFS);
	devhost_fail_dma(r->h, 1, 0);
	disable(r);
	enable(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_ready(bad_pages_are_refused),
		with_shadow(shadow_is_enough),
		with_shadow(event_index_is_what_was_seen_last),
		with_shadow(event_index_rests_while_busy),
		with_shadow(registers_are_for_the_admin_queue),
		with_shadow(queue_made_later_is_shadowed),
		with_shadow(bad_shadow_is_a_bad_doorbell),
		with_shadow(reset_ends_it),
		with_shadow(memory_that_has_gone_is_fatal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

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
	assert_int_equal(*word(r, EVENT, 0), r->admin.tail);
	assert_int_equal(*word(r, EVENT, 1), r->admin.head);
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

/* Those of I/O queues may be older than the shadow, so they do not count. */
static void registers_of_io_queues_count_no_more(void **state)
{
	struct rig *r = *state;
	struct nvme_cqe cqe;

	submit(r, &r->io, (struct nvme_sqe){.nsid = 1});
	ring_sq(r, &r->io);
	devhost_run(r->h);
	assert_false(reap(r, &r->io, &cqe));
	assert_int_equal(flushes(r, 0), 1);
}

/**
 * enum way - How a driver rings the admin queue
 * @REGISTER: never writes its shadow, as Linux
 * @SHADOW:   writes nothing else
 * @EVENT:    the shadow, and the register if EventIdx asks for it
 * @BOTH:     the shadow, and always the register
 */
enum way { REGISTER, SHADOW_ONLY, EVENT_TOO, BOTH, WAYS };

/* Is what EventIdx names between the old value and the new one? */
static bool asked_for(uint32_t event, uint32_t from, uint32_t to)
{
	return (uint16_t)(to - event - 1) < (uint16_t)(to - from);
}

static void ring_admin(struct rig *r, unsigned int db, uint32_t val,
		       enum way way)
{
	uint32_t old = *word(r, SHADOW, db);

	if (way != REGISTER)
		*word(r, SHADOW, db) = val;
	if (way == REGISTER || way == BOTH ||
	    (way == EVENT_TOO && asked_for(*word(r, EVENT, db), old, val)))
		wr(r, 0x1000 + 4 * db, val);
}

static const struct nvme_sqe harmless = {.opcode = NVME_ADM_GET_FEATURES,
					 .cdw10 = NVME_FEAT_WRITE_CACHE};

/* @n commands at once: all are completed, and the ring is not filled up. */
static void admin_commands(struct rig *r, uint32_t n, enum way sq, enum way cq)
{
	struct nvme_cqe cqe;

	for (uint32_t i = 0; i < n; i++)
		submit(r, &r->admin, harmless);
	ring_admin(r, 0, r->admin.tail, sq);
	devhost_run(r->h);
	for (uint32_t i = 0; i < n; i++) {
		if (!reap(r, &r->admin, &cqe))
			fail_msg("%u of %u done, ways %d and %d", i, n, sq, cq);
		assert_int_equal(status_of(cqe), 0);
		assert_int_equal(cqe.cid, (uint16_t)(r->admin.cid - n + i));
	}
	assert_false(reap(r, &r->admin, &cqe));
	ring_admin(r, 1, r->admin.head, cq);
	devhost_run(r->h);
}

static void check_admin(struct rig *r)
{
	assert_int_equal(*word(r, SHADOW, 0), r->admin.tail);
	assert_int_equal(*word(r, SHADOW, 1), r->admin.head);
	assert_int_equal(*word(r, EVENT, 0), r->admin.tail);
	assert_int_equal(*word(r, EVENT, 1), r->admin.head);
	assert_int_equal(rd(r, NVME_REG_CSTS), NVME_CSTS_RDY);
}

static void admin_queue_is_rung_in_each_way(void **state)
{
	struct rig *r = *state;

	for (enum way way = 0; way < WAYS; way++)
		for (uint32_t i = 0; i < 3 * ADMIN_SIZE; i++) {
			admin_commands(r, i % 4, way, way);
			check_admin(r);
		}
	assert_int_equal(flushes(r, 3), 3);
}

static void admin_queue_is_rung_in_all_ways_by_turns(void **state)
{
	struct rig *r = *state;
	uint32_t x = 1;

	for (int i = 0; i < 5000; i++) {
		x = x * 1103515245 + 12345;
		admin_commands(r, 1 + (x >> 16 & 7), x >> 20 & 3, x >> 24 & 3);
		check_admin(r);
	}
	assert_int_equal(get_log(r, NVME_LOG_ERROR, 64, 0), 0);
	assert_int_equal(le(devhost_ram(r->h) + BUF, 4), 0);
}

/* What is in the pages when they are given is nobody's doorbell. */
static void old_pages_ring_no_admin_queue(void **state)
{
	struct rig *r = *state;

	for (uint32_t old = 0; old < 2 * ADMIN_SIZE; old++) {
		assert_int_equal(config(r, SHADOW + 2 * PAGE, EVENT + 2 * PAGE),
				 0);
		*word(r, SHADOW, 0) = *word(r, SHADOW, 1) = old;
		*word(r, EVENT, 0) = *word(r, EVENT, 1) = old;
		assert_int_equal(config(r, SHADOW, EVENT), 0);
		check_admin(r);
		admin_commands(r, 3, SHADOW_ONLY, SHADOW_ONLY);
		admin_commands(r, 3, REGISTER, REGISTER);
	}
	assert_int_equal(get_log(r, NVME_LOG_ERROR, 64, 0), 0);
	assert_int_equal(le(devhost_ram(r->h) + BUF, 4), 0);
}

static void bad_admin_shadow_is_a_bad_doorbell(void **state)
{
	struct rig *r = *state;
	uint16_t cid = request_event(r);

	*word(r, SHADOW, 0) = ADMIN_SIZE;
	assert_int_equal(devhost_driver_errors(r->h), 0);
	expect_event(r, cid, 0x010100);
	assert_int_equal(devhost_driver_errors(r->h), 1);
	devhost_run(r->h);
	*word(r, SHADOW, 0) = r->admin.tail;
	devhost_run(r->h);
	admin_commands(r, 2, SHADOW_ONLY, SHADOW_ONLY);
}

/* One is not dated without the other; and then nothing is lost. */
static void admin_doorbells_wait_for_memory_decode(void **state)
{
	struct rig *r = *state;
	struct nvme_cqe cqe;

	for (int i = 0; i < 40; i++) {
		submit(r, &r->admin, harmless);
		ring_admin(r, 0, r->admin.tail, BOTH);
		devhost_set_decode(r->h, false);
		submit(r, &r->admin, harmless);
		ring_admin(r, 0, r->admin.tail, SHADOW_ONLY);
		devhost_run(r->h);
		devhost_set_decode(r->h, true);
		devhost_run(r->h);
		for (int k = 0; k < 2; k++)
			assert_true(reap(r, &r->admin, &cqe));
		assert_false(reap(r, &r->admin, &cqe));
		ring_admin(r, 1, r->admin.head, SHADOW_ONLY);
		devhost_run(r->h);
		check_admin(r);
	}
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
	*word(r, SHADOW, 0) = *word(r, SHADOW, 1) = 5;
	*word(r, EVENT, 0) = 7;
	assert_int_equal(io_status(r, .opcode = NVME_IO_FLUSH), 0);
	for (int i = 0; i < 40; i++)
		admin_commands(r, 2, REGISTER, REGISTER);
	assert_int_equal(*word(r, SHADOW, 0), 5);
	assert_int_equal(*word(r, EVENT, 0), 7);
	/* and it may be had again */
	*word(r, SHADOW, SQ1) = *word(r, SHADOW, CQ1) = 1;
	assert_int_equal(config(r, SHADOW, EVENT), 0);
	for (enum way way = 0; way < WAYS; way++)
		admin_commands(r, 20, way, way);
	assert_int_equal(flushes(r, 3), 3);
}

#define LOST_EVENT 0x010400u /* error log page, transient error, error */

static void expect_lost(struct rig *r, uint16_t event, uint16_t sq_id)
{
	expect_event(r, event, LOST_EVENT);
	assert_int_equal(rd(r, NVME_REG_CSTS), NVME_CSTS_RDY);
	assert_int_equal(get_log(r, NVME_LOG_ERROR, 64, 0), 0);
	assert_int_equal(le(devhost_ram(r->h) + BUF + 8, 2), sq_id);
}

/* Queues of I/O hear nothing; the admin queue, by registers, goes on. */
static void shadow_out_of_reach_leaves_the_admin_queue(void **state)
{
	struct rig *r = *state;
	struct nvme_cqe cqe;
	uint16_t event = request_event(r);

	assert_int_equal(flushes(r, 2), 2);
	devhost_fail_dma(r->h, SHADOW, SHADOW + PAGE - 1);
	devhost_run(r->h);
	expect_lost(r, event, 0xffff);
	/* EventIdx asks for a register each time, whoever looks there */
	for (int i = 0; i < 40; i++) {
		admin_commands(r, 2, REGISTER, REGISTER);
		assert_int_equal(*word(r, EVENT, 0), r->admin.tail);
		admin_commands(r, 2, EVENT_TOO, EVENT_TOO);
	}
	/* not even by its register, which is older than what memory said */
	submit(r, &r->io, (struct nvme_sqe){.nsid = 1});
	ring_sq(r, &r->io);
	devhost_run(r->h);
	assert_false(reap(r, &r->io, &cqe));
	/* other pages, and they are heard again */
	devhost_fail_dma(r->h, UINT64_MAX, 0);
	assert_int_equal(config(r, SHADOW, EVENT), 0);
	*word(r, SHADOW, SQ1) = r->io.tail;
	devhost_run(r->h);
	assert_true(reap(r, &r->io, &cqe));
}

static void event_index_out_of_reach_leaves_the_shadow(void **state)
{
	struct rig *r = *state;
	uint16_t event = request_event(r);

	devhost_fail_dma(r->h, EVENT, EVENT + PAGE - 1);
	assert_int_equal(flushes(r, 2), 2);
	expect_lost(r, event, 0xffff);
	for (int i = 0; i < 100; i++)
		assert_int_equal(flushes(r, 2), 2);
	admin_commands(r, 2, SHADOW_ONLY, SHADOW_ONLY);
	/* it is said once */
	assert_int_equal(get_log(r, NVME_LOG_ERROR, 64, 0), 0);
	assert_int_equal(le(devhost_ram(r->h) + BUF, 4), 1);
}

static void pages_out_of_reach_are_not_taken(void **state)
{
	struct rig *r = *state;

	devhost_fail_dma(r->h, SHADOW + 2 * PAGE, SHADOW + 3 * PAGE - 1);
	assert_int_equal(config(r, SHADOW + 2 * PAGE, EVENT),
			 NVME_SC_DATA_TRANSFER);
	devhost_fail_dma(r->h, UINT64_MAX, 0);
	/* those from before are still good */
	assert_int_equal(flushes(r, 3), 3);
	admin_commands(r, 3, SHADOW_ONLY, SHADOW_ONLY);
}

/*
 * A driver that is done with a queue takes its memory away and clears its
 * doorbell, and only then deletes it: 7 entries seem to have come.
 */
static void cleared_doorbell_of_a_queue_without_memory(void **state)
{
	struct rig *r = *state;
	struct queue q = queue_new(2, OTHER_RING, OTHER_RING + PAGE, 8);
	uint16_t event = request_event(r);

	assert_int_equal(create_cq(r, &q, 0), 0);
	assert_int_equal(create_sq(r, &q), 0);
	submit(r, &q, (struct nvme_sqe){.nsid = 1});
	*word(r, SHADOW, 4) = 1;
	devhost_run(r->h);
	devhost_fail_dma(r->h, OTHER_RING, OTHER_RING + 2 * PAGE - 1);
	*word(r, SHADOW, 4) = 0;
	devhost_run(r->h);
	expect_lost(r, event, 2);
	assert_int_equal(flushes(r, 3), 3);
	assert_int_equal(
		admin_status(r, .opcode = NVME_ADM_DELETE_SQ, .cdw10 = 2), 0);
	assert_int_equal(
		admin_status(r, .opcode = NVME_ADM_DELETE_CQ, .cdw10 = 2), 0);
	assert_int_equal(flushes(r, 3), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_ready(bad_pages_are_refused),
		with_shadow(shadow_is_enough),
		with_shadow(event_index_is_what_was_seen_last),
		with_shadow(event_index_rests_while_busy),
		with_shadow(registers_of_io_queues_count_no_more),
		with_shadow(admin_queue_is_rung_in_each_way),
		with_shadow(admin_queue_is_rung_in_all_ways_by_turns),
		with_shadow(old_pages_ring_no_admin_queue),
		with_shadow(bad_admin_shadow_is_a_bad_doorbell),
		with_shadow(admin_doorbells_wait_for_memory_decode),
		with_shadow(queue_made_later_is_shadowed),
		with_shadow(bad_shadow_is_a_bad_doorbell),
		with_shadow(reset_ends_it),
		with_shadow(shadow_out_of_reach_leaves_the_admin_queue),
		with_shadow(event_index_out_of_reach_leaves_the_shadow),
		with_shadow(pages_out_of_reach_are_not_taken),
		with_shadow(cleared_doorbell_of_a_queue_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

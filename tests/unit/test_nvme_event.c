/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asynchronous events: held requests, and what completes them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nvme_rig.h"

static void event_requests_are_held_to_a_limit(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 4; i++)
		request_event(r);
	assert_int_equal(admin_status(r, .opcode = NVME_ADM_ASYNC_EVENT),
			 NVME_SC_EVENT_LIMIT | DNR);
	/* an identifier that is in use */
	r->admin.cid = (uint16_t)(r->admin.cid - 2);
	assert_int_equal(admin_status(r, .opcode = NVME_ADM_IDENTIFY),
			 NVME_SC_CID_CONFLICT | DNR);
}

static void abort_ends_a_held_request(void **state)
{
	struct rig *r = *state;
	uint16_t cid = request_event(r);
	struct nvme_cqe cqe;

	submit(r, &r->admin,
	       (struct nvme_sqe){.opcode = NVME_ADM_ABORT,
				 .cdw10 = (uint32_t)cid << 16});
	ring_sq(r, &r->admin);
	devhost_run(r->h);
	assert_true(reap(r, &r->admin, &cqe));
	assert_int_equal(cqe.cid, cid);
	assert_int_equal(status_of(cqe), NVME_SC_ABORTED);
	assert_true(reap(r, &r->admin, &cqe));
	assert_int_equal(cqe.result, 0);
	ring_cq(r, &r->admin);
	/* nothing there any more, and never anything in an I/O queue */
	for (uint32_t sq = 0; sq < 2; sq++) {
		cqe = command(
			r, &r->admin,
			(struct nvme_sqe){.opcode = NVME_ADM_ABORT,
					  .cdw10 = (uint32_t)cid << 16 | sq});
		assert_int_equal(status_of(cqe), 0);
		assert_int_equal(cqe.result, 1);
	}
}

static void doorbell_garbage_is_an_event(void **state)
{
	struct rig *r = *state;
	struct nvme_cqe cqe;
	uint16_t first = request_event(r);
	uint16_t second = request_event(r);

	/* a tail and a head that are out of range, a queue that is not there */
	wr(r, 0x1008, IO_SIZE);
	expect_event(r, first, 0x010100);
	wr(r, 0x100c, 0xffffffff);
	wr(r, 0x1000 + 8 * 40, 3);
	devhost_run(r->h);
	assert_false(reap(r, &r->admin, &cqe)); /* until the log is read */
	submit(r, &r->admin,
	       (struct nvme_sqe){.opcode = NVME_ADM_GET_LOG,
				 .prp1 = BUF,
				 .cdw10 = 63u << 16 | NVME_LOG_ERROR});
	ring_sq(r, &r->admin);
	devhost_run(r->h);
	assert_true(reap(r, &r->admin, &cqe));
	assert_int_equal(le(devhost_ram(r->h) + BUF, 4), 3);
	expect_event(r, second, 0x010000);
	/* the queues go on as if nothing had happened */
	assert_int_equal(io_status(r, .opcode = NVME_IO_FLUSH), 0);
}

static void head_beyond_what_was_posted_is_ignored(void **state)
{
	struct rig *r = *state;

	enable(r);
	make_io_queues(r, 16, 4);
	wr(r, 0x100c, 2); /* nothing posted yet */
	devhost_run(r->h);
	for (int i = 0; i < 6; i++)
		submit(r, &r->io, (struct nvme_sqe){.nsid = 1});
	ring_sq(r, &r->io);
	devhost_run(r->h);
	/* three fit; had the head been believed it would have been one */
	struct nvme_cqe cqe;

	for (int i = 0; i < 3; i++)
		assert_true(reap(r, &r->io, &cqe));
	assert_false(reap(r, &r->io, &cqe));
}

static void temperature_threshold_is_an_event(void **state)
{
	struct rig *r = *state;
	uint16_t cid = request_event(r);
	struct nvme_cqe cqe;

	assert_int_equal(set_feature(r, 4, 200), 0);
	devhost_run(r->h);
	assert_false(reap(r, &r->admin, &cqe)); /* not asked for */
	assert_int_equal(set_feature(r, 0x0b, 2), 0);
	submit(r, &r->admin,
	       (struct nvme_sqe){.opcode = NVME_ADM_SET_FEATURES,
				 .cdw10 = 4,
				 .cdw11 = 200});
	ring_sq(r, &r->admin);
	devhost_run(r->h);
	assert_true(reap(r, &r->admin, &cqe));
	expect_event(r, cid, 0x020101);
	assert_int_equal(get_log(r, NVME_LOG_SMART, 512, 0), 0);
	assert_int_equal(devhost_ram(r->h)[BUF], 2);
}

static void format_to_block(struct rig *r, uint32_t lbaf)
{
	submit(r, &r->admin,
	       (struct nvme_sqe){
		       .opcode = NVME_ADM_FORMAT, .nsid = 1, .cdw10 = lbaf});
	ring_sq(r, &r->admin);
	devhost_run(r->h);
}

static void take(struct rig *r, int status)
{
	struct nvme_cqe cqe;

	assert_true(reap(r, &r->admin, &cqe));
	ring_cq(r, &r->admin);
	assert_int_equal(status_of(cqe), status);
}

/* OAES bit 8: the host has to ask for it, NVMe 1.4 5.21.1.11. */
static void changed_namespace_is_an_event_if_asked_for(void **state)
{
	struct rig *r = *state;
	struct nvme_cqe cqe;
	uint16_t first = request_event(r);
	uint16_t second = request_event(r);

	format_to_block(r, 1);
	take(r, 0);
	assert_false(reap(r, &r->admin, &cqe));
	assert_int_equal(set_feature(r, NVME_FEAT_EVENTS, 1u << 8), 0);
	format_to_block(r, 0);
	take(r, 0);
	expect_event(r, first, 0x040002);
	/* once until its log is read; retaining the event is not reading it */
	format_to_block(r, 1);
	take(r, 0);
	assert_int_equal(get_log(r, 1u << 15 | NVME_LOG_CHANGED, PAGE, 0), 0);
	assert_false(reap(r, &r->admin, &cqe));
	/* the log told of both changes, so the second needs no event */
	assert_int_equal(get_log(r, NVME_LOG_CHANGED, PAGE, 0), 0);
	devhost_run(r->h);
	assert_false(reap(r, &r->admin, &cqe));
	format_to_block(r, 0);
	take(r, 0);
	expect_event(r, second, 0x040002);
}

/* Without a request an event waits for one. */
static void event_waits_for_a_request(void **state)
{
	struct rig *r = *state;
	uint16_t cid;

	wr(r, 0x1008, IO_SIZE);
	devhost_run(r->h);
	cid = submit(r, &r->admin,
		     (struct nvme_sqe){.opcode = NVME_ADM_ASYNC_EVENT});
	ring_sq(r, &r->admin);
	expect_event(r, cid, 0x010100);
}

/* Each type is held back until its own log is read, not another's. */
static void types_are_masked_apart(void **state)
{
	struct rig *r = *state;
	struct nvme_cqe cqe;
	uint16_t cid[3];

	for (int i = 0; i < 3; i++)
		cid[i] = request_event(r);
	assert_int_equal(set_feature(r, NVME_FEAT_EVENTS, 2), 0);
	wr(r, 0x1008, IO_SIZE);
	expect_event(r, cid[0], 0x010100);
	submit(r, &r->admin,
	       (struct nvme_sqe){.opcode = NVME_ADM_SET_FEATURES,
				 .cdw10 = NVME_FEAT_TEMPERATURE,
				 .cdw11 = 100});
	ring_sq(r, &r->admin);
	devhost_run(r->h);
	take(r, 0);
	expect_event(r, cid[1], 0x020101);
	wr(r, 0x1008, IO_SIZE + 1);
	assert_int_equal(get_log(r, NVME_LOG_SMART, 512, 0), 0);
	assert_false(reap(r, &r->admin, &cqe));
	submit(r, &r->admin,
	       (struct nvme_sqe){.opcode = NVME_ADM_GET_LOG,
				 .prp1 = BUF,
				 .cdw10 = 15u << 16 | NVME_LOG_ERROR});
	ring_sq(r, &r->admin);
	devhost_run(r->h);
	take(r, 0);
	expect_event(r, cid[2], 0x010100);
}

static void reset_forgets_events_and_requests(void **state)
{
	struct rig *r = *state;
	struct nvme_cqe cqe;

	request_event(r);
	disable(r);
	enable(r);
	make_io_queues(r, IO_SIZE, IO_SIZE);
	wr(r, 0x1008, IO_SIZE);
	devhost_run(r->h);
	assert_false(reap(r, &r->admin, &cqe));
	disable(r);
	enable(r);
	request_event(r); /* stops the test if the event had outlived that */
}

/* NVMe 1.4 3.1.11: a tail may neither go back nor fill the queue. */
static void tail_that_overfills_is_an_event(void **state)
{
	struct rig *r = *state;
	struct nvme_cqe cqe;

	enable(r);
	make_io_queues(r, 8, 4);
	uint16_t cid = request_event(r);

	for (uint32_t i = 0; i < 6; i++)
		submit(r, &r->io, (struct nvme_sqe){.nsid = 1});
	ring_sq(r, &r->io);
	devhost_run(r->h);
	/* three completions fit, so head is at 3 and tail at 6 */
	wr(r, 0x1008, 4);
	expect_event(r, cid, 0x010100);
	wr(r, 0x1008, 3);
	devhost_run(r->h);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3; i++)
			assert_true(reap(r, &r->io, &cqe));
		assert_false(reap(r, &r->io, &cqe));
		ring_cq(r, &r->io);
		devhost_run(r->h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_ready(event_requests_are_held_to_a_limit),
		with_ready(abort_ends_a_held_request),
		with_ready(doorbell_garbage_is_an_event),
		with_rig(tail_that_overfills_is_an_event),
		with_rig(head_beyond_what_was_posted_is_ignored),
		with_ready(temperature_threshold_is_an_event),
		with_ready(changed_namespace_is_an_event_if_asked_for),
		with_ready(event_waits_for_a_request),
		with_ready(types_are_masked_apart),
		with_ready(reset_forgets_events_and_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

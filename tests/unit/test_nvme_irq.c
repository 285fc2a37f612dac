/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupt coalescing: when the host is told of completions. Time is what the
 * test says it is (the build wraps clock_gettime), so nothing here depends on
 * how busy the machine is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "tests/unit/nvme_rig.h"

/* Feature 08h: hundreds of microseconds, and entries less one */
#define COALESCE(time, entries) ((time) << 8 | ((entries)-1))

static uint64_t now_us = 1000000;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now)
{
	(void)clock;
	ret_now->tv_sec = (time_t)(now_us / 1000000);
	ret_now->tv_nsec = (long)(now_us % 1000000) * 1000;
	return 0;
}

/*
 * A vector that waits keeps run() busy, so devhost_run() would spin until the
 * end of a time that does not pass. Two steps carry out what was rung and look
 * again; the rest is waiting.
 */
static bool step(struct rig *r)
{
	nvme_ops.run(devhost_dev(r->h));
	return nvme_ops.run(devhost_dev(r->h));
}

static bool flushes(struct rig *r, struct queue *q, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		submit(r, q, (struct nvme_sqe){.nsid = 1});
	ring_sq(r, q);
	return step(r);
}

static void take_all(struct rig *r, struct queue *q)
{
	struct nvme_cqe cqe;

	while (reap(r, q, &cqe))
		assert_int_equal(status_of(cqe), 0);
	ring_cq(r, q);
	step(r);
}

/* Queue 2 has vector 5 for itself. */
static void setup_queue(struct rig *r, struct queue *q, uint32_t coalesce)
{
	*q = queue_new(2, OTHER_RING, OTHER_RING + 0x4000, IO_SIZE);
	assert_int_equal(create_cq(r, q, 5), 0);
	assert_int_equal(create_sq(r, q), 0);
	assert_int_equal(set_feature(r, NVME_FEAT_COALESCING, coalesce), 0);
}

static void threshold_counts_completions(void **state)
{
	struct rig *r = *state;
	struct queue q;

	setup_queue(r, &q, COALESCE(255u, 4u));
	assert_true(flushes(r, &q, 3)); /* run() is busy waiting */
	assert_int_equal(devhost_irqs(r->h, 5), 0);
	assert_false(flushes(r, &q, 1));
	assert_int_equal(devhost_irqs(r->h, 5), 1);
	/* and from the beginning */
	flushes(r, &q, 3);
	assert_int_equal(devhost_irqs(r->h, 5), 1);
	flushes(r, &q, 6);
	assert_int_equal(devhost_irqs(r->h, 5), 2);
}

static void time_ends_the_wait(void **state)
{
	struct rig *r = *state;
	struct queue q;

	setup_queue(r, &q, COALESCE(10u, 100u));
	flushes(r, &q, 1);
	now_us += 999;
	flushes(r, &q, 1);
	assert_int_equal(devhost_irqs(r->h, 5), 0);
	now_us += 1; /* since the first of both */
	assert_false(step(r));
	assert_int_equal(devhost_irqs(r->h, 5), 1);
	flushes(r, &q, 1);
	assert_int_equal(devhost_irqs(r->h, 5), 1);
	now_us += 1000;
	step(r);
	assert_int_equal(devhost_irqs(r->h, 5), 2);
}

static void nothing_waits_without_time_or_threshold(void **state)
{
	static const uint32_t off[] = {COALESCE(0u, 100u), COALESCE(255u, 1u)};
	struct rig *r = *state;
	struct queue q;

	setup_queue(r, &q, 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(set_feature(r, NVME_FEAT_COALESCING, off[i]),
				 0);
		assert_false(flushes(r, &q, 1));
		assert_int_equal(devhost_irqs(r->h, 5), i + 1);
	}
}

/* Feature 09h, for each vector */
static void vector_can_be_left_out(void **state)
{
	struct rig *r = *state;
	struct queue q;

	setup_queue(r, &q, COALESCE(255u, 4u));
	assert_int_equal(set_feature(r, NVME_FEAT_VECTOR, 1u << 16 | 5), 0);
	flushes(r, &q, 1);
	assert_int_equal(devhost_irqs(r->h, 5), 1);
	assert_int_equal(set_feature(r, NVME_FEAT_VECTOR, 5), 0);
	flushes(r, &q, 1);
	assert_int_equal(devhost_irqs(r->h, 5), 1);
}

static void admin_queue_never_waits(void **state)
{
	struct rig *r = *state;
	struct queue q;

	setup_queue(r, &q, COALESCE(255u, 200u));
	unsigned int before = devhost_irqs(r->h, 0);

	/* queue 1 shares the vector of the admin queue */
	flushes(r, &r->io, 2);
	assert_int_equal(devhost_irqs(r->h, 0), before);
	submit(r, &r->admin,
	       (struct nvme_sqe){.opcode = NVME_ADM_IDENTIFY,
				 .prp1 = BUF,
				 .cdw10 = NVME_CNS_CTRL});
	ring_sq(r, &r->admin);
	assert_false(step(r));
	assert_int_equal(devhost_irqs(r->h, 0), before + 1);
}

/* NVMe 1.4 5.21.1.8 recommends that. */
static void errors_never_wait(void **state)
{
	struct rig *r = *state;
	struct queue q;

	setup_queue(r, &q, COALESCE(255u, 200u));
	flushes(r, &q, 1);
	assert_int_equal(devhost_irqs(r->h, 5), 0);
	submit(r, &q, (struct nvme_sqe){.opcode = 0x7f});
	ring_sq(r, &q);
	assert_false(step(r));
	assert_int_equal(devhost_irqs(r->h, 5), 1);
}

static void pin_waits_too(void **state)
{
	struct rig *r = *state;

	devhost_set_irq_mode(r->h, SV_IRQ_INTX);
	step(r);
	assert_int_equal(
		set_feature(r, NVME_FEAT_COALESCING, COALESCE(10u, 4u)), 0);
	assert_false(devhost_intx(r->h));
	flushes(r, &r->io, 3);
	assert_false(devhost_intx(r->h));
	now_us += 1000;
	step(r);
	assert_true(devhost_intx(r->h));
	/* it stays high while completions lie there, whatever comes now */
	flushes(r, &r->io, 1);
	assert_true(devhost_intx(r->h));
	take_all(r, &r->io);
	assert_false(devhost_intx(r->h));
}

static void reset_ends_the_wait(void **state)
{
	struct rig *r = *state;
	struct queue q;

	setup_queue(r, &q, COALESCE(255u, 4u));
	assert_true(flushes(r, &q, 1));
	disable(r);
	now_us += 100000;
	assert_false(step(r));
	assert_int_equal(devhost_irqs(r->h, 5), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_ready(threshold_counts_completions),
		with_ready(time_ends_the_wait),
		with_ready(nothing_waits_without_time_or_threshold),
		with_ready(vector_can_be_left_out),
		with_ready(admin_queue_never_waits),
		with_ready(errors_never_wait),
		with_ready(pin_waits_too),
		with_ready(reset_ends_the_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arbitration: in which order commands of several queues are carried out. All
 * queues complete to one, whose entries are that order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nvme_rig.h"

#define AMS_WEIGHTED (1u << 11)
#define RINGS	     0x400000u
#define MANY	     200u /* commands in each queue, 256 entries long */

enum class { URGENT, HIGH, MEDIUM, LOW };

struct arb {
	struct rig *r;
	struct queue cq;
	struct queue sq[8]; /* by id */
};

static void add_queue(struct arb *a, uint16_t id, enum class class)
{
	struct queue *q = &a->sq[id];

	*q = queue_new(id, RINGS + id * 0x10000u, a->cq.cq, 256);
	assert_int_equal(
		admin_status(a->r, .opcode = NVME_ADM_CREATE_SQ, .prp1 = q->sq,
			     .cdw10 = (q->sq_size - 1) << 16 | id,
			     .cdw11 = 1u << 16 | (uint32_t) class << 1 | 1),
		0);
}

static void begin(struct arb *a, uint32_t cc, uint32_t arbitration)
{
	a->r = rig_new(NULL);
	enable(a->r);
	disable(a->r);
	memset(devhost_ram(a->r->h), 0, DATA);
	a->r->admin = queue_new(0, ADMIN_SQ, ADMIN_CQ, ADMIN_SIZE);
	wr(a->r, NVME_REG_CC, ENABLE | cc);
	devhost_run(a->r->h);
	assert_int_equal(rd(a->r, NVME_REG_CSTS), NVME_CSTS_RDY);
	a->cq = queue_new(1, 0, IO_CQ, 4096);
	assert_int_equal(create_cq(a->r, &a->cq, 0), 0);
	assert_int_equal(set_feature(a->r, NVME_FEAT_ARBITRATION, arbitration),
			 0);
}

static void end(struct arb *a)
{
	teardown((void *[]){a->r});
}

/* Flushes, which are as good as any; rung all at once */
static void fill(struct arb *a, uint16_t id, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		submit(a->r, &a->sq[id], (struct nvme_sqe){.nsid = 1});
	ring_sq(a->r, &a->sq[id]);
}

/* The queue whose command was carried out next, 0 when there is none */
static uint16_t next(struct arb *a)
{
	struct nvme_cqe cqe;

	return reap(a->r, &a->cq, &cqe) ? cqe.sq_id : 0;
}

static void expect(struct arb *a, uint16_t id, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(next(a), id);
}

static void bursts_take_turns(void **state)
{
	struct arb a;

	(void)state;
	for (uint32_t burst = 0; burst <= 5; burst++) {
		begin(&a, 0, burst);
		for (uint16_t id = 1; id <= 3; id++)
			add_queue(&a, id, LOW);
		for (uint16_t id = 1; id <= 3; id++)
			fill(&a, id, MANY);
		devhost_run(a.r->h);
		for (uint32_t i = 0; i < MANY >> burst; i++)
			for (uint16_t id = 1; id <= 3; id++)
				expect(&a, id, 1u << burst);
		end(&a);
	}
}

static void burst_without_a_limit_takes_all(void **state)
{
	struct arb a;

	(void)state;
	begin(&a, 0, 7);
	for (uint16_t id = 1; id <= 2; id++)
		add_queue(&a, id, LOW);
	for (uint16_t id = 1; id <= 2; id++)
		fill(&a, id, MANY);
	devhost_run(a.r->h);
	expect(&a, 1, MANY);
	expect(&a, 2, MANY);
	end(&a);
}

/* Priorities mean nothing unless the host has chosen weighted arbitration. */
static void round_robin_knows_no_class(void **state)
{
	struct arb a;

	(void)state;
	begin(&a, 0, 3);
	add_queue(&a, 1, LOW);
	add_queue(&a, 2, URGENT);
	fill(&a, 1, 16);
	fill(&a, 2, 16);
	devhost_run(a.r->h);
	expect(&a, 1, 8);
	expect(&a, 2, 8);
	end(&a);
}

static void urgent_queues_go_first(void **state)
{
	struct arb a;

	(void)state;
	begin(&a, AMS_WEIGHTED, 3 | 7u << 8 | 7u << 16 | 7u << 24);
	add_queue(&a, 1, HIGH);
	add_queue(&a, 2, URGENT);
	add_queue(&a, 3, URGENT);
	for (uint16_t id = 1; id <= 3; id++)
		fill(&a, id, MANY);
	devhost_run(a.r->h);
	for (uint32_t i = 0; i < MANY / 8; i++) {
		expect(&a, 2, 8);
		expect(&a, 3, 8);
	}
	expect(&a, 1, MANY);
	end(&a);
}

/* High, medium and low: 8, 4 and 2 commands at a time */
static void classes_share_by_weight(void **state)
{
	struct arb a;

	(void)state;
	begin(&a, AMS_WEIGHTED, 7 | 1u << 8 | 3u << 16 | 7u << 24);
	add_queue(&a, 1, LOW);
	add_queue(&a, 2, MEDIUM);
	add_queue(&a, 3, HIGH);
	for (uint16_t id = 1; id <= 3; id++)
		fill(&a, id, MANY);
	devhost_run(a.r->h);
	for (uint32_t i = 0; i < MANY / 8; i++) {
		expect(&a, 3, 8);
		expect(&a, 2, 4);
		expect(&a, 1, 2);
	}
	/* those with nothing left cost the others nothing */
	for (uint32_t i = MANY / 8; i < MANY / 4; i++) {
		expect(&a, 2, 4);
		expect(&a, 1, 2);
	}
	expect(&a, 1, MANY - MANY / 4 * 2);
	assert_int_equal(next(&a), 0);
	end(&a);
}

/* Within a class it is round robin again, in bursts. */
static void queues_of_a_class_take_turns(void **state)
{
	struct arb a;

	(void)state;
	begin(&a, AMS_WEIGHTED, 1 | 3u << 16);
	add_queue(&a, 1, MEDIUM);
	add_queue(&a, 2, MEDIUM);
	add_queue(&a, 3, LOW);
	for (uint16_t id = 1; id <= 3; id++)
		fill(&a, id, 20);
	devhost_run(a.r->h);
	for (uint32_t i = 0; i < 10; i++) {
		expect(&a, 1, 2);
		expect(&a, 2, 2);
		expect(&a, 3, 1);
	}
	end(&a);
}

/* What is rung while a class is served is looked at before the next is. */
static void urgent_command_waits_for_one_class_at_most(void **state)
{
	struct arb a;

	(void)state;
	begin(&a, AMS_WEIGHTED, 7 | 3u << 8 | 3u << 16 | 3u << 24);
	add_queue(&a, 1, HIGH);
	add_queue(&a, 2, LOW);
	add_queue(&a, 3, URGENT);
	fill(&a, 1, MANY);
	fill(&a, 2, MANY);
	nvme_ops.run(devhost_dev(a.r->h));
	fill(&a, 3, 5);
	devhost_run(a.r->h);
	expect(&a, 1, 4);
	expect(&a, 3, 5);
	expect(&a, 2, 4);
	end(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bursts_take_turns),
		cmocka_unit_test(burst_without_a_limit_takes_all),
		cmocka_unit_test(round_robin_knows_no_class),
		cmocka_unit_test(urgent_queues_go_first),
		cmocka_unit_test(classes_share_by_weight),
		cmocka_unit_test(queues_of_a_class_take_turns),
		cmocka_unit_test(urgent_command_waits_for_one_class_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

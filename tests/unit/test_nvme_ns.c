/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Namespaces: identifying them, which exist, and that commands keep to one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nvme_rig.h"

static void identify_namespace(void **state)
{
	struct rig *r = *state;
	const uint8_t *id = identify(r, NVME_CNS_NS, 1);

	assert_int_equal(le(id, 4), IMAGE_SIZE / BLOCK);
	assert_int_equal(le(id + 8, 4), IMAGE_SIZE / BLOCK);
	assert_int_equal(id[25], 1); /* NLBAF */
	assert_int_equal(id[26], 0);
	assert_int_equal(id[33] & 7, 1);
	assert_int_equal(id[32], 0x80); /* FPI: supported, none in progress */
	assert_int_equal(id[99], 0);
	assert_int_equal(le(id + 128, 2), 0);
	assert_int_equal(id[130], 9);
	assert_int_equal(id[134], 12);

	id = identify(r, NVME_CNS_NS_LIST, 0);
	assert_int_equal(le(id, 4), 1);
	assert_int_equal(le(id + 4, 4), 0);
	id = identify(r, NVME_CNS_NS_LIST, 1);
	assert_int_equal(le(id, 4), 0);
	id = identify(r, NVME_CNS_NS_DESC, 1);
	assert_int_equal(id[0], 3);
	assert_int_equal(id[1], 16);
	assert_int_equal(id[20], 0);
}

static void identify_rejects(void **state)
{
	static const struct {
		uint32_t cns;
		uint32_t nsid;
		int status;
	} bad[] = {
		{0x00, 0, NVME_SC_INVALID_NS},
		{0x00, 2, NVME_SC_INVALID_NS},
		{0x00, NVME_NSID_ALL, NVME_SC_INVALID_NS},
		{0x02, NVME_NSID_ALL - 1, NVME_SC_INVALID_NS},
		{0x03, 0, NVME_SC_INVALID_NS},
		{0x03, 2, NVME_SC_INVALID_NS},
		{0x04, 1, NVME_SC_INVALID_FIELD},
		{0x0f, 1, NVME_SC_INVALID_FIELD},
		{0x10, NVME_NSID_ALL, NVME_SC_INVALID_NS},
		{0x11, 0, NVME_SC_INVALID_NS},
		{0x12, 0, NVME_SC_INVALID_NS},
		{0x12, NVME_NSID_ALL, NVME_SC_INVALID_FIELD},
		{0x14, 1, NVME_SC_INVALID_FIELD},
		{0xff, 1, NVME_SC_INVALID_FIELD},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(admin_status(r, .opcode = NVME_ADM_IDENTIFY,
					      .nsid = bad[i].nsid, .prp1 = BUF,
					      .cdw10 = bad[i].cns),
				 bad[i].status | DNR);
}

/* Namespaces 1, 2 and 4 of 8, 1 and 2 MiB */
static int setup_three(void **state)
{
	*state = rig_ready((const char *[]){"ns2=1M", "ns4=2M", NULL});
	return 0;
}

#define with_three(f) cmocka_unit_test_setup_teardown(f, setup_three, teardown)

static void list_is(const uint8_t *list, const uint32_t *want, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(le(list + 4 * i, 4), want[i]);
	assert_int_equal(le(list + 4 * n, 4), 0);
}

static void lists_name_what_exists(void **state)
{
	static const uint32_t cns[] = {NVME_CNS_NS_LIST,
				       NVME_CNS_ALLOCATED_LIST};
	struct rig *r = *state;

	assert_int_equal(le(identify(r, NVME_CNS_CTRL, 0) + 516, 4), 4);
	for (size_t i = 0; i < 2; i++) {
		list_is(identify(r, cns[i], 0), (uint32_t[]){1, 2, 4}, 3);
		list_is(identify(r, cns[i], 1), (uint32_t[]){2, 4}, 2);
		list_is(identify(r, cns[i], 2), (uint32_t[]){4}, 1);
		list_is(identify(r, cns[i], 3), (uint32_t[]){4}, 1);
		list_is(identify(r, cns[i], 4), NULL, 0);
		list_is(identify(r, cns[i], 1000), NULL, 0);
	}
}

static void each_has_its_own_size_and_name(void **state)
{
	struct rig *r = *state;
	uint8_t name[2][16];

	assert_int_equal(le(identify(r, NVME_CNS_NS, 2), 4), 2048);
	assert_int_equal(le(identify(r, NVME_CNS_ALLOCATED, 4), 4), 4096);
	for (uint32_t i = 0; i < 2; i++)
		memcpy(name[i], identify(r, NVME_CNS_NS_DESC, i + 1) + 4, 16);
	assert_memory_not_equal(name[0], name[1], 16);
}

/* NVMe 1.4 5.15.2.1: one that does not exist but could is all zeroes. */
static void inactive_namespace_is_zeroes(void **state)
{
	static const uint32_t cns[] = {NVME_CNS_NS, NVME_CNS_ALLOCATED};
	struct rig *r = *state;
	uint8_t zero[PAGE] = {0};

	for (size_t i = 0; i < 2; i++) {
		assert_memory_equal(identify(r, cns[i], 3), zero, PAGE);
		assert_int_equal(admin_status(r, .opcode = NVME_ADM_IDENTIFY,
					      .nsid = 5, .prp1 = BUF,
					      .cdw10 = cns[i]),
				 NVME_SC_INVALID_NS | DNR);
	}
}

static void controller_lists(void **state)
{
	struct rig *r = *state;
	const uint8_t *list = identify(r, NVME_CNS_CTRLS, 0);

	assert_int_equal(le(list, 4), 1); /* one, whose number is 0 */
	assert_int_equal(le(identify(r, NVME_CNS_NS_CTRLS, 4), 4), 1);
	/* from controller 1 on there are none */
	assert_int_equal(le(identify(r, 1u << 16 | NVME_CNS_CTRLS, 0), 4), 0);
	assert_int_equal(le(identify(r, 1u << 16 | NVME_CNS_NS_CTRLS, 1), 4),
			 0);
}

static void commands_keep_to_their_namespace(void **state)
{
	struct rig *r = *state;
	uint8_t *buf = devhost_ram(r->h) + BUF;

	memset(buf, 0xaa, BLOCK);
	assert_int_equal(
		status_of(command(r, &r->io,
				  (struct nvme_sqe){.opcode = NVME_IO_WRITE,
						    .nsid = 2,
						    .prp1 = BUF,
						    .cdw10 = 7})),
		0);
	check_image(r, 0, IMAGE_SIZE, 1);
	for (uint32_t nsid = 1; nsid <= 4; nsid++) {
		int want = nsid == 3 ? NVME_SC_INVALID_FIELD | DNR : 0;

		memset(buf, 0xcc, BLOCK);
		assert_int_equal(
			status_of(command(
				r, &r->io,
				(struct nvme_sqe){.opcode = NVME_IO_READ,
						  .nsid = nsid,
						  .prp1 = BUF,
						  .cdw10 = 7})),
			want);
		if (nsid == 2)
			assert_int_equal(buf[0], 0xaa);
		if (nsid == 4)
			assert_int_equal(buf[0], 0);
	}
}

/* The last block of the smaller one is in the middle of the larger one. */
static void capacity_is_that_of_the_namespace(void **state)
{
	struct rig *r = *state;
	struct nvme_sqe read = {
		.opcode = NVME_IO_READ, .nsid = 2, .prp1 = BUF, .cdw10 = 2048};

	assert_int_equal(status_of(command(r, &r->io, read)),
			 NVME_SC_LBA_RANGE | DNR);
	read.nsid = 4;
	assert_int_equal(status_of(command(r, &r->io, read)), 0);
}

static void flush_of_all_namespaces(void **state)
{
	struct rig *r = *state;
	struct nvme_sqe flush = {.nsid = NVME_NSID_ALL};

	assert_int_equal(status_of(command(r, &r->io, flush)), 0);
	flush.nsid = 3;
	assert_int_equal(status_of(command(r, &r->io, flush)),
			 NVME_SC_INVALID_FIELD | DNR);
}

static void block_size_of_an_option(void **state)
{
	struct rig *r = rig_ready((const char *[]){"block=4K", "ns2=1M", NULL});
	const uint8_t *id = identify(r, NVME_CNS_NS, 1);

	(void)state;
	assert_int_equal(le(id, 4), IMAGE_SIZE / PAGE);
	assert_int_equal(id[26], 1);
	assert_int_equal(le(identify(r, NVME_CNS_NS, 2), 4), 256);
	assert_int_equal(
		io_status(r, .opcode = NVME_IO_READ, .prp1 = BUF, .cdw10 = 3),
		0);
	for (uint32_t i = 0; i < PAGE; i++)
		assert_int_equal(devhost_ram(r->h)[BUF + i],
				 pattern(3 * PAGE + i, 1));
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = BUF,
				   .cdw10 = IMAGE_SIZE / PAGE),
			 NVME_SC_LBA_RANGE | DNR);
	teardown((void *[]){r});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_ready(identify_namespace),
		with_ready(identify_rejects),
		with_three(lists_name_what_exists),
		with_three(each_has_its_own_size_and_name),
		with_three(inactive_namespace_is_zeroes),
		with_three(controller_lists),
		with_three(commands_keep_to_their_namespace),
		with_three(capacity_is_that_of_the_namespace),
		with_three(flush_of_all_namespaces),
		cmocka_unit_test(block_size_of_an_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

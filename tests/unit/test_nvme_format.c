/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Format NVM: what is erased, what a block is then, and what is turned down.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/nvme_rig.h"

static int format(struct rig *r, uint32_t nsid, uint32_t cdw10)
{
	return admin_status(r, .opcode = NVME_ADM_FORMAT, .nsid = nsid,
			    .cdw10 = cdw10);
}

static void format_erases_and_changes_blocks(void **state)
{
	struct rig *r = *state;
	const uint8_t *buf = devhost_ram(r->h) + BUF;
	struct stat st;

	assert_int_equal(format(r, 1, 1), 0);
	const uint8_t *id = identify(r, NVME_CNS_NS, 1);

	assert_int_equal(le(id, 4), IMAGE_SIZE / PAGE);
	assert_int_equal(id[26], 1);
	assert_int_equal(id[32], 0x80);
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = BUF,
				   .cdw10 = IMAGE_SIZE / PAGE - 1),
			 0);
	for (uint32_t i = 0; i < PAGE; i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = BUF,
				   .cdw10 = IMAGE_SIZE / PAGE),
			 NVME_SC_LBA_RANGE | DNR);
	/* all of it, and given back */
	assert_int_equal(fstat(r->image, &st), 0);
	assert_true(st.st_blocks * 512 <= PAGE);
	assert_int_equal(format(r, 1, 0), 0);
	assert_int_equal(le(identify(r, NVME_CNS_NS, 1), 4),
			 IMAGE_SIZE / BLOCK);
}

/* Erasing is the same with and without the secure erase setting. */
static void every_supported_erase_erases(void **state)
{
	struct rig *r = *state;

	for (uint32_t ses = 0; ses <= 1; ses++) {
		uint8_t first = 0xff;

		fill_image(r->image);
		assert_int_equal(format(r, 1, ses << 9), 0);
		assert_int_equal(pread(r->image, &first, 1, 0), 1);
		assert_int_equal(first, 0);
	}
}

static void format_rejects(void **state)
{
	static const struct {
		uint32_t nsid;
		uint32_t cdw10;
		int status;
	} bad[] = {
		{0, 0, NVME_SC_INVALID_NS},
		{5, 0, NVME_SC_INVALID_NS},
		{3, 0, NVME_SC_INVALID_FIELD},
		{1, 2, NVME_SC_INVALID_FORMAT},
		{1, 15, NVME_SC_INVALID_FORMAT},
		{1, 1u << 5, NVME_SC_INVALID_FORMAT},
		{1, 2u << 9, NVME_SC_INVALID_FIELD},
		{1, 7u << 9, NVME_SC_INVALID_FIELD},
	};
	struct rig *r = rig_ready((const char *[]){"ns2=1M", "ns4=1M", NULL});

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(format(r, bad[i].nsid, bad[i].cdw10),
				 bad[i].status | DNR);
	check_image(r, 0, IMAGE_SIZE, 1);
	teardown((void *[]){r});
}

static void read_only_namespace_is_not_formatted(void **state)
{
	struct rig *r = rig_ready((const char *[]){"ro", "ns2=1M", NULL});

	(void)state;
	assert_int_equal(format(r, 1, 0), NVME_SC_WRITE_PROTECTED | DNR);
	assert_int_equal(format(r, NVME_NSID_ALL, 0),
			 NVME_SC_WRITE_PROTECTED | DNR);
	check_image(r, 0, IMAGE_SIZE, 1);
	teardown((void *[]){r});
}

static void one_or_all_namespaces(void **state)
{
	struct rig *r = rig_ready((const char *[]){"ns2=1M", "ns4=1M", NULL});

	(void)state;
	assert_int_equal(format(r, 2, 1), 0);
	assert_int_equal(le(identify(r, NVME_CNS_NS, 2), 4), 256);
	assert_int_equal(le(identify(r, NVME_CNS_NS, 4), 4), 2048);
	check_image(r, 0, IMAGE_SIZE, 1);
	assert_int_equal(format(r, NVME_NSID_ALL, 1), 0);
	assert_int_equal(le(identify(r, NVME_CNS_NS, 1), 4), IMAGE_SIZE / PAGE);
	assert_int_equal(le(identify(r, NVME_CNS_NS, 4), 4), 256);
	teardown((void *[]){r});
}

/* One run() of the model, where devhost_run() would go on to the end */
static void step(struct rig *r)
{
	nvme_ops.run(devhost_dev(r->h));
}

static void begin_large_format(struct rig *r)
{
	submit(r, &r->admin,
	       (struct nvme_sqe){
		       .opcode = NVME_ADM_FORMAT, .nsid = 2, .cdw10 = 1});
	ring_sq(r, &r->admin);
	step(r);
}

/* A completion of @q, after as few steps as it takes */
static struct nvme_cqe step_until(struct rig *r, struct queue *q)
{
	struct nvme_cqe cqe;

	for (int i = 0; i < 100; i++) {
		if (reap(r, q, &cqe))
			return cqe;
		step(r);
	}
	fail_msg("no completion");
	return cqe;
}

static int status_during_format(struct rig *r, struct queue *q,
				struct nvme_sqe sqe)
{
	uint16_t cid = submit(r, q, sqe);
	struct nvme_cqe cqe;

	ring_sq(r, q);
	cqe = step_until(r, q);
	assert_int_equal(cqe.cid, cid);
	ring_cq(r, q);
	return status_of(cqe);
}

/* 4 GiB are 256 pieces: there is time for the others. */
static void other_commands_go_on_meanwhile(void **state)
{
	struct rig *r = rig_ready((const char *[]){"ns2=4G", NULL});
	struct nvme_sqe read = {.opcode = NVME_IO_READ, .nsid = 2, .prp1 = BUF};
	struct nvme_sqe again = {.opcode = NVME_ADM_FORMAT, .nsid = 1};
	struct nvme_sqe id = {
		.opcode = NVME_ADM_IDENTIFY, .nsid = 2, .prp1 = BUF};

	(void)state;
	begin_large_format(r);
	assert_int_equal(status_during_format(r, &r->io, read),
			 NVME_SC_FORMATTING);
	assert_int_equal(status_during_format(r, &r->admin, again),
			 NVME_SC_FORMATTING);
	assert_int_equal(status_during_format(r, &r->admin, id), 0);
	assert_in_range(devhost_ram(r->h)[BUF + 32], 0x80 | 1, 0x80 | 100);
	read.nsid = 1;
	assert_int_equal(status_during_format(r, &r->io, read), 0);
	/* its identifier is in use */
	r->admin.cid = (uint16_t)(r->admin.cid - 3);
	assert_int_equal(status_during_format(r, &r->admin, id),
			 NVME_SC_CID_CONFLICT | DNR);
	devhost_run(r->h);
	assert_int_equal(status_of(step_until(r, &r->admin)), 0);
	ring_cq(r, &r->admin);
	assert_int_equal(le(identify(r, NVME_CNS_NS, 2), 4), 1u << 20);
	teardown((void *[]){r});
}

/* The host that asked is gone, the erasing is not. */
static void reset_takes_the_answer_not_the_work(void **state)
{
	struct rig *r = rig_ready((const char *[]){"ns2=4G", NULL});
	struct nvme_cqe cqe;

	(void)state;
	begin_large_format(r);
	devhost_reset(r->h, SV_RESET_FUNCTION);
	enable(r);
	assert_false(reap(r, &r->admin, &cqe));
	assert_int_equal(le(identify(r, NVME_CNS_NS, 2), 4), 1u << 20);
	make_io_queues(r, IO_SIZE, IO_SIZE);
	assert_int_equal(
		status_of(command(r, &r->io,
				  (struct nvme_sqe){.opcode = NVME_IO_READ,
						    .nsid = 2,
						    .prp1 = BUF})),
		0);
	teardown((void *[]){r});
}

static void storage_that_cannot_be_erased_is_an_error(void **state)
{
	struct rig *r = *state;

	assert_int_equal(fcntl(r->image, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	assert_int_equal(fcntl(r->image, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(format(r, 1, 1), NVME_SC_WRITE_FAULT);
	/* nothing has become of the new format */
	assert_int_equal(le(identify(r, NVME_CNS_NS, 1), 4),
			 IMAGE_SIZE / BLOCK);
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = BUF), 0);
	assert_int_equal(get_log(r, NVME_LOG_ERROR, 64, 0), 0);
	assert_int_equal(le(devhost_ram(r->h) + BUF + 12, 2),
			 NVME_SC_WRITE_FAULT << 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_ready(format_erases_and_changes_blocks),
		with_ready(every_supported_erase_erases),
		cmocka_unit_test(format_rejects),
		cmocka_unit_test(read_only_namespace_is_not_formatted),
		cmocka_unit_test(one_or_all_namespaces),
		cmocka_unit_test(other_commands_go_on_meanwhile),
		cmocka_unit_test(reset_takes_the_answer_not_the_work),
		with_ready(storage_that_cannot_be_erased_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

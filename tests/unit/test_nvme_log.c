/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Get Log Page: what each page says, and what is turned down.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nvme_rig.h"

static void log_pages(void **state)
{
	struct rig *r = *state;
	const uint8_t *buf = devhost_ram(r->h) + BUF;

	assert_int_equal(io_status(r, .opcode = 0x7f), 1 | DNR);
	assert_int_equal(get_log(r, NVME_LOG_ERROR, 256, 0), 0);
	assert_int_equal(le(buf, 4), 1);
	assert_int_equal(le(buf + 8, 2), 1);
	assert_int_equal(le(buf + 10, 2), r->io.cid - 1);
	assert_int_equal(le(buf + 12, 2), (1 | DNR) << 1);
	assert_int_equal(le(buf + 24, 4), 1);
	assert_int_equal(le(buf + 64, 4), 0);

	/* the newest comes first, and there are 64 of them */
	for (int i = 0; i < 65; i++)
		assert_int_equal(io_status(r, .opcode = 0x7f), 1 | DNR);
	assert_int_equal(get_log(r, NVME_LOG_ERROR, PAGE, 0), 0);
	assert_int_equal(le(buf, 4), 66);
	assert_int_equal(le(buf + 63 * 64, 4), 3);
	assert_int_equal(get_log(r, NVME_LOG_ERROR, 64, 128), 0);
	assert_int_equal(le(buf, 4), 64);

	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = BUF), 0);
	assert_int_equal(get_log(r, NVME_LOG_SMART, 512, 0), 0);
	assert_int_equal(buf[0], 0);
	assert_in_range(le(buf + 1, 2), 273, 343);
	assert_int_equal(le(buf + 32, 4), 1);
	assert_int_equal(le(buf + 64, 4), 1);
	assert_int_equal(le(buf + 176, 4), 66);

	assert_int_equal(get_log(r, NVME_LOG_FIRMWARE, 512, 0), 0);
	assert_int_equal(buf[0], 1);
	assert_memory_equal(buf + 8, "softvfio", 8);
	/* an offset, and more bytes than there are */
	assert_int_equal(get_log(r, NVME_LOG_FIRMWARE, PAGE, 8), 0);
	assert_memory_equal(buf, "softvfio", 8);
}

static void log_pages_reject(void **state)
{
	struct rig *r = *state;

	assert_int_equal(get_log(r, 0, 512, 0), NVME_SC_LOG_PAGE | DNR);
	assert_int_equal(get_log(r, 6, 512, 0), NVME_SC_LOG_PAGE | DNR);
	assert_int_equal(get_log(r, 0xff, 512, 0), NVME_SC_LOG_PAGE | DNR);
	assert_int_equal(get_log(r, 2, 512, 516), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(get_log(r, 2, 512, 2), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(get_log(r, 2, 512, 1ull << 63),
			 NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(get_log(r, 2, MAX_DATA + 4, 0),
			 NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(get_log(r, 2, 512, 512), 0);
}

static int get_log_of(struct rig *r, uint32_t id, uint32_t nsid)
{
	return admin_status(r, .opcode = NVME_ADM_GET_LOG, .nsid = nsid,
			    .prp1 = BUF, .cdw10 = 127u << 16 | id);
}

/* All are the controller's, which is what a host that names one gets. */
static void a_namespace_may_be_named_unless_strict(void **state)
{
	static const char *const options[] = {NULL, "strict"};
	const int refused = NVME_SC_INVALID_FIELD | DNR;

	(void)state;
	for (int strict = 0; strict < 2; strict++) {
		struct rig *r = rig_ready(
			(const char *[]){"ns3=1M", options[strict], NULL});

		for (uint32_t id = 1; id <= 5; id++) {
			assert_int_equal(get_log_of(r, id, 1),
					 strict ? refused : 0);
			assert_int_equal(get_log_of(r, id, 0), 0);
			assert_int_equal(get_log_of(r, id, 2), refused);
			assert_int_equal(get_log_of(r, id, 99), refused);
		}
		teardown((void *[]){r});
	}
}

static void changed_namespaces_are_listed_once(void **state)
{
	struct rig *r = *state;
	const uint8_t *list = devhost_ram(r->h) + BUF;
	uint8_t zero[PAGE] = {0};

	assert_int_equal(get_log(r, NVME_LOG_CHANGED, PAGE, 0), 0);
	assert_memory_equal(list, zero, PAGE);
	assert_int_equal(admin_status(r, .opcode = NVME_ADM_FORMAT, .nsid = 1,
				      .cdw10 = 1),
			 0);
	/* retain asynchronous event: the list stays as well */
	assert_int_equal(get_log(r, 1u << 15 | NVME_LOG_CHANGED, PAGE, 0), 0);
	assert_int_equal(le(list, 4), 1);
	assert_int_equal(get_log(r, NVME_LOG_CHANGED, PAGE, 0), 0);
	assert_int_equal(le(list, 4), 1);
	assert_int_equal(le(list + 4, 4), 0);
	assert_int_equal(get_log(r, NVME_LOG_CHANGED, PAGE, 0), 0);
	assert_memory_equal(list, zero, PAGE);
}

/* Every command there is says so, no other does. */
static void effects_are_those_of_the_commands(void **state)
{
	struct rig *r = *state;
	static uint8_t page[PAGE];

	assert_int_equal(get_log(r, NVME_LOG_EFFECTS, PAGE, 0), 0);
	memcpy(page, devhost_ram(r->h) + BUF, PAGE);
	assert_int_equal(le(page + 4 * NVME_ADM_IDENTIFY, 4), 1);
	assert_int_equal(le(page + 4 * NVME_ADM_FORMAT, 4), 0x10007);
	assert_int_equal(le(page + 1024 + 4 * NVME_IO_FLUSH, 4), 1);
	assert_int_equal(le(page + 1024 + 4 * NVME_IO_READ, 4), 1);
	assert_int_equal(le(page + 1024 + 4 * NVME_IO_WRITE, 4), 3);
	for (uint32_t op = 0; op < 256; op++) {
		/* no block that there is, and little else that is right */
		struct nvme_sqe sqe = {
			.opcode = (uint8_t)op, .nsid = 1, .cdw10 = UINT32_MAX};
		int status = status_of(command(r, &r->io, sqe));
		bool known = status != (NVME_SC_INVALID_OPCODE | DNR);

		assert_int_equal(page[1024 + 4 * op] & 1, known);
	}
	for (uint32_t op = 2048; op < PAGE; op++)
		assert_int_equal(page[op], 0);
}

/* A function reset empties the log, but not what was counted. */
static void counters_outlive_a_reset(void **state)
{
	struct rig *r = *state;
	const uint8_t *buf = devhost_ram(r->h) + BUF;

	assert_int_equal(io_status(r, .opcode = 0x7f), 1 | DNR);
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = BUF), 0);
	devhost_reset(r->h, SV_RESET_FUNCTION);
	enable(r);
	assert_int_equal(get_log(r, NVME_LOG_ERROR, 256, 0), 0);
	assert_int_equal(le(buf, 4), 0);
	assert_int_equal(get_log(r, NVME_LOG_SMART, 512, 0), 0);
	assert_int_equal(le(buf + 64, 4), 1);
	assert_int_equal(le(buf + 112, 4), 1);
	assert_int_equal(le(buf + 144, 4), 0);
	assert_int_equal(le(buf + 176, 4), 1);
	assert_int_equal(admin_status(r, .opcode = 0xff), 1 | DNR);
	assert_int_equal(get_log(r, NVME_LOG_ERROR, 256, 0), 0);
	assert_int_equal(le(buf, 4), 2);
}

/* Units of 1000 times 512 bytes, rounded up, whatever a block is */
static void data_units_do_not_depend_on_the_block(void **state)
{
	struct rig *r = rig_ready((const char *[]){"block=4096", NULL});
	const uint8_t *buf = devhost_ram(r->h) + BUF;

	(void)state;
	for (uint32_t i = 0; i < 126; i++) /* 1008 times 512 bytes */
		assert_int_equal(
			io_status(r, .opcode = NVME_IO_WRITE, .prp1 = DATA), 0);
	assert_int_equal(io_status(r, .opcode = NVME_IO_READ, .prp1 = DATA), 0);
	assert_int_equal(get_log(r, NVME_LOG_SMART, 512, 0), 0);
	assert_int_equal(le(buf + 32, 4), 1);
	assert_int_equal(le(buf + 48, 4), 2);
	assert_int_equal(le(buf + 64, 4), 1);
	assert_int_equal(le(buf + 80, 4), 126);
	teardown((void *[]){r});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_ready(log_pages),
		with_ready(log_pages_reject),
		cmocka_unit_test(a_namespace_may_be_named_unless_strict),
		with_ready(changed_namespaces_are_listed_once),
		with_ready(effects_are_those_of_the_commands),
		with_ready(counters_outlive_a_reset),
		cmocka_unit_test(data_units_do_not_depend_on_the_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

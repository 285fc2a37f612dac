/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Get and Set Features: values, what is saved, and what is turned down.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/nvme_rig.h"

static void features_are_remembered(void **state)
{
	static const struct {
		uint32_t id;
		uint32_t first;
		uint32_t set;
		uint32_t then;
	} f[] = {
		{0x01, 5, 0x01020303, 0x01020303},
		{0x02, 0, 0x20, 0x20},
		{0x04, 343, 350, 350},
		{0x05, 0, 100, 100},
		{0x06, 1, 0, 0},
		{0x08, 0, 0x1234, 0x1234},
		{0x0a, 0, 1, 1},
		{0x0b, 0, 0xff1f, 0x11f},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(f) / sizeof(f[0]); i++) {
		assert_int_equal(get_feature(r, f[i].id, 0).result, f[i].first);
		assert_int_equal(set_feature(r, f[i].id, f[i].set), 0);
		assert_int_equal(get_feature(r, f[i].id, 0).result, f[i].then);
	}
	assert_int_equal(set_feature(r, 0x04, 1u << 20 | 100), 0);
	assert_int_equal(get_feature(r, 0x04, 1u << 20).result, 100);
	assert_int_equal(set_feature(r, 0x09, 1u << 16 | 3), 0);
	assert_int_equal(get_feature(r, 0x09, 3).result, 1u << 16 | 3);
	assert_int_equal(get_feature(r, 0x09, 4).result, 4);
	disable(r);
	enable(r);
	for (size_t i = 0; i < sizeof(f) / sizeof(f[0]); i++)
		assert_int_equal(get_feature(r, f[i].id, 0).result, f[i].first);
}

static void features_reject(void **state)
{
	struct rig *r = *state;

	for (uint32_t id = 0; id < 256; id++) {
		bool known = id && id <= 0x0b && id != 3;
		int want = known ? 0 : NVME_SC_INVALID_FIELD | DNR;

		assert_int_equal(status_of(get_feature(r, id, 0)), want);
		if (!known)
			assert_int_equal(set_feature(r, id, 0), want);
	}
	assert_int_equal(set_feature(r, 0x02, 1), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(set_feature(r, 0x04, 1u << 16 | 300),
			 NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(status_of(get_feature(r, 0x04, 2u << 20)),
			 NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(status_of(get_feature(r, 0x09, 64)),
			 NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(
		admin_status(r, .opcode = NVME_ADM_GET_FEATURES, .cdw10 = 5),
		NVME_SC_INVALID_NS | DNR);
	assert_int_equal(set_feature(r, 0x05, 1u << 16),
			 NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(set_feature(r, 0x09, 64), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(admin_status(r, .opcode = NVME_ADM_SET_FEATURES,
				      .nsid = 2, .cdw10 = 5),
			 NVME_SC_INVALID_NS | DNR);
}

static void number_of_queues(void **state)
{
	struct rig *r = *state;
	struct nvme_cqe cqe;

	enable(r);
	assert_int_equal(set_feature(r, 7, 0xffff),
			 NVME_SC_INVALID_FIELD | DNR);
	cqe = command(r, &r->admin,
		      (struct nvme_sqe){.opcode = NVME_ADM_SET_FEATURES,
					.cdw10 = 7,
					.cdw11 = 7u << 16 | 7});
	assert_int_equal(status_of(cqe), 0);
	assert_int_equal(cqe.result, 63u << 16 | 63);
	make_io_queues(r, IO_SIZE, IO_SIZE);
	assert_int_equal(set_feature(r, 7, 7u << 16 | 7),
			 NVME_SC_SEQUENCE | DNR);
}

/* Select of Get Features, NVMe 1.4 5.13 */
#define SEL(n) ((n) << 8)
#define SAVE   (1u << 31)

static void saved_values_outlive_a_reset(void **state)
{
	static const struct {
		uint32_t id;
		uint32_t first;
		uint32_t set;
	} f[] = {
		{0x01, 5, 0x01020303}, {0x02, 0, 0x20},	 {0x04, 343, 350},
		{0x05, 0, 100},	       {0x06, 1, 0},	 {0x08, 0, 0x1234},
		{0x0a, 0, 1},	       {0x0b, 0, 0x11f},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(f) / sizeof(f[0]); i++) {
		uint32_t id = f[i].id;

		assert_int_equal(set_feature(r, SAVE | id, f[i].set), 0);
		/* a value that is not saved lasts until the reset */
		assert_int_equal(set_feature(r, id, f[i].first), 0);
		assert_int_equal(get_feature(r, id, 0).result, f[i].first);
		assert_int_equal(get_feature(r, SEL(1u) | id, 0).result,
				 f[i].first);
		assert_int_equal(get_feature(r, SEL(2u) | id, 0).result,
				 f[i].set);
	}
	devhost_reset(r->h, SV_RESET_FUNCTION);
	enable(r);
	for (size_t i = 0; i < sizeof(f) / sizeof(f[0]); i++)
		assert_int_equal(get_feature(r, f[i].id, 0).result, f[i].set);
}

static void capabilities_say_what_may_be_done(void **state)
{
	struct rig *r = *state;

	for (uint32_t id = 1; id <= 0x0b; id++) {
		uint32_t want = id == 7 ? 4 : id == 5 ? 7 : 5;

		if (id != 3)
			assert_int_equal(get_feature(r, SEL(3u) | id, 0).result,
					 want);
	}
	assert_int_equal(status_of(get_feature(r, SEL(4u) | 6, 0)),
			 NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(status_of(get_feature(r, SEL(7u) | 6, 0)),
			 NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(set_feature(r, SAVE | 7, 0),
			 NVME_SC_NOT_SAVEABLE | DNR);
}

static void both_thresholds_and_all_vectors_are_saved(void **state)
{
	struct rig *r = *state;

	assert_int_equal(set_feature(r, SAVE | 4, 1u << 20 | 100), 0);
	assert_int_equal(set_feature(r, SAVE | 9, 1u << 16 | 63), 0);
	disable(r);
	enable(r);
	assert_int_equal(get_feature(r, 4, 1u << 20).result, 100);
	assert_int_equal(get_feature(r, 4, 0).result, 343);
	assert_int_equal(get_feature(r, 9, 63).result, 1u << 16 | 63);
	assert_int_equal(get_feature(r, SEL(1u) | 9, 63).result, 63);
	assert_int_equal(get_feature(r, 9, 62).result, 62);
}

static int recovery(struct rig *r, uint8_t opcode, uint32_t nsid, uint32_t val,
		    uint32_t *ret_val)
{
	struct nvme_cqe cqe =
		command(r, &r->admin,
			(struct nvme_sqe){.opcode = opcode,
					  .nsid = nsid,
					  .cdw10 = NVME_FEAT_RECOVERY,
					  .cdw11 = val});

	*ret_val = cqe.result;
	return status_of(cqe);
}

static void namespaces_have_features_of_their_own(void **state)
{
	struct rig *r = rig_ready((const char *[]){"ns2=1M", "ns4=1M", NULL});
	const uint8_t set = NVME_ADM_SET_FEATURES;
	const uint8_t get = NVME_ADM_GET_FEATURES;
	uint32_t val;

	(void)state;
	assert_int_equal(recovery(r, set, 2, 7, &val), 0);
	assert_int_equal(recovery(r, get, 2, 0, &val), 0);
	assert_int_equal(val, 7);
	assert_int_equal(recovery(r, get, 1, 0, &val), 0);
	assert_int_equal(val, 0);
	assert_int_equal(recovery(r, set, NVME_NSID_ALL, 9, &val), 0);
	for (uint32_t nsid = 1; nsid <= 4; nsid++) {
		if (nsid == 3)
			continue;
		assert_int_equal(recovery(r, get, nsid, 0, &val), 0);
		assert_int_equal(val, 9);
	}
	for (uint32_t op = set; op <= get; op++) {
		assert_int_equal(recovery(r, (uint8_t)op, 3, 0, &val),
				 NVME_SC_INVALID_FIELD | DNR);
		assert_int_equal(recovery(r, (uint8_t)op, 0, 0, &val),
				 NVME_SC_INVALID_NS | DNR);
		assert_int_equal(recovery(r, (uint8_t)op, 5, 0, &val),
				 NVME_SC_INVALID_NS | DNR);
	}
	assert_int_equal(recovery(r, get, NVME_NSID_ALL, 0, &val),
			 NVME_SC_INVALID_NS | DNR);
	teardown((void *[]){r});
}

/* Of the controller, and what may be written to each */
static const struct {
	uint32_t id;
	uint32_t val;
} of_ctrl[] = {
	{0x01, 3},  {0x02, 0x20},    {0x04, 350}, {0x06, 0},
	{0x08, 17}, {0x09, 1 << 16}, {0x0a, 1},	  {0x0b, 1},
};

#define NSIDS 5

/**
 * struct named - What commands that name a namespace come to
 * @option: of the model
 * @set:    status of Set Features, by identifier
 * @get:    of Get Features
 */
struct named {
	const char *option;
	int set[NSIDS];
	int get[NSIDS];
};

/* all, none; a namespace; an inactive one; what cannot be one */
static const uint32_t nsids[NSIDS] = {NVME_NSID_ALL, 0, 1, 2, 99};

#define NO_NS	 (NVME_SC_INVALID_NS | DNR)
#define INACTIVE (NVME_SC_INVALID_FIELD | DNR)
#define NOT_PER	 (NVME_SC_NOT_PER_NS | DNR)

static const struct named named[] = {
	{NULL, {0, 0, 0, INACTIVE, NO_NS}, {0}},
	{"strict",
	 {0, 0, NOT_PER, INACTIVE, NO_NS},
	 {0, 0, 0, INACTIVE, NO_NS}},
};

static void check_named(struct rig *r, const struct named *want, uint32_t i,
			uint32_t id, uint32_t val)
{
	uint32_t before = get_feature(r, id, 0).result;
	int status = admin_status(r, .opcode = NVME_ADM_SET_FEATURES,
				  .nsid = nsids[i], .cdw10 = id, .cdw11 = val);

	if (status != want->set[i])
		fail_msg("set %#x of %#x: %#x", id, nsids[i],
			 (unsigned int)status);
	assert_int_equal(get_feature(r, id, 0).result, status ? before : val);
	assert_int_equal(admin_status(r, .opcode = NVME_ADM_GET_FEATURES,
				      .nsid = nsids[i], .cdw10 = id),
			 want->get[i]);
	assert_int_equal(set_feature(r, id, before), 0);
}

static void a_namespace_may_be_named_unless_strict(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof(named) / sizeof(named[0]); k++) {
		struct rig *r = rig_ready(
			(const char *[]){"ns3=1M", named[k].option, NULL});

		for (uint32_t i = 0; i < NSIDS; i++)
			for (size_t f = 0;
			     f < sizeof(of_ctrl) / sizeof(of_ctrl[0]); f++)
				check_named(r, &named[k], i, of_ctrl[f].id,
					    of_ctrl[f].val);
		teardown((void *[]){r});
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_ready(features_are_remembered),
		with_ready(features_reject),
		with_rig(number_of_queues),
		with_ready(saved_values_outlive_a_reset),
		with_ready(capabilities_say_what_may_be_done),
		with_ready(both_thresholds_and_all_vectors_are_saved),
		cmocka_unit_test(a_namespace_may_be_named_unless_strict),
		cmocka_unit_test(namespaces_have_features_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

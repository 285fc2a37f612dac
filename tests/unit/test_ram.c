/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory behind a BAR: ivshmem-plain's shape, registers and sizes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "dev/ram/ram.h"
#include "tests/unit/devhost.h"

static struct devhost *with_size(const char *size)
{
	const char *const options[] = {size, NULL};

	return devhost_new(&ram_ops, options);
}

static int setup(void **state)
{
	*state = devhost_new(&ram_ops, NULL);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	devhost_free(*state);
	return 0;
}

static void shape_is_that_of_ivshmem_plain(void **state)
{
	const struct sv_shape *shape = devhost_shape(*state);

	assert_int_equal(shape->vendor, 0x1af4);
	assert_int_equal(shape->device, 0x1110);
	assert_int_equal(shape->class_code, 0x050000);
	assert_int_equal(shape->revision, 1);
	assert_int_equal(shape->bar[0].size, 256);
	assert_int_equal(shape->bar[0].access, SV_ACCESS_TRAP);
	assert_int_equal(shape->bar[2].kind, SV_BAR_MEM64);
	assert_int_equal(shape->bar[2].access, SV_ACCESS_DIRECT);
	assert_true(shape->bar[2].prefetch);
	assert_int_equal(shape->bar[2].size, 4 << 20);
	assert_true(shape->no_intx);
	assert_int_equal(shape->msix, 0);
}

static void memory_holds_what_is_stored(void **state)
{
	devhost_write(*state, 2, 0x3ffff8, 0x1122334455667788, 8);
	assert_int_equal(devhost_read(*state, 2, 0x3ffffc, 4), 0x11223344);
}

static void mask_register_is_plain_storage(void **state)
{
	devhost_write(*state, 0, 0, 0xabcd1234, 4);
	assert_int_equal(devhost_read(*state, 0, 0, 4), 0xabcd1234);
	assert_int_equal(devhost_read(*state, 0, 0, 1), 0x34);
	assert_int_equal(devhost_read(*state, 0, 1, 1), 0);
	devhost_write(*state, 0, 3, 7, 1);
	assert_int_equal(devhost_read(*state, 0, 0, 4), 7);
}

static void status_register_clears_when_read(void **state)
{
	devhost_write(*state, 0, 0, 0x500000006, 8);
	assert_true(devhost_read(*state, 0, 0, 8) == 0x500000006);
	assert_int_equal(devhost_read(*state, 0, 4, 4), 0);
}

static void other_registers_read_zero(void **state)
{
	for (unsigned int off = 8; off < 256; off += 4) {
		devhost_write(*state, 0, off, UINT32_MAX, 4);
		assert_int_equal(devhost_read(*state, 0, off, 4), 0);
	}
}

static void reset_clears_the_registers(void **state)
{
	devhost_write(*state, 0, 0, 0x100000001, 8);
	devhost_reset(*state, SV_RESET_FUNCTION);
	assert_true(devhost_read(*state, 0, 0, 8) == 0);
}

static void a_terabyte_costs_what_is_touched(void **state)
{
	struct devhost *h = with_size("size=1T");

	(void)state;
	/* ThreadSanitizer does not always leave such a hole */
	if (!h)
		h = with_size("size=64G");
	assert_non_null(h);
	uint64_t last = devhost_shape(h)->bar[2].size - 1;

	devhost_write(h, 2, last, 0x7f, 1);
	assert_int_equal(devhost_read(h, 2, last, 1), 0x7f);
	devhost_free(h);
}

static void sizes_are_checked(void **state)
{
	static const char *const bad[] = {
		"size=8",   "size=3M", "size=2T", "size=0",
		"size=big", "size=",   "size=1X", "size=-4"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(with_size(bad[i]));
		assert_non_null(strstr(devhost_error(), bad[i]));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(shape_is_that_of_ivshmem_plain),
		TEST(memory_holds_what_is_stored),
		TEST(mask_register_is_plain_storage),
		TEST(status_register_clears_when_read),
		TEST(other_registers_read_zero),
		TEST(reset_clears_the_registers),
		TEST(a_terabyte_costs_what_is_touched),
		TEST(sizes_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

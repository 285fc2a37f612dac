/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The educational device, register by register, against QEMU's
 * docs/specs/edu.rst.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "dev/edu/edu.h"
#include "tests/unit/devhost.h"

#define BUF	   0x40000u
#define BUF_SIZE   4096u
#define RAM_TO_EDU 1u
#define EDU_TO_RAM 3u

static int setup(void **state)
{
	*state = devhost_new(&edu_ops, NULL);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	devhost_free(*state);
	return 0;
}

static uint32_t rd(struct devhost *h, uint64_t off)
{
	return (uint32_t)devhost_read(h, 0, off, 4);
}

static void wr(struct devhost *h, uint64_t off, uint32_t val)
{
	devhost_write(h, 0, off, val, 4);
}

static void start_dma(struct devhost *h, uint64_t src, uint64_t dst,
		      uint64_t count, uint32_t cmd)
{
	devhost_write(h, 0, 0x80, src, 8);
	devhost_write(h, 0, 0x88, dst, 8);
	devhost_write(h, 0, 0x90, count, 8);
	wr(h, 0x98, cmd);
}

static void dma(struct devhost *h, uint64_t src, uint64_t dst, uint64_t count,
		uint32_t cmd)
{
	start_dma(h, src, dst, count, cmd);
	assert_int_equal(devhost_run(h), 1);
	assert_int_equal(rd(h, 0x98), cmd & ~1u);
}

static void shape_is_that_of_qemu(void **state)
{
	const struct sv_shape *shape = devhost_shape(*state);

	assert_int_equal(shape->vendor, 0x1234);
	assert_int_equal(shape->device, 0x11e8);
	assert_int_equal(shape->class_code, 0x00ff00);
	assert_int_equal(shape->revision, 0x10);
	assert_int_equal(shape->bar[0].size, 1 << 20);
	assert_int_equal(shape->bar[0].kind, SV_BAR_MEM32);
	assert_int_equal(shape->msi, 1);
	assert_false(shape->no_intx);
}

static void identification_is_read_only(void **state)
{
	assert_int_equal(rd(*state, 0), 0x010000ed);
	wr(*state, 0, 0);
	assert_int_equal(rd(*state, 0), 0x010000ed);
}

static void liveness_reads_the_inverse(void **state)
{
	wr(*state, 4, 0x12345678);
	assert_int_equal(rd(*state, 4), 0xedcba987);
}

static void narrow_and_wide_accesses_below_0x80_do_nothing(void **state)
{
	wr(*state, 4, 1);
	devhost_write(*state, 0, 4, 7, 1);
	devhost_write(*state, 0, 4, 7, 2);
	devhost_write(*state, 0, 0, UINT64_MAX, 8);
	assert_int_equal(rd(*state, 4), ~1u);
	assert_int_equal(devhost_read(*state, 0, 4, 1), 0xff);
	assert_int_equal(devhost_read(*state, 0, 4, 2), 0xffff);
	assert_true(devhost_read(*state, 0, 0, 8) == UINT64_MAX);
}

static void holes_read_as_ones(void **state)
{
	static const uint32_t holes[] = {0x0c, 0x28, 0x60,    0x64,
					 0x84, 0xa0, 0x40000, 0xffffc};

	for (size_t i = 0; i < sizeof(holes) / sizeof(holes[0]); i++) {
		wr(*state, holes[i], 0);
		assert_int_equal(rd(*state, holes[i]), UINT32_MAX);
	}
	assert_int_equal(devhost_read(*state, 0, 0x80, 2), 0xffff);
}

static void factorial_is_computed_in_run(void **state)
{
	wr(*state, 8, 5);
	assert_int_equal(rd(*state, 0x20), 1);
	wr(*state, 8, 6);
	assert_int_equal(rd(*state, 8), 5);
	assert_int_equal(devhost_run(*state), 1);
	assert_int_equal(rd(*state, 0x20), 0);
	assert_int_equal(rd(*state, 8), 120);
	assert_int_equal(rd(*state, 0x24), 0);
}

static void factorial_is_modulo_two_to_the_32(void **state)
{
	static const uint32_t pairs[][2] = {
		{0, 1},		  {1, 1},  {13, 1932053504u},
		{33, 0x80000000}, {34, 0}, {UINT32_MAX, 0},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		wr(*state, 8, pairs[i][0]);
		devhost_run(*state);
		assert_int_equal(rd(*state, 8), pairs[i][1]);
	}
}

static void status_keeps_only_the_interrupt_bit(void **state)
{
	wr(*state, 0x20, UINT32_MAX);
	assert_int_equal(rd(*state, 0x20), 0x80);
	assert_int_equal(devhost_run(*state), 0);
	wr(*state, 0x20, 0);
	assert_int_equal(rd(*state, 0x20), 0);
}

static void factorial_interrupts_on_request(void **state)
{
	wr(*state, 0x20, 0x80);
	wr(*state, 8, 3);
	assert_false(devhost_intx(*state));
	devhost_run(*state);
	assert_true(devhost_intx(*state));
	assert_int_equal(rd(*state, 0x24), 1);
	wr(*state, 0x64, 1);
	assert_false(devhost_intx(*state));
	assert_int_equal(rd(*state, 0x24), 0);
}

static void intx_stays_until_all_is_acknowledged(void **state)
{
	wr(*state, 0x60, 0);
	assert_false(devhost_intx(*state));
	wr(*state, 0x60, 0x30);
	assert_int_equal(rd(*state, 0x24), 0x30);
	wr(*state, 0x64, 0x10);
	assert_true(devhost_intx(*state));
	wr(*state, 0x64, 0x20);
	assert_false(devhost_intx(*state));
}

static void msi_is_sent_for_every_raise(void **state)
{
	devhost_set_irq_mode(*state, SV_IRQ_MSI);
	wr(*state, 0x60, 1);
	wr(*state, 0x60, 0);
	assert_int_equal(devhost_irqs(*state, 0), 2);
	assert_false(devhost_intx(*state));
	wr(*state, 0x64, 1);
	wr(*state, 0x60, 0);
	assert_int_equal(devhost_irqs(*state, 0), 2);
}

static void dma_goes_there_and_back(void **state)
{
	uint8_t *ram = devhost_ram(*state);

	for (unsigned int i = 0; i < 100; i++)
		ram[0x1000 + i] = (uint8_t)(i + 1);
	dma(*state, 0x1000, BUF, 100, RAM_TO_EDU);
	dma(*state, BUF, 0x1000 + 100, 100, EDU_TO_RAM);
	assert_memory_equal(ram + 0x1000, ram + 0x1000 + 100, 100);
	assert_int_equal(rd(*state, 0x24), 0);
}

static void dma_raises_0x100_on_request(void **state)
{
	devhost_set_irq_mode(*state, SV_IRQ_MSI);
	dma(*state, BUF, 0, 4, EDU_TO_RAM | 4);
	assert_int_equal(rd(*state, 0x24), 0x100);
	assert_int_equal(devhost_irqs(*state, 0), 1);
}

static void dma_registers_are_locked_while_busy(void **state)
{
	start_dma(*state, BUF, 0x2000, 8, EDU_TO_RAM);
	devhost_write(*state, 0, 0x80, 1, 8);
	devhost_write(*state, 0, 0x88, 2, 8);
	devhost_write(*state, 0, 0x90, 3, 8);
	wr(*state, 0x98, RAM_TO_EDU);
	assert_int_equal(rd(*state, 0x98), EDU_TO_RAM);
	assert_int_equal(devhost_run(*state), 1);
	assert_int_equal(rd(*state, 0x80), BUF);
	assert_int_equal(rd(*state, 0x88), 0x2000);
	assert_int_equal(rd(*state, 0x90), 8);
	assert_int_equal(rd(*state, 0x98), 2);
}

static void dma_command_without_start_is_dropped(void **state)
{
	wr(*state, 0x98, 6);
	assert_int_equal(rd(*state, 0x98), 0);
	assert_int_equal(devhost_run(*state), 0);
}

static void dma_registers_take_4_or_8_bytes(void **state)
{
	devhost_write(*state, 0, 0x80, 0x1122334455667788, 8);
	assert_int_equal(rd(*state, 0x80), 0x55667788);
	assert_true(devhost_read(*state, 0, 0x80, 8) == 0x1122334455667788);
	wr(*state, 0x80, 9);
	assert_true(devhost_read(*state, 0, 0x80, 8) == 9);
}

static void dma_outside_the_buffer_moves_nothing(void **state)
{
	static const uint64_t bad[][2] = {
		{BUF - 1, 1},	       {BUF, BUF_SIZE + 1}, {BUF + BUF_SIZE, 1},
		{BUF + 1, BUF_SIZE},   {BUF, UINT64_MAX},   {UINT64_MAX, 2},
		{BUF + 8, UINT64_MAX}, {0, BUF + 1},
	};
	uint8_t *ram = devhost_ram(*state);

	memset(ram, 0x5a, 2 * BUF);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		dma(*state, bad[i][0], 0, bad[i][1], EDU_TO_RAM);
		dma(*state, 0, bad[i][0], bad[i][1], RAM_TO_EDU);
	}
	for (size_t i = 0; i < 2 * BUF; i++)
		assert_int_equal(ram[i], 0x5a);
	dma(*state, BUF, 0, BUF_SIZE, EDU_TO_RAM);
	for (size_t i = 0; i < BUF_SIZE; i++)
		assert_int_equal(ram[i], 0);
}

static void dma_uses_the_whole_buffer(void **state)
{
	uint8_t *ram = devhost_ram(*state);

	memset(ram, 1, BUF_SIZE);
	dma(*state, 0, BUF, BUF_SIZE, RAM_TO_EDU);
	dma(*state, BUF + BUF_SIZE - 1, 0x10000, 1, EDU_TO_RAM);
	assert_int_equal(ram[0x10000], 1);
	dma(*state, BUF + BUF_SIZE, 0x10001, 0, EDU_TO_RAM);
	assert_int_equal(ram[0x10001], 0);
}

static void dma_that_is_aborted_still_finishes(void **state)
{
	devhost_fail_dma(*state, 0x1000, 0x1fff);
	dma(*state, BUF, 0xfff, 2, EDU_TO_RAM | 4);
	assert_int_equal(rd(*state, 0x24), 0x100);
}

static void dma_mask_cuts_the_bus_address(void **state)
{
	static const char *const wide[] = {"dma_mask=0xffffffffffffffff", NULL};
	struct devhost *h = devhost_new(&edu_ops, wide);

	devhost_ram(*state)[0x3000] = 1;
	dma(*state, BUF, (1ull << 28) + 0x3000, 1, EDU_TO_RAM);
	assert_int_equal(devhost_ram(*state)[0x3000], 0);
	assert_non_null(h);
	devhost_ram(h)[0x3000] = 1;
	dma(h, BUF, (1ull << 28) + 0x3000, 1, EDU_TO_RAM);
	assert_int_equal(devhost_ram(h)[0x3000], 1);
	devhost_free(h);
}

static void dma_mask_must_be_a_number(void **state)
{
	static const char *const bad[] = {"dma_mask=", "dma_mask=-1",
					  "dma_mask=28bits",
					  "dma_mask=0x1ffffffffffffffff"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *const options[] = {bad[i], NULL};

		assert_null(devhost_new(&edu_ops, options));
		assert_non_null(strstr(devhost_error(), "dma_mask="));
	}
}

static void reset_returns_to_power_on(void **state)
{
	wr(*state, 4, 1);
	wr(*state, 0x60, 1);
	wr(*state, 8, 5);
	start_dma(*state, BUF, 0, 8, EDU_TO_RAM);
	devhost_reset(*state, SV_RESET_FUNCTION);
	assert_false(devhost_intx(*state));
	assert_int_equal(devhost_run(*state), 0);
	assert_int_equal(rd(*state, 4), 0);
	assert_int_equal(rd(*state, 8), 0);
	assert_int_equal(rd(*state, 0x20), 0);
	assert_int_equal(rd(*state, 0x24), 0);
	assert_int_equal(rd(*state, 0x98), 0);
}

static void bars_it_does_not_have_are_ignored(void **state)
{
	struct sv_dev *dev = devhost_dev(*state);

	edu_ops.write(dev, 1, 4, 1, 4);
	assert_int_equal(rd(*state, 4), 0);
	assert_int_equal(edu_ops.read(dev, 1, 0, 4), UINT32_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(shape_is_that_of_qemu),
		TEST(identification_is_read_only),
		TEST(liveness_reads_the_inverse),
		TEST(narrow_and_wide_accesses_below_0x80_do_nothing),
		TEST(holes_read_as_ones),
		TEST(factorial_is_computed_in_run),
		TEST(factorial_is_modulo_two_to_the_32),
		TEST(status_keeps_only_the_interrupt_bit),
		TEST(factorial_interrupts_on_request),
		TEST(intx_stays_until_all_is_acknowledged),
		TEST(msi_is_sent_for_every_raise),
		TEST(dma_goes_there_and_back),
		TEST(dma_raises_0x100_on_request),
		TEST(dma_registers_are_locked_while_busy),
		TEST(dma_command_without_start_is_dropped),
		TEST(dma_registers_take_4_or_8_bytes),
		TEST(dma_outside_the_buffer_moves_nothing),
		TEST(dma_uses_the_whole_buffer),
		TEST(dma_that_is_aborted_still_finishes),
		TEST(dma_mask_cuts_the_bus_address),
		TEST(dma_mask_must_be_a_number),
		TEST(reset_returns_to_power_on),
		TEST(bars_it_does_not_have_are_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space: what a program sees and may change, what the hardware
 * shows, and what writes set in motion. Capabilities: test_config_cap.c.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/refuse.h"
#include "tests/unit/config_rig.h"

#define RACES 20000

/* Access */

static void size_is_256_without_pcie_and_4096_with(void **state)
{
	struct fixture *f = *state;
	struct sv_shape shape = nvme_like;

	assert_int_equal(config_size(f->c), 4096);
	assert_int_equal(get(f, 0x100, 4), 0); /* no extended capability */
	shape.no_pcie = true;
	shape_is(f, &shape);
	assert_int_equal(config_size(f->c), 256);
}

static void access_beyond_the_end_is_efault_and_does_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[8] = {0};
	char why[REFUSAL_MAX];
	struct sv_shape shape = nvme_like;

	shape.no_pcie = true;
	shape_is(f, &shape);
	assert_int_equal(config_read(f->c, 256, buf, 1), -EFAULT);
	assert_int_equal(config_read(f->c, 252, buf, 5), -EFAULT);
	assert_int_equal(config_read(f->c, UINT64_MAX, buf, 8), -EFAULT);
	assert_int_equal(config_read(f->c, 0, buf, SIZE_MAX), -EFAULT);
	assert_int_equal(config_write(f->c, 256, buf, 1), -EFAULT);
	assert_int_equal(refusal_take(why), EFAULT);
	assert_int_equal(config_read(f->c, 4096, buf, 0), 0);
	assert_int_equal(config_read(f->c, 252, buf, 4), 4);

	/* would clear COMMAND if its first pieces were done */
	uint8_t all[257] = {0};

	assert_int_equal(config_write(f->c, 0, all, sizeof(all)), -EFAULT);
	assert_true(config_memory_enabled(f->c));
	no_event(f);
}

static void odd_sizes_and_offsets_read_the_same_bytes(void **state)
{
	struct fixture *f = *state;
	uint8_t all[4096], part[16];

	assert_int_equal(config_read(f->c, 0, all, sizeof(all)), 4096);
	for (unsigned int pos = 0; pos < 256; pos++) {
		for (unsigned int n = 1; n <= 16; n++) {
			assert_int_equal(config_read(f->c, pos, part, n), n);
			assert_memory_equal(part, all + pos, n);
		}
	}
}

static void a_write_over_several_registers_reaches_each(void **state)
{
	struct fixture *f = *state;
	/* INT_LINE is the only writable byte of the first dword */
	uint8_t bytes[] = {0x77, 0xff, 0xff, 0xff, /* 0x3c */
			   0xff, 0xff, 0xff, 0xff, /* 0x40 */
			   0xff};		   /* PMCSR: D3hot */

	assert_int_equal(config_write(f->c, 0x3c, bytes, sizeof(bytes)), 9);
	assert_int_equal(get(f, PCI_INTERRUPT_LINE, 2), 0x0177);
	assert_int_equal(one_event(f, POWER).arg2, 3);
}

/* Header */

static void ids_are_the_shapes_and_read_only(void **state)
{
	struct fixture *f = *state;

	for (unsigned int pass = 0; pass < 2; pass++) {
		assert_int_equal(get(f, PCI_VENDOR_ID, 4), 0x56781234);
		assert_int_equal(get(f, PCI_CLASS_REVISION, 4), 0x01080203);
		assert_int_equal(get(f, PCI_SUBSYSTEM_VENDOR_ID, 4),
				 0x9abc1234);
		assert_int_equal(get(f, PCI_HEADER_TYPE, 1), 0);
		set(f, PCI_VENDOR_ID, 4, ~0u);
		set(f, PCI_CLASS_REVISION, 4, ~0u);
		set(f, PCI_SUBSYSTEM_VENDOR_ID, 4, ~0u);
		raw_set(f, PCI_VENDOR_ID, 4, ~0u);
	}
}

static void open_leaves_decode_on_and_mastering_off(void **state)
{
	struct fixture *f = *state;

	set(f, PCI_COMMAND, 2, 0x7);
	assert_true(config_bus_master(f->c));
	config_close(f->c);
	assert_int_equal(raw(f, PCI_COMMAND, 2), 0x3);
	assert_false(config_bus_master(f->c));
	config_open(f->c);
	assert_int_equal(get(f, PCI_COMMAND, 2), 0x3);
	assert_true(config_memory_enabled(f->c));
	assert_true(config_io_enabled(f->c));
	assert_false(config_bus_master(f->c));
}

static void command_reaches_hardware_except_intx_disable(void **state)
{
	struct fixture *f = *state;

	set(f, PCI_COMMAND, 2, 0xffff);
	assert_int_equal(raw(f, PCI_COMMAND, 2), 0x0147);
	assert_int_equal(get(f, PCI_COMMAND, 2), 0x0547);
	config_set_intx_disable(f->c, true); /* vfio masks: its own business */
	set(f, PCI_COMMAND, 2, 0);
	assert_int_equal(raw(f, PCI_COMMAND, 2), 0x0400);
	assert_int_equal(get(f, PCI_COMMAND, 2), 0);
	config_set_intx_disable(f->c, false);
	assert_int_equal(raw(f, PCI_COMMAND, 2), 0);
}

static void memory_off_is_announced_before_and_on_after(void **state)
{
	struct fixture *f = *state;
	struct event e;

	set(f, PCI_COMMAND, 2, 0);
	e = one_event(f, MEMORY);
	assert_false(e.arg);
	assert_true(e.memory);
	assert_int_equal(e.command, 0x3);
	assert_false(config_memory_enabled(f->c));

	set(f, PCI_COMMAND, 1, PCI_COMMAND_MEMORY);
	e = one_event(f, MEMORY);
	assert_true(e.arg);
	assert_true(e.memory);
	assert_int_equal(e.command, 0x2);
	assert_true(config_memory_enabled(f->c));

	set(f, PCI_COMMAND, 4, PCI_COMMAND_MEMORY); /* no change */
	assert_true(one_event(f, MEMORY).arg);
}

static void only_a_piece_at_command_touches_memory(void **state)
{
	struct fixture *f = *state;
	uint8_t zero[3] = {0};

	set(f, PCI_COMMAND + 1, 1, 0);
	set(f, PCI_STATUS, 2, 0);
	no_event(f);
	assert_true(config_memory_enabled(f->c));
	/* bytes 3 to 5 are two pieces, the second at COMMAND */
	assert_int_equal(config_write(f->c, 3, zero, 3), 3);
	assert_false(one_event(f, MEMORY).arg);
}

/* DisINTx of the program's view. */
static bool intx_disabled(struct fixture *f)
{
	uint16_t command = 0;

	assert_int_equal(config_read(f->c, PCI_COMMAND, &command, 2), 2);
	return command & PCI_COMMAND_INTX_DISABLE;
}

static void virtual_intx_disable_is_told_on_change_only(void **state)
{
	struct fixture *f = *state;

	set(f, PCI_COMMAND + 1, 1, PCI_COMMAND_INTX_DISABLE >> 8);
	assert_true(one_event(f, INTX).arg);
	assert_true(intx_disabled(f));
	assert_false(raw(f, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
	set(f, PCI_COMMAND + 1, 1, PCI_COMMAND_INTX_DISABLE >> 8);
	no_event(f);
	set(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(f->n_events, 2); /* memory, then intx */
	assert_int_equal(f->event[0].what, MEMORY);
	assert_int_equal(f->event[1].what, INTX);
	assert_false(f->event[1].arg);
	assert_false(intx_disabled(f));
}

static void bars_changed_behind_the_back_are_restored(void **state)
{
	struct fixture *f = *state;

	raw_set(f, PCI_BASE_ADDRESS_3, 4, 0);
	assert_int_equal(raw(f, PCI_BASE_ADDRESS_3, 4), 0x8);
	set(f, PCI_COMMAND, 2, 0);
	assert_int_equal(raw(f, PCI_BASE_ADDRESS_3, 4), 0xfe001008);

	/* or when decode was lost, which the ROM's address alone is not */
	set(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	raw_set(f, PCI_ROM_ADDRESS, 4, 0);
	set(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(raw(f, PCI_ROM_ADDRESS, 4), 0);
	raw_set(f, PCI_COMMAND, 2, 0);
	set(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(raw(f, PCI_ROM_ADDRESS, 4), 0xfe002000);
}

static void status_shows_the_list_and_the_pin(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
	config_set_intx_status(f->c, true);
	set(f, PCI_STATUS, 2, 0xffff);
	assert_int_equal(get(f, PCI_STATUS, 2),
			 PCI_STATUS_CAP_LIST | PCI_STATUS_INTERRUPT);
	assert_int_equal(raw(f, PCI_STATUS, 2), 0x18);
	config_set_intx_status(f->c, false);
	assert_int_equal(get(f, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
}

static void cache_line_size_reaches_hardware(void **state)
{
	struct fixture *f = *state;
	struct sv_shape shape = nvme_like;

	set(f, PCI_CACHE_LINE_SIZE, 4, 0xff00ff10); /* with BIST, latency */
	assert_int_equal(raw(f, PCI_CACHE_LINE_SIZE, 4), 0x10);
	assert_int_equal(get(f, PCI_CACHE_LINE_SIZE, 4), 0x10);
	set(f, PCI_LATENCY_TIMER, 1, 0x40);
	assert_int_equal(get(f, PCI_LATENCY_TIMER, 1), 0);
	shape.no_pcie = true;
	shape_is(f, &shape);
	set(f, PCI_LATENCY_TIMER, 1, 0x40);
	assert_int_equal(raw(f, PCI_LATENCY_TIMER, 1), 0x40);
}

static void int_line_is_the_programs_own(void **state)
{
	struct fixture *f = *state;
	struct sv_shape shape = nvme_like;

	assert_int_equal(get(f, PCI_INTERRUPT_LINE, 2), 0x010b);
	set(f, PCI_INTERRUPT_LINE, 2, 0xffff);
	assert_int_equal(get(f, PCI_INTERRUPT_LINE, 2), 0x01ff);
	assert_int_equal(raw(f, PCI_INTERRUPT_LINE, 2), 0x010b);
	shape.no_intx = true;
	shape_is(f, &shape);
	assert_int_equal(get(f, PCI_INTERRUPT_PIN, 1), 0);
}

static void bars_show_their_address_type_and_size(void **state)
{
	static const struct {
		unsigned int pos;
		uint32_t address;
		uint32_t sized;
		uint32_t type;
	} rows[] = {
		{PCI_BASE_ADDRESS_0, 0x00004004, 0xffffc004, 0x4},
		{PCI_BASE_ADDRESS_1, 0x00003800, 0xffffffff, 0},
		{PCI_BASE_ADDRESS_2, 0x0000c041, 0xffffffc1, 0x1},
		{PCI_BASE_ADDRESS_3, 0xfe001008, 0xfffff008, 0x8},
		{PCI_BASE_ADDRESS_4, 0x0000000c, 0x0000000c, 0xc},
		{PCI_BASE_ADDRESS_5, 0x00003810, 0xfffffffc, 0},
		{PCI_ROM_ADDRESS, 0xfe002000, 0xfffff801, 0},
	};
	struct fixture *f = *state;

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned int pos = rows[i].pos;

		assert_int_equal(raw(f, pos, 4), rows[i].address);
		assert_int_equal(get(f, pos, 4), rows[i].address);
		set(f, pos, 4, ~0u);
		assert_int_equal(get(f, pos, 4), rows[i].sized);
		assert_int_equal(raw(f, pos, 4), rows[i].address);
		set(f, pos, 4, 0);
		assert_int_equal(get(f, pos, 4), rows[i].type);
		set(f, pos, 4, rows[i].address);
		assert_int_equal(get(f, pos, 4), rows[i].address);
	}
}

static void rom_sizing_as_qemu_does_it_keeps_enable_clear(void **state)
{
	struct fixture *f = *state;

	set(f, PCI_ROM_ADDRESS, 4, 0xfffff800);
	assert_int_equal(get(f, PCI_ROM_ADDRESS, 4), 0xfffff800);
	set(f, PCI_ROM_ADDRESS, 4, 0xfffffffe);
	assert_int_equal(get(f, PCI_ROM_ADDRESS, 4), 0xfffff800);
	set(f, PCI_ROM_ADDRESS, 4, 0xfe002001);
	assert_int_equal(get(f, PCI_ROM_ADDRESS, 4), 0xfe002001);
	assert_int_equal(raw(f, PCI_ROM_ADDRESS, 4), 0xfe002000);
}

static void absent_bars_and_rom_read_zero(void **state)
{
	static const struct sv_shape none = {.vendor = 1};
	struct fixture *f = *state;

	shape_is(f, &none);
	for (unsigned int pos = PCI_BASE_ADDRESS_0; pos < PCI_CARDBUS_CIS;
	     pos += 4)
		set(f, pos, 4, ~0u);
	set(f, PCI_ROM_ADDRESS, 4, ~0u);
	for (unsigned int pos = PCI_BASE_ADDRESS_0; pos < PCI_CARDBUS_CIS;
	     pos += 4)
		assert_int_equal(get(f, pos, 4), 0);
	assert_int_equal(get(f, PCI_ROM_ADDRESS, 4), 0);
}

/* Reset, close */

static void reset_keeps_both_views_and_ends_d3hot(void **state)
{
	struct fixture *f = *state;
	uint8_t virt[256], hw[256], after[256];

	set(f, PCI_COMMAND, 2, 0x407);
	set(f, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	set(f, DEVCTL, 2, 0x100f);
	config_set_msi(f->c, 8);
	set(f, MSICTL, 2, 0x01b7);
	config_read(f->c, 0, virt, 256);
	config_raw_read(f->c, 0, hw, 256);

	set(f, PMCSR, 2, 3);
	f->n_events = 0;
	config_reset(f->c);
	no_event(f);
	config_read(f->c, 0, after, 256);
	assert_memory_equal(after, virt, 256);
	config_raw_read(f->c, 0, after, 256);
	assert_memory_equal(after, hw, 256);
	assert_true(config_memory_enabled(f->c));
	assert_true(config_bus_master(f->c));
	assert_true(intx_disabled(f));
}

static void a_new_open_starts_with_a_fresh_view(void **state)
{
	struct fixture *f = *state;
	uint8_t first[256], again[256];

	config_read(f->c, 0, first, 256);
	set(f, PCI_COMMAND, 2, 0xffff);
	set(f, PCI_BASE_ADDRESS_0, 4, ~0u);
	set(f, PCI_CACHE_LINE_SIZE, 1, 0x10);
	set(f, PCI_INTERRUPT_LINE, 1, 99);
	set(f, DEVCTL, 2, PCI_EXP_DEVCTL_CERE);
	set(f, MSI + PCI_MSI_ADDRESS_LO, 4, ~0u);
	config_set_msi(f->c, 8);
	set(f, MSICTL, 2, 0x01b7);
	set(f, PMCSR, 2, 3);
	config_close(f->c);
	assert_int_equal(raw(f, PMCSR, 2) & 3, 0);
	assert_false(raw(f, MSICTL, 2) & PCI_MSI_FLAGS_ENABLE);
	config_open(f->c);
	config_read(f->c, 0, again, 256);
	/* what nobody resets: the size MSI was left with */
	again[MSICTL] &= (uint8_t)~PCI_MSI_FLAGS_QSIZE;
	assert_memory_equal(again, first, 256);
}

/* The hardware's side */

static void raw_access_is_short_at_the_end(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[8] = {0};

	assert_int_equal(config_raw_read(f->c, 4092, buf, 8), 4);
	assert_int_equal(config_raw_read(f->c, 4096, buf, 8), 0);
	assert_int_equal(config_raw_read(f->c, UINT64_MAX, buf, 8), 0);
	assert_int_equal(config_raw_write(f->c, 4092, buf, 8), 4);
	assert_int_equal(config_raw_write(f->c, 4096, buf, 8), 0);
}

static void raw_writes_size_bars_but_not_the_programs_view(void **state)
{
	struct fixture *f = *state;

	raw_set(f, PCI_BASE_ADDRESS_2, 4, ~0u);
	assert_int_equal(raw(f, PCI_BASE_ADDRESS_2, 4), 0xffffffc1);
	assert_int_equal(get(f, PCI_BASE_ADDRESS_2, 4), 0xc041);
}

static void raw_memory_enable_acts_as_hardware_would(void **state)
{
	struct fixture *f = *state;
	struct event e;

	raw_set(f, PCI_COMMAND, 2, 0x3);
	no_event(f);
	raw_set(f, PCI_COMMAND, 2, 0);
	e = one_event(f, MEMORY);
	assert_false(e.arg);
	assert_true(e.memory);
	assert_false(config_memory_enabled(f->c));
	raw_set(f, PCI_COMMAND, 1, PCI_COMMAND_MEMORY);
	e = one_event(f, MEMORY);
	assert_true(e.arg);
	assert_true(e.memory);
}

static void raw_power_and_flr_act_as_hardware_would(void **state)
{
	struct fixture *f = *state;

	raw_set(f, PMCSR, 2, 3);
	assert_int_equal(one_event(f, POWER).arg2, 3);
	assert_false(config_memory_enabled(f->c));
	raw_set(f, PMCSR, 4, 0);
	assert_int_equal(one_event(f, POWER).arg2, 0);
	raw_set(f, DEVCTL + 1, 1, 0x80);
	one_event(f, RESET);
	raw_set(f, DEVCTL, 4, 0x8000);
	one_event(f, RESET);
	assert_false(raw(f, DEVCTL, 2) & PCI_EXP_DEVCTL_BCR_FLR);
}

/* Random operations against a model that knows bytes only */

/* What a program's write changes in what it reads, by byte; else nothing. */
struct writable {
	unsigned int pos;
	const char *bytes; /* hex */
};

static const struct writable writable[] = {
	{0x04, "4705"},	    /* COMMAND */
	{0x0c, "ff"},	    /* cache line size */
	{0x10, "00c0ffff"}, /* BAR 0, 64 bit, 16K */
	{0x14, "ffffffff"},
	{0x18, "c0ffffff"}, /* BAR 2, I/O, 64 */
	{0x1c, "00f0ffff"}, /* BAR 3, 4K */
	{0x20, "00000000"}, /* BAR 4, 64 bit, 16G */
	{0x24, "fcffffff"},
	{0x30, "01f8ffff"},	    /* ROM, 2K */
	{0x3c, "ff"},		    /* interrupt line */
	{0x52, "8e"},		    /* MSI control, MSI off */
	{0x54, "ffffffffffffffff"}, /* MSI address */
	{0x5c, "ffff"},		    /* MSI data */
	{0x60, "ff"},		    /* MSI masks */
	{0x88, "ff78"},		    /* DEVCTL, not FLR */
	{0xa8, "10"},		    /* DEVCTL2 */
};

static unsigned int hex_byte(const char *p)
{
	char text[3] = {p[0], p[1], 0};

	return (unsigned int)strtoul(text, NULL, 16);
}

static void model_masks(uint8_t mask[256])
{
	memset(mask, 0, 256);
	for (unsigned int i = 0; i < sizeof(writable) / sizeof(writable[0]);
	     i++) {
		const char *p = writable[i].bytes;

		for (unsigned int at = writable[i].pos; *p; p += 2, at++)
			mask[at] = (uint8_t)hex_byte(p);
	}
}

static void model_write(uint8_t model[256], const uint8_t mask[256],
			unsigned int pos, const uint8_t *buf, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		unsigned int at = pos + i;

		model[at] = (uint8_t)((model[at] & ~mask[at]) |
				      (buf[i] & mask[at]));
		/* beyond masks: of power states 0 and 3 are taken */
		if (at == PMCSR && ((buf[i] & 3) == 0 || (buf[i] & 3) == 3))
			model[at] = (uint8_t)((model[at] & ~3) | (buf[i] & 3));
		if (at == DEVCTL + 1 && buf[i] & 0x80) { /* FLR */
			model[MSI + PCI_MSI_MASK_64] = 0;
			model[PMCSR] &= (uint8_t)~3;
		}
	}
}

static void random_writes_agree_with_a_byte_model(void **state)
{
	struct fixture *f = *state;
	struct sv_shape shape = nvme_like;
	uint8_t model[256], mask[256], real[256], buf[12];
	uint32_t seed = 12345;

	shape.no_soft_reset = true;
	shape_is(f, &shape);
	model_masks(mask);
	assert_int_equal(config_read(f->c, 0, model, 256), 256);
	for (unsigned int op = 0; op < 30000; op++) {
		seed = seed * 1664525 + 1013904223;
		unsigned int n = 1 + (seed >> 8) % sizeof(buf);
		unsigned int pos = (seed >> 16) % (257 - n);

		for (unsigned int i = 0; i < n; i++) {
			seed = seed * 1664525 + 1013904223;
			buf[i] = (uint8_t)(seed >> 24);
		}
		assert_int_equal(config_write(f->c, pos, buf, n), n);
		model_write(model, mask, pos, buf, n);
		assert_int_equal(config_read(f->c, 0, real, 256), 256);
		if (memcmp(real, model, 256))
			print_message("op %u: %u bytes at %#x\n", op, n, pos);
		assert_memory_equal(real, model, 256);
		f->n_events = 0;
	}
}

/* Threads */

static void *ask(void *arg)
{
	struct fixture *f = arg;
	unsigned long yes = 0;

	while (!atomic_load(&f->stop))
		yes += config_memory_enabled(f->c) + config_io_enabled(f->c) +
		       config_bus_master(f->c) + intx_disabled(f);
	return (void *)yes;
}

static void *toggle(void *arg)
{
	struct fixture *f = arg;

	for (unsigned int i = 0; i < RACES; i++) {
		uint16_t command = i & 1 ? 0x407 : 0;

		config_write(f->c, PCI_COMMAND, &command, 2);
	}
	return NULL;
}

static void queries_do_not_race_and_events_do_not_overlap(void **state)
{
	struct fixture *f = *state;
	pthread_t asker, writer[2];

	f->racing = true;
	assert_int_equal(pthread_create(&asker, NULL, ask, f), 0);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&writer[i], NULL, toggle, f),
				 0);
	for (unsigned int i = 0; i < RACES; i++)
		config_reset(f->c);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(writer[i], NULL);
	atomic_store(&f->stop, true);
	pthread_join(asker, NULL);
	assert_false(atomic_load(&f->overlap));
	assert_true(config_memory_enabled(f->c));
	assert_true(intx_disabled(f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(size_is_256_without_pcie_and_4096_with),
		T(access_beyond_the_end_is_efault_and_does_nothing),
		T(odd_sizes_and_offsets_read_the_same_bytes),
		T(a_write_over_several_registers_reaches_each),
		T(ids_are_the_shapes_and_read_only),
		T(open_leaves_decode_on_and_mastering_off),
		T(command_reaches_hardware_except_intx_disable),
		T(memory_off_is_announced_before_and_on_after),
		T(only_a_piece_at_command_touches_memory),
		T(virtual_intx_disable_is_told_on_change_only),
		T(bars_changed_behind_the_back_are_restored),
		T(status_shows_the_list_and_the_pin),
		T(cache_line_size_reaches_hardware),
		T(int_line_is_the_programs_own),
		T(bars_show_their_address_type_and_size),
		T(rom_sizing_as_qemu_does_it_keeps_enable_clear),
		T(absent_bars_and_rom_read_zero),
		T(reset_keeps_both_views_and_ends_d3hot),
		T(a_new_open_starts_with_a_fresh_view),
		T(raw_access_is_short_at_the_end),
		T(raw_writes_size_bars_but_not_the_programs_view),
		T(raw_memory_enable_acts_as_hardware_would),
		T(raw_power_and_flr_act_as_hardware_would),
		T(random_writes_agree_with_a_byte_model),
		T(queries_do_not_race_and_events_do_not_overlap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

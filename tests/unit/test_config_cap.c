/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Capabilities of the configuration space: power management, MSI, MSI-X and
 * PCI Express, as a program sees and may change them.
 */
#include "tests/unit/config_rig.h"

static void capability_list_has_what_the_shape_has(void **state)
{
	struct fixture *f = *state;
	struct sv_shape shape = nvme_like;

	assert_int_equal(get(f, PCI_CAPABILITY_LIST, 1), PM);
	assert_int_equal(get(f, PM, 2), MSI << 8 | PCI_CAP_ID_PM);
	assert_int_equal(get(f, MSI, 2), MSIX << 8 | PCI_CAP_ID_MSI);
	assert_int_equal(get(f, MSIX, 2), EXP << 8 | PCI_CAP_ID_MSIX);
	assert_int_equal(get(f, EXP, 2), PCI_CAP_ID_EXP);
	set(f, PCI_CAPABILITY_LIST, 1, 0);
	set(f, PM, 2, 0);
	set(f, MSI, 2, 0);
	assert_int_equal(get(f, PCI_CAPABILITY_LIST, 1), PM);
	assert_int_equal(get(f, PM, 2), MSI << 8 | PCI_CAP_ID_PM);
	assert_int_equal(get(f, MSI, 2), MSIX << 8 | PCI_CAP_ID_MSI);

	shape.msi = 0;
	shape.no_pcie = true;
	shape_is(f, &shape);
	assert_int_equal(get(f, PM, 2), MSIX << 8 | PCI_CAP_ID_PM);
	assert_int_equal(get(f, MSIX, 2), PCI_CAP_ID_MSIX);
	assert_int_equal(get(f, EXP, 4), 0);
}

static void bytes_of_no_capability_are_read_only_hardware(void **state)
{
	struct fixture *f = *state;

	for (unsigned int pos = 0x48; pos < 4096; pos += 4) {
		if ((pos >= MSI && pos < MSI + 24) ||
		    (pos >= MSIX && pos < MSIX + 12) ||
		    (pos >= EXP && pos < EXP + 0x3c))
			continue;
		set(f, pos, 4, ~0u);
		raw_set(f, pos, 4, ~0u);
		assert_int_equal(get(f, pos, 4), 0);
	}
}

static void pme_cannot_be_seen_or_enabled(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, PM + PCI_PM_PMC, 2), 3);
	set(f, PMCSR, 2, PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_PME_STATUS);
	assert_int_equal(get(f, PMCSR, 2), 0);
}

static void d3hot_closes_memory_and_is_announced_first(void **state)
{
	struct fixture *f = *state;
	struct event e;

	set(f, PCI_COMMAND, 2, 0x7);
	f->n_events = 0;
	set(f, PMCSR, 2, 3);
	e = one_event(f, POWER);
	assert_int_equal(e.arg, 0);
	assert_int_equal(e.arg2, 3);
	assert_true(e.memory);
	assert_int_equal(e.pmcsr & 3, 0);
	assert_int_equal(get(f, PMCSR, 2) & 3, 3);
	assert_false(config_memory_enabled(f->c));
	assert_false(config_bus_master(f->c));
	assert_int_equal(get(f, PCI_COMMAND, 2), 0x7);
	set(f, PMCSR, 2, 3);
	no_event(f);
}

static void back_to_d0_loses_what_was_written_in_d3hot(void **state)
{
	struct fixture *f = *state;
	struct event e;

	config_set_msix(f->c, true);
	set(f, PMCSR, 2, 3);
	raw_set(f, PCI_CACHE_LINE_SIZE, 1, 0x10);
	raw_set(f, PCI_BASE_ADDRESS_3, 4, 0x1000);
	raw_set(f, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	raw_set(f, MSIX + PCI_MSIX_FLAGS, 2, 0);
	f->n_events = 0;
	set(f, PMCSR, 1, 0);
	e = one_event(f, POWER);
	assert_int_equal(e.arg, 3);
	assert_int_equal(e.arg2, 0);
	assert_int_equal(e.pmcsr & 3, 0);
	assert_true(e.memory);
	assert_int_equal(raw(f, PCI_CACHE_LINE_SIZE, 1), 0);
	assert_int_equal(raw(f, PCI_BASE_ADDRESS_3, 4), 0xfe001008);
	assert_int_equal(raw(f, PCI_COMMAND, 2), 0x403);
	assert_int_equal(raw(f, MSIX + PCI_MSIX_FLAGS, 2), 0x8020);
}

/* What vfio believes of COMMAND is what the program wrote last. */
static void memory_written_in_d3hot_counts_in_d0(void **state)
{
	struct fixture *f = *state;

	set(f, PCI_COMMAND, 2, 0);
	set(f, PMCSR, 2, 3);
	set(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_false(config_memory_enabled(f->c));
	set(f, PMCSR, 2, 0);
	assert_int_equal(raw(f, PCI_COMMAND, 2), 0);
	assert_true(config_memory_enabled(f->c));

	set(f, PMCSR, 2, 3);
	set(f, PCI_COMMAND, 2, 0);
	set(f, PMCSR, 2, 0);
	assert_false(config_memory_enabled(f->c));
}

/* A raw write in D3hot is lost, and with it what it had turned off. */
static void memory_turned_off_raw_in_d3hot_comes_back(void **state)
{
	struct fixture *f = *state;

	set(f, PMCSR, 2, 3);
	raw_set(f, PCI_COMMAND, 2, 0);
	set(f, PMCSR, 2, 0);
	assert_true(config_memory_enabled(f->c));
	raw_set(f, PCI_COMMAND, 2, 0);
	set(f, PMCSR, 2, 3);
	set(f, PMCSR, 2, 0);
	assert_false(config_memory_enabled(f->c));
	set(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_true(config_memory_enabled(f->c));
}

static void no_soft_reset_keeps_what_was_written_in_d3hot(void **state)
{
	struct fixture *f = *state;
	struct sv_shape shape = nvme_like;

	shape.no_soft_reset = true;
	shape_is(f, &shape);
	assert_int_equal(get(f, PMCSR, 2), PCI_PM_CTRL_NO_SOFT_RESET);
	set(f, PMCSR, 2, 3);
	assert_int_equal(get(f, PMCSR, 2), PCI_PM_CTRL_NO_SOFT_RESET | 3);
	set(f, PCI_COMMAND, 2, 0x6);
	set(f, PMCSR, 2, 0);
	assert_int_equal(get(f, PCI_COMMAND, 2), 0x6);
	assert_true(config_bus_master(f->c));
	assert_true(config_memory_enabled(f->c));
}

static void d1_and_d2_do_not_exist(void **state)
{
	struct fixture *f = *state;

	set(f, PMCSR, 2, 1);
	set(f, PMCSR, 2, 2);
	no_event(f);
	assert_int_equal(get(f, PMCSR, 2) & 3, 0);
	set(f, PMCSR, 2, 3);
	set(f, PMCSR, 2, 1); /* nor is there a way up to them */
	assert_int_equal(get(f, PMCSR, 2) & 3, 3);
	assert_int_equal(f->n_events, 1);
}

static void power_changes_only_through_the_first_byte(void **state)
{
	struct fixture *f = *state;

	set(f, PMCSR + 1, 1, 3);
	set(f, PMCSR + 2, 2, 3);
	no_event(f);
	set(f, PMCSR, 4, 3);
	assert_int_equal(one_event(f, POWER).arg2, 3);
}

static void flr_self_clears_and_resets(void **state)
{
	struct fixture *f = *state;
	uint32_t devctl = get(f, DEVCTL, 2);

	set(f, PCI_COMMAND, 2, 0x7);
	f->n_events = 0;
	set(f, DEVCTL, 2, devctl | PCI_EXP_DEVCTL_BCR_FLR);
	one_event(f, RESET);
	assert_int_equal(get(f, DEVCTL, 2), devctl);
	assert_int_equal(raw(f, DEVCTL, 2), devctl);
	assert_int_equal(get(f, PCI_COMMAND, 2), 0x7);
	set(f, DEVCTL + 1, 1, 0x80); /* clears MRRS, too */
	one_event(f, RESET);
	assert_int_equal(get(f, DEVCTL, 2), 0x0010);
}

static void a_function_without_power_management_stays_in_d0(void **state)
{
	struct fixture *f = *state;
	struct sv_shape shape = {
		.vendor = 1, .device = 2, .no_pcie = true, .no_pm = true};

	shape_is(f, &shape);
	assert_int_equal(get(f, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST, 0);
	assert_int_equal(get(f, PCI_CAPABILITY_LIST, 1), 0);
	set(f, PM + PCI_PM_CTRL, 2, 3);
	raw_set(f, PM + PCI_PM_CTRL, 2, 3);
	no_event(f);
	assert_int_equal(get(f, PM + PCI_PM_CTRL, 2), 0);
}

static void flr_without_devcap_flr_only_self_clears(void **state)
{
	struct fixture *f = *state;
	struct sv_shape shape = nvme_like;

	assert_true(get(f, EXP + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR);
	shape.no_flr = true;
	shape_is(f, &shape);
	assert_false(get(f, EXP + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR);
	set(f, DEVCTL, 2, 0xffff);
	raw_set(f, DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	no_event(f);
	assert_false(get(f, DEVCTL, 2) & PCI_EXP_DEVCTL_BCR_FLR);
}

static void mps_is_virtual_and_mrrs_not_below_it(void **state)
{
	struct fixture *f = *state;

	raw_set(f, DEVCTL, 2, PCI_EXP_DEVCTL_PAYLOAD_256B);
	set(f, DEVCTL, 2, PCI_EXP_DEVCTL_PAYLOAD_4096B);
	assert_int_equal(get(f, DEVCTL, 2), PCI_EXP_DEVCTL_PAYLOAD_4096B);
	/* asked for 128, got the hardware's MPS; hardware kept that */
	assert_int_equal(raw(f, DEVCTL, 2), PCI_EXP_DEVCTL_PAYLOAD_256B |
						    PCI_EXP_DEVCTL_READRQ_256B);
	set(f, DEVCTL, 2, PCI_EXP_DEVCTL_READRQ_1024B);
	assert_int_equal(raw(f, DEVCTL, 2),
			 PCI_EXP_DEVCTL_PAYLOAD_256B |
				 PCI_EXP_DEVCTL_READRQ_1024B);
	set(f, DEVCTL, 2, PCI_EXP_DEVCTL_READRQ); /* a reserved size */
	assert_int_equal(get(f, DEVCTL, 2), PCI_EXP_DEVCTL_READRQ);
	assert_int_equal(raw(f, DEVCTL, 2) & PCI_EXP_DEVCTL_READRQ,
			 PCI_EXP_DEVCTL_READRQ_1024B);
}

static void devctl_reaches_hardware_devctl2_except_ari(void **state)
{
	struct fixture *f = *state;

	set(f, DEVCTL, 2, 0x0e1f);
	assert_int_equal(raw(f, DEVCTL, 2), 0x081f);
	assert_int_equal(get(f, DEVCTL, 2), 0x081f);
	set(f, EXP + PCI_EXP_DEVCTL2, 2, 0xffff);
	assert_int_equal(get(f, EXP + PCI_EXP_DEVCTL2, 2), 0x10);
}

static void the_rest_of_pcie_is_read_only(void **state)
{
	struct fixture *f = *state;
	uint8_t before[0x3c], after[0x3c];

	assert_int_equal(config_read(f->c, EXP, before, 0x3c), 0x3c);
	for (unsigned int off = 0; off < 0x3c; off += 2)
		if (off != PCI_EXP_DEVCTL && off != PCI_EXP_DEVCTL2)
			set(f, EXP + off, 2, 0xffff);
	assert_int_equal(config_read(f->c, EXP, after, 0x3c), 0x3c);
	assert_memory_equal(before, after, 0x3c);
	no_event(f);
}

static void msi_enable_and_size_count_only_while_vfio_has_it_on(void **state)
{
	struct fixture *f = *state;
	uint32_t idle = get(f, MSICTL, 2);

	assert_int_equal(idle, 0x0186); /* 8 vectors, 64 bit, masks */
	set(f, MSICTL, 2, idle | PCI_MSI_FLAGS_ENABLE | 3 << 4);
	assert_int_equal(get(f, MSICTL, 2), idle);
	assert_int_equal(raw(f, MSICTL, 2), idle);

	config_set_msi(f->c, 4);
	assert_int_equal(get(f, MSICTL, 2), idle); /* not yet written */
	assert_int_equal(raw(f, MSICTL, 2), idle | 1 | 2 << 4);
	set(f, MSICTL, 2, idle | PCI_MSI_FLAGS_ENABLE | 3 << 4);
	assert_int_equal(get(f, MSICTL, 2), idle | 1 | 2 << 4);
	set(f, MSICTL, 2, idle | PCI_MSI_FLAGS_ENABLE | 1 << 4);
	assert_int_equal(get(f, MSICTL, 2), idle | 1 | 1 << 4);
	assert_int_equal(raw(f, MSICTL, 2), idle | 1 | 1 << 4);
	set(f, MSICTL, 1, idle);
	assert_int_equal(raw(f, MSICTL, 2), idle);

	config_set_msi(f->c, 0);
	assert_false(raw(f, MSICTL, 2) & PCI_MSI_FLAGS_ENABLE);
	set(f, MSICTL, 2, idle | PCI_MSI_FLAGS_ENABLE);
	assert_int_equal(get(f, MSICTL, 2), idle);
}

/* As in Linux: the check runs for pieces that end just before the register. */
static void msi_enable_left_over_goes_with_the_next_write(void **state)
{
	struct fixture *f = *state;

	config_set_msi(f->c, 1);
	set(f, MSICTL, 1, 0x87);
	config_set_msi(f->c, 0);
	assert_int_equal(get(f, MSICTL, 1), 0x87);
	set(f, MSICTL + 1, 1, 0); /* beyond the register's first byte */
	assert_int_equal(get(f, MSICTL, 1), 0x87);
	set(f, MSI, 2, 0);
	assert_int_equal(get(f, MSICTL, 1), 0x86);
}

static void msi_address_and_data_are_virtual(void **state)
{
	struct fixture *f = *state;

	set(f, MSI + PCI_MSI_ADDRESS_LO, 4, 0xfee00abc);
	set(f, MSI + PCI_MSI_ADDRESS_HI, 4, 0x12345678);
	set(f, MSI + PCI_MSI_DATA_64, 4, 0xfeed4021);
	assert_int_equal(get(f, MSI + PCI_MSI_ADDRESS_LO, 4), 0xfee00abc);
	assert_int_equal(get(f, MSI + PCI_MSI_ADDRESS_HI, 4), 0x12345678);
	assert_int_equal(get(f, MSI + PCI_MSI_DATA_64, 4), 0x4021);
	for (unsigned int off = PCI_MSI_ADDRESS_LO; off < 16; off += 4)
		assert_int_equal(raw(f, MSI + off, 4), 0);
}

static void msi_masks_are_hardwares_and_follow_the_vectors(void **state)
{
	struct fixture *f = *state;
	const unsigned int mask = MSI + PCI_MSI_MASK_64;
	struct sv_shape shape = nvme_like;

	set(f, mask, 4, ~0u);
	set(f, MSI + PCI_MSI_PENDING_64, 4, ~0u);
	assert_int_equal(get(f, mask, 4), 0xff);
	assert_int_equal(raw(f, mask, 4), 0xff);
	assert_int_equal(get(f, MSI + PCI_MSI_PENDING_64, 4), 0);
	config_set_msi(f->c, 2);
	assert_int_equal(get(f, mask, 4), 0xfc);
	config_set_msi(f->c, 0);
	assert_int_equal(get(f, mask, 4), 0);

	shape.msi = 32;
	shape_is(f, &shape);
	set(f, mask, 4, ~0u);
	assert_int_equal(get(f, mask, 4), ~0u);
	config_set_msi(f->c, 32);
	assert_int_equal(get(f, mask, 4), 0);

	shape.msi_maskable = false;
	shape_is(f, &shape);
	assert_int_equal(get(f, MSICTL, 2), 0x008a);
	set(f, mask, 4, ~0u);
	assert_int_equal(get(f, mask, 4), 0);
}

static void msix_control_is_the_ioctls_alone(void **state)
{
	struct fixture *f = *state;
	const unsigned int control = MSIX + PCI_MSIX_FLAGS;

	assert_int_equal(get(f, control, 2), 32);
	assert_int_equal(get(f, MSIX + PCI_MSIX_TABLE, 4), 0x203);
	assert_int_equal(get(f, MSIX + PCI_MSIX_PBA, 4), 0x803);
	set(f, control, 2, 0xffff);
	assert_int_equal(get(f, control, 2), 32);
	config_set_msix(f->c, true);
	assert_int_equal(get(f, control, 2), 0x8020);
	set(f, control, 2, 0);
	assert_int_equal(get(f, control, 2), 0x8020);
	assert_int_equal(raw(f, PCI_COMMAND, 2), 0x403);
	config_set_msix(f->c, false);
	assert_int_equal(get(f, control, 2), 32);
	assert_int_equal(raw(f, PCI_COMMAND, 2), 0x3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(capability_list_has_what_the_shape_has),
		T(bytes_of_no_capability_are_read_only_hardware),
		T(pme_cannot_be_seen_or_enabled),
		T(d3hot_closes_memory_and_is_announced_first),
		T(back_to_d0_loses_what_was_written_in_d3hot),
		T(memory_written_in_d3hot_counts_in_d0),
		T(memory_turned_off_raw_in_d3hot_comes_back),
		T(no_soft_reset_keeps_what_was_written_in_d3hot),
		T(d1_and_d2_do_not_exist),
		T(power_changes_only_through_the_first_byte),
		T(flr_self_clears_and_resets),
		T(a_function_without_power_management_stays_in_d0),
		T(flr_without_devcap_flr_only_self_clears),
		T(mps_is_virtual_and_mrrs_not_below_it),
		T(devctl_reaches_hardware_devctl2_except_ari),
		T(the_rest_of_pcie_is_read_only),
		T(msi_enable_and_size_count_only_while_vfio_has_it_on),
		T(msi_enable_left_over_goes_with_the_next_write),
		T(msi_address_and_data_are_virtual),
		T(msi_masks_are_hardwares_and_follow_the_vectors),
		T(msix_control_is_the_ioctls_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What leaves the memory gate as it was, open or closed: resets, which close it
 * for as long as they last, and what has nothing to do with it.
 */
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "conformance/gate.h"
#include "conformance/type1.h"

#define DMA_AT 0x200000u

static struct vfio v;
static const struct role *role;

typedef void pass_fn(void);

static void pass_reset(void)
{
	say_step("reset", ioctl(v.device, VFIO_DEVICE_RESET));
}

static void pass_flr(void)
{
	unsigned int cap = cap_need(v.device, PCI_CAP_ID_EXP);

	if (!(cfg(v.device, cap + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR))
		skip("no FLR");
	uint32_t val = cfg(v.device, cap + PCI_EXP_DEVCTL, 2);

	cfg_set(v.device, cap + PCI_EXP_DEVCTL, 2,
		val | PCI_EXP_DEVCTL_BCR_FLR);
}

static void pass_flr_af(void)
{
	unsigned int cap = cap_need(v.device, PCI_CAP_ID_AF);

	cfg_set(v.device, cap + PCI_AF_CTRL, 1, PCI_AF_CTRL_FLR);
}

static void pass_hot_reset(void)
{
	/* argsz, flags, count, one descriptor */
	uint32_t arg[4] = {sizeof(arg), 0, 1, (uint32_t)v.group};
	long ret;

	/* somebody who is in the middle of an access is in the way */
	do
		ret = ioctl(v.device, VFIO_DEVICE_PCI_HOT_RESET, arg);
	while (ret && errno == EBUSY);
	say_step("hot_reset", ret);
}

static void pass_command_same(void)
{
	command(v.device, 0, 0);
}

static void pass_command_others(void)
{
	command(v.device, PCI_COMMAND_IO, PCI_COMMAND_MASTER);
	command(v.device, PCI_COMMAND_MASTER, PCI_COMMAND_IO);
}

/* The upper byte alone is no access to COMMAND.MEMORY. */
static void pass_command_upper(void)
{
	cfg_set(v.device, PCI_COMMAND + 1, 1, 0x04);
	cfg_set(v.device, PCI_COMMAND + 1, 1, 0);
}

static void pass_bars(void)
{
	for (unsigned int i = 0; i < 6; i++) {
		unsigned int pos = PCI_BASE_ADDRESS_0 + 4 * i;
		uint32_t old = cfg(v.device, pos, 4);

		cfg_set(v.device, pos, 4, UINT32_MAX);
		cfg_set(v.device, pos, 4, old);
	}
}

static void pass_rom_info(void)
{
	say("flags=%#x", region_flags(v.device, VFIO_PCI_ROM_REGION_INDEX));
}

static void pass_rom_enable(void)
{
	uint32_t old = cfg(v.device, PCI_ROM_ADDRESS, 4);

	cfg_set(v.device, PCI_ROM_ADDRESS, 4, old ^ PCI_ROM_ADDRESS_ENABLE);
	cfg_set(v.device, PCI_ROM_ADDRESS, 4, old);
}

static void pass_irq(uint32_t index)
{
	if (!irq_count(v.device, index))
		skip("no such interrupt");
	say_step("set", irq_trigger(v.device, index, 0, event_new()));
	irq_off(v.device, index);
}

static void pass_intx(void)
{
	pass_irq(INTX);
}

static void pass_msi(void)
{
	pass_irq(MSI);
}

static void pass_msix(void)
{
	pass_irq(MSIX);
}

static void pass_awake(void)
{
	unsigned int pm = cap_need(v.device, PCI_CAP_ID_PM) + PCI_PM_CTRL;

	cfg_set(v.device, pm, 2, 0);
}

static void pass_exit(void)
{
	say_step("exit", device_feature(v.device,
					VFIO_DEVICE_FEATURE_LOW_POWER_EXIT |
						VFIO_DEVICE_FEATURE_SET,
					NULL, 0));
}

static const struct pass {
	const char *name;
	pass_fn *fn;
	bool resets;
} passes[] = {
	{"reset", pass_reset, true},
	{"flr", pass_flr, true},
	{"flr_af", pass_flr_af, true},
	{"hot_reset", pass_hot_reset, true},
	{"command_same", pass_command_same, false},
	{"command_others", pass_command_others, false},
	{"command_upper", pass_command_upper, false},
	{"bars", pass_bars, false},
	{"rom_info", pass_rom_info, false},
	{"rom_enable", pass_rom_enable, false},
	{"intx", pass_intx, false},
	{"msi", pass_msi, false},
	{"msix", pass_msix, false},
	{"awake", pass_awake, false},
	{"exit", pass_exit, false},
};

static const struct pass *pass;

static void pass_touched(const void *arg)
{
	uint8_t *m = bar_map(v.device, REGION(role->bar), 2 * PAGE);

	say_touch("before", m, false);
	pass->fn();
	say_touch("after", m, false);
	say_touch("second_page", m + PAGE, false);
	say_step("pread",
		 pread(v.device, &(uint32_t){0}, 4, (off_t)kept_at(role)));
}

static void pass_contents(const void *arg)
{
	volatile uint32_t *kept = kept_map(v.device, role);

	*kept = KEPT;
	pass->fn();
	say_kept("mapped", role, *kept);
	say_kept("read", role, rd32(v.device, kept_at(role)));
	*kept = KEPT;
	say_kept("again", role, *kept);
}

static void pass_closed(const void *arg)
{
	uint8_t *m = bar_map(v.device, REGION(role->bar), PAGE);

	command(v.device, PCI_COMMAND_MEMORY, 0);
	pass->fn();
	say_touch("closed", m, false);
	say_step("pread",
		 pread(v.device, &(uint32_t){0}, 4, (off_t)kept_at(role)));
	command(v.device, 0, PCI_COMMAND_MEMORY);
	say_touch("open", m, false);
}

static void pass_child(const void *arg)
{
	uint8_t *m = bar_map(v.device, REGION(role->bar), PAGE);
	int ends[2];

	say_touch("before", m, false);
	turns_new(ends);
	pid_t pid = fork();

	if (!pid) {
		turn_take(ends[1]);
		say_touch("child", m, false);
		_exit(0);
	}
	pass->fn();
	turn_pass(ends[0]);
	need(waitpid(pid, NULL, 0), "waitpid");
	say_touch("parent", m, false);
}

/* Somebody who uses it meanwhile: is it seen? */
static void pass_used(const void *arg)
{
	user_start(bar_map(v.device, REGION(role->bar), PAGE));
	for (int i = 0; i < 3; i++)
		pass->fn();
	say("signals=%u", user_end());
}

/* DMA to and from other memory is not the gate's business. */
static void pass_dma(const void *arg)
{
	uint64_t size = PAGE;

	need(dma_map(v.container, anon(PAGE), DMA_AT, PAGE, MAP_RW), "MAP_DMA");
	pass->fn();
	say_mappings(v.container);
	say_step("unmap", dma_unmap(v.container, DMA_AT, &size, 0));
}

static void each_pass(void)
{
	static const struct {
		const char *name;
		case_fn *fn;
		bool always; /* asked of what resets nothing, too */
	} views[] = {
		{"touched", pass_touched, true},
		{"contents", pass_contents, false},
		{"closed", pass_closed, true},
		{"child", pass_child, false},
		{"used", pass_used, false},
		{"dma", pass_dma, false},
	};

	for (size_t p = 0; p < COUNT(passes); p++) {
		pass = &passes[p];
		for (size_t i = 0; i < COUNT(views); i++)
			if (pass->resets || views[i].always)
				run(views[i].fn, NULL, "%s.pass.%s.%s",
				    role->name, pass->name, views[i].name);
	}
}

static void after(void)
{
	gate_quiet(&v);
}

void gate_passes(void)
{
	run_after(after);
	for (size_t i = 0; i < ROLES; i++) {
		role = &roles_all[i];
		/* of the edus, only the third has a slot of its own */
		fixture_open(&v, role->name, i ? 0 : 2, DEVICE,
			     VFIO_TYPE1v2_IOMMU);
		each_pass();
		fixture_close(&v);
	}
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space as vfio-pci shows it: what is virtual, what can be
 * written, and what a write does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <linux/pci_regs.h>

#include "tests/abi/abi.h"

static unsigned long sysfs_hex(const char *role, const char *file)
{
	char path[128];
	char text[32] = {0};

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s",
		 function(role)->bdf, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return strtoul(text, NULL, 16);
}

/* A write that is taken and changes nothing. */
static void read_only(int d, unsigned int pos, unsigned int size,
		      const char *what)
{
	uint32_t before = cfg(d, pos, size);

	want(cfg_set(d, pos, size, ~before), size, "config: a write of %s",
	     what);
	want(cfg(d, pos, size), before, "config: %s is read-only", what);
}

static void check_identity(const char *role, int d)
{
	want(cfg(d, PCI_VENDOR_ID, 2), (long)sysfs_hex(role, "vendor"),
	     "config: %s: vendor as in sysfs", role);
	want(cfg(d, PCI_DEVICE_ID, 2), (long)sysfs_hex(role, "device"),
	     "config: %s: device as in sysfs", role);
	read_only(d, PCI_VENDOR_ID, 2, "vendor");
	read_only(d, PCI_DEVICE_ID, 2, "device");
	read_only(d, PCI_CLASS_REVISION, 4, "class and revision");
	read_only(d, PCI_HEADER_TYPE, 1, "header type");
	read_only(d, PCI_SUBSYSTEM_VENDOR_ID, 4, "subsystem");
	read_only(d, PCI_CAPABILITY_LIST, 1, "capability pointer");
	read_only(d, PCI_INTERRUPT_PIN, 1, "interrupt pin");
	ok(cfg(d, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST,
	   "config: %s: has capabilities", role);
}

static void check_command(int d)
{
	uint16_t at_open = (uint16_t)cfg(d, PCI_COMMAND, 2);

	want(at_open & PCI_COMMAND_MASTER, 0, "config: opens with MASTER off");
	want(at_open & PCI_COMMAND_MEMORY, PCI_COMMAND_MEMORY,
	     "config: opens with MEMORY on");
	want(cfg_set(d, PCI_COMMAND, 2, at_open | PCI_COMMAND_MASTER), 2,
	     "config: a write of COMMAND");
	want(cfg(d, PCI_COMMAND, 2) & PCI_COMMAND_MASTER, PCI_COMMAND_MASTER,
	     "config: MASTER can be set");
	set_command(d, PCI_COMMAND_MASTER, 0);
	want(cfg(d, PCI_COMMAND, 2) & PCI_COMMAND_MASTER, 0,
	     "config: MASTER can be cleared");
	set_command(d, 0, PCI_COMMAND_INTX_DISABLE);
	want(cfg(d, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE,
	     PCI_COMMAND_INTX_DISABLE, "config: INTX_DISABLE can be set");
	set_command(d, PCI_COMMAND_INTX_DISABLE, 0);
	want(cfg(d, PCI_COMMAND, 2), at_open, "config: COMMAND as at open");
	set_command(d, PCI_COMMAND_MEMORY, 0);
	want(cfg(d, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY, 0,
	     "config: MEMORY can be cleared");
	want(rd32(d, BAR0), UINT32_MAX, "config: then the BAR is gone");
	cfg_set(d, PCI_COMMAND, 1, at_open & 0xff);
	want(cfg(d, PCI_COMMAND, 2), at_open,
	     "config: MEMORY set by a byte write");
	want(rd32(d, BAR0), EDU_ID_VALUE, "config: then the BAR is back");
}

static void check_scratch(int d)
{
	cfg_set(d, PCI_INTERRUPT_LINE, 1, 0x5a);
	want(cfg(d, PCI_INTERRUPT_LINE, 1), 0x5a,
	     "config: interrupt line keeps what is written");
	cfg_set(d, PCI_CACHE_LINE_SIZE, 1, 0x10);
	want(cfg(d, PCI_CACHE_LINE_SIZE, 1), 0x10,
	     "config: cache line size keeps what is written");
	cfg_set(d, PCI_CACHE_LINE_SIZE, 1, 0);
}

/* Sizing: write ones, read the mask; the device does not notice. */
static void size_bar(int d, const char *what, unsigned int pos, uint32_t mask,
		     uint32_t value, uint32_t kept)
{
	uint32_t old = cfg(d, pos, 4);

	want(cfg_set(d, pos, 4, ~0u), 4, "config: %s: write of ones", what);
	want(cfg(d, pos, 4), mask, "config: %s: its mask", what);
	cfg_set(d, pos, 4, value);
	want(cfg(d, pos, 4), kept, "config: %s: keeps an address", what);
	cfg_set(d, pos, 4, old);
	want(cfg(d, pos, 4), old, "config: %s: is put back", what);
}

static void check_edu_bars(int d)
{
	size_bar(d, "edu BAR 0", 0x10, 0xfff00000, 0xa5a5a5a5, 0xa5a00000);
	size_bar(d, "edu BAR 1, absent", 0x14, 0, 0xa5a5a5a5, 0);
	size_bar(d, "edu ROM, absent", 0x30, 0, 0xa5a5a5a5, 0);
	cfg_set(d, 0x10, 4, ~0u);
	want(rd32(d, BAR0), EDU_ID_VALUE,
	     "config: a BAR works while it is sized");
	cfg_set(d, 0x10, 4, 0);
	cfg_set(d, 0x13, 1, 0xc5);
	want(cfg(d, 0x10, 4), 0xc5000000, "config: a BAR written by a byte");
	want(cfg(d, 0x12, 2), 0xc500, "config: a BAR read by a word");
	cfg_set(d, 0x12, 2, 0xb6f7);
	want(cfg(d, 0x10, 4), 0xb6f00000, "config: a BAR written by a word");
}

static void check_edu2_bars(int d)
{
	size_bar(d, "edu2 I/O BAR", 0x20, 0xffffffc1, 0x1234, 0x1201);
	size_bar(d, "edu2 ROM", 0x30, 0xfffff001, 0xa5a5a5a4, 0xa5a5a000);
	cfg_set(d, 0x30, 4, 0xfffff800);
	want(cfg(d, 0x30, 4), 0xfffff000, "config: ROM sizing by fffff800");
}

static void check_ram_bars(int d)
{
	uint32_t low = cfg(d, 0x18, 4);
	uint32_t mask = (uint32_t) ~(region_size(d, 2) - 1) | 0xc;

	want(low & 0xf, 0xc, "config: ram BAR 2 is 64-bit prefetchable");
	size_bar(d, "ram BAR 2", 0x18, mask, 0xa5a5a5a5,
		 (0xa5a5a5a5u & mask & ~0xfu) | 0xc);
	size_bar(d, "ram BAR 2, upper half", 0x1c, 0xffffffff, 0x12, 0x12);
	want(cfg(d, PCI_INTERRUPT_PIN, 1), 0, "config: ram has no pin");
}

/* Any way of reading gives the same bytes. */
static void check_pieces(int d)
{
	uint8_t all[256] = {0};
	bool same = true;

	want(R(pread(d, all, 256, CONFIG)), 256, "config: 256 bytes at once");
	for (unsigned int pos = 0; pos < 256; pos++) {
		for (unsigned int size = 1; size <= 8 && pos + size <= 256;
		     size++) {
			uint8_t some[8] = {0};

			if (pread(d, some, size, (off_t)(CONFIG + pos)) !=
			    (ssize_t)size)
				same = false;
			same &= !memcmp(some, all + pos, size);
		}
	}
	ok(same, "config: 1 to 8 bytes at any offset are the same bytes");
}

static void check_capabilities(const char *role, int d)
{
	unsigned int pos = cfg(d, PCI_CAPABILITY_LIST, 1);
	bool sane = true;
	bool known = true;
	int n = 0;

	while (pos && sane && n++ < 48) {
		uint8_t id = (uint8_t)cfg(d, pos, 1);

		sane = pos >= 0x40 && pos % 4 == 0;
		known &= id == PCI_CAP_ID_PM || id == PCI_CAP_ID_MSI ||
			 id == PCI_CAP_ID_MSIX || id == PCI_CAP_ID_EXP ||
			 id == PCI_CAP_ID_VPD || id == PCI_CAP_ID_AF ||
			 id == PCI_CAP_ID_VNDR;
		pos = cfg(d, pos + 1, 1);
	}
	ok(sane && n && n < 48, "config: %s: the capability list ends", role);
	ok(known, "config: %s: has only what vfio-pci lets through", role);
}

static void check_power(const char *role, int d, uint64_t bar)
{
	unsigned int pm = find_cap(d, PCI_CAP_ID_PM);

	if (!pm) {
		skip("config: %s has no power management", role);
		return;
	}
	void *m = mmap(NULL, PAGE, RW, MAP_SHARED, d, (off_t)bar);
	uint32_t ctrl = pm + PCI_PM_CTRL;

	set_command(d, 0, PCI_COMMAND_MEMORY);
	want(cfg(d, ctrl, 2) & 3, 0, "power: %s: opens in D0", role);
	cfg_set(d, ctrl, 2, PCI_PM_CTRL_PME_ENABLE);
	want(cfg(d, ctrl, 2) & PCI_PM_CTRL_PME_ENABLE, 0,
	     "power: %s: PME cannot be enabled", role);
	want(cfg_set(d, ctrl, 2, 3), 2, "power: %s: to D3hot", role);
	want(cfg(d, ctrl, 2) & 3, 3, "power: %s: is in D3hot", role);
	want(R(pread(d, &(uint32_t){0}, 4, (off_t)bar)), -EIO,
	     "power: %s: pread in D3hot is EIO", role);
	want(touch(m, false).signal, SIGBUS,
	     "power: %s: a mapping in D3hot is SIGBUS", role);
	want(cfg(d, PCI_VENDOR_ID, 2), (long)sysfs_hex(role, "vendor"),
	     "power: %s: config works in D3hot", role);
	want(cfg_set(d, ctrl, 2, 0), 2, "power: %s: to D0", role);
	want(cfg(d, ctrl, 2) & 3, 0, "power: %s: is in D0", role);
	want(R(pread(d, &(uint32_t){0}, 4, (off_t)bar)), 4,
	     "power: %s: pread works again", role);
	want(touch(m, false).signal, 0, "power: %s: the mapping works again",
	     role);
	munmap(m, PAGE);
}

static void check_msi_control(int d)
{
	unsigned int pos = find_cap(d, PCI_CAP_ID_MSI);
	unsigned int flags = pos + PCI_MSI_FLAGS;

	if (!ok(pos, "msi_cap: is there"))
		return;
	cfg_set(d, flags, 2, cfg(d, flags, 2) | PCI_MSI_FLAGS_ENABLE);
	want(cfg(d, flags, 2) & PCI_MSI_FLAGS_ENABLE, 0,
	     "msi_cap: cannot be enabled by a config write");
	cfg_set(d, pos + PCI_MSI_ADDRESS_LO, 4, 0xfee00000);
	want(cfg(d, pos + PCI_MSI_ADDRESS_LO, 4), 0xfee00000,
	     "msi_cap: keeps an address");
	cfg_set(d, pos + PCI_MSI_DATA_64, 2, 0x1234);
	want(cfg(d, pos + PCI_MSI_DATA_64, 2), 0x1234, "msi_cap: keeps data");
	int event = event_fd();

	irq_eventfd(d, 1, 0, event);
	cfg_set(d, flags, 2, cfg(d, flags, 2) | PCI_MSI_FLAGS_ENABLE);
	want(cfg(d, flags, 2) & PCI_MSI_FLAGS_ENABLE, PCI_MSI_FLAGS_ENABLE,
	     "msi_cap: can be enabled once SET_IRQS has");
	want((cfg(d, flags, 2) & PCI_MSI_FLAGS_QMASK) >> 1, 0,
	     "msi_cap: one vector allocated, one announced");
	cfg_set(d, flags, 2,
		PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_64BIT | 3 << 4);
	want((cfg(d, flags, 2) & PCI_MSI_FLAGS_QSIZE) >> 4, 0,
	     "msi_cap: no more than allocated can be asked for");
	set_irqs(d, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 1, 0,
		 0, NULL, 0);
	cfg_set(d, flags, 2, cfg(d, flags, 2) | PCI_MSI_FLAGS_ENABLE);
	want(cfg(d, flags, 2) & PCI_MSI_FLAGS_ENABLE, 0,
	     "msi_cap: not any more after SET_IRQS disabled it");
	close(event);
}

static void check_msix_control(int d)
{
	unsigned int pos = find_cap(d, PCI_CAP_ID_MSIX);
	unsigned int flags = pos + PCI_MSIX_FLAGS;
	int event = event_fd();

	if (!ok(pos, "msix_cap: is there"))
		return;
	read_only(d, flags, 2, "MSI-X control");
	read_only(d, pos + PCI_MSIX_TABLE, 4, "MSI-X table place");
	read_only(d, pos + PCI_MSIX_PBA, 4, "MSI-X PBA place");
	irq_eventfd(d, 2, 0, event);
	want(cfg(d, flags, 2) & PCI_MSIX_FLAGS_ENABLE, PCI_MSIX_FLAGS_ENABLE,
	     "msix_cap: shows enabled after SET_IRQS");
	read_only(d, flags, 2, "MSI-X control when enabled");
	set_irqs(d, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 2, 0,
		 0, NULL, 0);
	want(cfg(d, flags, 2) & PCI_MSIX_FLAGS_ENABLE, 0,
	     "msix_cap: shows disabled after SET_IRQS");
	close(event);
}

#define NVME_AQA 0x24u /* plain memory of the controller, 0 after a reset */

static void check_flr(int d)
{
	unsigned int exp = find_cap(d, PCI_CAP_ID_EXP);
	unsigned int ctl = exp + PCI_EXP_DEVCTL;

	if (!exp || !(cfg(d, exp + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR)) {
		skip("flr: the nvme has none");
		return;
	}
	uint8_t *m = mmap(NULL, PAGE, RW, MAP_SHARED, d, (off_t)BAR0);

	set_command(d, 0, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	wr32(d, BAR0 + NVME_AQA, 0x001f001f);
	want(rd32(d, BAR0 + NVME_AQA), 0x001f001f, "flr: a register is set");
	want(cfg_set(d, ctl, 2, cfg(d, ctl, 2) | PCI_EXP_DEVCTL_BCR_FLR), 2,
	     "flr: the write");
	want(cfg(d, ctl, 2) & PCI_EXP_DEVCTL_BCR_FLR, 0,
	     "flr: the bit reads 0");
	want(rd32(d, BAR0 + NVME_AQA), 0, "flr: the register is reset");
	want(cfg(d, PCI_COMMAND, 2) & 6, 6, "flr: COMMAND is as before");
	want(touch(m, false).signal, 0, "flr: a mapping made before works");
	set_command(d, PCI_COMMAND_MEMORY, 0);
	cfg_set(d, ctl, 2, cfg(d, ctl, 2) | PCI_EXP_DEVCTL_BCR_FLR);
	want(touch(m, false).signal, SIGBUS, "flr: does not enable memory");
	set_command(d, 0, PCI_COMMAND_MEMORY);
	munmap(m, PAGE);
}

static void check_express(int d)
{
	unsigned int exp = find_cap(d, PCI_CAP_ID_EXP);

	if (!ok(exp, "exp_cap: the nvme has it"))
		return;
	read_only(d, exp + PCI_EXP_FLAGS, 2, "PCI Express flags");
	read_only(d, exp + PCI_EXP_DEVCAP, 4, "device capabilities");
	read_only(d, exp + PCI_EXP_LNKCTL, 2, "link control");
	unsigned int ctl = exp + PCI_EXP_DEVCTL;
	uint32_t old = cfg(d, ctl, 2);
	uint32_t other = (old & ~(uint32_t)PCI_EXP_DEVCTL_READRQ) |
			 PCI_EXP_DEVCTL_READRQ_256B;

	cfg_set(d, ctl, 2, other);
	want(cfg(d, ctl, 2) & PCI_EXP_DEVCTL_READRQ, PCI_EXP_DEVCTL_READRQ_256B,
	     "exp_cap: keeps the maximum read request");
	cfg_set(d, ctl, 2, old);
}

/* The next opener finds nothing of what the last one did. */
static void check_fresh(void)
{
	struct vfio v;

	vfio_open(&v, "edu");
	set_command(v.device, PCI_COMMAND_MEMORY,
		    PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	cfg_set(v.device, 0x10, 4, 0xabc00000);
	vfio_close(&v);
	vfio_open(&v, "edu");
	uint32_t command = cfg(v.device, PCI_COMMAND, 2);

	want(command & PCI_COMMAND_MASTER, 0, "reopen: MASTER is off");
	want(command & PCI_COMMAND_MEMORY, PCI_COMMAND_MEMORY,
	     "reopen: MEMORY is on");
	want(command & PCI_COMMAND_INTX_DISABLE, 0,
	     "reopen: INTX_DISABLE is off");
	ok(cfg(v.device, 0x10, 4) != 0xabc00000, "reopen: BAR 0 is fresh");
	vfio_close(&v);
}

static void config_of(const char *role, void (*check)(int device))
{
	struct vfio v;

	if (!have(role))
		return;
	vfio_open(&v, role);
	check_identity(role, v.device);
	check_capabilities(role, v.device);
	check(v.device);
	vfio_close(&v);
}

static void config_edu(int d)
{
	check_command(d);
	check_scratch(d);
	check_edu_bars(d);
	check_pieces(d);
	check_power("edu", d, BAR0);
	check_msi_control(d);
}

static void config_edu2(int d)
{
	check_edu2_bars(d);
	check_msix_control(d);
}

static void config_nvme(int d)
{
	check_express(d);
	check_flr(d);
	check_power("nvme", d, BAR0);
	check_pieces(d);
}

static void config_ram(int d)
{
	check_ram_bars(d);
	check_power("ram", d, BAR2);
}

void test_config(void)
{
	config_of("edu", config_edu);
	config_of("edu2", config_edu2);
	config_of("nvme", config_nvme);
	config_of("ram", config_ram);
	if (function("edu"))
		check_fresh();
}

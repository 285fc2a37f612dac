/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space as vfio-pci shows it: what each byte takes, the sizing
 * of BARs, and what happens to the capabilities whose writes mean something.
 *
 * A byte is named by the capability it belongs to and its place in that: where
 * in the space a device has its capabilities is its own affair.
 */
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>

#include "conformance/device.h"

static struct vfio v;

/* The bits of COMMAND that are VFIO's and the program's affair */
static void say_command(const char *key)
{
	say("%s=%#x", key,
	    cfg(v.device, PCI_COMMAND, 2) &
		    (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
		     PCI_COMMAND_INTX_DISABLE));
}

/* Each byte */

/** struct part - Bytes that belong together */
struct part {
	const char *name;
	uint16_t id;   /* of the capability; 0: the header */
	bool extended; /* an extended capability */
	uint16_t size;
	uint8_t skipped; /* what says where the next one is */
};

enum part_index { HEADER, PART_MSI, PART_MSIX, PART_PM, PART_EXP, PART_AER };

static const struct part parts[] = {
	[HEADER] = {"header", 0, false, PCI_STD_HEADER_SIZEOF, 0},
	[PART_MSI] = {"msi", PCI_CAP_ID_MSI, false, 14, 0},
	[PART_MSIX] = {"msix", PCI_CAP_ID_MSIX, false, PCI_CAP_MSIX_SIZEOF, 0},
	[PART_PM] = {"pm", PCI_CAP_ID_PM, false, PCI_PM_SIZEOF, 0},
	[PART_EXP] = {"exp", PCI_CAP_ID_EXP, false, 60, 0},
	[PART_AER] = {"aer", PCI_EXT_CAP_ID_ERR, true, 44, 0},
};

static unsigned int part_find(const struct part *part)
{
	unsigned int pos;

	if (!part->id)
		return 0;
	if (!part->extended)
		return cap_need(v.device, (uint8_t)part->id);
	pos = ecap_find(v.device, part->id);
	if (!pos)
		skip("no such capability");
	return pos;
}

/** struct byte - One byte and what is written to it */
struct byte {
	const struct part *part;
	unsigned int offset;
	uint8_t pattern;
};

/* The pointer to the next capability tells of the device's own layout. */
static bool is_link(const struct byte *b)
{
	if (b->part->extended)
		return b->offset == 2 || b->offset == 3;
	return b->part->id ? b->offset == PCI_CAP_LIST_NEXT
			   : b->offset == PCI_CAPABILITY_LIST;
}

static void byte(const void *arg)
{
	const struct byte *b = arg;
	unsigned int pos = part_find(b->part) + b->offset;
	uint32_t before = cfg(v.device, pos, 1);

	say_ret(pwrite(v.device, &b->pattern, 1, (off_t)(CONFIG + pos)));
	uint32_t after = cfg(v.device, pos, 1);

	if (is_link(b))
		say("kept=%d", after == before);
	else
		say("read=%#x", after);
	cfg_set(v.device, pos, 1, before);
	if (cfg(v.device, pos, 1) != before)
		say("restored=0");
}

static void each_byte(const char *role, const struct part *part)
{
	struct byte b = {.part = part};

	for (b.offset = 0; b.offset < part->size; b.offset++) {
		b.pattern = 0xff;
		run(byte, &b, "%s.%s.%02x.ones", role, part->name, b.offset);
		b.pattern = 0;
		run(byte, &b, "%s.%s.%02x.zeroes", role, part->name, b.offset);
	}
}

/* The rest belongs to nobody, or to what a program is not shown. */

static void own_bytes(bool *owned, unsigned int pos, unsigned int size)
{
	for (unsigned int i = 0; i < size; i++)
		owned[pos + i] = true;
}

static void own_parts(bool *owned)
{
	for (size_t i = 0; i < COUNT(parts); i++) {
		const struct part *p = &parts[i];
		unsigned int pos = p->extended ? ecap_find(v.device, p->id)
				   : p->id ? cap_find(v.device, (uint8_t)p->id)
					   : 0;

		if (pos || !p->id)
			own_bytes(owned, pos, p->size);
	}
}

static void rest(const void *arg)
{
	const uint8_t pattern = *(const uint8_t *)arg;
	unsigned int size = (unsigned int)region_size(
		v.device, VFIO_PCI_CONFIG_REGION_INDEX);
	bool *owned = calloc(size + 64, sizeof(*owned));
	unsigned int refused = 0;
	unsigned int taken = 0;
	unsigned int partly = 0;

	own_parts(owned);
	for (unsigned int pos = 0x40; pos < size; pos++) {
		if (owned[pos])
			continue;
		uint8_t before = (uint8_t)cfg(v.device, pos, 1);
		uint8_t val = pattern;

		if (pwrite(v.device, &val, 1, (off_t)(CONFIG + pos)) != 1)
			refused++;
		val = (uint8_t)cfg(v.device, pos, 1);
		taken += val == pattern && val != before;
		partly += val != pattern && val != before;
		cfg_set(v.device, pos, 1, before);
	}
	say("refused=%u taken=%u partly=%u", refused, taken, partly);
}

/* Capabilities, by id; their order and places are the device's. */

static void caps(const void *arg)
{
	bool there[256] = {false};
	unsigned int pos = cfg(v.device, PCI_CAPABILITY_LIST, 1);

	for (int i = 0; pos && i < 48; i++) {
		there[cfg(v.device, pos, 1)] = true;
		pos = cfg(v.device, pos + PCI_CAP_LIST_NEXT, 1);
	}
	for (unsigned int id = 0; id < COUNT(there); id++)
		if (there[id])
			say("id=%#x", id);
	say("end=%u", pos);
}

static void ecaps(const void *arg)
{
	unsigned int pos = PCI_CFG_SPACE_SIZE;

	if (region_size(v.device, VFIO_PCI_CONFIG_REGION_INDEX) <= pos)
		skip("no extended space");
	for (int i = 0; pos && i < 96; i++) {
		uint32_t head = cfg(v.device, pos, 4);

		say("id=%#x v=%u", PCI_EXT_CAP_ID(head), PCI_EXT_CAP_VER(head));
		pos = PCI_EXT_CAP_NEXT(head);
	}
}

/* Sizing */

struct sizing {
	unsigned int pos;
	unsigned int size; /* of each write */
	uint32_t pattern;
};

static void write_in_pieces(const struct sizing *s)
{
	for (unsigned int at = 0; at < 4; at += s->size)
		cfg_set(v.device, s->pos + at, s->size, s->pattern >> (8 * at));
}

static void sizing(const void *arg)
{
	const struct sizing *s = arg;
	uint32_t before = cfg(v.device, s->pos, 4);

	write_in_pieces(s);
	say("read=%#x", cfg(v.device, s->pos, 4));
	say("byte=%#x", cfg(v.device, s->pos + 3, 1));
	say("word=%#x", cfg(v.device, s->pos, 2));
	cfg_set(v.device, s->pos, 4, before);
	say("back=%d", cfg(v.device, s->pos, 4) == before);
}

static void each_sizing(const char *role)
{
	static const struct {
		const char *name;
		uint32_t val;
	} patterns[] = {
		{"ones", ~0u},	     {"zeroes", 0}, {"a5", 0xa5a5a5a5},
		{"rom", 0xfffff800}, {"bit0", 1},
	};
	struct sizing s;

	for (unsigned int bar = 0; bar < 7; bar++) {
		s.pos = bar < 6 ? PCI_BASE_ADDRESS_0 + 4 * bar
				: PCI_ROM_ADDRESS;
		for (size_t i = 0; i < COUNT(patterns); i++) {
			s.pattern = patterns[i].val;
			s.size = 4;
			run(sizing, &s, "%s.sizing.%u.%s", role, bar,
			    patterns[i].name);
		}
		for (s.size = 1; s.size <= 2; s.size++) {
			s.pattern = 0xa5b6c7d8;
			run(sizing, &s, "%s.sizing.%u.by_%u", role, bar,
			    s.size);
		}
	}
}

/* A BAR answers whatever a program writes where its address would be. */
static void sizing_works(const void *arg)
{
	const struct role *role = arg;
	unsigned int pos = PCI_BASE_ADDRESS_0 + 4 * role->bar;
	uint32_t before = cfg(v.device, pos, 4);
	uint32_t first = rd32(v.device, REGION(role->bar));

	cfg_set(v.device, pos, 4, ~0u);
	say("same=%d", rd32(v.device, REGION(role->bar)) == first);
	cfg_set(v.device, pos, 4, before);
}

/* COMMAND */

struct command_write {
	unsigned int pos;
	unsigned int size;
	uint64_t val;
	uint32_t bar;
};

static void say_bar(uint32_t bar)
{
	uint32_t val;

	say_step("bar", pread(v.device, &val, 4, (off_t)REGION(bar)));
}

static void command_write(const void *arg)
{
	const struct command_write *w = arg;

	say_ret(pwrite(v.device, &w->val, w->size, (off_t)(CONFIG + w->pos)));
	say("command=%#x", cfg(v.device, PCI_COMMAND, 2));
	say_bar(w->bar);
}

static void each_command(const struct role *role)
{
	struct command_write w = {.bar = role->bar};

	w.pos = PCI_COMMAND;
	w.size = 2;
	for (unsigned int bit = 0; bit < 16; bit++) {
		w.val = 1u << bit;
		run(command_write, &w, "%s.command.only_%u", role->name, bit);
		w.val = 1u << bit | PCI_COMMAND_MEMORY;
		run(command_write, &w, "%s.command.memory_%u", role->name, bit);
	}
	/* memory off, and on, by pieces that begin elsewhere */
	for (w.pos = 0; w.pos < 8; w.pos++) {
		for (w.size = 1; w.size <= 8; w.size *= 2) {
			w.val = 0;
			run(command_write, &w, "%s.command.off_at_%u_of_%u",
			    role->name, w.pos, w.size);
			w.val = 0x0202020202020202;
			run(command_write, &w, "%s.command.on_at_%u_of_%u",
			    role->name, w.pos, w.size);
		}
	}
}

/* Without memory: each way to reach a BAR, and config as ever. */
static void memory_off(const void *arg)
{
	const struct role *role = arg;
	uint8_t *m = bar_map(v.device, REGION(role->bar), PAGE);
	uint32_t val = 0;

	say_touch("before", m, false);
	command(v.device, PCI_COMMAND_MEMORY, 0);
	say_step("pread", pread(v.device, &val, 4, (off_t)REGION(role->bar)));
	say_step("pwrite", pwrite(v.device, &val, 4, (off_t)REGION(role->bar)));
	say_touch("load", m, false);
	say_touch("store", m, true);
	say("vendor=%#x", cfg(v.device, PCI_VENDOR_ID, 2));
	command(v.device, 0, PCI_COMMAND_MEMORY);
	say_touch("after", m, false);
}

/* Power management */

struct power {
	const struct role *role;
	unsigned int from;
	unsigned int to;
};

static void power(const void *arg)
{
	const struct power *p = arg;
	unsigned int pm = cap_need(v.device, PCI_CAP_ID_PM) + PCI_PM_CTRL;
	uint8_t *m = bar_map(v.device, REGION(p->role->bar), PAGE);

	cfg_set(v.device, pm, 2, p->from);
	say("from=%u", cfg(v.device, pm, 2) & 3);
	say_step("write", pwrite(v.device, &p->to, 2, (off_t)(CONFIG + pm)));
	say("to=%u", cfg(v.device, pm, 2) & 3);
	say_bar(p->role->bar);
	say_touch("load", m, false);
	say_command("command");
	cfg_set(v.device, pm, 2, 0);
	say("end=%u", cfg(v.device, pm, 2) & 3);
	say_touch("after", m, false);
}

/* The same by a byte, and a write of the byte beside it. */
static void power_bytes(const void *arg)
{
	const struct role *role = arg;
	unsigned int pm = cap_need(v.device, PCI_CAP_ID_PM) + PCI_PM_CTRL;

	cfg_set(v.device, pm, 1, 3);
	say("by_byte=%u", cfg(v.device, pm, 2) & 3);
	cfg_set(v.device, pm + 1, 1, 0);
	say("byte_beside=%u", cfg(v.device, pm, 2) & 3);
	cfg_set(v.device, pm, 1, 0);
	cfg_set(v.device, pm, 4, 3);
	say("by_dword=%u", cfg(v.device, pm, 2) & 3);
	cfg_set(v.device, pm, 4, 0);
	say("back=%u", cfg(v.device, pm, 2) & 3);
	say_bar(role->bar);
}

static void power_registers(const void *arg)
{
	unsigned int pm = cap_need(v.device, PCI_CAP_ID_PM);

	cfg_set(v.device, pm + PCI_PM_CTRL, 2, 0xfffc);
	say("ctrl=%#x", cfg(v.device, pm + PCI_PM_CTRL, 2));
	cfg_set(v.device, pm + PCI_PM_CTRL, 2, 0);
	say("ctrl=%#x", cfg(v.device, pm + PCI_PM_CTRL, 2));
}

/* What a program set before D3hot, after it. */
static void power_keeps(const void *arg)
{
	unsigned int pm = cap_need(v.device, PCI_CAP_ID_PM) + PCI_PM_CTRL;
	uint32_t bar = cfg(v.device, PCI_BASE_ADDRESS_0, 4);

	command(v.device, 0, PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	cfg_set(v.device, PCI_BASE_ADDRESS_0, 4, ~0u);
	cfg_set(v.device, PCI_INTERRUPT_LINE, 1, 0x5a);
	cfg_set(v.device, PCI_CACHE_LINE_SIZE, 1, 0x10);
	uint32_t mask = cfg(v.device, PCI_BASE_ADDRESS_0, 4);

	cfg_set(v.device, pm, 2, 3);
	cfg_set(v.device, pm, 2, 0);
	say_command("command");
	say("bar=%d", cfg(v.device, PCI_BASE_ADDRESS_0, 4) == mask);
	say("line=%#x", cfg(v.device, PCI_INTERRUPT_LINE, 1));
	say("cache_line=%#x", cfg(v.device, PCI_CACHE_LINE_SIZE, 1));
	cfg_set(v.device, PCI_BASE_ADDRESS_0, 4, bar);
	cfg_set(v.device, PCI_CACHE_LINE_SIZE, 1, 0);
}

static void power_command(const void *arg)
{
	const struct role *role = arg;
	unsigned int pm = cap_need(v.device, PCI_CAP_ID_PM) + PCI_PM_CTRL;

	cfg_set(v.device, pm, 2, 3);
	command(v.device, PCI_COMMAND_MEMORY, 0);
	say_command("off");
	cfg_set(v.device, pm, 2, 0);
	say_command("woken");
	say_bar(role->bar);
	command(v.device, 0, PCI_COMMAND_MEMORY);
	say_bar(role->bar);
}

static void each_power(const struct role *role)
{
	struct power p = {.role = role};

	for (p.from = 0; p.from < 4; p.from++)
		for (p.to = 0; p.to < 4; p.to++)
			run(power, &p, "%s.power.%u_to_%u", role->name, p.from,
			    p.to);
	run(power_bytes, role, "%s.power.bytes", role->name);
	run(power_registers, role, "%s.power.registers", role->name);
	run(power_keeps, role, "%s.power.keeps", role->name);
	run(power_command, role, "%s.power.command", role->name);
}

/* Function-level reset by PCI Express, and by Advanced Features */

static unsigned int flr_control(void)
{
	unsigned int exp = cap_need(v.device, PCI_CAP_ID_EXP);

	if (!(cfg(v.device, exp + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR))
		skip("no FLR");
	return exp + PCI_EXP_DEVCTL;
}

static void flr(void)
{
	unsigned int ctl = flr_control();
	uint32_t old = cfg(v.device, ctl, 2);

	cfg_set(v.device, ctl, 2, old | PCI_EXP_DEVCTL_BCR_FLR);
	say("bit=%d", !!(cfg(v.device, ctl, 2) & PCI_EXP_DEVCTL_BCR_FLR));
	say("same=%d", cfg(v.device, ctl, 2) == old);
}

static void flr_byte(const void *arg)
{
	unsigned int ctl = flr_control() + 1;

	cfg_set(v.device, ctl, 1,
		cfg(v.device, ctl, 1) | PCI_EXP_DEVCTL_BCR_FLR >> 8);
	say("bit=%d", !!(cfg(v.device, ctl, 1) & PCI_EXP_DEVCTL_BCR_FLR >> 8));
}

static void flr_keeps(const void *arg)
{
	uint32_t bar = cfg(v.device, PCI_BASE_ADDRESS_0, 4);
	const uint16_t set = PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE;

	flr_control();
	command(v.device, 0, set);
	cfg_set(v.device, PCI_BASE_ADDRESS_0, 4, ~0u);
	uint32_t mask = cfg(v.device, PCI_BASE_ADDRESS_0, 4);

	flr();
	say_command("command");
	say("bar=%d", cfg(v.device, PCI_BASE_ADDRESS_0, 4) == mask);
	cfg_set(v.device, PCI_BASE_ADDRESS_0, 4, bar);
}

static void flr_mapping(const void *arg)
{
	const struct role *role = arg;

	flr_control();
	uint8_t *m = bar_map(v.device, REGION(role->bar), PAGE);

	say_touch("before", m, false);
	flr();
	say_touch("after", m, false);
	say_bar(role->bar);
}

static void flr_disabled(const void *arg)
{
	const struct role *role = arg;

	flr_control();
	uint8_t *m = bar_map(v.device, REGION(role->bar), PAGE);

	command(v.device, PCI_COMMAND_MEMORY, 0);
	flr();
	say_command("command");
	say_touch("load", m, false);
	command(v.device, 0, PCI_COMMAND_MEMORY);
	say_touch("after", m, false);
}

static void flr_interrupts(const void *arg)
{
	int event = event_new();

	flr_control();
	say_step("set", irq_trigger(v.device, MSIX, 0, event));
	flr();
	say_step("loopback", set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER, MSIX, 0,
				      1, NULL, 0));
	say("events=%ld", event_now(event));
}

static const struct {
	const char *name;
	case_fn *fn;
} flrs[] = {
	{"byte", flr_byte},
	{"keeps", flr_keeps},
	{"mapping", flr_mapping},
	{"disabled", flr_disabled},
	{"interrupts", flr_interrupts},
};

/* MSI and MSI-X control */

static void msi_enable(const void *arg)
{
	unsigned int flags = cap_need(v.device, PCI_CAP_ID_MSI) + PCI_MSI_FLAGS;
	int event = event_new();
	const uint32_t on = PCI_MSI_FLAGS_ENABLE;

	cfg_set(v.device, flags, 2, cfg(v.device, flags, 2) | on);
	say("alone=%#x", cfg(v.device, flags, 2) & on);
	say_step("set", irq_trigger(v.device, MSI, 0, event));
	say("set=%#x", cfg(v.device, flags, 2) & on);
	cfg_set(v.device, flags, 2, cfg(v.device, flags, 2) | on);
	say("written=%#x", cfg(v.device, flags, 2) & on);
	cfg_set(v.device, flags, 2, cfg(v.device, flags, 2) & ~on);
	say("cleared=%#x", cfg(v.device, flags, 2) & on);
	say_step("loopback", set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER, MSI, 0,
				      1, NULL, 0));
	say("events=%ld", event_now(event));
	cfg_set(v.device, flags, 2, cfg(v.device, flags, 2) | on);
	irq_off(v.device, MSI);
	say("off=%#x", cfg(v.device, flags, 2) & on);
}

static void msi_queue(const void *arg)
{
	const uint32_t *size = arg;
	unsigned int flags = cap_need(v.device, PCI_CAP_ID_MSI) + PCI_MSI_FLAGS;
	uint32_t old = cfg(v.device, flags, 2) & ~(uint32_t)PCI_MSI_FLAGS_QSIZE;

	cfg_set(v.device, flags, 2, old | *size << 4);
	say("before=%u", (cfg(v.device, flags, 2) & PCI_MSI_FLAGS_QSIZE) >> 4);
	irq_trigger(v.device, MSI, 0, event_new());
	cfg_set(v.device, flags, 2, old | *size << 4);
	say("after=%u", (cfg(v.device, flags, 2) & PCI_MSI_FLAGS_QSIZE) >> 4);
	say("offered=%u", (cfg(v.device, flags, 2) & PCI_MSI_FLAGS_QMASK) >> 1);
	irq_off(v.device, MSI);
	cfg_set(v.device, flags, 2, old);
}

static void msi_address(const void *arg)
{
	unsigned int msi = cap_need(v.device, PCI_CAP_ID_MSI);

	cfg_set(v.device, msi + PCI_MSI_ADDRESS_LO, 4, 0xfee01234);
	cfg_set(v.device, msi + PCI_MSI_ADDRESS_HI, 4, 0x89abcdef);
	cfg_set(v.device, msi + PCI_MSI_DATA_64, 2, 0x4321);
	irq_trigger(v.device, MSI, 0, event_new());
	say("low=%#x", cfg(v.device, msi + PCI_MSI_ADDRESS_LO, 4));
	say("high=%#x", cfg(v.device, msi + PCI_MSI_ADDRESS_HI, 4));
	say("data=%#x", cfg(v.device, msi + PCI_MSI_DATA_64, 2));
	irq_off(v.device, MSI);
	say("low=%#x", cfg(v.device, msi + PCI_MSI_ADDRESS_LO, 4));
}

static void msix_control(const void *arg)
{
	const uint32_t bits = PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL;
	unsigned int flags =
		cap_need(v.device, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS;

	cfg_set(v.device, flags, 2, cfg(v.device, flags, 2) | bits);
	say("alone=%#x", cfg(v.device, flags, 2) & bits);
	say_step("set", irq_trigger(v.device, MSIX, 0, event_new()));
	say("set=%#x", cfg(v.device, flags, 2) & bits);
	cfg_set(v.device, flags, 2, cfg(v.device, flags, 2) & ~bits);
	say("cleared=%#x", cfg(v.device, flags, 2) & bits);
	cfg_set(v.device, flags, 2, cfg(v.device, flags, 2) | bits);
	say("masked=%#x", cfg(v.device, flags, 2) & bits);
	irq_off(v.device, MSIX);
	say("off=%#x", cfg(v.device, flags, 2) & bits);
}

/* The count MSI-X announces is the one SET_IRQS takes. */
static void msix_count(const void *arg)
{
	unsigned int flags =
		cap_need(v.device, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS;

	say("same=%d", (cfg(v.device, flags, 2) & PCI_MSIX_FLAGS_QSIZE) + 1 ==
			       irq_count(v.device, MSIX));
}

static void each_msi(const char *role)
{
	run(msi_enable, NULL, "%s.msi_enable", role);
	run(msi_address, NULL, "%s.msi_address", role);
	for (uint32_t size = 0; size < 8; size++)
		run(msi_queue, &size, "%s.msi_queue.%u", role, size);
	run(msix_control, NULL, "%s.msix_control", role);
	run(msix_count, NULL, "%s.msix_count", role);
}

/* Accesses of every size, also across dwords, capabilities and the end */

struct span {
	int from_end; /* the position counts from the end of the space */
	int pos;
	unsigned int size;
};

static void span_read(const void *arg)
{
	const struct span *s = arg;
	uint64_t end = s->from_end ? region_size(v.device,
						 VFIO_PCI_CONFIG_REGION_INDEX)
				   : 0;
	uint64_t pos = CONFIG + end + (uint64_t)s->pos;
	uint8_t buf[64];
	bool same = true;

	memset(buf, FILL, sizeof(buf));
	long ret = say_ret(pread(v.device, buf, s->size, (off_t)pos));

	for (long i = 0; i < ret; i++)
		same &= buf[i] ==
			cfg(v.device, (unsigned int)(pos - CONFIG + i), 1);
	if (ret > 0)
		say("same=%d", same);
	else
		say("first=%#x", buf[0]);
}

static void span_write(const void *arg)
{
	const struct span *s = arg;
	uint64_t end = s->from_end ? region_size(v.device,
						 VFIO_PCI_CONFIG_REGION_INDEX)
				   : 0;
	uint64_t pos = CONFIG + end + (uint64_t)s->pos;
	uint8_t buf[64] = {0};

	if (pread(v.device, buf, s->size, (off_t)pos) < 0)
		say("read=%s", errno_name(errno));
	say_ret(pwrite(v.device, buf, s->size, (off_t)pos));
}

static void run_span(const char *role, const struct span *s)
{
	const char *where = s->from_end ? "end_" : "";
	const char *sign = s->pos < 0 ? "minus_" : s->from_end ? "plus_" : "";

	run(span_read, s, "%s.read.%s%s%d.%u", role, where, sign, abs(s->pos),
	    s->size);
	run(span_write, s, "%s.write.%s%s%d.%u", role, where, sign, abs(s->pos),
	    s->size);
}

static void each_span(const char *role)
{
	static const unsigned int sizes[] = {0, 1, 2, 3, 4, 8, 16};
	static const int from_start[] = {0, 1, 2, 3, 0x3b, 0x3e};
	static const int from_end[] = {-8, -4, -3, -1, 0, 1, 4096};
	struct span s;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		s.size = sizes[i];
		s.from_end = 0;
		for (size_t at = 0; at < COUNT(from_start); at++) {
			s.pos = from_start[at];
			run_span(role, &s);
		}
		s.from_end = 1;
		for (size_t at = 0; at < COUNT(from_end); at++) {
			s.pos = from_end[at];
			run_span(role, &s);
		}
	}
}

/* Any way of reading gives the same bytes. */
static void pieces(const void *arg)
{
	uint8_t all[PCI_CFG_SPACE_SIZE];
	unsigned int other = 0;

	need(pread(v.device, all, sizeof(all), CONFIG), "config read");
	for (unsigned int pos = 0; pos < sizeof(all); pos++)
		for (unsigned int size = 1;
		     size <= 8 && pos + size <= sizeof(all); size++) {
			uint8_t some[8] = {0};

			need(pread(v.device, some, size, (off_t)(CONFIG + pos)),
			     "config read");
			other += memcmp(some, all + pos, size) != 0;
		}
	say("other=%u", other);
}

/* What sysfs says of the same registers */
static void say_sysfs(const char *name, unsigned int pos, unsigned int size)
{
	char path[128];
	unsigned int val = 0;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s",
		 v.function->bdf, name);
	FILE *f = fopen(path, "re");

	need(f ? 0 : -1, path);
	need(fscanf(f, "%x", &val) == 1 ? 0 : -1, path);
	fclose(f);
	say("%s=%d", name, val == cfg(v.device, pos, size));
}

static void sysfs(const void *arg)
{
	say_sysfs("vendor", PCI_VENDOR_ID, 2);
	say_sysfs("device", PCI_DEVICE_ID, 2);
	say_sysfs("revision", PCI_REVISION_ID, 1);
	say_sysfs("subsystem_vendor", PCI_SUBSYSTEM_VENDOR_ID, 2);
	say_sysfs("subsystem_device", PCI_SUBSYSTEM_ID, 2);
}

/* Several registers by one write, in the order of their bytes */
static void write_two_bars(const void *arg)
{
	uint64_t ones = ~0ull;
	uint64_t before = 0;
	uint64_t after = 0;

	need(pread(v.device, &before, 8, CONFIG + PCI_BASE_ADDRESS_0),
	     "read of two BARs");
	say_ret(pwrite(v.device, &ones, 8, CONFIG + PCI_BASE_ADDRESS_0));
	need(pread(v.device, &after, 8, CONFIG + PCI_BASE_ADDRESS_0),
	     "read of two BARs");
	say("read=%#" PRIx64, after);
	say_step("back",
		 pwrite(v.device, &before, 8, CONFIG + PCI_BASE_ADDRESS_0));
}

static void write_bad_memory(const void *arg)
{
	say_step("read", pread(v.device, nowhere(), 4, CONFIG));
	say_step("write", pwrite(v.device, nowhere(), 4, CONFIG));
	say_step("read_end", pread(v.device, edge(2), 4, CONFIG));
	uint8_t *end = edge(2);

	end[0] = end[1] = 0x77;
	say_step("write_end",
		 pwrite(v.device, end, 4, CONFIG + PCI_INTERRUPT_LINE - 2));
}

/* All of it by one call */
static void whole(const void *arg)
{
	static uint8_t buf[2 * PCI_CFG_SPACE_EXP_SIZE];
	size_t size = region_size(v.device, VFIO_PCI_CONFIG_REGION_INDEX);

	say_step("exact", pread(v.device, buf, size, CONFIG));
	say_step("more", pread(v.device, buf, size + 1, CONFIG));
	say_step("second_half",
		 pread(v.device, buf, size / 2, (off_t)(CONFIG + size / 2)));
}

/* The next opener finds a fresh space. */
static void fresh(const void *arg)
{
	const struct role *role = arg;

	vfio_open(&v, role->name, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	uint32_t bar = cfg(v.device, PCI_BASE_ADDRESS_0, 4);

	cfg_set(v.device, PCI_COMMAND, 2,
		PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	cfg_set(v.device, PCI_BASE_ADDRESS_0, 4, 0xabc00000);
	cfg_set(v.device, PCI_INTERRUPT_LINE, 1, 0x5a);
	cfg_set(v.device, PCI_CACHE_LINE_SIZE, 1, 0x10);
	vfio_close(&v);
	vfio_open(&v, role->name, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	say_command("command");
	say("bar=%d", cfg(v.device, PCI_BASE_ADDRESS_0, 4) == bar);
	say("line_set=%d", cfg(v.device, PCI_INTERRUPT_LINE, 1) == 0x5a);
	say("cache_line=%#x", cfg(v.device, PCI_CACHE_LINE_SIZE, 1));
	cfg_set(v.device, PCI_CACHE_LINE_SIZE, 1, 0);
}

static void after(void)
{
	if (v.device >= 0)
		device_quiet(v.device);
}

/* What a role is looked at for beside its header */
static const struct {
	const char *role;
	enum part_index part;
} role_parts[] = {
	{"edu", PART_MSI},  {"nvme", PART_PM},	{"nvme", PART_MSIX},
	{"nvme", PART_EXP}, {"nic", PART_PM},	{"nic", PART_MSI},
	{"nic", PART_EXP},  {"nic", PART_MSIX}, {"nic", PART_AER},
};

static void bytes_of(const char *role)
{
	static const uint8_t ones = 0xff;
	static const uint8_t zeroes = 0;

	each_byte(role, &parts[HEADER]);
	for (size_t i = 0; i < COUNT(role_parts); i++)
		if (!strcmp(role, role_parts[i].role))
			each_byte(role, &parts[role_parts[i].part]);
	run(rest, &ones, "%s.rest.ones", role);
	run(rest, &zeroes, "%s.rest.zeroes", role);
	run(caps, NULL, "%s.caps", role);
	run(ecaps, NULL, "%s.ecaps", role);
}

static void of_role(const struct role *role)
{
	const char *name = role->name;

	bytes_of(name);
	each_sizing(name);
	run(sizing_works, role, "%s.sizing.works", name);
	run(memory_off, role, "%s.memory_off", name);
	each_power(role);
	for (size_t i = 0; i < COUNT(flrs); i++)
		run(flrs[i].fn, role, "%s.flr.%s", name, flrs[i].name);
	each_msi(name);
	run(write_two_bars, NULL, "%s.write.two_bars", name);
	run(whole, NULL, "%s.whole", name);
	run(pieces, NULL, "%s.pieces", name);
	run(sysfs, NULL, "%s.sysfs", name);
}

void area_config(void)
{
	run_after(after);
	for (size_t i = 0; i < ROLES; i++) {
		const struct role *role = &roles_all[i];

		fixture_open(&v, role->name, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
		of_role(role);
		if (!strcmp(role->name, "edu") || !strcmp(role->name, "nvme")) {
			each_command(role);
			each_span(role->name);
		}
		if (!strcmp(role->name, "edu"))
			run(write_bad_memory, NULL, "edu.bad_memory");
		fixture_close(&v);
		run(fresh, role, "%s.fresh", role->name);
	}
}

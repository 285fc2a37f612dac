/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a function's configuration space looks like: one table per capability,
 * a row per register. Whatever a table does not name is read-only hardware.
 *
 *   0x00  header
 *   0x40  power management	     unless the shape has none
 *   0x50  MSI, 64-bit address	     when the shape has vectors
 *   0x70  MSI-X		     when the shape has vectors
 *   0x80  PCI Express endpoint, v2  unless conventional
 *   0xc0  Advanced Features	     conventional, when the shape says so
 *   0x100 extended space, empty     unless conventional
 *
 * The virt and write columns are vfio-pci's own permission tables; hw_write is
 * what a plain device implements.
 */
#include <assert.h>
#include <linux/pci_regs.h>

#include "core/pci/config_space.h"
#include "lib/cleanup.h"

#define ALL  0xffffffffu
#define NONE 0u

#define HEADER_MULTI 0x80 /* of the header type: a multi-function device */

/** struct reg - Masks of one register, relative to its capability */
struct reg {
	uint8_t off;
	uint8_t size;
	uint32_t virt;
	uint32_t write;
	uint32_t hw_write;
};

#define COMMAND_BITS                                                           \
	(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |            \
	 PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE)

/* BARs get their hw_write, which is their size, from the shape. */
static const struct reg header_regs[] = {
	{PCI_VENDOR_ID, 2, ALL, NONE, NONE},
	{PCI_DEVICE_ID, 2, ALL, NONE, NONE},
	{PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE, ALL, COMMAND_BITS},
	{PCI_STATUS, 2, PCI_STATUS_CAP_LIST, NONE, NONE},
	{PCI_CACHE_LINE_SIZE, 1, NONE, ALL, ALL},
	{PCI_LATENCY_TIMER, 1, NONE, ALL, NONE},
	{PCI_BIST, 1, NONE, ALL, NONE},
	{PCI_BASE_ADDRESS_0, 4, ALL, ALL, NONE},
	{PCI_BASE_ADDRESS_1, 4, ALL, ALL, NONE},
	{PCI_BASE_ADDRESS_2, 4, ALL, ALL, NONE},
	{PCI_BASE_ADDRESS_3, 4, ALL, ALL, NONE},
	{PCI_BASE_ADDRESS_4, 4, ALL, ALL, NONE},
	{PCI_BASE_ADDRESS_5, 4, ALL, ALL, NONE},
	{PCI_ROM_ADDRESS, 4, ALL, ALL, NONE},
	{PCI_CAPABILITY_LIST, 1, ALL, NONE, NONE},
	{PCI_INTERRUPT_LINE, 1, ALL, ALL, ALL},
	{PCI_INTERRUPT_PIN, 1, ALL, NONE, NONE},
};

#define PMCSR_PME (PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_PME_STATUS)

/* The power state is no plain register: a write is a request to change it. */
static const struct reg pm_regs[] = {
	{PCI_CAP_LIST_NEXT, 1, ALL, NONE, NONE},
	{PCI_PM_PMC, 2, PCI_PM_CAP_PME_MASK, NONE, NONE},
	{PCI_PM_CTRL, 4, PMCSR_PME, ~(PMCSR_PME | PCI_PM_CTRL_STATE_MASK),
	 NONE},
};

/* ALL of the control byte is the program's, read-only bits included: Linux. */
static const struct reg msi_regs[] = {
	{PCI_CAP_LIST_NEXT, 1, ALL, NONE, NONE},
	{PCI_MSI_FLAGS, 1, ALL, ALL,
	 PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE},
	{PCI_MSI_ADDRESS_LO, 4, ALL, ALL, ~3u},
	{PCI_MSI_ADDRESS_HI, 4, ALL, ALL, ALL},
	{PCI_MSI_DATA_64, 2, ALL, ALL, ALL},
};

/* Behind the above when vectors can be masked; hw_write is their number. */
static const struct reg msi_mask_regs[] = {
	{PCI_MSI_MASK_64, 4, NONE, ALL, NONE},
	{PCI_MSI_PENDING_64, 4, NONE, ALL, NONE},
};

static const struct reg msix_regs[] = {
	{PCI_CAP_LIST_NEXT, 1, ALL, NONE, NONE},
	{PCI_MSIX_FLAGS, 2, NONE, NONE,
	 PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL},
};

#define DEVCTL_VIRT                                                            \
	(PCI_EXP_DEVCTL_BCR_FLR | PCI_EXP_DEVCTL_PAYLOAD |                     \
	 PCI_EXP_DEVCTL_READRQ)
#define DEVCTL_HW                                                              \
	(PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE |    \
	 PCI_EXP_DEVCTL_URRE | PCI_EXP_DEVCTL_RELAX_EN |                       \
	 PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_NOSNOOP_EN |                  \
	 PCI_EXP_DEVCTL_READRQ)
#define LNKCTL_HW                                                              \
	(PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC |      \
	 PCI_EXP_LNKCTL_ES)

static const struct reg exp_regs[] = {
	{PCI_CAP_LIST_NEXT, 1, ALL, NONE, NONE},
	{PCI_EXP_DEVCTL, 2, DEVCTL_VIRT, ~(uint32_t)PCI_EXP_DEVCTL_PHANTOM,
	 DEVCTL_HW},
	{PCI_EXP_LNKCTL, 2, NONE, NONE, LNKCTL_HW},
	{PCI_EXP_DEVCTL2, 2, NONE, ~(uint32_t)PCI_EXP_DEVCTL2_ARI,
	 PCI_EXP_DEVCTL2_COMP_TMOUT_DIS},
};

static const struct reg af_regs[] = {
	{PCI_CAP_LIST_NEXT, 1, ALL, NONE, NONE},
	{PCI_AF_CTRL, 1, PCI_AF_CTRL_FLR, PCI_AF_CTRL_FLR, NONE},
};

static void set_regs(struct config *c, unsigned int pos, const struct reg *reg,
		     size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned int at = pos + reg[i].off;

		put_le(c->virt + at, reg[i].size, reg[i].virt);
		put_le(c->write + at, reg[i].size, reg[i].write);
		put_le(c->hw_write + at, reg[i].size, reg[i].hw_write);
	}
}

static void own(struct config *c, enum config_cap cap, unsigned int pos,
		unsigned int len)
{
	c->has[cap] = true;
	for (unsigned int i = 0; i < len; i++) {
		assert(c->cap[pos + i] == CAP_UNASSIGNED);
		c->cap[pos + i] = (uint8_t)cap;
		c->write[pos + i] = 0;
	}
}

static void add_header(struct config *c, const struct sv_shape *shape,
		       uint8_t irq_line) REQUIRES(&c->lock)
{
	uint16_t subsys_vendor =
		shape->subsys_vendor ? shape->subsys_vendor : shape->vendor;

	own(c, CAP_HEADER, 0, PCI_STD_HEADER_SIZEOF);
	set_regs(c, 0, header_regs, ARRAY_SIZE(header_regs));
	if (shape->no_pcie) /* PCI Express hardwires the latency timer to 0 */
		c->hw_write[PCI_LATENCY_TIMER] = 0xff;

	put_le(c->hw + PCI_VENDOR_ID, 2, shape->vendor);
	put_le(c->hw + PCI_DEVICE_ID, 2, shape->device);
	put_le(c->hw + PCI_CLASS_REVISION, 4,
	       shape->class_code << 8 | shape->revision);
	put_le(c->hw + PCI_SUBSYSTEM_VENDOR_ID, 2, subsys_vendor);
	put_le(c->hw + PCI_SUBSYSTEM_ID, 2, shape->subsys_device);
	c->hw[PCI_HEADER_TYPE] = shape->multifunction ? HEADER_MULTI : 0;
	c->hw[PCI_INTERRUPT_LINE] = irq_line;
	c->hw[PCI_INTERRUPT_PIN] = shape->no_intx ? 0 : 1;
}

static void add_base(struct config *c, unsigned int pos, uint64_t mask,
		     uint64_t base, uint32_t type, bool high) REQUIRES(&c->lock)
{
	put_le(c->hw_write + pos, 4, (uint32_t)mask);
	put_le(c->hw + pos, 4, (uint32_t)(base & mask) | type);
	if (!high)
		return;
	put_le(c->hw_write + pos + 4, 4, (uint32_t)(mask >> 32));
	put_le(c->hw + pos + 4, 4, (uint32_t)((base & mask) >> 32));
}

static uint32_t bar_type(const struct sv_bar *bar)
{
	uint32_t type = bar->prefetch ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0;

	if (bar->kind == SV_BAR_IO)
		return PCI_BASE_ADDRESS_SPACE_IO;
	if (bar->kind == SV_BAR_MEM64)
		type |= PCI_BASE_ADDRESS_MEM_TYPE_64;
	return type;
}

static void add_bars(struct config *c, const struct sv_shape *shape,
		     const uint64_t bar_base[7]) REQUIRES(&c->lock)
{
	for (unsigned int i = 0; i < SV_NUM_BARS; i++) {
		const struct sv_bar *bar = &shape->bar[i];

		if (bar->kind == SV_BAR_NONE)
			continue;
		add_base(c, PCI_BASE_ADDRESS_0 + 4 * i, ~(bar->size - 1),
			 bar_base[i], bar_type(bar), bar->kind == SV_BAR_MEM64);
		i += bar->kind == SV_BAR_MEM64; /* the next is its high half */
	}
	if (!shape->rom_size)
		return;
	add_base(c, PCI_ROM_ADDRESS, ~((uint64_t)shape->rom_size - 1),
		 bar_base[SV_NUM_BARS], 0, false);
	c->hw_write[PCI_ROM_ADDRESS] |= PCI_ROM_ADDRESS_ENABLE;
}

/* Append to the capability list; the link at *@link is the previous one's. */
static void add_cap(struct config *c, unsigned int *link, enum config_cap cap,
		    unsigned int pos, uint8_t id, unsigned int len)
	REQUIRES(&c->lock)
{
	own(c, cap, pos, len);
	c->hw[*link] = (uint8_t)pos;
	c->hw[pos + PCI_CAP_LIST_ID] = id;
	*link = pos + PCI_CAP_LIST_NEXT;
}

static void add_pm(struct config *c, unsigned int *link,
		   const struct sv_shape *shape) REQUIRES(&c->lock)
{
	add_cap(c, link, CAP_PM, PM_POS, PCI_CAP_ID_PM, PCI_PM_SIZEOF);
	set_regs(c, PM_POS, pm_regs, ARRAY_SIZE(pm_regs));
	put_le(c->hw + PM_POS + PCI_PM_PMC, 2, 3); /* version 1.2, no PME */
	if (shape->no_soft_reset)
		c->hw[PM_POS + PCI_PM_CTRL] = PCI_PM_CTRL_NO_SOFT_RESET;
	c->soft_reset = !shape->no_soft_reset;
}

static void add_msi(struct config *c, unsigned int *link,
		    const struct sv_shape *shape) REQUIRES(&c->lock)
{
	unsigned int log2 = (unsigned int)__builtin_ctz(shape->msi);
	uint32_t flags = PCI_MSI_FLAGS_64BIT | log2 << 1;

	add_cap(c, link, CAP_MSI, MSI_POS, PCI_CAP_ID_MSI,
		shape->msi_maskable ? 24 : 14);
	set_regs(c, MSI_POS, msi_regs, ARRAY_SIZE(msi_regs));
	if (shape->msi_maskable) {
		flags |= PCI_MSI_FLAGS_MASKBIT;
		c->msi_masks = (uint32_t)((1ull << shape->msi) - 1);
		set_regs(c, MSI_POS, msi_mask_regs, ARRAY_SIZE(msi_mask_regs));
		put_le(c->hw_write + MSI_POS + PCI_MSI_MASK_64, 4,
		       c->msi_masks);
	}
	put_le(c->hw + MSI_POS + PCI_MSI_FLAGS, 2, flags);
}

static void add_msix(struct config *c, unsigned int *link,
		     const struct sv_shape *shape) REQUIRES(&c->lock)
{
	add_cap(c, link, CAP_MSIX, MSIX_POS, PCI_CAP_ID_MSIX,
		PCI_CAP_MSIX_SIZEOF);
	set_regs(c, MSIX_POS, msix_regs, ARRAY_SIZE(msix_regs));
	put_le(c->hw + MSIX_POS + PCI_MSIX_FLAGS, 2, shape->msix - 1);
	put_le(c->hw + MSIX_POS + PCI_MSIX_TABLE, 4,
	       shape->msix_table | shape->msix_bar);
	put_le(c->hw + MSIX_POS + PCI_MSIX_PBA, 4,
	       shape->msix_pba | shape->msix_bar);
}

/* An endpoint with one lane at 2.5 GT/s, and power-on defaults of the spec. */
static void add_exp(struct config *c, unsigned int *link,
		    const struct sv_shape *shape) REQUIRES(&c->lock)
{
	uint8_t *p = c->hw + EXP_POS;

	add_cap(c, link, CAP_EXP, EXP_POS, PCI_CAP_ID_EXP,
		PCI_CAP_EXP_ENDPOINT_SIZEOF_V2);
	set_regs(c, EXP_POS, exp_regs, ARRAY_SIZE(exp_regs));
	c->flr = !shape->no_flr;
	put_le(p + PCI_EXP_FLAGS, 2, PCI_EXP_TYPE_ENDPOINT << 4 | 2);
	put_le(p + PCI_EXP_DEVCAP, 4,
	       PCI_EXP_DEVCAP_RBER | (c->flr ? PCI_EXP_DEVCAP_FLR : 0) |
		       1 /* payloads up to 256 bytes */);
	put_le(p + PCI_EXP_DEVCTL, 2,
	       PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN |
		       PCI_EXP_DEVCTL_READRQ_512B);
	put_le(p + PCI_EXP_LNKCAP, 4,
	       PCI_EXP_LNKCAP_SLS_2_5GB | 1 << 4 | 1 << 22 /* no ASPM */);
	put_le(p + PCI_EXP_LNKSTA, 2,
	       PCI_EXP_LNKSTA_CLS_2_5GB | PCI_EXP_LNKSTA_NLW_X1);
	put_le(p + PCI_EXP_DEVCAP2, 4, PCI_EXP_DEVCAP2_COMP_TMOUT_DIS);
	put_le(p + PCI_EXP_LNKCAP2, 4, PCI_EXP_LNKCAP2_SLS_2_5GB);
	put_le(p + PCI_EXP_LNKCTL2, 2, PCI_EXP_LNKCTL2_TLS_2_5GT);
}

static void add_af(struct config *c, unsigned int *link) REQUIRES(&c->lock)
{
	add_cap(c, link, CAP_AF, AF_POS, PCI_CAP_ID_AF, PCI_CAP_AF_SIZEOF);
	set_regs(c, AF_POS, af_regs, ARRAY_SIZE(af_regs));
	c->flr = true;
	c->hw[AF_POS + PCI_AF_LENGTH] = PCI_CAP_AF_SIZEOF;
	c->hw[AF_POS + PCI_AF_CAP] = PCI_AF_CAP_TP | PCI_AF_CAP_FLR;
}

void config_build(struct config *c, const struct sv_shape *shape,
		  uint8_t irq_line, const uint64_t bar_base[7])
{
	unsigned int link = PCI_CAPABILITY_LIST;

	c->size = shape->no_pcie ? CONFIG_SPACE_MIN : CONFIG_SPACE_MAX;
	/* what no capability owns passes through to (read-only) hardware */
	for (unsigned int i = PCI_STD_HEADER_SIZEOF; i < c->size; i++)
		c->write[i] = 0xff;
	add_header(c, shape, irq_line);
	add_bars(c, shape, bar_base);
	if (!shape->no_pm)
		add_pm(c, &link, shape);
	if (shape->msi)
		add_msi(c, &link, shape);
	if (shape->msix)
		add_msix(c, &link, shape);
	if (!shape->no_pcie)
		add_exp(c, &link, shape);
	else if (shape->af_flr)
		add_af(c, &link);
	if (link != PCI_CAPABILITY_LIST)
		put_le(c->hw + PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
}

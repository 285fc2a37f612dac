/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * A space has two copies of its bytes. hw is what the device would answer on
 * the bus; vconfig is vfio-pci's shadow. A program reads and writes through
 * masks that say, bit by bit, which of the two it means (config_space.h); how
 * is in config_access.c. Here is what happens to the bytes otherwise: open and
 * close, power and reset, and what the interrupt code sets.
 *
 * Queries take nothing: each critical section that may change an answer ends
 * with the answers published in one atomic word.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "core/pci/config_space.h"
#include "lib/sched.h"

enum {
	STATE_MEMORY = 1,
	STATE_IO = 2,
	STATE_MASTER = 4,
	STATE_D0 = 8,
};

/*
 * vfio looks at its own copy of COMMAND.MEMORY, whatever a wake-up from D3hot
 * has put back into the real one; a device whose real bit was cleared behind
 * its back (setpci) does not answer either.
 */
static void config_publish(struct config *c) REQUIRES(&c->lock)
{
	uint32_t hw = hw_get(c, PCI_COMMAND, 2);
	uint32_t virt = get_le(c->vconfig + PCI_COMMAND, 2);
	unsigned int state = 0;

	if (virt & PCI_COMMAND_MEMORY && !c->raw_off && c->power < POWER_D3HOT)
		state |= STATE_MEMORY;
	if (hw & PCI_COMMAND_IO)
		state |= STATE_IO;
	if (hw & PCI_COMMAND_MASTER && c->power == POWER_D0)
		state |= STATE_MASTER;
	if (c->power == POWER_D0)
		state |= STATE_D0;
	atomic_store_explicit(&c->state, state, memory_order_release);
}

void config_lock(struct config *c) ACQUIRES(&c->lock)
{
	mutex_lock(&c->lock);
}

void config_unlock(struct config *c) RELEASES(&c->lock)
{
	config_publish(c);
	mutex_unlock(&c->lock);
}

/* Interrupt enables as the interrupt code has set them */

static void put_msi(struct config *c) REQUIRES(&c->lock)
{
	uint32_t masks = 0;

	if (!c->has[CAP_MSI])
		return;
	if (c->msi_vectors) {
		hw_change(c, MSI_POS + PCI_MSI_FLAGS, PCI_MSI_FLAGS_QSIZE,
			  PCI_MSI_FLAGS_ENABLE | c->msi_qmax << 4);
		/* the kernel masks what it did not hand out */
		masks = c->msi_masks &
			~(uint32_t)((1ull << c->msi_vectors) - 1);
	} else {
		hw_change(c, MSI_POS + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE, 0);
	}
	if (c->msi_masks)
		hw_put(c, MSI_POS + PCI_MSI_MASK_64, 4, masks);
}

static void put_msix(struct config *c) REQUIRES(&c->lock)
{
	if (c->has[CAP_MSIX])
		hw_change(c, MSIX_POS + PCI_MSIX_FLAGS,
			  PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL,
			  c->msix_enabled ? PCI_MSIX_FLAGS_ENABLE : 0);
}

static void put_intx_disable(struct config *c, bool disable) REQUIRES(&c->lock)
{
	hw_change(c, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE,
		  disable ? PCI_COMMAND_INTX_DISABLE : 0);
}

/* Power */

static void put_power(struct config *c, unsigned int power) REQUIRES(&c->lock)
{
	c->power = power;
	hw_change(c, PM_POS + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK, power);
}

static void save_registers(const struct config *c,
			   uint8_t save[CONFIG_SPACE_MIN]) REQUIRES(&c->lock)
{
	memcpy(save, c->hw, CONFIG_SPACE_MIN);
}

static void restore_register(struct config *c, unsigned int pos,
			     const uint8_t save[CONFIG_SPACE_MIN])
	REQUIRES(&c->lock)
{
	store_bits(&c->hw[pos], save[pos], c->hw_write[pos]);
}

void config_enter_d3hot(struct config *c) REQUIRES(&c->lock)
{
	save_registers(c, c->d3_save);
	c->d3_raw_off = c->raw_off;
	put_power(c, POWER_D3HOT);
}

/*
 * The transition loses the registers and the kernel puts back what it saved on
 * the way in: either way, writes made in D3hot do not survive it.
 */
void config_enter_d0(struct config *c) REQUIRES(&c->lock)
{
	if (c->power == POWER_D0)
		return;
	if (c->soft_reset) {
		for (unsigned int i = 0; i < CONFIG_SPACE_MIN; i++)
			restore_register(c, i, c->d3_save);
		c->raw_off = c->d3_raw_off;
		put_msi(c);
		put_msix(c);
	}
	put_power(c, POWER_D0);
}

/* BARs */

void config_clip_bars(struct config *c) REQUIRES(&c->lock)
{
	for (unsigned int i = PCI_BASE_ADDRESS_0; i < PCI_ROM_ADDRESS + 4; i++)
		if (i < PCI_BASE_ADDRESS_5 + 4 || i >= PCI_ROM_ADDRESS)
			store_bits(&c->vconfig[i], c->hw[i],
				   (uint8_t)~c->hw_write[i]);
}

static void save_bars(struct config *c) REQUIRES(&c->lock)
{
	for (unsigned int i = 0; i < HEADER_BARS; i++)
		c->open_bar[i] = hw_get(c, PCI_BASE_ADDRESS_0 + 4 * i, 4);
	c->open_rom = hw_get(c, PCI_ROM_ADDRESS, 4);
}

/* Life */

/* vconfig as it is made at open: the hardware's values, PME events hidden. */
static void fresh_view(struct config *c) REQUIRES(&c->lock)
{
	const unsigned int pm = PM_POS;

	memcpy(c->vconfig, c->hw, c->size);
	put_le(c->vconfig + pm + PCI_PM_PMC, 2,
	       hw_get(c, pm + PCI_PM_PMC, 2) & ~(uint32_t)PCI_PM_CAP_PME_MASK);
	put_le(c->vconfig + pm + PCI_PM_CTRL, 2,
	       hw_get(c, pm + PCI_PM_CTRL, 2) &
		       ~(uint32_t)(PCI_PM_CTRL_PME_ENABLE |
				   PCI_PM_CTRL_PME_STATUS));
	config_clip_bars(c);
	save_bars(c);
	c->intx_disabled = false;
}

/* msi_qmax stays from one open to the next, as it does in vfio-pci. */
static void restart(struct config *c) REQUIRES(&c->lock)
{
	config_enter_d0(c);
	c->msi_vectors = 0;
	c->msix_enabled = false;
	put_msi(c);
	put_msix(c);
	hw_change(c, PCI_COMMAND,
		  PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
			  PCI_COMMAND_INTX_DISABLE,
		  PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	c->raw_off = false;
	fresh_view(c);
}

int config_new(const struct sv_shape *shape, uint8_t irq_line,
	       const uint64_t bar_base[7], const struct config_events *events,
	       void *opaque, struct config **ret_config)
{
	struct config *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	mutex_init(&c->lock, RANK_CONFIG, "config");
	cond_init(&c->idle);
	c->events = *events;
	c->opaque = opaque;
	config_lock(c);
	config_build(c, shape, irq_line, bar_base);
	restart(c);
	save_registers(c, c->open_save);
	config_unlock(c);
	*ret_config = c;
	return 0;
}

struct config *config_free(struct config *c)
{
	if (!c)
		return NULL;
	cond_done(&c->idle);
	mutex_done(&c->lock);
	free(c);
	return NULL;
}

bool config_can_reset(const struct config *c)
{
	return c->flr || c->soft_reset;
}

unsigned int config_size(const struct config *c)
{
	return c->size;
}

void config_open(struct config *c)
{
	config_lock(c);
	restart(c);
	save_registers(c, c->open_save);
	config_unlock(c);
}

/*
 * vfio-pci puts back what the first opener found, as far as the PCI core saves
 * it: MSI that is off stays as it was left.
 */
void config_close(struct config *c)
{
	config_lock(c);
	config_enter_d0(c);
	for (unsigned int i = 0; i < CONFIG_SPACE_MIN; i++)
		if (c->cap[i] == CAP_HEADER || c->cap[i] == CAP_EXP)
			restore_register(c, i, c->open_save);
	restart(c);
	config_unlock(c);
}

void config_reset(struct config *c)
{
	config_lock(c);
	config_enter_d0(c);
	put_msi(c);
	put_msix(c);
	config_unlock(c);
}

/* Queries */

static bool state_has(const struct config *c, unsigned int bit)
{
	sched_point("config state");
	return atomic_load_explicit(&c->state, memory_order_acquire) & bit;
}

bool config_memory_enabled(const struct config *c)
{
	return state_has(c, STATE_MEMORY);
}

bool config_io_enabled(const struct config *c)
{
	return state_has(c, STATE_IO);
}

bool config_bus_master(const struct config *c)
{
	return state_has(c, STATE_MASTER);
}

bool config_in_d0(const struct config *c)
{
	return state_has(c, STATE_D0);
}

/* What the interrupt code does */

void config_set_msi(struct config *c, unsigned int vectors)
{
	config_lock(c);
	c->msi_vectors = vectors;
	if (vectors)
		c->msi_qmax = (unsigned int)__builtin_ctz(vectors);
	put_msi(c);
	put_intx_disable(c, vectors); /* the kernel uses one or the other */
	config_unlock(c);
}

void config_set_msix(struct config *c, bool enable)
{
	config_lock(c);
	c->msix_enabled = enable;
	put_msix(c);
	put_intx_disable(c, enable);
	config_unlock(c);
}

void config_set_intx_status(struct config *c, bool pending)
{
	config_lock(c);
	hw_change(c, PCI_STATUS, PCI_STATUS_INTERRUPT,
		  pending ? PCI_STATUS_INTERRUPT : 0);
	config_unlock(c);
}

void config_set_intx_disable(struct config *c, bool disable)
{
	config_lock(c);
	put_intx_disable(c, disable);
	config_unlock(c);
}

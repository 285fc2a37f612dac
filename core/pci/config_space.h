/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes of a configuration space and what may be done to each bit, shared
 * by the code that builds them (config_build.c), reads and writes them
 * (config_access.c) and does the rest (config.c). Nobody else includes this.
 *
 * Everything about a bit is in three masks:
 *
 *   hw_write  hardware lets software change it (else it is read-only there)
 *   virt      the program reads it from vconfig, else from the hardware
 *   write     the program may change it, in vconfig or in hardware as virt says
 *
 * and cap[] says which capability a byte belongs to, since an access never
 * spans two.
 */
#ifndef SOFTVFIO_CORE_PCI_CONFIG_SPACE_H
#define SOFTVFIO_CORE_PCI_CONFIG_SPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/pci/config.h"
#include "lib/lock.h"

#define CONFIG_SPACE_MIN 256 /* without PCI Express */
#define HEADER_BARS	 6

enum config_cap {
	CAP_UNASSIGNED, /* between and behind capabilities */
	CAP_HEADER,
	CAP_PM,
	CAP_MSI,
	CAP_MSIX,
	CAP_EXP,
	CAP_AF,
	CAP_NUM,
};

/* Where the capabilities are; fixed, so that tests and people find them. */
#define PM_POS	 0x40
#define MSI_POS	 0x50
#define MSIX_POS 0x70
#define EXP_POS	 0x80
#define AF_POS	 0xc0

/* PMCSR.PowerState; D1 and D2 are not implemented */
#define POWER_D0    0
#define POWER_D3HOT 3

struct config {
	/* immutable once built */
	unsigned int size;
	bool has[CAP_NUM];
	bool flr;	    /* through PCIe or AF, whichever it has */
	bool soft_reset;    /* D3hot to D0 resets the function */
	uint32_t msi_masks; /* implemented bits of the MSI mask register */
	uint8_t cap[CONFIG_SPACE_MAX];
	uint8_t hw_write[CONFIG_SPACE_MAX];
	uint8_t virt[CONFIG_SPACE_MAX];
	uint8_t write[CONFIG_SPACE_MAX];
	struct config_events events;
	void *opaque;

	/* everything below, RANK_CONFIG; never held over an event */
	struct mutex lock;
	struct cond idle;		/* writing became false */
	bool writing GUARDED_BY(&lock); /* one writer, events included */
	uint8_t hw[CONFIG_SPACE_MAX] GUARDED_BY(&lock);
	uint8_t vconfig[CONFIG_SPACE_MAX] GUARDED_BY(&lock);
	/* the hardware's registers as they were when D3hot was entered */
	uint8_t d3_save[CONFIG_SPACE_MIN] GUARDED_BY(&lock);
	/* and at first open, for the last close */
	uint8_t open_save[CONFIG_SPACE_MIN] GUARDED_BY(&lock);
	uint32_t open_bar[HEADER_BARS] GUARDED_BY(&lock);
	uint32_t open_rom GUARDED_BY(&lock);
	unsigned int power GUARDED_BY(&lock);
	/* decode was turned off by a raw write, and was when D3hot was entered */
	bool raw_off GUARDED_BY(&lock);
	bool d3_raw_off GUARDED_BY(&lock);
	bool intx_disabled GUARDED_BY(&lock); /* what the event last said */
	unsigned int msi_vectors GUARDED_BY(&lock); /* 0: VFIO has it off */
	unsigned int msi_qmax GUARDED_BY(&lock);    /* log2 of the vectors */
	bool msix_enabled GUARDED_BY(&lock);

	/* what the lock-free queries answer from: STATE_*, see config_publish */
	atomic_uint state;
};

static inline uint32_t get_le(const uint8_t *p, unsigned int size)
{
	uint32_t val = 0;

	for (unsigned int i = 0; i < size; i++)
		val |= (uint32_t)p[i] << (8 * i);
	return val;
}

static inline void put_le(uint8_t *p, unsigned int size, uint32_t val)
{
	for (unsigned int i = 0; i < size; i++)
		p[i] = (uint8_t)(val >> (8 * i));
}

static inline uint32_t hw_get(const struct config *c, unsigned int pos,
			      unsigned int size) REQUIRES(&c->lock)
{
	return get_le(c->hw + pos, size);
}

static inline void hw_put(struct config *c, unsigned int pos, unsigned int size,
			  uint32_t val) REQUIRES(&c->lock)
{
	put_le(c->hw + pos, size, val);
}

static inline void hw_change(struct config *c, unsigned int pos, uint32_t clear,
			     uint32_t set) REQUIRES(&c->lock)
{
	hw_put(c, pos, 2, (hw_get(c, pos, 2) & ~clear) | set);
}

static inline void store_bits(uint8_t *p, uint8_t val, uint8_t mask)
{
	*p = (uint8_t)((*p & ~mask) | (val & mask));
}

/** config_build() - Fill in a zeroed space: values, masks, capability list */
void config_build(struct config *c, const struct sv_shape *shape,
		  uint8_t irq_line, const uint64_t bar_base[7])
	REQUIRES(&c->lock);

/** config_lock(), config_unlock() - The latter publishes for the queries */
void config_lock(struct config *c) ACQUIRES(&c->lock);
void config_unlock(struct config *c) RELEASES(&c->lock);

/** config_enter_d3hot(), config_enter_d0() - The transition; no events */
void config_enter_d3hot(struct config *c) REQUIRES(&c->lock);
void config_enter_d0(struct config *c) REQUIRES(&c->lock);

/**
 * config_clip_bars() - Sizing: the copies of BARs and ROM keep the bits that
 * hardware would keep
 */
void config_clip_bars(struct config *c) REQUIRES(&c->lock);

#endif

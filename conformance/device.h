/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the areas about an open device share: its registers and configuration
 * space, interrupts, and touches that may fault.
 */
#ifndef SOFTVFIO_CONFORMANCE_DEVICE_H
#define SOFTVFIO_CONFORMANCE_DEVICE_H

#include "conformance/conformance.h"

#define REGION(i)  ((uint64_t)(i) << VFIO_PCI_OFFSET_SHIFT)
#define ROM_REGION REGION(VFIO_PCI_ROM_REGION_INDEX)
#define CONFIG	   REGION(VFIO_PCI_CONFIG_REGION_INDEX)

/* Configuration space. A read that fails ends the case; so does a write. */
uint32_t cfg(int device, unsigned int pos, unsigned int size);
void cfg_set(int device, unsigned int pos, unsigned int size, uint32_t val);
/** command() - Clear and set bits of COMMAND */
void command(int device, uint16_t clear, uint16_t set);
/** cap_find() - Where the capability is; 0: not there */
unsigned int cap_find(int device, uint8_t id);
/** ecap_find() - The same in extended space */
unsigned int ecap_find(int device, uint16_t id);
/** cap_need() - Like cap_find(), but its absence skips the case */
unsigned int cap_need(int device, uint8_t id);

uint64_t region_size(int device, uint32_t index);
uint32_t region_flags(int device, uint32_t index);
uint32_t irq_count(int device, uint32_t index);

/* Low power */

/** device_feature() - VFIO_DEVICE_FEATURE; @size bytes of @data come along */
int device_feature(int device, uint32_t flags, const void *data, size_t size);
/** wait_suspended() - After LOW_POWER_ENTRY: until @f is as deep as it gets */
void wait_suspended(const struct function *f);

/* Registers; as for configuration space. */
uint32_t rd32(int device, uint64_t pos);
void wr32(int device, uint64_t pos, uint32_t val);

/* Interrupts */

enum irq_index { INTX, MSI, MSIX, ERR, REQ };

#define IRQ_NONE    VFIO_IRQ_SET_DATA_NONE
#define IRQ_BOOL    VFIO_IRQ_SET_DATA_BOOL
#define IRQ_EVENTFD VFIO_IRQ_SET_DATA_EVENTFD
#define IRQ_MASK    VFIO_IRQ_SET_ACTION_MASK
#define IRQ_UNMASK  VFIO_IRQ_SET_ACTION_UNMASK
#define IRQ_TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER

/** set_irqs() - The ioctl; @size bytes of @data come along */
int set_irqs(int device, uint32_t flags, uint32_t index, uint32_t start,
	     uint32_t count, const void *data, size_t size);
/** irq_trigger() - Set vector @start of @index to @fd */
int irq_trigger(int device, uint32_t index, uint32_t start, int fd);
/** irq_off() - Disable @index, which need not be enabled */
void irq_off(int device, uint32_t index);
/** device_quiet() - No interrupts, COMMAND as at open: after a case */
void device_quiet(int device);

int event_new(void);
/** event_wait() - What was signalled; waits for something to be */
long event_wait(int fd);
/** event_now() - The same without waiting */
long event_now(int fd);
/** event_none() - The same after the time in which it would have come */
long event_none(int fd);

/** event_semaphore() - event_new() of the other kind */
int event_semaphore(void);
/** event_left() - The counter itself, nothing is taken; waits for @want */
uint64_t event_left(int fd, uint64_t want);

/* Memory of a BAR */

/** bar_map() - Shared and writable; a failure ends the case */
uint8_t *bar_map(int device, uint64_t pos, size_t size);
/** say_touch() - key=none, or the signal, si_code and si_addr's offset */
void say_touch(const char *key, volatile void *addr, bool write);

/** struct role - A device that most areas look at */
struct role {
	const char *name;
	uint32_t bar; /* a BAR of memory that can be mapped */
};
/* edu, nvme, ram, nic */
#define ROLES 4
extern const struct role roles_all[ROLES];

#endif

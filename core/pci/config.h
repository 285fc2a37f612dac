/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space of one function, in two views: the hardware's, which
 * sysfs shows, and the virtualised one a VFIO program reads and writes
 * (vfio-pci's vconfig). Which bits are emulated and which are writable is data
 * (tables per capability), not code.
 *
 * Knows no device and no irq wiring: what a write means to the rest of the
 * function is reported through struct config_events.
 */
#ifndef SOFTVFIO_CORE_PCI_CONFIG_H
#define SOFTVFIO_CORE_PCI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/lock.h"
#include "softvfio/device.h"

#define CONFIG_SPACE_MAX 4096

/**
 * struct config_events - What writes mean to the rest of the function
 * @memory:	    COMMAND.MEMORY written by the program (also with the value
 *		    it had), or changed by a raw write; before the bit changes
 *		    when @enable is false, after it when true
 * @power:	    PMCSR power state changes between D0 (0) and D3hot (3), the
 *		    two there are; before the change when entering D3hot, after
 *		    it when leaving. A function without NoSoftRst has lost its
 *		    state in D3hot: the handler resets it.
 * @function_reset: FLR bit written, of PCIe or AF, and there is FLR; the function resets and
 *		    config_reset() is called from within
 * @intx_disable:   virtual DisINTx changed
 * @settled:	    a write is done, and so are its other events: what @memory
 *		    and @power closed ahead of the change, others may have
 *		    opened again before it
 *
 * Called on the writer's thread with no config lock held. Each may be NULL.
 * Writes by several threads wait for each other until their events have
 * returned, so events of one function do not overlap and come in the order of
 * the changes; a handler must not call config_write() or config_raw_write().
 */
struct config_events {
	void (*memory)(void *opaque, bool enable);
	void (*power)(void *opaque, unsigned int from, unsigned int to);
	void (*function_reset)(void *opaque);
	void (*intx_disable)(void *opaque, bool disable);
	void (*settled)(void *opaque);
};

struct config; /* one function's configuration space */

/**
 * config_new() - Build the configuration space of a shape
 * @shape: borrowed for the call; already checked and complete
 * @irq_line: value of INT_LINE the "firmware" assigned
 * @bar_base: six bus addresses the "firmware" assigned to the BARs, and the
 *	ROM's as the seventh; borrowed for the call
 *
 * Header, then capabilities PM at 0x40, MSI at 0x50, MSI-X at 0x70, PCIe at
 * 0x80 or Advanced Features at 0xc0 (PM always, the others as the shape has them); 256 bytes without PCIe,
 * 4096 with. Before the first open it is as after config_close().
 *
 * Context: any thread, no lock; raises no event.
 * Return: 0; -ENOMEM.
 */
int config_new(const struct sv_shape *shape, uint8_t irq_line,
	       const uint64_t bar_base[7], const struct config_events *events,
	       void *opaque, struct config **ret_config);

/** config_free() - Nobody may be calling in any more; NULL is fine */
struct config *config_free(struct config *c);
static inline void config_freep(struct config **c)
{
	config_free(*c);
}

/** config_can_reset() - The function can be reset through its own registers:
 * FLR, or D3hot and back */
bool config_can_reset(const struct config *c);
/** config_size() - 256 or 4096 */
unsigned int config_size(const struct config *c);

/**
 * config_open() - First open: bus mastering off, memory and I/O decode on,
 * D0, a fresh virtual view; the BARs of now are what the program's next write
 * of COMMAND puts back when they were changed meanwhile
 * config_close() - Last close: bus mastering, MSI and MSI-X off, decode on as
 * the firmware left it, D0; the header and PCI Express registers of the
 * hardware as the first opener found them
 *
 * Context: take the config lock; raise no event.
 */
void config_open(struct config *c);
void config_close(struct config *c);

/**
 * config_read() - The program's read of the CONFIG region
 * config_write() - The program's write of the CONFIG region
 *
 * Done in naturally aligned pieces of at most 4 bytes that lie in one
 * capability, as vfio_pci_config_rw() does; bits that are not writable are
 * dropped silently.
 *
 * Context: takes the config lock; events are called from write with no lock.
 * Return: @count; -EFAULT when any of it lies beyond the end, and then none of
 * it has been done.
 */
int64_t config_read(struct config *c, uint64_t pos, void *buf, size_t count);
int64_t config_write(struct config *c, uint64_t pos, const void *buf,
		     size_t count);

/**
 * config_raw_read() - The hardware's view, as /sys/.../config shows it
 * config_raw_write() - A write through /sys/.../config (setpci)
 *
 * Raw writes obey the hardware's own read-only bits, and raise @memory,
 * @power and @function_reset as hardware would act on them. The program's view
 * of what is virtual (BARs, its own idea of COMMAND.MEMORY) does not follow; as
 * in vfio-pci its next write of COMMAND puts changed BARs back.
 *
 * Context: as config_read() and config_write().
 * Return: bytes done, short at the end of the space, 0 beyond it.
 */
int64_t config_raw_read(struct config *c, uint64_t pos, void *buf,
			size_t count);
int64_t config_raw_write(struct config *c, uint64_t pos, const void *buf,
			 size_t count);

/**
 * config_reset() - The function was reset, and the kernel restored what it
 * had saved: hardware COMMAND, BARs, MSI and MSI-X enables as before, PM in D0;
 * the virtual view is not touched
 *
 * From D3hot, COMMAND and BARs are as they were when D3hot was entered (unless
 * the function has NoSoftRst).
 *
 * Context: takes the config lock. Raises no event; may be called from one.
 */
void config_reset(struct config *c);

/* Queries. Context: any thread, lock-free; the answer may be old at once. */

/**
 * config_memory_enabled() - vfio's __memory_enabled(): not in D3hot and virtual
 * COMMAND.MEMORY set; and the hardware's bit not cleared by a raw write. Whether
 * anybody has the function open is the device's affair.
 */
bool config_memory_enabled(const struct config *c);
/** config_io_enabled() - COMMAND.IO of the hardware */
bool config_io_enabled(const struct config *c);
/** config_bus_master() - COMMAND.MASTER of the hardware, and power state D0 */
bool config_bus_master(const struct config *c);
/** config_in_d0() - Power state D0 */
bool config_in_d0(const struct config *c);
/*
 * What the interrupt code does to the hardware's view.
 * Context: take the config lock, raise no event; igate or the irq lock is held.
 */

/**
 * config_set_msi() - MSI enabled with @vectors (power of two), or 0 = off
 * config_set_msix() - MSI-X enable bit
 *
 * Both set hardware DisINTx while on and clear it when turned off, as the
 * kernel does.
 */
void config_set_msi(struct config *c, unsigned int vectors);
void config_set_msix(struct config *c, bool enable);
/** config_set_intx_status() - STATUS.INTx */
void config_set_intx_status(struct config *c, bool pending);
/** config_set_intx_disable() - hardware DisINTx (how vfio-pci masks INTx) */
void config_set_intx_disable(struct config *c, bool disable);

#endif

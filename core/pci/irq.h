/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts of one function: which kind is enabled, which eventfd belongs to
 * which vector, INTx masking. Setup runs under igate, as in vfio-pci; raising
 * takes only the inner irq lock and never blocks, whatever the program did to
 * its eventfds (lib/evfd.h).
 */
#ifndef SOFTVFIO_CORE_PCI_IRQ_H
#define SOFTVFIO_CORE_PCI_IRQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/lock.h"
#include "softvfio/device.h"

/* linux/vfio.h: VFIO_PCI_*_IRQ_INDEX */
enum irq_index { IRQ_INTX, IRQ_MSI, IRQ_MSIX, IRQ_ERR, IRQ_REQ, IRQ_NUM };

/* linux/vfio.h: VFIO_IRQ_SET_* and VFIO_IRQ_INFO_* */
enum irq_set_flags {
	IRQ_SET_DATA_NONE = 1 << 0,
	IRQ_SET_DATA_BOOL = 1 << 1,
	IRQ_SET_DATA_EVENTFD = 1 << 2,
	IRQ_SET_DATA_MASK = 7,
	IRQ_SET_ACTION_MASK = 1 << 3,
	IRQ_SET_ACTION_UNMASK = 1 << 4,
	IRQ_SET_ACTION_TRIGGER = 1 << 5,
	IRQ_SET_ACTIONS = 7 << 3,
};

enum irq_info_flags {
	IRQ_INFO_EVENTFD = 1 << 0,
	IRQ_INFO_MASKABLE = 1 << 1,
	IRQ_INFO_AUTOMASKED = 1 << 2,
	IRQ_INFO_NORESIZE = 1 << 3,
};

/**
 * struct irq_host - What interrupts need of the function around them
 * @msi:	  MSI was enabled with that many vectors (a power of two), or
 *		  disabled (0)
 * @msix:	  MSI-X was enabled or disabled
 * @intx_status:  the INTx pin changed (STATUS.INTx)
 * @intx_mask:	  hardware DisINTx: how INTx is masked at the device, and set
 *		  while MSI or MSI-X is enabled
 * @awake:	  in power state D0? The PCI core enables MSI and MSI-X in no other
 * @watch:	  call irq_unmask_event() as long as there are events in @set, of
 *		  watch_set_new(); one watch at a time; 0 or -errno. Borrows @set
 *		  until @unwatch.
 * @unwatch:	  start no more calls; one that is under way is not waited for
 *
 * Called under igate or the irq lock: they only store, never call back.
 * @watch and @unwatch are called under igate only, the rest never two at a
 * time.
 */
struct irq_host {
	void (*msi)(void *opaque, unsigned int vectors);
	void (*msix)(void *opaque, bool enable);
	void (*intx_status)(void *opaque, bool pending);
	void (*intx_mask)(void *opaque, bool masked);
	bool (*awake)(void *opaque);
	int (*watch)(void *opaque, int set);
	void (*unwatch)(void *opaque, int set);
};

/**
 * struct irq_counts - Vectors per index
 * @pcie: ERR exists
 */
struct irq_counts {
	bool intx;
	unsigned int msi;
	unsigned int msix;
	bool pcie;
};

/** struct irq_info - linux/vfio.h: struct vfio_irq_info, flags and count */
struct irq_info {
	uint32_t flags;
	uint32_t count;
};

/**
 * struct irq_request - linux/vfio.h: struct vfio_irq_set, copied in
 * @flags: IRQ_SET_*; this and the next three have passed irq_check()
 * @index: < IRQ_NUM
 * @start: first vector
 * @count: vectors
 * @bools: @count bytes with DATA_BOOL, else NULL
 * @pid:   whose share of SHARE_EVENTFDS it takes, unless somebody else's has been
 *	   taken for this function
 * @fds:   @count descriptors with DATA_EVENTFD, else NULL: eventfds, or what
 *	   enum irq_fd says. Borrowed: irq_set() dups what it keeps.
 */
struct irq_request {
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
	pid_t pid;
	const uint8_t *bools;
	const int *fds;
};

/**
 * enum irq_fd - What stands in irq_request.fds in place of an eventfd
 *
 * A descriptor that is none is refused when its vector's turn comes, by irq_set():
 * before that Linux looks at other things, and vectors in front of it are set.
 * So whoever has the program's numbers says what each is, and refuses nothing.
 */
enum irq_fd {
	IRQ_FD_NONE = -1,     /* -1: take away what is there */
	IRQ_FD_NEGATIVE = -2, /* another negative number: the same, or EINVAL */
	IRQ_FD_BAD = -3,      /* no such descriptor: EBADF */
	IRQ_FD_NOT_EVENTFD = -4, /* some other kind of file: EINVAL */
};

struct irq; /* interrupts of one function */

/**
 * irq_new() - Interrupts of a function, all disabled
 * @counts: copied
 * @host: copied; every member is set
 * @opaque: for @host
 *
 * Context: any thread.
 * Return: 0; -ENOMEM.
 */
int irq_new(const struct irq_counts *counts, const struct irq_host *host,
	    void *opaque, struct irq **ret_irq);

/**
 * irq_free() - irq_close(), and no more; nobody may be calling in any more
 *
 * Context: takes igate. NULL is fine.
 */
struct irq *irq_free(struct irq *irq);

/**
 * irq_get_info() - VFIO_DEVICE_GET_IRQ_INFO
 *
 * Context: any thread, lock-free.
 * Return: 0; -EINVAL no such index, or ERR on a conventional device.
 */
int irq_get_info(const struct irq *irq, uint32_t index,
		 struct irq_info *ret_info);

/**
 * irq_check() - VFIO_DEVICE_SET_IRQS: flags, index, start and count against
 * what there is, before any data is copied in
 * @data_size: bytes the program passed behind the header
 * @ret_bytes: bytes of data this request uses
 *
 * Context: any thread, lock-free.
 * Return: 0; -EINVAL.
 */
int irq_check(const struct irq *irq, const struct irq_request *req,
	      size_t data_size, size_t *ret_bytes);

/**
 * irq_set() - VFIO_DEVICE_SET_IRQS: act
 *
 * The kernel's positive return (fewer vectors than asked for) does not occur:
 * every vector irq_check() lets pass can be had.
 *
 * Context: takes igate, inside it the irq lock. Never blocks.
 * Return: 0; -ENOTTY no handler for this index and action; -EINVAL not what
 * the current mode allows, a vector that was not allocated, MSI or MSI-X to be
 * enabled in D3hot, or a file that is no eventfd; -EBADF no such descriptor; -ERANGE MSI or MSI-X to be enabled
 * with no vector; -EBUSY an unmask eventfd is already there; -EMFILE; for an
 * unmask eventfd -ENOMEM and -ENOSPC, as @watch of struct irq_host says.
 */
int irq_set(struct irq *irq, const struct irq_request *req);

/**
 * irq_unmask_event() - the unmask eventfd was signalled
 *
 * Reads it once. Nothing happens when there is none, or none any more, or it
 * was not signalled since this was last called.
 *
 * Context: takes igate, so no inner lock may be held.
 */
void irq_unmask_event(struct irq *irq);

/**
 * irq_intx_disable() - virtual DisINTx changed
 *
 * Context: takes igate, so no inner lock may be held.
 */
void irq_intx_disable(struct irq *irq, bool disable);

/**
 * irq_close() - last close: everything off, every eventfd released, virtual
 * DisINTx clear; the level of the pin is the model's and stays
 *
 * Context: takes igate.
 */
void irq_close(struct irq *irq);

/** irq_mode() - Context: any thread, lock-free */
enum sv_irq_mode irq_mode(const struct irq *irq);

/**
 * irq_raise() - MSI or MSI-X message; nothing while neither is enabled
 *
 * Context: takes the irq lock, never blocks.
 */
void irq_raise(struct irq *irq, unsigned int vector);

/**
 * irq_level() - INTx pin; nothing when the function has none
 *
 * Context: takes the irq lock, never blocks.
 */
void irq_level(struct irq *irq, bool asserted);

/**
 * irq_request_release() - signal REQ: somebody wants the device back
 *
 * Context: takes the irq lock, never blocks.
 */
void irq_request_release(struct irq *irq);

/**
 * struct irq_stats - What the device sent, for reports; loopback not counted
 * @raised:  signals that reached an eventfd
 * @untaken: raised while enabled, with no eventfd to tell
 */
struct irq_stats {
	uint64_t raised;
	uint64_t untaken;
};

/** irq_get_stats() - Context: any thread, lock-free */
void irq_get_stats(const struct irq *irq, struct irq_stats *ret_stats);

#endif

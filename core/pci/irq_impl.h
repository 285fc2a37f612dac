/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of the interrupt code share: irq.c has life, raising and what
 * there is, irq_set.c the ioctl and ERR and REQ, irq_intx.c and irq_msi.c a
 * kind each. Nobody else includes this.
 */
#ifndef SOFTVFIO_CORE_PCI_IRQ_IMPL_H
#define SOFTVFIO_CORE_PCI_IRQ_IMPL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/pci/irq.h"
#include "core/common/share.h"
#include "lib/lock.h"

#define NO_FD -1 /* an empty slot */

struct irq {
	/* immutable */
	struct irq_counts counts;
	struct irq_host host;
	void *opaque;

	struct mutex igate;		   /* setup */
	int unmask_fd GUARDED_BY(&igate);  /* or -1 */
	int unmask_set GUARDED_BY(&igate); /* it alone is in there */
	unsigned int msi_allocated GUARDED_BY(&igate); /* while in MSI mode */
	struct share share GUARDED_BY(&igate); /* our copies of eventfds */

	struct mutex lock; /* taken to signal; slots are -1 or our own copy */
	int *trigger;	   /* contents: lock; per vector, the first is INTx's */
	int err GUARDED_BY(&lock);
	int req GUARDED_BY(&lock);
	bool level GUARDED_BY(&lock);	 /* of the INTx pin */
	bool masked GUARDED_BY(&lock);	 /* INTx, while in that mode */
	bool disabled GUARDED_BY(&lock); /* virtual DisINTx; written in igate */

	_Atomic enum sv_irq_mode mode; /* written with both locks held */
	_Atomic uint64_t raised;
	_Atomic uint64_t untaken;
};

/** irq_indices - How each index is called, and the mode it turns on */
extern const struct irq_index_info {
	const char *name;
	enum sv_irq_mode mode;
} irq_indices[IRQ_NUM];

/** irq_count() - Vectors of an index; 0 when there is no such index */
unsigned int irq_count(const struct irq *irq, uint32_t index);

/** irq_set_mode() - Context: takes the irq lock */
void irq_set_mode(struct irq *irq, enum sv_irq_mode mode) REQUIRES(&irq->igate);

/**
 * irq_slot_put() - Put an eventfd of our own, or NO_FD, in place of another
 * irq_slot_signal() - Send a signal the program asked for
 *
 * Context: take the irq lock.
 * Return: whether there was an eventfd.
 */
bool irq_slot_put(struct irq *irq, int *slot, int fd) REQUIRES(&irq->igate);
bool irq_slot_signal(struct irq *irq, const int *slot);

/** irq_send_locked() - Send a signal of the device; NO_FD counts as untaken */
void irq_send_locked(struct irq *irq, int fd) REQUIRES(&irq->lock);

/* Requests; irq_set.c */

/** irq_is_on() - Is what @req is about the mode the function is in? */
bool irq_is_on(const struct irq *irq, const struct irq_request *req);

/** irq_is_turn_off() - Does it ask to disable, with count 0 and DATA_NONE? */
bool irq_is_turn_off(const struct irq_request *req);

/** irq_is_asked_for() - Do DATA_NONE or DATA_BOOL ask for the @i-th? */
bool irq_is_asked_for(const struct irq_request *req, uint32_t i);

/** irq_fd_is_none() - Does a negative number stand for "none"? */
bool irq_fd_is_none(int given);

/**
 * irq_copy_fd() - Our own copy of the @i-th descriptor; "none" stays NO_FD
 * irq_drop_fd() - Close one
 *
 * Return: 0; -EBADF no such descriptor; -EINVAL not an eventfd; -EMFILE, also
 * beyond the program's share; -ENFILE beyond all programs'; -ENOMEM.
 */
int irq_copy_fd(struct irq *irq, const struct irq_request *req, uint32_t i,
		int *ret_fd) REQUIRES(&irq->igate);
void irq_drop_fd(struct irq *irq, int fd) REQUIRES(&irq->igate);

/**
 * irq_check_mode() - Only one of INTx, MSI and MSI-X may be on
 *
 * Return: 0; -EINVAL another one is on.
 */
int irq_check_mode(struct irq *irq, const struct irq_request *req);

/** irq_refuse_not_enabled() - -EINVAL: to be enabled first */
int irq_refuse_not_enabled(const struct irq_request *req);

/**
 * irq_intx_set_mask() - SET_IRQS of INTx, one for each action
 *
 * Return: as irq_set().
 */
int irq_intx_set_mask(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate);
int irq_intx_set_unmask(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate);
int irq_intx_set_trigger(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate);

/** irq_msi_set_trigger() - The same of MSI and MSI-X, which have but this one */
int irq_msi_set_trigger(struct irq *irq, const struct irq_request *req)
	REQUIRES(&irq->igate);

/** irq_intx_off(), irq_msi_off() - Leave the mode the function is in */
void irq_intx_off(struct irq *irq) REQUIRES(&irq->igate);
void irq_msi_off(struct irq *irq, enum irq_index index) REQUIRES(&irq->igate);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A function's inside, for the files that are about it: device*.c here; a hot
 * reset resets several at once, and unplugging takes one away.
 */
#ifndef SOFTVFIO_CORE_PCI_DEVICE_IMPL_H
#define SOFTVFIO_CORE_PCI_DEVICE_IMPL_H

#include "core/pci/device.h"

/**
 * device_cancel_dma() - Have whatever DMA the model waits for return
 * device_allow_dma() - As often as it was cancelled, DMA goes on
 *
 * Context: any thread, any lock.
 */
void device_cancel_dma(struct sv_dev *dev);
void device_allow_dma(struct sv_dev *dev);

/**
 * device_take_domain() - DMA goes through @d from now on, NULL: nowhere
 *
 * Takes the caller's reference and attachment on success. With the model's lock no DMA is under
 * way, and no callback sees one table after the other.
 *
 * Context: takes the model lock. Return: 0; -ETIMEDOUT its model is stuck.
 */
int device_take_domain(struct sv_dev *dev, struct domain *d)
	REQUIRES(&dev->set->lock);

/** device_gate_close() - No access from now on, until device_gate_update() */
void device_gate_close(struct sv_dev *dev) REQUIRES(&dev->memory_lock);

/** device_gate_late() - It could not be, as a model does not return: the device's
 * thread does it once that has */
void device_gate_late(struct sv_dev *dev);

/** device_gate_update() - Open or closed, as decode is */
void device_gate_update(struct sv_dev *dev) REQUIRES(&dev->memory_lock);

/**
 * device_gate_off() - Closed from now on
 * device_gate_sync() - Open or closed, as decode is
 *
 * A model that is stuck in reset() has the gate closed, one that is stuck in a
 * burst keeps it as it is: the device's thread brings it up to date when the
 * model returns.
 *
 * Context: take memory_lock.
 */
void device_gate_off(struct sv_dev *dev);
void device_gate_sync(struct sv_dev *dev);

/** device_reset_locked() - All of it but configuration space */
void device_reset_locked(struct sv_dev *dev, enum sv_reset why)
	REQUIRES(&dev->model);

/**
 * device_reset_function() - Get the model from whatever DMA it waits for, and
 * have it reset
 *
 * Context: no lock of the function. Return: 0; -ETIMEDOUT it does not return.
 */
int device_reset_function(struct sv_dev *dev);

/** device_is_stuck() - Refuse @what with @err, as it is */
int device_is_stuck(struct sv_dev *dev, int err, const char *what);

/** device_unmask() - An eventfd unmasks INTx. @opaque: the function */
void device_unmask(void *opaque);

extern const struct irq_host device_irq_host;
extern const struct config_events device_config_events;
extern const struct devthread_ops device_thread_ops;

/** device_power_on() - Power-on state: the gate is closed and stays so */
void device_power_on(struct sv_dev *dev, enum sv_reset why)
	REQUIRES(&dev->model, &dev->memory_lock);

/**
 * device_take_away() - Whose files are dead has no DMA and no access under way
 *
 * With the lock that a next open waits for: DMA of a new owner is let alone.
 */
void device_take_away(struct sv_dev *dev) REQUIRES(&dev->set->lock);

#endif

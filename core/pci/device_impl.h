/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The steps of a reset, for the files that take them: device.c resets one
 * function, hotreset.c several at once, unplug.c takes one away.
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

/** device_gate_close() - No access from now on, until device_gate_update() */
void device_gate_close(struct sv_dev *dev) REQUIRES(&dev->memory_lock);

/** device_gate_late() - It could not be, as a model does not return: the device's
 * thread does it once that has */
void device_gate_late(struct sv_dev *dev);

/** device_gate_update() - Open or closed, as decode is */
void device_gate_update(struct sv_dev *dev) REQUIRES(&dev->memory_lock);

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

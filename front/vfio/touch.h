/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Touches of a mapped BAR that the program's CPU did not make by itself: faults,
 * and accesses that trap.
 */
#ifndef SOFTVFIO_FRONT_VFIO_TOUCH_H
#define SOFTVFIO_FRONT_VFIO_TOUCH_H

#include <stdint.h>

struct call;

/**
 * touch_fault() - SV_FAULT: may the touch be made again?
 * touch_access() - SV_ACCESS: one load or store of a register
 *
 * Context: any thread, no lock held; may wait for the model.
 * Return: as device_fault() and device_access(), and call_enter(); -EINVAL no
 * struct sv_bar_id; -ENODEV it is no BAR of ours.
 */
int64_t touch_fault(struct call *call);
int64_t touch_access(struct call *call);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hot reset: the reset of a slot or bus, which takes every function behind it
 * along (kernel-semantics 3.7). Who belongs together is a dev_set.
 */
#ifndef SOFTVFIO_CORE_VFIO_HOTRESET_H
#define SOFTVFIO_CORE_VFIO_HOTRESET_H

#include <stddef.h>
#include <stdint.h>

#include "core/pci/device.h"
#include "core/vfio/group.h"

/** struct hotreset_entry - One function that the reset would take along */
struct hotreset_entry {
	unsigned int group;
	uint16_t segment;
	uint8_t bus;
	uint8_t devfn;
};

/**
 * hotreset_possible() - Is there a bus or slot to be reset
 *
 * Context: any thread, lock-free.
 * Return: 0; -ENODEV the function is on the root bus.
 */
int hotreset_possible(const struct sv_dev *dev);

/**
 * hotreset_info() - Who would be reset, @dev included, in order of address
 * @entries: room for DEV_SET_MAX
 *
 * Context: takes set->lock.
 * Return: how many.
 */
size_t hotreset_info(struct sv_dev *dev, struct hotreset_entry *entries);

/**
 * hotreset() - Reset them all
 * @groups: those the caller has shown to hold; an entry may be there twice
 *
 * Context: takes set->lock and what is inside, of each function at once; waits
 * for each model's run(), but for no program and no lock.
 * Return: 0; -EINVAL a function is not bound to vfio-pci, or in none of
 * @groups; -EBUSY a reset of one is under way, or one's memory is being
 * accessed: nothing has been reset, and it may be tried again.
 */
int hotreset(struct sv_dev *dev, struct group *const *groups, size_t n);

#endif

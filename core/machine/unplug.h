/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions that go and come back while programs run: sysfs unbind, remove and
 * rescan, and `softvfio unplug` and `plug`.
 *
 * On Linux, unbind and remove wait until the last user has closed. Nothing here
 * waits for a program, so there are two ways to go. To unbind is to ask: the
 * users are told (the REQ interrupt, at once and again and again), go on
 * meanwhile, and with the last close the function is without a driver. To
 * remove, or unplug, is to take away: they are told in the same way, but their
 * files are dead and their mappings closed when the call returns, as they are
 * on Linux once it has returned.
 */
#ifndef SOFTVFIO_CORE_MACHINE_UNPLUG_H
#define SOFTVFIO_CORE_MACHINE_UNPLUG_H

#include <stdint.h>

#include "core/common/watch.h"
#include "lib/lock.h"

#define UNPLUG_PERIOD_NS 10000000000ull /* as often as Linux repeats REQ */

struct machine;
struct machine_dev;

/** struct unplug - Who repeats REQ */
struct unplug {
	int timer;	    /* a ticker; -1 before unplug_init() */
	uint64_t period_ns; /* UNPLUG_PERIOD_NS; tests are less patient */
	struct watch watch;
	struct mutex lock; /* setting the timer */
};

/**
 * unplug_init() - Context: one thread, the machine's watcher is there
 *
 * Return: 0; -EMFILE, -ENOMEM.
 */
int unplug_init(struct machine *m);

/** unplug_done() - After the watcher has ended. Not initialised is fine */
void unplug_done(struct machine *m);

/**
 * unplug_unbind() - sysfs unbind
 *
 * Context: any thread, no lock; takes the group's lock and what is inside.
 * Return: 1 it has no driver any more; 0 it is in use, and will be without one;
 * -ENODEV it has none, or is going already.
 */
int unplug_unbind(struct machine *m, struct machine_dev *md);

/**
 * unplug_remove() - sysfs remove, `softvfio unplug`
 *
 * When it returns no access by a program reaches the function, and no DMA of
 * it a program.
 *
 * Context: as unplug_unbind(); takes the model lock too.
 * Return: 1 nobody used it; 0 somebody still has to close its files; -ENODEV it
 * is not there.
 */
int unplug_remove(struct machine *m, struct machine_dev *md);

/**
 * unplug_plug() - What rescan finds: the function is back, bound to vfio-pci
 *
 * Context: as unplug_unbind().
 * Return: 0; -EEXIST it is there; -EBUSY somebody still has files of the one
 * that was removed.
 */
int unplug_plug(struct machine *m, struct machine_dev *md);

#endif

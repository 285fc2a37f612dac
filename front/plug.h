/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions that come and go, with the tree of paths following: what sysfs
 * writes and the `softvfio` command ask for. Who waits for whom: core/machine/unplug.h.
 *
 * Context, for all: any thread, no lock.
 */
#ifndef SOFTVFIO_FRONT_PLUG_H
#define SOFTVFIO_FRONT_PLUG_H

#include "core/machine/machine.h"
#include "front/call.h"

/** plug_unbind() - As unplug_unbind() */
int plug_unbind(struct call *call, struct machine_dev *md);

/** plug_remove() - As unplug_remove(); it vanishes from the tree at once */
int plug_remove(struct call *call, struct machine_dev *md);

/** plug_bind() - As group_bind() */
int plug_bind(struct call *call, struct machine_dev *md);

/** plug_back() - As unplug_plug(): it appears again, bound */
int plug_back(struct call *call, struct machine_dev *md);

#endif

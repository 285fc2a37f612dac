/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory behind a BAR, for the table of models in daemon/conf.c.
 */
#ifndef SOFTVFIO_DEV_RAM_H
#define SOFTVFIO_DEV_RAM_H

#include "softvfio/device.h"

extern const struct sv_dev_ops ram_ops;

#endif

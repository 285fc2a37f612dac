/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A function without registers, for the table of models in daemon/conf.c.
 */
#ifndef SOFTVFIO_DEV_PLAIN_H
#define SOFTVFIO_DEV_PLAIN_H

#include "softvfio/device.h"

extern const struct sv_dev_ops plain_ops;

#endif

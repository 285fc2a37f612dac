/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The educational device, for the table of models in daemon/conf.c.
 */
#ifndef SOFTVFIO_DEV_EDU_H
#define SOFTVFIO_DEV_EDU_H

#include "softvfio/device.h"

extern const struct sv_dev_ops edu_ops;

#endif

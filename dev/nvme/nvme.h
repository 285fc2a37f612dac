/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NVMe controller, for the table of models in daemon/conf.c.
 */
#ifndef SOFTVFIO_DEV_NVME_H
#define SOFTVFIO_DEV_NVME_H

#include "softvfio/device.h"

extern const struct sv_dev_ops nvme_ops;

#endif

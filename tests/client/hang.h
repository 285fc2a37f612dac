/* SPDX-License-Identifier: BSD-3-Clause */
/* A model that does not return: hang.c. */
#ifndef SOFTVFIO_TESTS_CLIENT_HANG_H
#define SOFTVFIO_TESTS_CLIENT_HANG_H

#include "softvfio/device.h"

extern const struct sv_dev_ops hang_ops;

#endif

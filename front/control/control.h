/* SPDX-License-Identifier: BSD-3-Clause */
/* What the `softvfio` command asks. */
#ifndef SOFTVFIO_FRONT_CONTROL_CONTROL_H
#define SOFTVFIO_FRONT_CONTROL_CONTROL_H

#include "front/call.h"

/**
 * control() - SV_CONTROL: JSON in, a memfd of JSON out
 *
 * Return: 0; -EINVAL not JSON, or no such command; -ENOMEM; -EIO, or what
 * memfd_create() said.
 */
int64_t control(struct call *call);

#endif

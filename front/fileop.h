/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls on an open file. What its kind can't do is refused here, and where to
 * read or write without an offset is known here.
 */
#ifndef SOFTVFIO_FRONT_FILEOP_H
#define SOFTVFIO_FRONT_FILEOP_H

#include <stdint.h>

struct call;

/**
 * fileop_ioctl() - SV_IOCTL; and so on
 *
 * Context: any thread, one at a time per file; no lock held.
 * Return: what the kind's operation says; if it has none, -ENOTTY of an ioctl,
 * -EINVAL of a read or write, -ENODEV of an mmap.
 */
int64_t fileop_ioctl(struct call *call);
int64_t fileop_read(struct call *call);
int64_t fileop_write(struct call *call);
int64_t fileop_mmap(struct call *call);
int64_t fileop_stat(struct call *call);

#endif

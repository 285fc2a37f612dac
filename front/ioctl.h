/* SPDX-License-Identifier: BSD-3-Clause */
/* From an ioctl's number to its handler, and to the structure it points to. */
#ifndef SOFTVFIO_FRONT_IOCTL_H
#define SOFTVFIO_FRONT_IOCTL_H

#include <stddef.h>
#include <stdint.h>

#include "front/call.h"

/** struct ioctl_row - One ioctl of one kind of file */
struct ioctl_row {
	unsigned int cmd;
	const char *name;
	int64_t (*fn)(struct call *call);
};

/** ioctl_cmd() - The second argument of ioctl() */
static inline unsigned int ioctl_cmd(const struct call *call)
{
	return (unsigned int)call->arg[0];
}

/** ioctl_arg() - The third: an address, or a number */
static inline uint64_t ioctl_arg(const struct call *call)
{
	return call->arg[1];
}

/** ioctl_find() - The row of a call; NULL when none has its number */
const struct ioctl_row *ioctl_find(const struct call *call,
				   const struct ioctl_row *rows, size_t n);

/** ioctl_run() - the row's result; -ENOTTY when there is none */
int64_t ioctl_run(struct call *call, const struct ioctl_row *row);

/**
 * ioctl_copy_in() - Copy in the structure an ioctl points to, which begins
 * with its argsz
 * @size: of what every program passes; later fields are up to argsz
 *
 * Return: 0; -EFAULT and -ERESTART as call_copy_in(); -EINVAL argsz is less
 * than @size.
 */
int ioctl_copy_in(struct call *call, void *buf, size_t size);

#endif

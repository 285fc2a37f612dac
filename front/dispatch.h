/* SPDX-License-Identifier: BSD-3-Clause */
/* From a call's operation and ioctl number to the handler. */
#ifndef SOFTVFIO_FRONT_DISPATCH_H
#define SOFTVFIO_FRONT_DISPATCH_H

#include <stddef.h>

#include "front/file.h"

/** struct ioctl_row - One ioctl of one kind of file */
struct ioctl_row {
	unsigned int cmd;
	const char *name;
	int64_t (*fn)(struct call *call);
};

/** dispatch_ioctl() - the row's result; -ENOTTY when no row has the number */
int64_t dispatch_ioctl(struct call *call, const struct ioctl_row *rows,
		       size_t n);

/**
 * dispatch() - Answer a call on a file or on the door
 * @op: enum sv_op
 *
 * Context: any thread, one at a time per file; no lock held.
 * Return: what the handler said: the result, -errno, or -ERESTART when more
 * is needed; -EBADF an operation of the door's on a file, or the reverse.
 */
int64_t dispatch(struct call *call, unsigned int op);

/** ioctl_arg() - The third argument of ioctl(): an address, or a number */
static inline uint64_t ioctl_arg(const struct call *call)
{
	return call->arg[1];
}

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

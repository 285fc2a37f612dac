/* SPDX-License-Identifier: BSD-3-Clause */
/* From a request's operation to who carries it out. */
#ifndef SOFTVFIO_FRONT_IPC_DISPATCH_H
#define SOFTVFIO_FRONT_IPC_DISPATCH_H

#include "front/file.h"

/* Connections to the door, and those files that stand for one. */
extern const struct file_ops door_ops;
extern const struct file_ops side_door_ops;

/** file_is_door() - It takes requests on no file, and is no VFIO file */
bool file_is_door(const struct file *f);

/**
 * dispatch() - Answer a call on a file or on the door
 * @op: enum sv_op, checked
 *
 * Context: any thread, one at a time per file; no lock held.
 * Return: what the handler said: the result, -errno, -ERESTART when more is
 * needed, or CALL_PARKED; -EBADF an operation of the door's on a file, or the
 * reverse.
 */
int64_t dispatch(struct call *call, unsigned int op);

#endif

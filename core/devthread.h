/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread that drives a device model's run(): when it was kicked, while it
 * finds work, and for polled devices at an interval that grows with the time
 * since work was last seen, down to next to nothing.
 */
#ifndef SOFTVFIO_CORE_DEVTHREAD_H
#define SOFTVFIO_CORE_DEVTHREAD_H

#include <stdbool.h>

struct devthread;

/**
 * devthread_new() - A thread that is not started yet
 * @run:    does what there is to do; whether there was anything
 * @polled: call @run even when nobody kicked
 *
 * Return: 0; -ENOMEM.
 */
int devthread_new(bool (*run)(void *opaque), void *opaque, bool polled,
		  struct devthread **ret_thread);
struct devthread *devthread_free(struct devthread *t); /* must be stopped */

/** devthread_start() - 0, or -EAGAIN when the host has no thread to give */
int devthread_start(struct devthread *t, const char *name);

/** devthread_stop() - returns when @run is not and will not be running */
void devthread_stop(struct devthread *t);

/** devthread_kick() - have @run called soon; any thread, never blocks */
void devthread_kick(struct devthread *t);

#endif

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
 * Context: any thread; start and stop of one thread exclude each other, by
 * whoever calls them.
 * Return: 0; -ENOMEM.
 */
int devthread_new(bool (*run)(void *opaque), void *opaque, bool polled,
		  struct devthread **ret_thread);

/** devthread_free() - It must be stopped; NULL is fine */
struct devthread *devthread_free(struct devthread *t);

/**
 * devthread_start() - Run
 * @name: of the thread, cut to 15 bytes
 *
 * Return: 0; -EAGAIN the host has no thread to give.
 */
int devthread_start(struct devthread *t, const char *name);

/**
 * devthread_stop() - Returns when @run is not and will not be running
 *
 * Context: waits for @run, so no lock that it takes may be held.
 */
void devthread_stop(struct devthread *t);

/**
 * devthread_kick() - Have @run called soon
 *
 * Context: any thread; takes the thread's own lock, never blocks.
 */
void devthread_kick(struct devthread *t);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread that drives a device model's run(): when it was kicked, while it
 * finds work, and for polled devices at an interval that grows with the time
 * since work was last seen, down to next to nothing.
 */
#ifndef SOFTVFIO_CORE_PCI_DEVTHREAD_H
#define SOFTVFIO_CORE_PCI_DEVTHREAD_H

#include <stdbool.h>
#include <stdint.h>

struct devthread;

/**
 * struct devthread_ops - What a thread does; all get its @opaque
 * @run:   what there is to do; returns whether there was anything
 * @due:   when run() is to be called though nobody kicked, on clock_ns(); 0 =
 *	   never. Read before each sleep: who makes it earlier kicks
 * @first: before all else
 * @last:  after all else
 * @waits: is it worth waiting for the thread? Asked now and then
 */
struct devthread_ops {
	bool (*run)(void *opaque);
	uint64_t (*due)(void *opaque);
	void (*first)(void *opaque);
	void (*last)(void *opaque);
	bool (*waits)(void *opaque);
};

/**
 * devthread_new() - A thread that is not started yet
 * @ops:    borrowed for life
 * @polled: call run() even when nobody kicked
 *
 * Context: any thread; start and stop of one thread exclude each other, by
 * whoever calls them.
 * Return: 0; -ENOMEM.
 */
int devthread_new(const struct devthread_ops *ops, void *opaque, bool polled,
		  struct devthread **ret_thread);

/** devthread_free() - It must be stopped; NULL is fine */
struct devthread *devthread_free(struct devthread *t);

/**
 * devthread_start() - Run; returns when first() has
 * @name: of the thread, cut to 15 bytes
 *
 * Return: 0; -EAGAIN the host has no thread to give; -ETIMEDOUT it is not
 * worth waiting any more, and the thread is to be stopped all the same.
 */
int devthread_start(struct devthread *t, const char *name);

/**
 * devthread_stop() - Returns when last() has, and nothing will be called
 *
 * Context: waits for run(), so no lock that it takes may be held.
 * Return: 0; -ETIMEDOUT it is not worth waiting any more: the thread ends when
 * run() returns, and is to be stopped once more before it is started.
 */
int devthread_stop(struct devthread *t);

/**
 * devthread_do() - Have the thread call @fn, not during run()
 *
 * The caller calls it himself when the thread is not running. Its refusal is
 * the caller's.
 *
 * Context: waits for run(), as devthread_stop().
 * Return: what @fn returned; -ETIMEDOUT it is not worth waiting any more. Then
 * @fn is not begun any more, but may have been.
 */
int devthread_do(struct devthread *t, int (*fn)(void *opaque));

/**
 * devthread_do_until() - Have it call @fn(@arg), but wait for that no longer
 * @begin_ns: than until then, for it to begin
 * @end_ns:   than until then, once it has
 *
 * Return: what @fn returned; -ETIMEDOUT it was not begun and will not be;
 * -EINPROGRESS it was, and goes on with @arg.
 */
int devthread_do_until(struct devthread *t, int (*fn)(void *arg), void *arg,
		       uint64_t begin_ns, uint64_t end_ns);

/**
 * devthread_kick() - Have run() called soon
 *
 * Context: any thread; takes the thread's own lock, never blocks.
 */
void devthread_kick(struct devthread *t);

#endif

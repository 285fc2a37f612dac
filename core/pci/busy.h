/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device model that does not return. Every call of a model's callback is
 * named while it lasts; a watchdog that looks now and then (device_watch())
 * finds those that have lasted too long, and calls the function stuck until
 * they return. What waits for a lock that a callback may hold waits only as
 * long as the function is not stuck: then it is as with hardware that does not
 * answer. Reads are ones, writes are dropped, a reset fails.
 *
 * Time is counted in looks, so that a daemon which a debugger stops does not
 * find everything stuck when it goes on.
 *
 * Context, for all: any thread; the locks that are waited for, and no others.
 */
#ifndef SOFTVFIO_CORE_PCI_BUSY_H
#define SOFTVFIO_CORE_PCI_BUSY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/lock.h"

#define WATCH_PERIOD_NS 500000000
#define STUCK_LOOKS	10 /* of which none found the callback to return */

struct sv_dev;

/**
 * struct callback - The call of a model's callback that is under way
 * @serial: odd while there is one; written by the model's thread, as the next
 * @name:   "write"
 * @thread: which calls it
 * @stuck:  it has lasted for STUCK_LOOKS
 * @seen:   the serial that the last look found, of the watchdog alone
 * @looks:  how many looks have found it; the same
 * @since:  when the first of them was, on the monotonic clock
 */
struct callback {
	_Atomic uint64_t serial;
	const char *_Atomic name;
	_Atomic pthread_t thread;
	atomic_bool stuck;
	uint64_t seen;
	unsigned int looks;
	_Atomic uint64_t since;
};

/** callback_begin(), callback_end() - Around each call; @name is static */
void callback_begin(struct sv_dev *dev, const char *name);
void callback_end(struct sv_dev *dev);

/** callback_under_way() - Is there one just now? */
bool callback_under_way(const struct sv_dev *dev);

/** callback_thread() - Who is in it, or was in the last one. Lock-free */
pthread_t callback_thread(const struct sv_dev *dev);

/** device_stuck() - Does a callback not return that others wait for? */
bool device_stuck(const struct sv_dev *dev);

/**
 * device_stuck_text() - "stuck in write() for 7 s"
 *
 * Return: @buf; empty when it is not.
 */
const char *device_stuck_text(const struct sv_dev *dev, char *buf, size_t size);

/** enum device_news - What a look at a function has found */
enum device_news {
	DEVICE_NO_NEWS,
	DEVICE_IS_SLOW,	 /* the same callback as at the last look */
	DEVICE_IS_STUCK, /* since now */
	DEVICE_IS_BACK,	 /* not any more */
};

/** device_watch() - One look. Context: the watchdog's thread only */
enum device_news device_watch(struct sv_dev *dev);

/** device_waits() - Is it worth waiting for? What lib/lock.h asks of @dev */
bool device_waits(void *dev);

#endif

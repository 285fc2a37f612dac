/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a model waits for besides its program: struct sv_timer and sv_watch_fd()
 * of include/softvfio/device.h.
 */
#ifndef SOFTVFIO_CORE_PCI_TIMER_H
#define SOFTVFIO_CORE_PCI_TIMER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/common/watch.h"
#include "softvfio/device.h"

/**
 * struct timers - Those of a function that are set, the earliest first
 * @first: model lock
 * @at:    when that one is due, 0 none; for the device's thread, which sleeps
 */
struct timers {
	struct sv_timer *first;
	_Atomic uint64_t at;
};

/** struct readable - A descriptor of a model's; immutable, but for @news */
struct readable {
	struct watch watch;
	struct sv_dev *dev;
	int fd;
	void (*fn)(struct sv_dev *dev, int fd);
	atomic_bool news;
};

/**
 * timers_run() - Call those that are due. Return: were there any?
 * timers_cancel() - None of them
 *
 * Context: the model lock is held.
 */
bool timers_run(struct sv_dev *dev);
void timers_cancel(struct sv_dev *dev);

/**
 * readables_start() - From now on they are waited for
 *
 * Context: once, at the end of device_new(). Return: as watcher_add().
 */
int readables_start(struct sv_dev *dev);

/** readables_run() - Call those that have news. Context, Return: timers_run() */
bool readables_run(struct sv_dev *dev);

#endif

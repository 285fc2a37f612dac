/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A descriptor that becomes readable (8 bytes, how often) again and again. In
 * a schedules build (lib/sched.h) it goes by the schedule's time.
 *
 * Context, for all: any thread, any lock.
 */
#ifndef SOFTVFIO_LIB_TICKER_H
#define SOFTVFIO_LIB_TICKER_H

#include <stdint.h>

/** ticker_new() - One that does not tick yet. Return: it; -EMFILE, -ENOMEM */
int ticker_new(void);

/** ticker_set() - From now on every @period_ns; 0: not any more */
void ticker_set(int fd, uint64_t period_ns);

/** ticker_free() - Close it; -1 is fine */
void ticker_free(int fd);

#endif

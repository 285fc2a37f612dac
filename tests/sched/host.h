/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What client.c asks of where it runs: a schedule (lib/sched.h), or a test
 * whose threads are the host's, which defines these two.
 */
#ifndef SOFTVFIO_TESTS_SCHED_HOST_H
#define SOFTVFIO_TESTS_SCHED_HOST_H

#include "lib/sched.h"

#ifndef SOFTVFIO_SCHED

/** sched_wait_readable() - With a deadline */
void sched_wait_readable(int fd, const char *name);

/** sched_fail() - Say what is wrong and end the process */
void sched_fail(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), noreturn));

#define sched_expect(ok, ...)                                                  \
	do {                                                                   \
		if (!(ok))                                                     \
			sched_fail(__VA_ARGS__);                               \
	} while (0)

#endif

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* By the host's clock: lib/ticker.h. A schedules build has lib/sched.c. */
#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/ticker.h"

#define NS_PER_S 1000000000

int ticker_new(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

void ticker_set(int fd, uint64_t period_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(period_ns / NS_PER_S),
		.tv_nsec = (long)(period_ns % NS_PER_S),
	};
	struct itimerspec its = {ts, ts};

	timerfd_settime(fd, 0, &its, NULL);
}

void ticker_free(int fd)
{
	if (fd >= 0)
		close(fd);
}

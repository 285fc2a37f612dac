/* SPDX-License-Identifier: BSD-3-Clause */
/* A daemon of the test's, in its own process, on threads that are not spared. */
#ifndef SOFTVFIO_TESTS_FAIL_HOSTED_H
#define SOFTVFIO_TESTS_FAIL_HOSTED_H

#include <stdbool.h>

#include "daemon/conf.h"
#include "lib/proto.h"
#include "lib/thread.h"

#define HOST_BARS_MAX 32

struct host {
	struct conf conf;
	struct thread thread;
	char dir[64];
	int dir_fd;
	char door[72];
	int lifeline;
	int ready;
	struct sv_bar_id bar[HOST_BARS_MAX]; /* once they are learnt */
	char bar_name[HOST_BARS_MAX][24];    /* "0000:01:00.0:0" */
	size_t n_bars;
	int result; /* of daemon_run(), once it has ended */
};

/** host_begin() - A directory, and devices such as "edu,bar2=64K"; NULL ends */
void host_begin(struct host *h, const char *const *devices);

/** host_start() - The daemon. Return: does it serve? If not, it has ended */
bool host_start(struct host *h);

/** host_learn_bars() - Which memfds of this process are the daemon's BARs */
void host_learn_bars(struct host *h);

/** host_stop() - It ends; its directory has to be empty again */
void host_stop(struct host *h);
void host_end(struct host *h);

/** host_on_failure() - What sched_fail() calls before it ends the process */
void host_on_failure(void (*fn)(void));

/** host_count_fds() - Of the process, once there are @max at most, or in the
 * end: what programs sent is closed by a thread that nobody waits for */
int host_count_fds(int max);

/** host_deadline() - A moment that is too late for whatever is waited for */
unsigned long host_deadline(void);
bool host_is_late(unsigned long deadline);

#endif

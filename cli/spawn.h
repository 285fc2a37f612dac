/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon as a child process: started, waited for until it is ready, and
 * ended by closing its lifeline, so that it also ends when we are killed.
 */
#ifndef SOFTVFIO_CLI_SPAWN_H
#define SOFTVFIO_CLI_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

struct conf;
struct instance;

/**
 * struct spawn - A daemon that was started
 * @pid:      0 = none, or reaped
 * @lifeline: the end that keeps it alive
 */
struct spawn {
	pid_t pid;
	int lifeline;
};

/** struct spawn_options - what `run` and `serve` were told about the daemon */
struct spawn_options {
	bool memlock_enforce;
	bool verbose;
};

/**
 * spawn_daemon() - Start a daemon for an instance and wait until it is ready
 *
 * It gets a session of its own, so that no terminal signal reaches it, and
 * keeps our stderr and working directory.
 *
 * Context: one thread. Signals that are blocked are unblocked in the daemon.
 * Return: 0; -EIO it ended at once, having said why; or what fork said,
 * reported.
 */
int spawn_daemon(const struct instance *in, const struct conf *devices,
		 const struct spawn_options *opts, struct spawn *ret);

/** spawn_end() - End it and reap it; reports if it ended badly */
void spawn_end(struct spawn *s);

#endif

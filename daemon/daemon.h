/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon as a function: `softvfio run` and `softvfio serve` call it in a
 * process of its own, which they start and end.
 */
#ifndef SOFTVFIO_DAEMON_DAEMON_H
#define SOFTVFIO_DAEMON_DAEMON_H

#include <stdbool.h>

struct conf;

/**
 * struct daemon_conf - What the daemon is to be; everything is borrowed
 * @dir:     the instance's directory, for messages
 * @dir_fd:  a descriptor of it: it is empty but for the owner's lock, belongs
 *	     to this user, 0700. The daemon makes SV_DOOR and SV_TREE in it, by
 *	     this descriptor alone, and does not close it.
 * @name:    the instance's name, for `softvfio ls`
 * @devices: the functions to create, already placed by conf_place()
 * @ready_fd: one byte is written to it when the door is open; it is then
 *	     closed. Closing it without the byte means: could not start.
 * @lifeline_fd: readable never; its hang-up means the owner has gone
 * @memlock_enforce: RLIMIT_MEMLOCK of a program refuses its DMA mappings
 * @verbose: log at debug level
 */
struct daemon_conf {
	const char *dir;
	int dir_fd;
	const char *name;
	const struct conf *devices;
	int ready_fd;
	int lifeline_fd;
	bool memlock_enforce;
	bool verbose;
};

/**
 * daemon_run() - Be the daemon until the lifeline hangs up
 *
 * Owns both other descriptors from here on. On return everything made in @dir is
 * gone again.
 *
 * Context: a process with one thread and its own session; SIGPIPE ignored. A
 * signal that it is to get when its parent ends, it gets until it is ready.
 * Return: 0 after the hang-up; a negative errno when it could not start, the
 * reason logged.
 */
int daemon_run(const struct daemon_conf *conf);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* What is kept open for when no path leads there any more: keep.c. */
#ifndef SOFTVFIO_SHIM_BASE_KEEP_H
#define SOFTVFIO_SHIM_BASE_KEEP_H

#include <stdbool.h>

enum keep {
	KEEP_PROC,	/* O_PATH of /proc */
	KEEP_MAPS,	/* this address space's maps */
	KEEP_SIDE_DOOR, /* a file that takes the door's requests */
	KEEP_END,
};

/**
 * keep_all() - Open and keep what is not kept yet
 *
 * Context: anywhere. What cannot be opened is not kept.
 */
void keep_all(void);

/** keep_inherited() - In a forked child: what was the parent's alone, anew */
void keep_inherited(enum keep what);

/** keep_fd() - One that is kept and still what it was, or -1; the shim's */
int keep_fd(enum keep what);

/** keep_owns() - Is a number one of these */
bool keep_owns(int fd);

#endif

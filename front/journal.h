/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The last refusals, and DMA that missed, kept for `softvfio why`: what was
 * asked, by whom, what errno it got and the reason.
 */
#ifndef SOFTVFIO_FRONT_JOURNAL_H
#define SOFTVFIO_FRONT_JOURNAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "lib/refuse.h"

#define JOURNAL_MAX 256 /* older entries are overwritten */

struct journal_entry {
	struct timespec when; /* CLOCK_REALTIME */
	pid_t pid;	      /* 0: a device, not a program */
	char program[16];
	char call[64];
	int err; /* positive */
	char reason[REFUSAL_MAX];
};

struct journal;

struct journal *journal_new(void); /* NULL: out of memory */
struct journal *journal_free(struct journal *j);

/** journal_add() - Context: any thread; takes a leaf lock, reads /proc */
void journal_add(struct journal *j, pid_t pid, const char *call, int err,
		 const char *reason);

/** journal_total() - entries ever added */
uint64_t journal_total(struct journal *j);

/** journal_copy() - the newest @max entries, oldest first; how many */
size_t journal_copy(struct journal *j, struct journal_entry *entries,
		    size_t max);

#endif

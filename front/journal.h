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

#include "lib/proc.h"
#include "lib/refuse.h"

#define JOURNAL_MAX  256 /* then an entry takes the place of an old one: */
#define JOURNAL_EACH 64	 /* of its own process, or of one with more than this */

struct journal_entry {
	struct timespec when; /* CLOCK_REALTIME */
	pid_t pid;	      /* 0: a device, not a program */
	char program[PROC_NAME_MAX];
	char call[64];
	int err; /* positive */
	char reason[REFUSAL_MAX];
};

struct journal;

/** journal_new() - Empty; NULL: out of memory */
struct journal *journal_new(void);

/** journal_free() - Nobody adds any more; NULL is fine */
struct journal *journal_free(struct journal *j);

/**
 * journal_add() - One more refusal, now
 * @pid:    whose; 0 = a device's
 * @call:   what was called, or the device's name
 * @err:    a positive errno
 * @reason: both are copied, cut to what fits
 *
 * Context: any thread; takes a leaf lock, reads /proc.
 */
void journal_add(struct journal *j, pid_t pid, const char *call, int err,
		 const char *reason);

/**
 * journal_total() - Entries ever added
 * journal_copy() - The newest @max entries, oldest first; returns how many
 *
 * Context: any thread; take a leaf lock.
 */
uint64_t journal_total(struct journal *j);
size_t journal_copy(struct journal *j, struct journal_entry *entries,
		    size_t max);

#endif

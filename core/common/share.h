/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a daemon has only so much of, and what of that one program may hold, so
 * that no program uses up what all of them need. A program is a process, by
 * the pid that the host vouches for (SCM_CREDENTIALS, SO_PEERCRED).
 *
 * Every limit that programs have in common is a row of the table in share.c;
 * whatever counts against it has a struct share inside. A program is known
 * while it holds something, so a pid that is used again inherits at most what
 * is still held under it.
 */
#ifndef SOFTVFIO_CORE_COMMON_SHARE_H
#define SOFTVFIO_CORE_COMMON_SHARE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MACHINE_DEVICES_MAX 256 /* functions in all */

enum share_kind {
	SHARE_FDS,	    /* descriptors: what the rows below cost of them */
	SHARE_FILES,	    /* open VFIO and sysfs files */
	SHARE_DOORS,	    /* connections to the door */
	SHARE_CHANNELS,	    /* kept sockets for answers and parts */
	SHARE_CLOSING,	    /* received descriptors that wait to be closed */
	SHARE_PARKED,	    /* requests that wait for a busy device */
	SHARE_WORKERS,	    /* copy workers: address spaces */
	SHARE_EVENTFDS,	    /* copies of those of interrupts and ioeventfds */
	SHARE_BAR_MAPS,	    /* mappings of BARs */
	SHARE_SEGMENTS,	    /* stretches of memory mapped for DMA */
	SHARE_MAPPED_FILES, /* mappings in the daemon of memory for DMA */
	SHARE_MAPPED_BYTES, /* and their length */
	SHARE_KINDS
};

/**
 * struct share_limit - One row
 * @what:     what is counted, for the reason of a refusal
 * @all:      of all programs
 * @each:     of one program
 * @all_err:  positive errno beyond @all
 * @each_err: positive errno beyond @each
 * @is_fd:    each costs a descriptor too, see SHARE_FDS
 */
struct share_limit {
	const char *what;
	uint64_t all;
	uint64_t each;
	int all_err;
	int each_err;
	bool is_fd;
};

/**
 * share_limit() - A row as it is now
 *
 * Context: any thread; @all and @each change in share_lower() only.
 */
const struct share_limit *share_limit(enum share_kind kind);

/**
 * share_lower() - There is no more than @all on this host: a row is lowered to
 * that, and one program's share to a quarter of it, or to half of it when that
 * is little (below 65536); never raised
 *
 * Context: before there are other threads.
 */
void share_lower(enum share_kind kind, uint64_t all);

/**
 * share_init() - Lower the rows to what this host gives: RLIMIT_NOFILE and
 * vm.max_map_count, a quarter of which stays for what is not a program's
 *
 * Context: before there are other threads, RLIMIT_NOFILE set.
 */
void share_init(void);

/** struct share - What something holds of its program's share; all 0: nothing */
struct share {
	struct program *program;
	uint64_t n;
	enum share_kind kind;
};

/**
 * share_take() - Charge @pid with @n more of @kind
 * @share: of @kind, if it holds something already: then whoever is charged with
 *	   that is charged with this too
 *
 * Context: any thread; takes a leaf lock, so none may be held.
 * Return: 0; -all_err or -each_err of the row, or those of SHARE_FDS, with
 * @share untouched and the reason said; -ENOMEM.
 */
int share_take(struct share *share, enum share_kind kind, pid_t pid,
	       uint64_t n);

/**
 * share_add() - As share_take(), for what is there already and has to be
 * counted, also beyond the limits
 *
 * Context: as for share_take(). Without memory for it nothing is charged.
 */
void share_add(struct share *share, enum share_kind kind, pid_t pid,
	       uint64_t n);

/**
 * share_crowded() - Is more than half of what @pid may have of @kind held, or of
 * what all may have, or are its descriptors or all of them, if each costs one?
 *
 * Who must take what comes asks this before more can come.
 *
 * Context: as for share_take().
 */
bool share_crowded(enum share_kind kind, pid_t pid);

/**
 * share_less() - Give back @n of what @share holds
 * share_give() - Give back all that it holds, if anything; nobody else is at it
 *
 * Context: as for share_take(). Any thread, not only the one that took it.
 */
void share_less(struct share *share, uint64_t n);
void share_give(struct share *share);

/**
 * share_held() - How much of @kind @pid holds, for listings and tests
 *
 * Context: as for share_take().
 */
uint64_t share_held(enum share_kind kind, pid_t pid);

#endif

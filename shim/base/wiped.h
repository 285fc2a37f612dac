/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The little this process keeps for itself alone: a page that the host kernel
 * clears in a forked child, so that a child never takes its parent's names and
 * sockets for its own. exec begins a new image and with it a new page; a vfork
 * or CLONE_VM child shares the address space and so shares the page.
 */
#ifndef SOFTVFIO_SHIM_BASE_WIPED_H
#define SOFTVFIO_SHIM_BASE_WIPED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WIPED_LINES  12
#define WIPED_STACKS 8

/**
 * struct wiped - All zero at first, and after fork
 * @mm_id:  see mmid.h
 * @seq:    of the last request; starts anywhere
 * @line:   what the slots of kept lines are in, see line.c
 * @needed: the struct needed that need not be mapped is in use
 * @stack:  as are those of trap.c
 * @maps_kept: keep.c has this address space's maps, not a parent's
 */
struct wiped {
	atomic_uint_least64_t mm_id[2];
	atomic_uint_least64_t seq;
	atomic_int line[WIPED_LINES];
	atomic_bool needed;
	atomic_bool stack[WIPED_STACKS];
	atomic_bool maps_kept;
};

/** wiped_page() - NULL where the host cannot clear it */
struct wiped *wiped_page(void);

/**
 * wiped_word() - A random number, drawn on first use
 *
 * Return: never 0, unless the host has no random numbers.
 */
uint64_t wiped_word(atomic_uint_least64_t *word);

#endif

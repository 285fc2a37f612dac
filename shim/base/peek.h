/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The first look at a path: any pointer may be one, a closed BAR's among them,
 * and the host says EFAULT.
 */
#ifndef SOFTVFIO_SHIM_BASE_PEEK_H
#define SOFTVFIO_SHIM_BASE_PEEK_H

#include <stdbool.h>
#include <stdint.h>

/**
 * peek() - The first two bytes of a path, 0 when they can't be read
 *
 * A load, where faults come to us: trap_handler() goes on at peek_failed then.
 * Before that the host is asked.
 */
static inline uint16_t peek(const char *path);

/** peek_load() - The load; its first instruction is what may fault */
uint16_t peek_load(const char *path);
extern const char peek_failed[];

/** peek_readable() - Asks the host */
bool peek_readable(const char *path);

/** faults_armed() - Do faults come to us? Set once, by faults_set_armed() */
bool faults_armed(void);
void faults_set_armed(void);

static inline uint16_t peek(const char *path)
{
	return faults_armed() || peek_readable(path) ? peek_load(path) : 0;
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A name for this address space, sent with every request: the daemon keeps the
 * /proc/self/mem it was given under it, and must not use a parent's for a
 * child's addresses.
 */
#ifndef SOFTVFIO_SHIM_BASE_MMID_H
#define SOFTVFIO_SHIM_BASE_MMID_H

#include <stdint.h>

/** shim_mm_id() - The name, chosen on first use; zeroes = unknown */
void shim_mm_id(uint64_t ret_id[2]);

#endif

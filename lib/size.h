/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes as people write them: 4096, 64K, 1M, 2G, 1T. */
#ifndef SOFTVFIO_LIB_SIZE_H
#define SOFTVFIO_LIB_SIZE_H

#include <stdint.h>

/**
 * size_parse() - A number of bytes, decimal or 0x, with an optional K M G T
 *
 * Return: 0; -EINVAL not a size, or it does not fit 64 bits.
 */
int size_parse(const char *text, uint64_t *ret_bytes);

#endif

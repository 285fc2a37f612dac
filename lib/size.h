/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes: as people write them (4096, 64K, 1M, 2G, 1T), and as PCI has them. */
#ifndef SOFTVFIO_LIB_SIZE_H
#define SOFTVFIO_LIB_SIZE_H

#include <stdint.h>

#define PAGE 4096u /* of x86 */

/** size_pages() - Rounded up to whole pages; 2^64 becomes 0 */
static inline uint64_t size_pages(uint64_t size)
{
	return (size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

/**
 * size_parse() - A number of bytes, decimal or 0x, with an optional K M G T
 *
 * Return: 0; -EINVAL not a size, or it does not fit 64 bits.
 */
int size_parse(const char *text, uint64_t *ret_bytes);

/**
 * size_pow2() - The smallest power of two that is neither below @size nor @min
 * @size: 2^63 at most
 * @min:	a power of two
 */
uint64_t size_pow2(uint64_t size, uint64_t min);

#endif

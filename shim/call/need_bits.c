/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs of ones in a bitmap of the program. */
#include "shim/call/need_impl.h"

#include <string.h>

#define WORD_BITS 64u  /* of a bitmap */
#define ONES	  4096 /* bytes written at a time */

static uint64_t low_bits(uint64_t n)
{
	return n < WORD_BITS ? (1ull << n) - 1 : ~0ull;
}

static bool put_word(uint64_t addr, uint64_t word)
{
	return shim_copy_out((void *)(uintptr_t)addr, &word, sizeof(word)) == 0;
}

static bool put_ones(uint64_t addr, uint64_t bytes)
{
	static const uint8_t ones[] = {[0 ... ONES - 1] = 0xff};

	while (bytes) {
		uint64_t len = bytes < ONES ? bytes : ONES;

		if (shim_copy_out((void *)(uintptr_t)addr, ones, len))
			return false;
		addr += len;
		bytes -= len;
	}
	return true;
}

/* @count ones from bit @skip of the word at @addr on: SV_NEED_BITS. */
static bool put_bits(uint64_t addr, uint64_t skip, uint64_t count)
{
	uint64_t word = 0, end = skip + count;

	if (skip) {
		if (shim_copy_in(&word, (const void *)(uintptr_t)addr,
				 sizeof(word)) != sizeof(word))
			return false;
		word |= low_bits(end) & ~low_bits(skip);
		if (!put_word(addr, word))
			return false;
		addr += sizeof(word);
		end -= end < WORD_BITS ? end : WORD_BITS;
	}
	return put_ones(addr, end / WORD_BITS * sizeof(word)) &&
	       (!(end % WORD_BITS) ||
		put_word(addr + end / WORD_BITS * sizeof(word),
			 low_bits(end % WORD_BITS)));
}

/* What cannot be written is for the daemon to answer; nor is what follows. */
int need_bits(struct needed *n, const struct sv_need *need)
{
	if (need->flags >= WORD_BITS || need->len > SV_BITS_MAX)
		return -EIO;
	if (n->bits_fault)
		return 0;
	if (put_bits(need->addr, need->flags, need->len))
		n->bits_done++;
	else
		n->bits_fault = true;
	return 0;
}

void need_bits_begin(struct needed *n, uint64_t mark)
{
	if (n->mark != mark)
		n->bits_done = 0;
	n->mark = mark;
	n->bits_fault = false;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The page that fork clears: shim/base/wiped.h. Everything in it is one word that
 * is set by whoever is first: no state in between where a signal handler could
 * find another owner's half-made one and have to wait.
 */
#include "shim/base/wiped.h"

#include "shim/shim.h"

#include <sys/mman.h>

#define PAGE 4096

static union {
	struct wiped wiped;
	char page[PAGE];
} own __attribute__((aligned(PAGE)));
static_assert(sizeof(own) == PAGE, "no neighbour is cleared with it");

static atomic_bool wiping; /* the page is set up to be cleared */

struct wiped *wiped_page(void)
{
	if (atomic_load_explicit(&wiping, memory_order_acquire))
		return &own.wiped;
	if (SYS(madvise, &own, sizeof(own), MADV_WIPEONFORK) < 0)
		return NULL;
	atomic_store_explicit(&wiping, true, memory_order_release);
	return &own.wiped;
}

uint64_t wiped_word(atomic_uint_least64_t *word)
{
	uint64_t mine = 0, is = atomic_load(word);

	if (is)
		return is;
	if (SYS(getrandom, &mine, sizeof(mine), 0) != sizeof(mine))
		return 0;
	mine |= 1; /* zero means "not drawn" */
	if (atomic_compare_exchange_strong(word, &is, mine))
		return mine;
	return is;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * 128 random bits in a page that the host kernel wipes in a forked child, so
 * that the child chooses its own, while a vfork or CLONE_VM child, which
 * shares the address space, shares the name too. exec begins a new image and
 * with it a new page.
 *
 * Two words, each set once by whoever is first: no state in between where a
 * signal handler could find another owner's half-made name and have to wait.
 */
#include "shim/mmid.h"

#include "shim/shim.h"

#include <stdatomic.h>
#include <sys/mman.h>

#define PAGE 4096

static union {
	atomic_uint_least64_t id[2];
	char page[PAGE];
} wiped __attribute__((aligned(PAGE)));

static atomic_bool wiping; /* the page is set up to be wiped */

static bool wipe_on_fork(void)
{
	if (atomic_load_explicit(&wiping, memory_order_acquire))
		return true;
	if (SYS(madvise, &wiped, sizeof(wiped), MADV_WIPEONFORK) < 0)
		return false;
	atomic_store_explicit(&wiping, true, memory_order_release);
	return true;
}

static uint64_t id_word(atomic_uint_least64_t *word)
{
	uint64_t mine = 0, is = atomic_load(word);

	if (is)
		return is;
	if (SYS(getrandom, &mine, sizeof(mine), 0) != sizeof(mine))
		return 0;
	mine |= 1; /* zero means "not chosen" */
	if (atomic_compare_exchange_strong(word, &is, mine))
		return mine;
	return is;
}

void shim_mm_id(uint64_t ret_id[2])
{
	/* Without the wipe a child would take its parent's name: none then. */
	bool ok = wipe_on_fork();

	for (int i = 0; i < 2; i++)
		ret_id[i] = ok ? id_word(&wiped.id[i]) : 0;
	if (!ret_id[0] || !ret_id[1])
		ret_id[0] = ret_id[1] = 0;
}

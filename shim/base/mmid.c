/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * 128 random bits that a forked child draws anew, while a vfork or CLONE_VM
 * child, which shares the address space, shares the name too.
 */
#include "shim/base/mmid.h"

#include "shim/base/wiped.h"

void shim_mm_id(uint64_t ret_id[2])
{
	/* without the wipe a child would take its parent's name: none then */
	struct wiped *w = wiped_page();

	for (int i = 0; i < 2; i++)
		ret_id[i] = w ? wiped_word(&w->mm_id[i]) : 0;
	if (!ret_id[0] || !ret_id[1])
		ret_id[0] = ret_id[1] = 0;
}

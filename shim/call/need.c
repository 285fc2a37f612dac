/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Serving SV_NEED: bytes of program memory here, the rest in need_fds.c,
 * need_vmas.c and need_bits.c.
 */
#include "shim/call/need_impl.h"

#include "shim/base/wiped.h"

#include <string.h>

/* For one request at a time; mapping one takes longer than asking again. */
static struct needed one;

static struct needed *take_one(void)
{
	struct wiped *w = wiped_page();

	return w && !atomic_exchange(&w->needed, true) ? &one : NULL;
}

struct needed *need_new(void)
{
	struct needed *n = take_one();

	if (!n)
		n = shim_scratch(sizeof(*n));
	if (!n)
		return NULL;
	n->n_segs = n->n_bytes = n->n_fdrefs = n->n_vmas = 0;
	n->n_files = n->n_fds = 0;
	n->mem_fd = -1;
	n->has_vmas = n->bits_fault = false;
	n->mark = n->bits_done = 0;
	return n;
}

static void release(struct needed *n)
{
	if (n == &one)
		atomic_store(&wiped_page()->needed, false);
	else
		shim_scratch_free(n, sizeof(*n));
}

void need_free(struct needed *n)
{
	if (!n)
		return;
	for (uint32_t i = 0; i < n->n_files; i++)
		SYS(close, n->fds[i]);
	if (n->mem_fd >= 0)
		SYS(close, n->mem_fd);
	release(n);
}

static int need_bytes(struct needed *n, uint64_t addr, uint64_t len,
		      uint32_t taken)
{
	if (n->n_segs + taken >= SV_SEGS_MAX ||
	    len > sizeof(n->bytes) - n->n_bytes)
		return -ENOMEM;

	size_t got = shim_copy_in(n->bytes + n->n_bytes,
				  (const void *)(uintptr_t)addr, len);

	n->segs[n->n_segs++] = (struct sv_seg){addr, len, got};
	n->n_bytes += got;
	return 0;
}

/* ------------------------------------------------------------------ */

/* The numbers of all SV_NEED_FDS lie behind the list, in its order. */
static int need_one(struct needed *n, const struct sv_need *need,
		    const uint8_t **numbers, const uint8_t *end, uint32_t taken)
{
	const uint8_t *mine = *numbers;

	switch (need->kind) {
	case SV_NEED_BYTES:
		return need_bytes(n, need->addr, need->len, taken);
	case SV_NEED_FDS:
		if (need->len > (size_t)(end - mine) / sizeof(int32_t))
			return -EIO;
		*numbers += need->len * sizeof(int32_t);
		return need_fds(n, (const int32_t *)mine, need->len);
	case SV_NEED_VMAS:
		return need_vmas(n, need);
	case SV_NEED_MM:
		return need_mm(n);
	case SV_NEED_BITS:
		return need_bits(n, need);
	}
	return -EIO;
}

int need_serve(struct needed *n, uint64_t mark, uint16_t count, size_t len,
	       uint32_t taken)
{
	const struct sv_need *needs = (const void *)n->list;
	const uint8_t *numbers = (const uint8_t *)(needs + count);
	int r = 0;

	if (!count || count > len / sizeof(*needs))
		return -EIO;
	need_bits_begin(n, mark);
	for (uint16_t i = 0; i < count && r == 0; i++)
		r = need_one(n, &needs[i], &numbers, n->list + len, taken);
	return r;
}

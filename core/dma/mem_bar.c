/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that is a BAR of one of our own devices: peer-to-peer DMA. The
 * device decides whether it answers; this only carries the question to it.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/dma/mem_impl.h"
#include "lib/cleanup.h"

struct mem_bar {
	struct mem mem;
	/* immutable */
	const struct mem_bar_ops *ops;
	void *dev;
	unsigned int bar;
};

static int bar_copy(struct mem *mem, const struct mem_stop *stop, uint64_t off,
		    void *buf, size_t len, bool write)
{
	struct mem_bar *b = container_of(mem, struct mem_bar, mem);

	return b->ops->access(b->dev, b->bar, off, buf, len, write);
}

static void bar_free(struct mem *mem)
{
	free(container_of(mem, struct mem_bar, mem));
}

static const struct mem_ops bar_mem_ops = {
	.copy = bar_copy,
	.free = bar_free,
};

bool mem_is_pinned(const struct mem *mem)
{
	return mem->ops != &bar_mem_ops;
}

int mem_bar(const struct mem_bar_ops *ops, void *dev, unsigned int bar,
	    struct mem **ret_mem)
{
	struct mem_bar *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	mem_init(&b->mem, &bar_mem_ops);
	b->ops = ops;
	b->dev = dev;
	b->bar = bar;
	*ret_mem = &b->mem;
	return 0;
}

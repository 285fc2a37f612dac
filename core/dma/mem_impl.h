/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the providers of memory (file, mm, bar) share among themselves: a
 * reference count, three operations, and the registry in which one struct mem
 * is found again by what it is the memory of. Nobody else includes this.
 */
#ifndef SOFTVFIO_CORE_DMA_MEM_IMPL_H
#define SOFTVFIO_CORE_DMA_MEM_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "core/dma/mem.h"
#include "lib/lock.h"

/**
 * struct mem_ops - One kind of memory
 * @copy: mem_read() and mem_write()
 * @many: mem_many(); NULL: by @copy, one after the other
 * @host: mem_host(); NULL: never mapped here
 * @wake: have waiting copies look at their mem_stop; NULL: copies never wait
 * @free: the last reference has gone; @mem is in no registry any more
 */
struct mem_ops {
	int (*copy)(struct mem *mem, const struct mem_stop *stop, uint64_t off,
		    void *buf, size_t len, bool write);
	int (*many)(struct mem *mem, const struct mem_stop *stop,
		    const struct mem_io *io, size_t n, size_t *ret_done);
	void *(*host)(struct mem *mem, uint64_t off, uint64_t len, bool write);
	void (*wake)(struct mem *mem);
	void (*free)(struct mem *mem);
};

struct mem_key {
	uint64_t w[3];
};

struct mem {
	/* immutable once published */
	const struct mem_ops *ops;
	struct mem_key key;
	bool listed;

	_Atomic uint32_t refs; /* drops to 0 under mem_registry only */
	LIST_ENTRY(mem) link;  /* mem_registry */
};

/*
 * Held while a struct mem is looked up, made and added, so that there is one
 * for each key. Queue locks of address spaces come inside it.
 */
extern struct mutex mem_registry;
#define RANK_MM_QUEUE ((enum lock_rank)(RANK_MM + 1))

/** mem_init() - One reference, not listed */
void mem_init(struct mem *mem, const struct mem_ops *ops);

/** mem_find_locked() - Find by kind and key; takes a reference. NULL: none */
struct mem *mem_find_locked(const struct mem_ops *ops,
			    const struct mem_key *key) REQUIRES(&mem_registry);

/** mem_add_locked() - From now on mem_find_locked() finds it, until it is
 * freed */
void mem_add_locked(struct mem *mem, const struct mem_key *key)
	REQUIRES(&mem_registry);

#endif

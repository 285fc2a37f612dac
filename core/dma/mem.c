/* SPDX-License-Identifier: BSD-3-Clause */
/* References and the registry of memory: core/dma/mem.h, core/dma/mem_impl.h. */
#include <stdatomic.h>
#include <string.h>

#include "core/dma/mem_impl.h"

#define BUCKETS 256

struct mutex mem_registry = {PTHREAD_MUTEX_INITIALIZER, RANK_MM,
			     "mem_registry"};

LIST_HEAD(mem_list, mem);
static struct mem_list bucket[BUCKETS] GUARDED_BY(&mem_registry);

static struct mem_list *bucket_of(const struct mem_key *key)
	REQUIRES(&mem_registry)
{
	uint64_t h = key->w[0] ^ key->w[1] * 31 ^ key->w[2] * 1021;

	h *= 0x9e3779b97f4a7c15ull; /* 2^64 / golden ratio: mixes upwards */
	return &bucket[h >> 56];
}

void mem_init(struct mem *mem, const struct mem_ops *ops)
{
	mem->ops = ops;
	mem->refs = 1;
	mem->listed = false;
}

struct mem *mem_find_locked(const struct mem_ops *ops,
			    const struct mem_key *key)
{
	struct mem *mem;

	LIST_FOREACH (mem, bucket_of(key), link)
		if (mem->ops == ops &&
		    !memcmp(&mem->key, key, sizeof(mem->key)))
			return mem_get(mem);
	return NULL;
}

void mem_add_locked(struct mem *mem, const struct mem_key *key)
{
	mem->key = *key;
	mem->listed = true;
	LIST_INSERT_HEAD(bucket_of(key), mem, link);
}

struct mem *mem_get(struct mem *mem)
{
	atomic_fetch_add(&mem->refs, 1);
	return mem;
}

/* Drop one that is not the last, so without the registry's lock. */
static bool put_fast(struct mem *mem)
{
	uint32_t refs = atomic_load(&mem->refs);

	while (refs > 1)
		if (atomic_compare_exchange_weak(&mem->refs, &refs, refs - 1))
			return true;
	return false;
}

struct mem *mem_put(struct mem *mem)
{
	if (!mem || put_fast(mem))
		return NULL;

	mutex_lock(&mem_registry);
	bool last = atomic_fetch_sub(&mem->refs, 1) == 1;

	if (last && mem->listed)
		LIST_REMOVE(mem, link);
	mutex_unlock(&mem_registry);
	if (last)
		mem->ops->free(mem);
	return NULL;
}

int mem_read(struct mem *mem, const struct mem_stop *stop, uint64_t off,
	     void *buf, size_t len)
{
	return mem->ops->copy(mem, stop, off, buf, len, false);
}

int mem_write(struct mem *mem, const struct mem_stop *stop, uint64_t off,
	      const void *buf, size_t len)
{
	return mem->ops->copy(mem, stop, off, (void *)(uintptr_t)buf, len,
			      true);
}

int mem_many(struct mem *mem, const struct mem_stop *stop,
	     const struct mem_io *io, size_t n, size_t *ret_done)
{
	if (mem->ops->many)
		return mem->ops->many(mem, stop, io, n, ret_done);
	for (size_t i = 0; i < n; i++) {
		int r = mem->ops->copy(mem, stop, io[i].off, io[i].buf,
				       io[i].len, io[i].write);

		if (r < 0) {
			*ret_done = i;
			return r;
		}
	}
	return 0;
}

void *mem_host(struct mem *mem, uint64_t off, uint64_t len, bool write)
{
	return mem->ops->host ? mem->ops->host(mem, off, len, write) : NULL;
}

void mem_nudge(struct mem *mem)
{
	if (mem->ops->wake)
		mem->ops->wake(mem);
}

/*
 * A requester does not say what it waits for, so that waiting costs it
 * nothing but the wait; stopping a device is rare enough to ask everywhere.
 */
void mem_wake(struct dma_ctx *ctx)
{
	struct mem *mem;

	mutex_lock(&mem_registry);
	for (unsigned int i = 0; i < BUCKETS; i++)
		LIST_FOREACH (mem, &bucket[i], link)
			mem_nudge(mem);
	mutex_unlock(&mem_registry);
}

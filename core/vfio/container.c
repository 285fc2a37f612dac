/* SPDX-License-Identifier: BSD-3-Clause */
/* Containers: core/vfio/container.h. */
#include <errno.h>
#include <stdlib.h>

#include "core/vfio/container.h"
#include "lib/refuse.h"

int container_new(pid_t pid, struct container **ret_container)
{
	struct container *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->refs = 1;
	c->pid = pid;
	mutex_init(&c->lock, RANK_CONTAINER, "container");
	*ret_container = c;
	return 0;
}

struct container *container_get(struct container *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

/* The last reference needs no lock to look inside. */
struct container *NO_TSA container_put(struct container *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
		return NULL;
	type1_put(c->type1);
	mutex_done(&c->lock);
	free(c);
	return NULL;
}

static int container_set_iommu_locked(struct container *c, uint64_t value)
	REQUIRES(&c->lock)
{
	if (!c->n_groups)
		return refuse(EINVAL, "SET_IOMMU: no group is attached yet");
	if (c->type1)
		return refuse(EINVAL, "SET_IOMMU: a type is set already");
	return type1_new(c->pid, value, TYPE1_ENTRY_LIMIT, &c->type1);
}

int container_set_iommu(struct container *c, uint64_t value)
{
	mutex_lock(&c->lock);
	int r = container_set_iommu_locked(c, value);

	mutex_unlock(&c->lock);
	return r;
}

void container_attach(struct container *c)
{
	mutex_lock(&c->lock);
	c->n_groups++;
	mutex_unlock(&c->lock);
}

static _Atomic uint64_t leaked_mappings, leaked_bytes;

void container_get_leaks(struct container_leaks *ret_leaks)
{
	ret_leaks->mappings =
		atomic_load_explicit(&leaked_mappings, memory_order_relaxed);
	ret_leaks->bytes =
		atomic_load_explicit(&leaked_bytes, memory_order_relaxed);
}

static void count_leaks(struct type1 *t)
{
	uint32_t n = t ? type1_mappings(t) : 0;

	if (!n)
		return;
	atomic_fetch_add_explicit(&leaked_mappings, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&leaked_bytes, type1_mapped(t),
				  memory_order_relaxed);
}

void container_detach(struct container *c)
{
	struct type1 *gone = NULL;

	mutex_lock(&c->lock);
	if (--c->n_groups == 0) {
		gone = c->type1;
		c->type1 = NULL;
	}
	mutex_unlock(&c->lock);
	count_leaks(gone);
	type1_put(gone);
}

struct type1 *container_type1(struct container *c)
{
	mutex_lock(&c->lock);
	struct type1 *t = c->type1 ? type1_get(c->type1) : NULL;

	mutex_unlock(&c->lock);
	return t;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Containers: core/vfio/container.h. */
#include <errno.h>
#include <stdlib.h>

#include "core/vfio/container.h"
#include "lib/refuse.h"

/* linux/vfio.h: the extensions SET_IOMMU may be called with */
#define TYPE1	  1
#define TYPE1V2	  3
#define UNMAP_ALL 9

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
	ioas_put(c->ioas);
	mutex_done(&c->lock);
	free(c);
	return NULL;
}

/*
 * Linux offers the value to every driver that answers CHECK_EXTENSION for it;
 * type1 answers for UNMAP_ALL too, and then finds that it is no type.
 */
static int iommu_type_parse(uint64_t value, enum iommu_type *ret_type)
{
	switch (value) {
	case TYPE1:
		*ret_type = IOMMU_TYPE1;
		return 0;
	case TYPE1V2:
		*ret_type = IOMMU_TYPE1V2;
		return 0;
	case UNMAP_ALL:
		return refuse(EINVAL, "SET_IOMMU: 9 is an extension, not a "
				      "type; use 1 or 3");
	default:
		return refuse(ENODEV,
			      "SET_IOMMU: no IOMMU of type %llu; use 1 "
			      "(type1) or 3 (type1v2)",
			      (unsigned long long)value);
	}
}

static int container_set_iommu_locked(struct container *c, uint64_t value)
	REQUIRES(&c->lock)
{
	enum iommu_type type = IOMMU_NONE;

	if (!c->n_groups)
		return refuse(EINVAL, "SET_IOMMU: no group is attached yet");
	if (c->type != IOMMU_NONE)
		return refuse(EINVAL, "SET_IOMMU: a type is set already");

	int r = iommu_type_parse(value, &type);

	if (r < 0)
		return r;
	r = ioas_new(c->pid, IOAS_DMA_ENTRY_LIMIT, &c->ioas);
	if (r < 0)
		return r;
	c->type = type;
	return 0;
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

static void count_leaks(struct ioas *ioas)
{
	uint32_t n = ioas ? IOAS_DMA_ENTRY_LIMIT - ioas_avail(ioas) : 0;

	if (!n)
		return;
	atomic_fetch_add_explicit(&leaked_mappings, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&leaked_bytes, ioas_mapped(ioas),
				  memory_order_relaxed);
}

void container_detach(struct container *c)
{
	struct ioas *gone = NULL;

	mutex_lock(&c->lock);
	if (--c->n_groups == 0) {
		gone = c->ioas;
		c->ioas = NULL;
		c->type = IOMMU_NONE;
	}
	mutex_unlock(&c->lock);
	count_leaks(gone);
	ioas_put(gone);
}

struct ioas *container_ioas(struct container *c, enum iommu_type *ret_type)
{
	mutex_lock(&c->lock);
	struct ioas *ioas = c->ioas ? ioas_get(c->ioas) : NULL;

	*ret_type = c->type;
	mutex_unlock(&c->lock);
	return ioas;
}

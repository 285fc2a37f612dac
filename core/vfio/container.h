/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VFIO container: groups that share one IOVA table. It lives until its file
 * is closed and no group is attached; its IOMMU (type and mappings) lives until
 * the last group is detached, even when the file stays open.
 *
 * Context, for every function unless it says otherwise: any thread; takes
 * container->lock.
 */
#ifndef SOFTVFIO_CORE_VFIO_CONTAINER_H
#define SOFTVFIO_CORE_VFIO_CONTAINER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/vfio/type1.h"
#include "lib/lock.h"

struct container {
	_Atomic unsigned int refs;
	pid_t pid;			       /* immutable */
	struct mutex lock;		       /* everything below */
	struct type1 *type1 GUARDED_BY(&lock); /* NULL before SET_IOMMU */
	unsigned int n_groups GUARDED_BY(&lock);
};

/**
 * container_new() - A container without groups
 * @pid: who is charged with what is mapped
 *
 * Context: lock-free.
 * Return: 0; -ENOMEM.
 */
int container_new(pid_t pid, struct container **ret_container);

/**
 * container_get() - One more reference
 * container_put() - One less. NULL is fine
 *
 * Context: lock-free, but for the last put: type1_put().
 */
struct container *container_get(struct container *c);
struct container *container_put(struct container *c);

/**
 * container_set_iommu() - VFIO_SET_IOMMU
 * @type: as the program passed it
 *
 * Return: 0; -EINVAL no group is attached, or a type is set already; as
 * type1_new().
 */
int container_set_iommu(struct container *c, uint64_t type);

/** container_attach() - one more group */
void container_attach(struct container *c);

/** container_detach() - one group less; the last takes the IOMMU along */
void container_detach(struct container *c);

/** struct container_leaks - Mappings that went with their table, for reports */
struct container_leaks {
	uint64_t mappings;
	uint64_t bytes;
};

/**
 * container_get_leaks() - Of all containers of this process
 *
 * A program may rely on it that closing unmaps; but what is left then was
 * mostly forgotten.
 *
 * Context: any thread, lock-free.
 */
void container_get_leaks(struct container_leaks *ret_leaks);

/**
 * container_type1() - Its IOMMU
 *
 * Return: a new reference, or NULL before SET_IOMMU.
 */
struct type1 *container_type1(struct container *c);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A domain: a table as an IOMMU has it, and who is attached to it. Without one
 * a table is only a list of what shall be mapped. With one its areas are as
 * the IOMMU wants them, nothing lies where an attached device has something
 * else, and memory that was named only has been found.
 *
 * Several domains may share a table. Nobody tracks what is written yet, so
 * there are no dirty bits: whoever tells of some has to say that all is
 * (core/vfio/type1.h).
 */
#ifndef SOFTVFIO_CORE_DMA_DOMAIN_H
#define SOFTVFIO_CORE_DMA_DOMAIN_H

#include <stddef.h>
#include <stdint.h>

#include "core/dma/iopt.h"

struct domain; /* reference counted */

/**
 * domain_new() - A domain that nobody is attached to
 * @iopt:  its table; one reference is taken
 * @align: the smallest page of its IOMMU, a power of two
 *
 * Context: any thread.
 * Return: 0; -ENOMEM.
 */
int domain_new(struct iopt *iopt, uint64_t align, struct domain **ret_domain);

/**
 * domain_get() - One more reference
 * domain_put() - One less; nobody is attached when the last goes. NULL is fine
 *
 * Context: any thread; the last put as iopt_put().
 */
struct domain *domain_get(struct domain *d);
struct domain *domain_put(struct domain *d);

/** domain_iopt() - The table, borrowed. Context: any thread, lock-free */
struct iopt *domain_iopt(const struct domain *d);

/**
 * domain_attach() - One more attachment
 * @who:      for domain_detach(); attached to one domain of a table at most
 * @reserved: what is not to be mapped as long as it is attached, @n ranges
 *
 * Takes effect whole or not at all.
 *
 * Context: takes domain->lock, and what iopt_resolve() takes, one after the
 * other.
 * Return: 0; -EADDRINUSE something is mapped that is misaligned for this
 * domain, or lies in what is reserved, or that is promised: iopt_allow();
 * -ENOMEM; as iopt_resolve().
 */
int domain_attach(struct domain *d, const void *who,
		  const struct iova_range *reserved, size_t n);

/**
 * domain_detach() - One less, and what it had reserved is usable again
 *
 * Context: takes domain->lock, and iopt->lock for writing.
 */
void domain_detach(struct domain *d, const void *who);

#endif

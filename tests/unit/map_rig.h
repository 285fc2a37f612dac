/* SPDX-License-Identifier: BSD-3-Clause */
/* A type1 IOMMU of our own, and mappings in it, for tests of what lies below. */
#ifndef SOFTVFIO_TESTS_UNIT_MAP_RIG_H
#define SOFTVFIO_TESTS_UNIT_MAP_RIG_H

#include <unistd.h>

#include "core/dma/dma.h"
#include "core/dma/domain.h"
#include "core/vfio/type1.h"

#define TYPE1_V1 1 /* VFIO_TYPE1_IOMMU */
#define TYPE1_V2 3

/** type1_iopt() - Its table, borrowed */
static inline struct iopt *type1_iopt(const struct type1 *t)
{
	return domain_iopt(type1_domain(t));
}

/** rig_type1() - NULL: no memory. @max: mappings */
static inline struct type1 *rig_type1(uint64_t version, uint32_t max)
{
	struct type1 *t = NULL;

	return type1_new(getpid(), version, max, &t) == 0 ? t : NULL;
}

/** rig_map() - As type1_map(); the segments are the mapping's on success */
static inline int rig_map(struct type1 *t, const struct type1_map *map,
			  const struct mem_seg *segs, size_t n)
{
	struct pages *pages;
	int r;

	for (size_t i = 0; i < n; i++)
		mem_get(segs[i].mem);
	r = pages_new(type1_pid(t), map->vaddr, segs, n, &pages);
	if (r == 0) {
		r = type1_map(t, map, pages);
		pages_put(pages); /* and on error what it was given */
	} else {
		for (size_t i = 0; i < n; i++)
			mem_put(segs[i].mem);
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		mem_put(segs[i].mem);
	return r;
}

static inline int rig_map_one(struct type1 *t, uint64_t iova, uint64_t len,
			      uint32_t prot, const struct mem_seg *seg)
{
	const struct type1_map map = {0, iova, len, prot};

	return rig_map(t, &map, seg, 1);
}

#endif

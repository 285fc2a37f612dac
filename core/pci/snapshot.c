/* SPDX-License-Identifier: BSD-3-Clause */
/* What listings say of a function: core/pci/snapshot.h. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/pci/snapshot.h"
#include "lib/cleanup.h"

static uint64_t count(const _Atomic uint64_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

void device_snapshot(struct sv_dev *dev, struct device_snapshot *ret_snapshot)
{
	*ret_snapshot = (struct device_snapshot){
		.name = dev->name,
		.model = dev->ops->name,
		.vendor = dev->shape.vendor,
		.device = dev->shape.device,
		.class_code = dev->shape.class_code,
		.presence = atomic_load(&dev->presence),
		.gone = device_gone(dev),
		.dma_reads = count(&dev->stats.dma_reads),
		.dma_writes = count(&dev->stats.dma_writes),
		.dma_bytes = count(&dev->stats.dma_bytes),
		.dma_missed = count(&dev->stats.dma_faults),
		.dma_not_master = count(&dev->stats.dma_not_master),
		.driver_errors = count(&dev->stats.driver_errors),
		.counters = dev->ops->counters,
	};
	irq_get_stats(dev->irq, &ret_snapshot->irq);
	for (unsigned int i = 0; i < SV_COUNTERS; i++)
		ret_snapshot->counter[i] = count(&dev->counter[i]);
}

static int append(struct sv_dev *dev, unsigned int b,
		  struct device_mapping **all, size_t *n)
{
	_cleanup_(freep) struct bar_listed *some = NULL;
	size_t n_some;
	int r = bar_list(&dev->bar[b], &some, &n_some);

	if (r < 0 || !n_some)
		return r;

	struct device_mapping *more =
		reallocarray(*all, *n + n_some, sizeof(*more));

	if (!more)
		return -ENOMEM;
	*all = more;
	for (size_t i = 0; i < n_some; i++)
		more[(*n)++] = (struct device_mapping){
			b, some[i].pid, some[i].off, some[i].len};
	return 0;
}

int device_mappings(struct sv_dev *dev, struct device_mapping **ret_all,
		    size_t *ret_n)
{
	_cleanup_(freep) struct device_mapping *all = NULL;
	size_t n = 0;
	int r = 0;

	for (unsigned int b = 0; b < SV_NUM_BARS && r == 0; b++)
		r = append(dev, b, &all, &n);
	if (r < 0)
		return r;
	*ret_all = TAKE_PTR(all);
	*ret_n = n;
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What listings and reports say of a function, copied out of it: whoever prints
 * holds no lock and knows no list of it.
 */
#ifndef SOFTVFIO_CORE_PCI_SNAPSHOT_H
#define SOFTVFIO_CORE_PCI_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/pci/device.h"
#include "core/pci/irq.h"

/**
 * struct device_snapshot - A function at one moment
 * @name:     "0000:01:00.0"; borrowed, as are the model's name and counters'
 * @gone:     unplugged, though it may still be in use
 * @dma_*:    accesses that its model made, and bytes; those that were aborted,
 *	      because nothing is mapped there or bus mastering is off
 * @counters: names of what the model counts, ended by NULL; or NULL
 */
struct device_snapshot {
	const char *name;
	const char *model;
	uint16_t vendor;
	uint16_t device;
	uint32_t class_code;
	enum device_presence presence;
	bool gone;
	struct irq_stats irq;
	uint64_t dma_reads;
	uint64_t dma_writes;
	uint64_t dma_bytes;
	uint64_t dma_missed;
	uint64_t dma_not_master;
	uint64_t driver_errors;
	const char *const *counters;
	uint64_t counter[SV_COUNTERS];
};

/**
 * device_snapshot() - Of a function; numbers that change may be of moments that
 * lie next to each other
 *
 * Context: any thread, lock-free.
 */
void device_snapshot(struct sv_dev *dev, struct device_snapshot *ret_snapshot);

/** struct device_mapping - One mmap() of a BAR */
struct device_mapping {
	unsigned int bar;
	pid_t pid; /* who made it */
	uint64_t off;
	uint64_t len;
};

/**
 * device_mappings() - Those of its BARs that live
 * @ret_all: to be freed; NULL if there is none
 *
 * Context: any thread; takes the bars' locks, one after the other.
 * Return: 0; -ENOMEM.
 */
int device_mappings(struct sv_dev *dev, struct device_mapping **ret_all,
		    size_t *ret_n);

#endif

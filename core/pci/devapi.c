/* SPDX-License-Identifier: BSD-3-Clause */
/* What a device model may call: include/softvfio/device.h. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/pci/device.h"
#include "lib/log.h"
#include "lib/size.h"

#define TEXT_MAX 200

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

void *sv_state(struct sv_dev *dev)
{
	return dev->state;
}

const struct sv_shape *sv_shape(const struct sv_dev *dev)
{
	return &dev->shape;
}

const char *sv_option(const struct sv_dev *dev, const char *name)
{
	for (const struct device_option *o = dev->options; o && o->name; o++)
		if (!strcmp(o->name, name))
			return o->value;
	return NULL;
}

int sv_option_size(struct sv_dev *dev, const char *name, uint64_t *ret_bytes)
{
	const char *value = sv_option(dev, name);

	if (!value)
		return 0;
	if (size_parse(value, ret_bytes) == 0)
		return 0;
	sv_error(dev, "%s=%s: not a size; write 4096, 64K, 1M or 2G", name,
		 value);
	return -EINVAL;
}

void sv_error(struct sv_dev *dev, const char *fmt, ...)
{
	va_list ap;

	if (!dev->error)
		return;
	va_start(ap, fmt);
	vsnprintf(dev->error, 256, fmt, ap);
	va_end(ap);
}

void sv_log(struct sv_dev *dev, enum sv_log level, const char *fmt, ...)
{
	static const enum log_level levels[] = {
		[SV_LOG_ERROR] = LOG_ERR,
		[SV_LOG_WARN] = LOG_WARN,
		[SV_LOG_INFO] = LOG_INFO,
		[SV_LOG_DEBUG] = LOG_DEBUG,
	};
	char text[TEXT_MAX];
	va_list ap;

	if (levels[level] > log_level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_line(levels[level], "%s: %s", dev->name, text);
}

void sv_driver_error(struct sv_dev *dev, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	count(&dev->stats.driver_errors, 1);
	if (dev->note)
		dev->note(dev->note_arg, dev, EINVAL, text);
}

uint64_t sv_clock(struct sv_dev *dev)
{
	return clock_ns();
}

uint8_t *sv_bar_memory(struct sv_dev *dev, unsigned int bar)
{
	return dev->bar[bar].mem;
}

bool NO_TSA sv_mmio_begin(struct sv_dev *dev)
{
	rwlock_read(&dev->memory_lock);
	if (config_memory_enabled(dev->config) && !device_gone(dev))
		return true;
	rwlock_unread(&dev->memory_lock);
	return false;
}

void NO_TSA sv_mmio_end(struct sv_dev *dev)
{
	rwlock_unread(&dev->memory_lock);
}

static void dma_report(struct sv_dev *dev, const char *text)
{
	if (dev->note)
		dev->note(dev->note_arg, dev, EFAULT, text);
}

static void dma_report_at(struct sv_dev *dev, bool write, uint64_t iova,
			  size_t len, const char *why)
{
	char text[160];

	snprintf(text, sizeof(text), "DMA %s of %zu bytes at iova %#llx: %s",
		 write ? "write" : "read", len, (unsigned long long)iova, why);
	dma_report(dev, text);
}

/* An aborted access: counted, reported, -EIO for the model. */
static int dma_abort(struct sv_dev *dev, bool write, uint64_t iova, size_t len,
		     int err)
{
	/* unless a reset follows, a revoked copy is an abort like any other */
	if (err == -ECANCELED &&
	    atomic_load(&dev->dma.cancel) > atomic_load(&dev->moving))
		return err;
	count(&dev->stats.dma_faults, 1);
	dma_report_at(dev, write, iova, len,
		      err == -EFAULT ? "not mapped, or not with that permission"
				     : "the memory has gone or did not answer");
	return -EIO;
}

static bool dma_allowed(struct sv_dev *dev, bool write, uint64_t iova,
			size_t len)
{
	if (device_gone(dev))
		return false;
	if (config_bus_master(dev->config))
		return true;
	count(&dev->stats.dma_not_master, 1);
	dma_report_at(dev, write, iova, len,
		      "bus mastering is off (COMMAND bit 2)");
	return false;
}

int sv_dma_read(struct sv_dev *dev, uint64_t iova, void *buf, size_t len)
{
	if (!len)
		return 0;
	if (!dma_allowed(dev, false, iova, len))
		return -EIO;
	count(&dev->stats.dma_reads, 1);
	count(&dev->stats.dma_bytes, len);

	int r = dma_read(dev->iopt, &dev->dma, iova, buf, len);

	return r < 0 ? dma_abort(dev, false, iova, len, r) : 0;
}

int sv_dma_write(struct sv_dev *dev, uint64_t iova, const void *buf, size_t len)
{
	if (!len)
		return 0;
	if (!dma_allowed(dev, true, iova, len))
		return -EIO;
	count(&dev->stats.dma_writes, 1);
	count(&dev->stats.dma_bytes, len);

	int r = dma_write(dev->iopt, &dev->dma, iova, buf, len);

	return r < 0 ? dma_abort(dev, true, iova, len, r) : 0;
}

/* One count for all of a list: it is the locked additions that cost. */
static void dma_count(struct sv_dev *dev, const struct sv_dma *list, size_t n)
{
	uint64_t reads = 0, writes = 0, bytes = 0;

	for (size_t i = 0; i < n; i++) {
		bytes += list[i].len;
		if (list[i].write)
			writes++;
		else
			reads++;
	}
	if (reads)
		count(&dev->stats.dma_reads, reads);
	if (writes)
		count(&dev->stats.dma_writes, writes);
	count(&dev->stats.dma_bytes, bytes);
}

/* How many, from the first on, are by nobody but the function. */
static size_t own_accesses(const struct sv_dma *list, size_t n)
{
	size_t i = 0;

	while (i < n && list[i].pasid == SV_PASID_NONE)
		i++;
	return i;
}

static int dma_abort_one(struct sv_dev *dev, const struct sv_dma *d, int err)
{
	char why[64];

	if (d->pasid == SV_PASID_NONE)
		return dma_abort(dev, d->write, d->iova, d->len, err);
	count(&dev->stats.dma_faults, 1);
	snprintf(why, sizeof(why), "nothing is attached for PASID %u",
		 d->pasid);
	dma_report_at(dev, d->write, d->iova, d->len, why);
	return -EIO;
}

int sv_dma_many(struct sv_dev *dev, const struct sv_dma *list, size_t n,
		size_t *ret_done)
{
	size_t done = 0;

	if (!n)
		return 0;
	*ret_done = 0;
	if (!dma_allowed(dev, list->write, list->iova, list->len))
		return -EIO;

	size_t own = own_accesses(list, n);
	int r = dma_many(dev->iopt, &dev->dma, list, own, &done);

	if (r == 0 && own < n) {
		done = own;
		r = -EFAULT;
	}
	dma_count(dev, list, r < 0 ? done + 1 : n);
	if (r == 0)
		return 0;
	*ret_done = done;
	return dma_abort_one(dev, &list[done], r);
}

int sv_dma_map(struct sv_dev *dev, const struct sv_dma *list, size_t n,
	       struct iovec *iov, size_t max, struct sv_dma_hold *hold)
{
	hold->n = 0;
	if (!n)
		return 0;
	if (!dma_allowed(dev, list->write, list->iova, list->len))
		return -EIO;

	size_t own = own_accesses(list, n);

	if (own < n)
		return dma_abort_one(dev, &list[own], -EFAULT);

	int r = dma_hold(dev->iopt, list, n, iov, max, hold);

	if (r != 0)
		dma_count(dev, list, n);
	return r < 0 ? dma_abort(dev, list->write, list->iova, list->len, r)
		     : r;
}

void sv_dma_unmap(struct sv_dev *dev, struct sv_dma_hold *hold, bool gone)
{
	if (gone) {
		count(&dev->stats.dma_faults, 1);
		dma_report(dev, "DMA of a whole transfer: the program's file "
				"has become shorter");
	}
	dma_release(dev->iopt, hold);
}

void sv_count(struct sv_dev *dev, unsigned int counter, uint64_t n)
{
	assert(counter < SV_COUNTERS);
	count(&dev->counter[counter], n);
}

enum sv_irq_mode sv_irq_mode(struct sv_dev *dev)
{
	return irq_mode(dev->irq);
}

void sv_irq_raise(struct sv_dev *dev, unsigned int vector)
{
	/* a message is a memory write of the device */
	if (config_bus_master(dev->config) && !device_gone(dev))
		irq_raise(dev->irq, vector);
}

void sv_irq_level(struct sv_dev *dev, bool asserted)
{
	irq_level(dev->irq, asserted);
}

void sv_kick(struct sv_dev *dev)
{
	devthread_kick(dev->thread);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* What interrupts show in configuration space, and hear from eventfds. */
#include "core/pci/device_impl.h"

static void host_msi(void *opaque, unsigned int vectors)
{
	struct sv_dev *dev = opaque;

	config_set_msi(dev->config, vectors);
}

static void host_msix(void *opaque, bool enable)
{
	struct sv_dev *dev = opaque;

	config_set_msix(dev->config, enable);
}

static void host_intx_status(void *opaque, bool pending)
{
	struct sv_dev *dev = opaque;

	config_set_intx_status(dev->config, pending);
}

static void host_intx_mask(void *opaque, bool masked)
{
	struct sv_dev *dev = opaque;

	config_set_intx_disable(dev->config, masked);
}

static bool host_awake(void *opaque)
{
	struct sv_dev *dev = opaque;

	return config_in_d0(dev->config);
}

static int host_watch(void *opaque, int set)
{
	struct sv_dev *dev = opaque;

	return watcher_add_set(dev->watcher, set, &dev->unmask);
}

static void host_unwatch(void *opaque, int set)
{
	struct sv_dev *dev = opaque;

	watcher_del(dev->watcher, set);
}

const struct irq_host device_irq_host = {
	.msi = host_msi,
	.msix = host_msix,
	.intx_status = host_intx_status,
	.intx_mask = host_intx_mask,
	.awake = host_awake,
	.watch = host_watch,
	.unwatch = host_unwatch,
};

void device_unmask(void *opaque)
{
	struct sv_dev *dev = opaque;

	irq_unmask_event(dev->irq);
}

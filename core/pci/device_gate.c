/* SPDX-License-Identifier: BSD-3-Clause */
/* When memory may be touched: BARs open and close as decode does. */
#include "core/pci/device_impl.h"

static void gate_set_locked(struct sv_dev *dev, bool open)
	REQUIRES(&dev->memory_lock)
{
	for (unsigned int i = 0; i < SV_NUM_BARS; i++) {
		if (open)
			bar_open(&dev->bar[i]);
		else
			bar_close(&dev->bar[i]);
	}
	dev->gate_open = open;
}

/* What turns this off closes the gate first, or calls device_gate_sync() after. */
static bool device_decodes(const struct sv_dev *dev)
	REQUIRES_SHARED(&dev->memory_lock)
{
	return dev->in_use && config_memory_enabled(dev->config) &&
	       !atomic_load(&dev->low_power) && !device_gone(dev);
}

void device_gate_close(struct sv_dev *dev)
{
	gate_set_locked(dev, false);
}

void device_gate_update(struct sv_dev *dev)
{
	bool open = device_decodes(dev);

	if (dev->gate_open != open)
		gate_set_locked(dev, open);
}

/* The model may have returned, and its thread looked, since we gave up. */
void device_gate_late(struct sv_dev *dev)
{
	atomic_store(&dev->gate_late, true);
	devthread_kick(dev->thread);
}

void device_gate_off(struct sv_dev *dev)
{
	if (!memory_write(dev)) {
		device_gate_late(dev);
		return;
	}
	device_gate_close(dev);
	rwlock_unwrite(&dev->memory_lock);
}

void device_gate_sync(struct sv_dev *dev)
{
	if (!memory_write(dev)) {
		device_gate_late(dev);
		return;
	}
	device_gate_update(dev);
	rwlock_unwrite(&dev->memory_lock);
}

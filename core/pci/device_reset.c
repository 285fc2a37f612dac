/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * Reset (first open, ioctl, FLR, last close) goes: tell DMA in flight to give
 * up, take the model lock (which waits for run() to return), close memory with
 * memory_lock held for writing, clear BAR memory, restore configuration space,
 * reset the model, open memory again. A program cannot hold any of that up:
 * the only thing a model waits for is DMA, and that gives up.
 */
#include <errno.h>
#include <string.h>

#include "core/pci/device_impl.h"
#include "lib/refuse.h"
#include "lib/sched.h"

/* The model writes its registers where no program sees them half done. */
void device_power_on(struct sv_dev *dev, enum sv_reset why)
{
	for (unsigned int i = 0; i < SV_NUM_BARS; i++)
		if (!dev->bar[i].persistent)
			bar_clear(&dev->bar[i]);
	irq_level(dev->irq, false);
	timers_cancel(dev);
	callback_begin(dev, "reset");
	dev->ops->reset(dev, why);
	callback_end(dev);
	if (why != SV_RESET_FUNCTION)
		dev->in_use = why == SV_RESET_OPEN;
}

/* A reset throws it away: no need to keep it meanwhile. */
static void discard_volatile(struct sv_dev *dev) REQUIRES(&dev->memory_lock)
{
	for (unsigned int i = 0; i < SV_NUM_BARS; i++)
		if (!dev->bar[i].persistent)
			bar_discard(&dev->bar[i]);
}

void device_reset_locked(struct sv_dev *dev, enum sv_reset why)
{
	rwlock_write(&dev->memory_lock);
	discard_volatile(dev);
	device_gate_close(dev);
	device_power_on(dev, why);
	device_gate_update(dev);
	rwlock_unwrite(&dev->memory_lock);
}

void device_cancel_dma(struct sv_dev *dev)
{
	atomic_fetch_add(&dev->dma.cancel, 1);
	sched_point("cancel DMA");
	mem_wake(&dev->dma);
}

/* Others may want the same at the same time, and go on wanting it. */
void device_allow_dma(struct sv_dev *dev)
{
	atomic_fetch_sub(&dev->dma.cancel, 1);
}

/* By who has the model, or who has waited for it in vain. */
static void stop_no_more(struct sv_dev *dev)
{
	if (atomic_exchange(&dev->stops, false))
		device_allow_dma(dev);
}

/* On the device's thread: whoever wants it can leave it to that. */
static int reset_job(void *opaque)
{
	struct sv_dev *dev = opaque;

	if (!model_lock(dev))
		return -ETIMEDOUT;
	stop_no_more(dev);
	config_reset(dev->config);
	device_reset_locked(dev, SV_RESET_FUNCTION);
	mutex_unlock(&dev->model);
	return 0;
}

/* Get the model from whatever DMA it waits for, and have it reset. */
int device_reset_function(struct sv_dev *dev)
{
	if (!resetting_lock(dev))
		return -ETIMEDOUT;
	if (!atomic_exchange(&dev->stops, true))
		device_cancel_dma(dev);

	int r = device_stuck(dev) ? -ETIMEDOUT
				  : devthread_do(dev->thread, reset_job);

	stop_no_more(dev);
	mutex_unlock(&dev->resetting);
	devthread_kick(dev->thread);
	return r;
}

bool device_has_flr(const struct sv_shape *shape)
{
	return shape->no_pcie ? shape->af_flr : !shape->no_flr;
}

bool device_on_root_bus(const struct sv_dev *dev)
{
	return !strncmp(dev->name + strlen("0000:"), "00:", 3);
}

bool device_has_bus_reset(const struct sv_dev *dev)
{
	return !device_on_root_bus(dev) && dev->set->n <= 1;
}

bool device_resettable(const struct sv_dev *dev)
{
	return config_can_reset(dev->config) || device_has_bus_reset(dev);
}

int device_reset(struct sv_dev *dev)
{
	if (!device_resettable(dev))
		return refuse(EINVAL, "reset: %s has no way to be reset",
			      dev->name);
	int r = device_reset_function(dev);

	return r == -ETIMEDOUT ? device_is_stuck(dev, ENOTTY, "reset") : r;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a write to configuration space does to the rest of a function, and VFIO's
 * low power, which configuration space knows nothing of.
 */
#include <errno.h>
#include <unistd.h>

#include "core/pci/device_impl.h"
#include "lib/refuse.h"
#include "lib/sched.h"

/* Of a reset by a register nobody learns whether it has worked. */
static void device_function_reset(void *opaque)
{
	device_reset_function(opaque);
}

static void device_intx_disable(void *opaque, bool disable)
{
	struct sv_dev *dev = opaque;

	irq_intx_disable(dev->irq, disable);
}

/* D3hot closes the gate before the state changes; leaving it is a reset
 * unless the function says otherwise. */
static void device_power(void *opaque, unsigned int from, unsigned int to)
{
	struct sv_dev *dev = opaque;

	if (to == 3)
		device_gate_off(dev);
	else if (from == 3 && !dev->shape.no_soft_reset)
		device_function_reset(dev);
	else
		device_gate_sync(dev);
}

/* Before the bit is cleared, after it was set. */
static void device_memory(void *opaque, bool enable)
{
	struct sv_dev *dev = opaque;

	if (!enable) {
		device_gate_off(dev);
		return;
	}
	device_gate_sync(dev);
	devthread_kick(dev->thread);
}

/*
 * A reset may have opened the gate between its closing and the change, and a
 * trapped access may have begun. Neither outlives the write that turns decode
 * off.
 */
static void device_settled(void *opaque)
{
	struct sv_dev *dev = opaque;

	device_gate_sync(dev);
	if (config_memory_enabled(dev->config))
		return;
	if (access_lock(dev))
		mutex_unlock(&dev->access);
}

const struct config_events device_config_events = {
	.memory = device_memory,
	.power = device_power,
	.function_reset = device_function_reset,
	.intx_disable = device_intx_disable,
	.settled = device_settled,
};

void device_low_power_locked(struct sv_dev *dev, bool enter)
{
	atomic_store(&dev->low_power, enter);
	sched_point("low power");
	device_gate_sync(dev);
}

int device_low_power(struct sv_dev *dev, bool enter, int wakeup_fd)
{
	int r = 0;

	if (!model_lock(dev))
		return device_is_stuck(dev, EIO, "low power");
	if (enter && atomic_load(&dev->low_power)) {
		r = refuse(EINVAL, "low power: %s is in it already", dev->name);
	} else {
		if (dev->wakeup_fd >= 0)
			close(dev->wakeup_fd);
		dev->wakeup_fd = wakeup_fd;
		device_low_power_locked(dev, enter);
	}
	mutex_unlock(&dev->model);
	return r;
}

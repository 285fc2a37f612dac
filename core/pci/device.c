/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * A function is made once and lives as long as the daemon. Between first open
 * and last close it has a running device thread, and a table that its DMA goes
 * through while one is attached; outside it has neither, bus mastering is off
 * and nothing of a program is referenced.
 *
 * Its other matters: device_new.c, device_attach.c, device_reset.c,
 * device_gate.c, device_power.c and device_irq.c.
 */
#include <errno.h>

#include "core/pci/device_impl.h"
#include "lib/refuse.h"

static bool model_run(struct sv_dev *dev) REQUIRES(&dev->model)
{
	if (!dev->ops->run)
		return false;
	callback_begin(dev, "run");
	bool busy = dev->ops->run(dev);

	callback_end(dev);
	return busy;
}

static bool device_run(void *opaque)
{
	struct sv_dev *dev = opaque;

	mutex_lock(&dev->model);
	bool busy = ioeventfd_run(dev);

	if (readables_run(dev))
		busy = true;
	if (timers_run(dev))
		busy = true;
	if (model_run(dev))
		busy = true;
	mutex_unlock(&dev->model);
	if (atomic_load(&dev->gate_late) &&
	    atomic_exchange(&dev->gate_late, false))
		device_gate_sync(dev);
	return busy;
}

/* The device's thread waits for its model as long as it takes: others do not
 * wait for the thread then. */
static void device_thread_first(void *opaque)
{
	struct sv_dev *dev = opaque;

	mutex_lock(&dev->model);
	device_reset_locked(dev, SV_RESET_OPEN);
	mutex_unlock(&dev->model);
}

static void device_thread_last(void *opaque)
{
	struct sv_dev *dev = opaque;

	/* who is still in the model comes out of it first */
	mutex_lock(&dev->model);
	mutex_unlock(&dev->model);
	device_low_power(dev, false, -1);
	irq_close(dev->irq);
	config_close(dev->config);
	mutex_lock(&dev->model);
	device_reset_locked(dev, SV_RESET_CLOSE);
	mutex_unlock(&dev->model);
}

static uint64_t device_due(void *opaque)
{
	struct sv_dev *dev = opaque;

	return atomic_load(&dev->timers.at);
}

const struct devthread_ops device_thread_ops = {
	.run = device_run,
	.due = device_due,
	.first = device_thread_first,
	.last = device_thread_last,
	.waits = device_waits,
};

int device_is_stuck(struct sv_dev *dev, int err, const char *what)
{
	char text[64];

	return refuse(err, "%s: %s is %s", what, dev->name,
		      device_stuck_text(dev, text, sizeof(text)));
}

static int device_last_close(struct sv_dev *dev) REQUIRES(&dev->set->lock)
{
	ioeventfd_close(dev);
	device_cancel_dma(dev);
	int r = devthread_stop(dev->thread);

	device_allow_dma(dev);
	if (r == 0)
		r = device_take_domain(dev, NULL);
	return r < 0 ? device_is_stuck(dev, EBUSY, "close") : 0;
}

static int device_first_open(struct sv_dev *dev) REQUIRES(&dev->set->lock)
{
	/* one that was stuck when it was opened the last time */
	if (device_stuck(dev) || device_last_close(dev) < 0)
		return device_is_stuck(dev, EIO, "open");
	config_open(dev->config);
	int r = devthread_start(dev->thread, dev->ops->name);

	if (r == 0)
		return 0;
	if (r == -ETIMEDOUT)
		r = device_is_stuck(dev, EIO, "open");
	if (device_last_close(dev) == 0)
		config_close(dev->config);
	return r;
}

int device_open(struct sv_dev *dev)
{
	int r = 0;

	mutex_lock(&dev->set->lock);
	if (dev->open_count == 0)
		r = device_first_open(dev);
	if (r == 0)
		dev->open_count++;
	mutex_unlock(&dev->set->lock);
	return r;
}

int device_close(struct sv_dev *dev)
{
	int r = 0;

	mutex_lock(&dev->set->lock);
	if (dev->open_count == 1)
		r = device_last_close(dev);
	if (r == 0)
		dev->open_count--;
	mutex_unlock(&dev->set->lock);
	return r;
}

bool device_gone(const struct sv_dev *dev)
{
	return atomic_load(&dev->revoked);
}

const char *device_name(const struct sv_dev *dev)
{
	return dev->name;
}

unsigned int device_group_id(const struct sv_dev *dev)
{
	return dev->group_id;
}

struct irq *device_irq(const struct sv_dev *dev)
{
	return dev->irq;
}

uint64_t device_bar_base(const struct sv_dev *dev, unsigned int region)
{
	return dev->bar_base[region];
}

enum device_presence device_presence(const struct sv_dev *dev)
{
	return atomic_load(&dev->presence);
}

unsigned int device_config_size(const struct sv_dev *dev)
{
	return config_size(dev->config);
}

int64_t device_config_read(struct sv_dev *dev, uint64_t pos, void *buf,
			   size_t count)
{
	return config_raw_read(dev->config, pos, buf, count);
}

int64_t device_config_write(struct sv_dev *dev, uint64_t pos, const void *buf,
			    size_t count)
{
	return config_raw_write(dev->config, pos, buf, count);
}

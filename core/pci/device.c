/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * A function is made once and lives as long as the daemon. Between first open
 * and last close it has an iopt and a running device thread; outside it has
 * neither, bus mastering is off and nothing of a program is referenced.
 *
 * Reset (first open, ioctl, FLR, last close) goes: tell DMA in flight to give
 * up, take the model lock (which waits for run() to return), close memory with
 * memory_lock held for writing, clear BAR memory, restore configuration space,
 * reset the model, open memory again. A program cannot hold any of that up:
 * the only thing a model waits for is DMA, and that gives up.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/pci/device_impl.h"
#include "lib/cleanup.h"
#include "lib/evfd.h"
#include "lib/proto.h"
#include "lib/refuse.h"
#include "lib/sched.h"

#define MEM32_END 0xfee00000ull /* of bus addresses: interrupts begin there */

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

static const struct irq_host irq_host = {
	.msi = host_msi,
	.msix = host_msix,
	.intx_status = host_intx_status,
	.intx_mask = host_intx_mask,
	.awake = host_awake,
	.watch = host_watch,
	.unwatch = host_unwatch,
};

static void device_unmask(void *opaque)
{
	struct sv_dev *dev = opaque;

	irq_unmask_event(dev->irq);
}

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

/* What turns this off closes the gate first, or calls gate_update() after. */
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

/*
 * A model that is stuck in reset() has the gate closed, one that is stuck in a
 * burst keeps it as it is: the device's thread brings it up to date when the
 * model returns.
 */
static void gate_close(struct sv_dev *dev)
{
	if (!memory_write(dev)) {
		device_gate_late(dev);
		return;
	}
	device_gate_close(dev);
	rwlock_unwrite(&dev->memory_lock);
}

static void gate_update(struct sv_dev *dev)
{
	if (!memory_write(dev)) {
		device_gate_late(dev);
		return;
	}
	device_gate_update(dev);
	rwlock_unwrite(&dev->memory_lock);
}

/* The model writes its registers where no program sees them half done. */
void device_power_on(struct sv_dev *dev, enum sv_reset why)
{
	for (unsigned int i = 0; i < SV_NUM_BARS; i++)
		if (!dev->bar[i].persistent)
			bar_clear(&dev->bar[i]);
	irq_level(dev->irq, false);
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

static void device_reset_locked(struct sv_dev *dev, enum sv_reset why)
	REQUIRES(&dev->model)
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
static int reset_function(struct sv_dev *dev)
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

/* Of a reset by a register nobody learns whether it has worked. */
static void device_function_reset(void *opaque)
{
	reset_function(opaque);
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
		gate_close(dev);
	else if (from == 3 && !dev->shape.no_soft_reset)
		device_function_reset(dev);
	else
		gate_update(dev);
}

/* Before the bit is cleared, after it was set. */
static void device_memory(void *opaque, bool enable)
{
	struct sv_dev *dev = opaque;

	if (!enable) {
		gate_close(dev);
		return;
	}
	gate_update(dev);
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

	gate_update(dev);
	if (config_memory_enabled(dev->config))
		return;
	if (access_lock(dev))
		mutex_unlock(&dev->access);
}

static const struct config_events config_events = {
	.memory = device_memory,
	.power = device_power,
	.function_reset = device_function_reset,
	.intx_disable = device_intx_disable,
	.settled = device_settled,
};

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

	if (model_run(dev))
		busy = true;
	mutex_unlock(&dev->model);
	if (atomic_load(&dev->gate_late) &&
	    atomic_exchange(&dev->gate_late, false))
		gate_update(dev);
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

static const struct devthread_ops thread_ops = {
	.run = device_run,
	.first = device_thread_first,
	.last = device_thread_last,
	.waits = device_waits,
};

static uint64_t take_space(uint64_t *space, uint64_t size)
{
	uint64_t base = (*space + size - 1) & ~(size - 1);

	*space = base + size;
	return base;
}

static int device_place_bars(struct sv_dev *dev, struct bus_space *space)
{
	for (unsigned int i = 0; i < SV_NUM_BARS; i++) {
		const struct sv_bar *bar = &dev->shape.bar[i];

		if (bar->kind == SV_BAR_IO)
			dev->bar_base[i] = take_space(&space->io, bar->size);
		else if (bar->kind == SV_BAR_MEM32)
			dev->bar_base[i] = take_space(&space->mem32, bar->size);
		else if (bar->kind == SV_BAR_MEM64)
			dev->bar_base[i] = take_space(&space->mem64, bar->size);
	}
	if (dev->shape.rom_size)
		dev->bar_base[REGION_ROM] =
			take_space(&space->mem32, dev->shape.rom_size);
	if (space->mem32 > MEM32_END || space->io > 0x10000)
		return -ENOSPC;
	return 0;
}

static int device_load_rom(struct sv_dev *dev)
{
	struct stat st;

	if (!dev->shape.rom_file)
		return 0;

	_cleanup_(closep) int fd =
		open(dev->shape.rom_file, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > dev->shape.rom_size)
		return -EFBIG;
	dev->rom = malloc((size_t)st.st_size + 1);
	if (!dev->rom)
		return -ENOMEM;

	ssize_t n = pread(fd, dev->rom, (size_t)st.st_size, 0);

	if (n < 0)
		return -errno;
	dev->rom_len = (size_t)n;
	return 0;
}

static int device_make_bars(struct sv_dev *dev, const struct device_host *host)
{
	char name[64];

	for (unsigned int i = 0; i < SV_NUM_BARS; i++) {
		snprintf(name, sizeof(name), SV_BAR_NAME_FORMAT,
			 (unsigned long long)host->instance, dev->name, i);
		int r = bar_init(&dev->bar[i], name, &dev->shape.bar[i],
				 host->inotify);

		if (r < 0)
			return r;
	}
	return 0;
}

static int device_shape(struct sv_dev *dev, const struct device_host *host)
{
	dev->shape = dev->ops->shape;
	if (dev->ops->shape_up) {
		int r = dev->ops->shape_up(dev, &dev->shape);

		if (r < 0)
			return r;
	}
	if (!host->override)
		return 0;
	return host->override(host->override_arg, &dev->shape, dev->error);
}

static int device_make_parts(struct sv_dev *dev, const struct device_host *host)
{
	int r = device_place_bars(dev, host->space);

	if (r < 0)
		return r;
	r = device_load_rom(dev);
	if (r < 0)
		return r;
	r = device_make_bars(dev, host);
	if (r < 0)
		return r;
	r = config_new(&dev->shape, dev->shape.no_intx ? 0 : 11, dev->bar_base,
		       &config_events, dev, &dev->config);
	if (r < 0)
		return r;

	struct irq_counts counts = {
		.intx = !dev->shape.no_intx,
		.msi = dev->shape.msi,
		.msix = dev->shape.msix,
		.pcie = !dev->shape.no_pcie,
	};

	r = irq_new(&counts, &irq_host, dev, &dev->irq);
	if (r < 0)
		return r;
	return devthread_new(&thread_ops, dev, dev->ops->polled, &dev->thread);
}

static int device_make(struct sv_dev *dev, const struct device_host *host)
{
	dev->state = calloc(1, dev->ops->state_size ? dev->ops->state_size : 1);
	if (!dev->state)
		return -ENOMEM;

	int r = device_shape(dev, host);

	if (r < 0)
		return r;
	r = device_make_parts(dev, host);
	if (r < 0)
		return r;
	dev->begun = true;
	return dev->ops->init ? dev->ops->init(dev) : 0;
}

int device_new(const struct device_host *host, char err[256],
	       struct sv_dev **ret_dev)
{
	struct sv_dev *dev = calloc(1, sizeof(*dev));

	if (!dev)
		return -ENOMEM;
	snprintf(dev->name, sizeof(dev->name), "%s", host->name);
	dev->ops = host->ops;
	dev->options = host->options;
	dev->set = host->set;
	dev->group_id = host->group_id;
	dev->watcher = host->watcher;
	dev->unmask = (struct watch){device_unmask, dev};
	dev->fault = host->fault;
	dev->fault_arg = host->fault_arg;
	dev->left = host->left;
	dev->left_arg = host->left_arg;
	dev->wakeup_fd = -1;
	mutex_init(&dev->resetting, RANK_RESET, "resetting");
	mutex_init(&dev->model, RANK_MODEL, "model");
	mutex_init(&dev->access, RANK_ACCESS, "access");
	rwlock_init(&dev->memory_lock, RANK_MEMORY, "memory_lock");
	for (unsigned int i = 0; i < SV_NUM_BARS; i++)
		bar_init(&dev->bar[i], "", &(struct sv_bar){0}, -1);
	ioeventfds_init(&dev->ioeventfds);
	dev->error = err;
	err[0] = '\0';

	int r = device_make(dev, host);

	dev->error = NULL;
	if (r < 0) {
		if (!err[0])
			snprintf(err, 256, "%s", strerror(-r));
		device_free(dev);
		return r;
	}
	*ret_dev = dev;
	return 0;
}

struct sv_dev *device_free(struct sv_dev *dev)
{
	if (!dev)
		return NULL;
	if (dev->begun && dev->ops->done)
		dev->ops->done(dev);
	devthread_free(dev->thread);
	ioeventfds_done(&dev->ioeventfds);
	irq_free(dev->irq);
	config_free(dev->config);
	for (unsigned int i = 0; i < SV_NUM_BARS; i++)
		bar_done(&dev->bar[i]);
	free(dev->rom);
	free(dev->state);
	rwlock_done(&dev->memory_lock);
	mutex_done(&dev->access);
	mutex_done(&dev->model);
	mutex_done(&dev->resetting);
	free(dev);
	return NULL;
}

static int device_take_iopt(struct sv_dev *dev, struct iopt *iopt)
{
	if (!model_lock(dev))
		return -ETIMEDOUT;
	struct iopt *old = dev->iopt;

	dev->iopt = iopt;
	mutex_unlock(&dev->model);
	iopt_put(old);
	return 0;
}

static int stuck(struct sv_dev *dev, int err, const char *what)
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
		r = device_take_iopt(dev, NULL);
	return r < 0 ? stuck(dev, EBUSY, "close") : 0;
}

static int device_first_open(struct sv_dev *dev, struct iopt *iopt)
	REQUIRES(&dev->set->lock)
{
	/* one that was stuck when it was opened the last time */
	if (device_stuck(dev) || device_last_close(dev) < 0)
		return stuck(dev, EIO, "open");
	config_open(dev->config);
	int r = device_take_iopt(dev, iopt);

	if (r == 0) {
		iopt_get(iopt);
		r = devthread_start(dev->thread, dev->ops->name);
	}
	if (r == 0)
		return 0;
	if (r == -ETIMEDOUT)
		r = stuck(dev, EIO, "open");
	if (device_last_close(dev) == 0)
		config_close(dev->config);
	return r;
}

int device_open(struct sv_dev *dev, struct iopt *iopt)
{
	int r = 0;

	mutex_lock(&dev->set->lock);
	if (dev->open_count == 0)
		r = device_first_open(dev, iopt);
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

bool device_has_flr(const struct sv_shape *shape)
{
	return shape->no_pcie ? shape->af_flr : !shape->no_flr;
}

bool device_on_root_bus(const struct sv_dev *dev)
{
	return !strncmp(dev->name + strlen("0000:"), "00:", 3);
}

bool device_resettable(const struct sv_dev *dev)
{
	return config_can_reset(dev->config) ||
	       (!device_on_root_bus(dev) && dev->set->n <= 1);
}

int device_reset(struct sv_dev *dev)
{
	if (!device_resettable(dev))
		return refuse(EINVAL, "reset: %s has no way to be reset",
			      dev->name);
	int r = reset_function(dev);

	return r == -ETIMEDOUT ? stuck(dev, ENOTTY, "reset") : r;
}

void device_low_power_locked(struct sv_dev *dev, bool enter)
{
	atomic_store(&dev->low_power, enter);
	sched_point("low power");
	gate_update(dev);
}

int device_low_power(struct sv_dev *dev, bool enter, int wakeup_fd)
{
	int r = 0;

	if (!model_lock(dev))
		return stuck(dev, EIO, "low power");
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

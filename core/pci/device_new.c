/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making a function, and what firmware does before an operating system starts:
 * bus addresses, and the contents of the ROM.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/pci/device_impl.h"
#include "lib/cleanup.h"
#include "lib/proto.h"

#define MEM32_END 0xfee00000ull /* of bus addresses: interrupts begin there */

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
		const char *wrong = bar_check(&dev->shape.bar[i]);

		if (wrong) {
			sv_error(dev, "BAR%u: %s", i, wrong);
			return -EINVAL;
		}
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
		       &device_config_events, dev, &dev->config);
	if (r < 0)
		return r;

	struct irq_counts counts = {
		.intx = !dev->shape.no_intx,
		.msi = dev->shape.msi,
		.msix = dev->shape.msix,
		.pcie = !dev->shape.no_pcie,
	};

	r = irq_new(&counts, &device_irq_host, dev, &dev->irq);
	if (r < 0)
		return r;
	return devthread_new(&device_thread_ops, dev, dev->ops->polled,
			     &dev->thread);
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
	if (dev->ops->init)
		r = dev->ops->init(dev);
	return r < 0 ? r : readables_start(dev);
}

static int device_check_api(struct sv_dev *dev)
{
	if (dev->ops->api == SV_API)
		return 0;
	sv_error(dev,
		 "model %s was built for version %u of the device API, this is "
		 "version %u",
		 dev->ops->name, dev->ops->api, SV_API);
	return -EINVAL;
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
	dev->note = host->note;
	dev->note_arg = host->note_arg;
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

	int r = device_check_api(dev);

	if (r == 0)
		r = device_make(dev, host);
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

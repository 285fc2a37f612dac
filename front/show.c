/* SPDX-License-Identifier: BSD-3-Clause */
/* Filling in struct tree_dev: front/show.h. */
#include <pthread.h>
#include <string.h>

#include "core/machine.h"
#include "front/show.h"
#include "front/tree.h"

/* linux/ioport.h */
#define IORESOURCE_IO	     0x100
#define IORESOURCE_MEM	     0x200
#define IORESOURCE_PREFETCH  0x2000
#define IORESOURCE_READONLY  0x4000
#define IORESOURCE_SIZEALIGN 0x40000
#define IORESOURCE_MEM_64    0x100000

/* Outside the lock order: nothing else is held when it is taken. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static uint64_t bar_flags(const struct sv_bar *bar)
{
	uint64_t flags = IORESOURCE_SIZEALIGN;

	if (bar->kind == SV_BAR_IO)
		return flags | IORESOURCE_IO | 1;
	flags |= IORESOURCE_MEM;
	if (bar->kind == SV_BAR_MEM64)
		flags |= IORESOURCE_MEM_64 | 4;
	if (bar->prefetch)
		flags |= IORESOURCE_PREFETCH | 8;
	return flags;
}

static void show_resources(const struct sv_dev *dev, struct tree_resource *r)
{
	for (unsigned int i = 0; i < SV_NUM_BARS; i++) {
		const struct sv_bar *bar = &dev->shape.bar[i];

		if (bar->kind == SV_BAR_NONE)
			continue;
		r[i].start = dev->bar_base[i];
		r[i].end = dev->bar_base[i] + bar->size - 1;
		r[i].flags = bar_flags(bar);
	}
	if (!dev->shape.rom_size)
		return;
	r[REGION_ROM].start = dev->bar_base[REGION_ROM];
	r[REGION_ROM].end = r[REGION_ROM].start + dev->shape.rom_size - 1;
	r[REGION_ROM].flags =
		IORESOURCE_MEM | IORESOURCE_READONLY | IORESOURCE_SIZEALIGN;
}

static const char *reset_methods(const struct sv_shape *shape)
{
	bool flr = !shape->no_pcie && !shape->no_flr;

	if (flr)
		return shape->no_soft_reset ? "flr bus" : "flr pm bus";
	return shape->no_soft_reset ? "bus" : "pm bus";
}

int show_device(struct tree *tree, const struct machine_dev *md)
{
	const struct sv_shape *shape = &md->dev->shape;
	struct tree_dev td = {
		.bdf = md->dev->name,
		.vendor = shape->vendor,
		.device = shape->device,
		.subsys_vendor = shape->subsys_vendor ? shape->subsys_vendor
						      : shape->vendor,
		.subsys_device = shape->subsys_device,
		.class_code = shape->class_code,
		.revision = shape->revision,
		.irq = shape->no_intx ? 0 : 11,
		.link_speed = shape->no_pcie ? 0 : 1,
		.link_width = shape->no_pcie ? 0 : 1,
		.reset_methods = reset_methods(shape),
		.group = (int)md->group->id,
		.bound = true,
	};

	show_resources(md->dev, td.resources);
	pthread_mutex_lock(&turn);
	int r = tree_add(tree, &td);

	pthread_mutex_unlock(&turn);
	return r;
}

int show_driver(struct tree *tree, const struct machine_dev *md, bool bound)
{
	pthread_mutex_lock(&turn);
	int r = tree_set_driver(tree, md->dev->name, bound);

	pthread_mutex_unlock(&turn);
	return r;
}

int show_remove(struct tree *tree, const struct machine_dev *md)
{
	pthread_mutex_lock(&turn);
	int r = tree_remove(tree, md->dev->name);

	pthread_mutex_unlock(&turn);
	return r;
}

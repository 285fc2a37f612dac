/* SPDX-License-Identifier: BSD-3-Clause */
/* Filling in struct tree_dev: front/sysfs/show.h. */
#include <errno.h>
#include <string.h>

#include "core/machine/machine.h"
#include "front/sysfs/show.h"
#include "front/sysfs/tree.h"
#include "lib/lock.h"

/* linux/ioport.h */
#define IORESOURCE_IO	     0x100
#define IORESOURCE_MEM	     0x200
#define IORESOURCE_PREFETCH  0x2000
#define IORESOURCE_READONLY  0x4000
#define IORESOURCE_SIZEALIGN 0x40000
#define IORESOURCE_MEM_64    0x100000

/* Who changes the tree: one at a time. */
static struct mutex turn = {PTHREAD_MUTEX_INITIALIZER, RANK_TREE, "tree"};

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

/* In Linux's order; NULL = none */
static const char *reset_methods(const struct sv_dev *dev)
{
	/* af_flr has a name of its own; the text is as long as it gets */
	static const char *const text[3][2][2] = {
		{{NULL, "bus"}, {"pm", "pm bus"}},
		{{"flr", "flr bus"}, {"flr pm", "flr pm bus"}},
		{{"af_flr", "af_flr bus"}, {"af_flr pm", "af_flr pm bus"}},
	};
	bool flr = device_has_flr(&dev->shape);
	bool pm = !dev->shape.no_pm && !dev->shape.no_soft_reset;
	bool bus = !device_on_root_bus(dev) && dev->set->n <= 1;

	return text[flr ? 1 + dev->shape.no_pcie : 0][pm][bus];
}

static int add(struct tree *tree, const struct sv_dev *dev)
{
	const struct sv_shape *shape = &dev->shape;
	struct tree_dev td = {
		.bdf = dev->name,
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
		.reset_methods = reset_methods(dev),
		.group = (int)dev->group_id,
		.bound = true,
	};

	show_resources(dev, td.resources);
	return tree_add(tree, &td);
}

static int update(struct tree *tree, const struct sv_dev *dev)
{
	enum device_presence presence = atomic_load(&dev->presence);
	int r;

	if (presence == DEVICE_ABSENT || device_gone(dev)) {
		r = tree_remove(tree, dev->name);
		return r == -ENOENT ? 0 : r;
	}
	r = add(tree, dev);
	if (r < 0 && r != -EEXIST)
		return r;
	return tree_set_driver(tree, dev->name, presence <= DEVICE_LEAVING);
}

int show_update(struct tree *tree, const struct sv_dev *dev)
{
	mutex_lock(&turn);
	int r = update(tree, dev);

	mutex_unlock(&turn);
	return r;
}

void show_left(void *tree, struct sv_dev *dev)
{
	show_update(tree, dev);
}

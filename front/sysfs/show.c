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

static void show_resource(const struct sv_dev *dev, unsigned int region,
			  uint64_t size, uint64_t flags,
			  struct tree_resource *r)
{
	r[region].start = device_bar_base(dev, region);
	r[region].end = r[region].start + size - 1;
	r[region].flags = flags;
}

static void show_resources(const struct sv_dev *dev, struct tree_resource *r)
{
	const struct sv_shape *shape = sv_shape(dev);

	for (unsigned int i = 0; i < SV_NUM_BARS; i++) {
		const struct sv_bar *bar = &shape->bar[i];

		if (bar->kind != SV_BAR_NONE)
			show_resource(dev, i, bar->size, bar_flags(bar), r);
	}
	if (shape->rom_size)
		show_resource(dev, REGION_ROM, shape->rom_size,
			      IORESOURCE_MEM | IORESOURCE_READONLY |
				      IORESOURCE_SIZEALIGN,
			      r);
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
	const struct sv_shape *shape = sv_shape(dev);
	bool flr = device_has_flr(shape);
	bool pm = !shape->no_pm && !shape->no_soft_reset;

	return text[flr ? 1 + shape->no_pcie : 0][pm]
		   [device_has_bus_reset(dev)];
}

static int add(struct tree *tree, const struct sv_dev *dev)
{
	const struct sv_shape *shape = sv_shape(dev);
	struct tree_dev td = {
		.bdf = device_name(dev),
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
		.group = (int)device_group_id(dev),
		.bound = true,
	};

	show_resources(dev, td.resources);
	return tree_add(tree, &td);
}

static int update(struct tree *tree, const struct sv_dev *dev)
{
	enum device_presence presence = device_presence(dev);
	int r;

	if (presence == DEVICE_ABSENT || device_gone(dev)) {
		r = tree_remove(tree, device_name(dev));
		return r == -ENOENT ? 0 : r;
	}
	r = add(tree, dev);
	if (r < 0 && r != -EEXIST)
		return r;
	return tree_set_driver(tree, device_name(dev),
			       presence <= DEVICE_LEAVING);
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

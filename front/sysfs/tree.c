/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tree shows: first what is there without any device, then each
 * function's directory and the links that lead to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "front/sysfs/tree.h"
#include "front/sysfs/tree_attr.h"
#include "front/sysfs/tree_items.h"
#include "lib/cleanup.h"
#include "lib/proto.h"

#define DRIVER_DIR  "sys/bus/pci/drivers/vfio-pci"
#define GROUPS_DIR  "sys/kernel/iommu_groups"
#define BDF_LEN	    12	       /* of "0000:01:00.0" */
#define BUS_LEN	    10	       /* of "pci0000:01" */
#define SCRATCH	    "root.new" /* beside the tree, so nobody ever sees it */
#define MSI_WINDOW  "0x00000000fee00000 0x00000000feefffff msi\n"
#define UP_TO_SYS_4 "../../../../" /* from sys/a/b/c/d */

struct func {
	struct tree_dev dev; /* its bdf points below; no reset_methods */
	char bdf[BDF_LEN + 1];
	char bus[BUS_LEN + 1]; /* the root bus it is on */
	struct items made;
	struct items binding; /* what is there while vfio-pci is its driver */
	struct func *next;
};

struct tree {
	int dir; /* immutable */
	struct items_root root;
	struct items made;
	struct func *funcs;
};

/* What there is without any device */
static const struct item_plan skeleton[] = {
	{ITEM_DIR, 0755, "dev", NULL},
	{ITEM_DIR, 0755, "dev/vfio", NULL},
	{ITEM_NODE, 0666, "dev/vfio/vfio", NULL},
	{ITEM_DIR, 0755, "sys", NULL},
	{ITEM_DIR, 0755, "sys/bus", NULL},
	{ITEM_DIR, 0755, "sys/bus/pci", NULL},
	{ITEM_DIR, 0755, "sys/bus/pci/devices", NULL},
	{ITEM_DIR, 0755, "sys/bus/pci/drivers", NULL},
	{ITEM_DIR, 0755, DRIVER_DIR, NULL},
	{ITEM_NODE, 0200, DRIVER_DIR "/bind", NULL},
	{ITEM_NODE, 0200, DRIVER_DIR "/unbind", NULL},
	{ITEM_NODE, 0200, DRIVER_DIR "/new_id", NULL},
	{ITEM_LINK, 0, DRIVER_DIR "/module", UP_TO_SYS_4 "module/vfio_pci"},
	{ITEM_FILE, 0444, "sys/bus/pci/drivers_autoprobe", "1\n"},
	{ITEM_NODE, 0200, "sys/bus/pci/rescan", NULL},
	{ITEM_DIR, 0755, "sys/bus/pci/slots", NULL},
	{ITEM_DIR, 0755, "sys/class", NULL},
	{ITEM_DIR, 0755, "sys/class/vfio-dev", NULL},
	{ITEM_DIR, 0755, "sys/devices", NULL},
	{ITEM_DIR, 0755, "sys/kernel", NULL},
	{ITEM_DIR, 0755, GROUPS_DIR, NULL},
	{ITEM_DIR, 0755, "sys/module", NULL},
	{ITEM_DIR, 0755, "sys/module/vfio", NULL},
	{ITEM_FILE, 0444, "sys/module/vfio/initstate", "live\n"},
	{ITEM_DIR, 0755, "sys/module/vfio/parameters", NULL},
	{ITEM_FILE, 0444,
	 "sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n"},
	{ITEM_DIR, 0755, "sys/module/vfio_iommu_type1", NULL},
	{ITEM_FILE, 0444, "sys/module/vfio_iommu_type1/initstate", "live\n"},
	{ITEM_DIR, 0755, "sys/module/vfio_iommu_type1/parameters", NULL},
	{ITEM_FILE, 0444,
	 "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
	 "N\n"},
	{ITEM_FILE, 0444,
	 "sys/module/vfio_iommu_type1/parameters/disable_hugepages", "N\n"},
	{ITEM_FILE, 0444,
	 "sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "65535\n"},
	{ITEM_DIR, 0755, "sys/module/vfio_pci", NULL},
	{ITEM_FILE, 0444, "sys/module/vfio_pci/initstate", "live\n"},
	{ITEM_DIR, 0755, "sys/module/vfio_pci/drivers", NULL},
	{ITEM_LINK, 0, "sys/module/vfio_pci/drivers/pci:vfio-pci",
	 "../../../bus/pci/drivers/vfio-pci"},
	{ITEM_DIR, 0755, "sys/module/vfio_pci/parameters", NULL},
	{ITEM_FILE, 0444, "sys/module/vfio_pci/parameters/disable_denylist",
	 "N\n"},
	{ITEM_FILE, 0444, "sys/module/vfio_pci/parameters/disable_idle_d3",
	 "N\n"},
	{ITEM_FILE, 0444, "sys/module/vfio_pci/parameters/enable_sriov", "N\n"},
	{ITEM_FILE, 0444, "sys/module/vfio_pci/parameters/nointxmask", "N\n"},
};

/* Functions */

static int add_attributes(struct tree *tree, struct func *f, const char *home)
{
	for (const struct tree_attr *a = tree_attrs; a->name; a++) {
		struct tree_text text = {.len = 0};

		if (!a->print(&f->dev, &text))
			continue;

		int r = items_makef(
			&tree->root, &f->made,
			(struct item_plan){ITEM_FILE, 0444, NULL, text.s},
			"%s/%s", home, a->name);

		if (r)
			return r;
	}
	return 0;
}

static int add_nodes(struct tree *tree, struct func *f, const char *home)
{
	static const struct {
		const char *name;
		mode_t mode;
	} nodes[] = {
		{"config", 0644}, {"driver_override", 0644}, {"remove", 0200},
		{"rescan", 0200}, {"reset", 0200}, /* last: may be left out */
	};
	size_t n = ARRAY_SIZE(nodes) - (f->dev.reset_methods ? 0 : 1);
	int r = 0;

	for (size_t i = 0; i < n && !r; i++)
		r = items_makef(&tree->root, &f->made,
				(struct item_plan){ITEM_NODE, nodes[i].mode,
						   NULL, NULL},
				"%s/%s", home, nodes[i].name);
	return r;
}

static int add_home(struct tree *tree, struct func *f)
{
	char path[ITEM_PATH_MAX];

	snprintf(path, sizeof(path), "sys/devices/%s", f->bus);

	int r = items_share(&tree->root, &f->made,
			    &(struct item_plan){ITEM_DIR, 0755, path, NULL});

	if (r)
		return r;
	snprintf(path, sizeof(path), "sys/devices/%s/%s", f->bus, f->bdf);
	r = items_make(&tree->root, &f->made,
		       &(struct item_plan){ITEM_DIR, 0755, path, NULL});
	if (!r)
		r = add_attributes(tree, f, path);
	if (!r)
		r = add_nodes(tree, f, path);
	if (!r)
		r = items_makef(&tree->root, &f->made,
				(struct item_plan){ITEM_LINK, 0, NULL,
						   "../../../bus/pci"},
				"%s/subsystem", path);
	return r;
}

static int share_group(struct tree *tree, struct func *f)
{
	char path[ITEM_PATH_MAX];
	const struct item_plan parts[] = {
		{ITEM_DIR, 0755, "", NULL},
		{ITEM_DIR, 0755, "/devices", NULL},
		{ITEM_FILE, 0444, "/type", "DMA-FQ\n"},
		{ITEM_FILE, 0444, "/reserved_regions", MSI_WINDOW},
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && !r; i++) {
		struct item_plan p = parts[i];

		snprintf(path, sizeof(path), GROUPS_DIR "/%d%s", f->dev.group,
			 parts[i].path);
		p.path = path;
		r = items_share(&tree->root, &f->made, &p);
	}
	return r;
}

static int add_group(struct tree *tree, struct func *f)
{
	char target[ITEM_PATH_MAX];
	int r = share_group(tree, f);

	if (r)
		return r;
	snprintf(target, sizeof(target), UP_TO_SYS_4 "devices/%s/%s", f->bus,
		 f->bdf);
	r = items_makef(&tree->root, &f->made,
			(struct item_plan){ITEM_LINK, 0, NULL, target},
			GROUPS_DIR "/%d/devices/%s", f->dev.group, f->bdf);
	if (r)
		return r;
	snprintf(target, sizeof(target), "../../../kernel/iommu_groups/%d",
		 f->dev.group);
	return items_makef(&tree->root, &f->made,
			   (struct item_plan){ITEM_LINK, 0, NULL, target},
			   "sys/devices/%s/%s/iommu_group", f->bus, f->bdf);
}

static int bind_driver(struct tree *tree, struct func *f)
{
	char path[ITEM_PATH_MAX];

	snprintf(path, sizeof(path), "dev/vfio/%d", f->dev.group);

	int r = items_share(&tree->root, &f->binding,
			    &(struct item_plan){ITEM_NODE, 0600, path, NULL});

	if (!r)
		r = items_makef(
			&tree->root, &f->binding,
			(struct item_plan){ITEM_LINK, 0, NULL,
					   "../../../bus/pci/drivers/vfio-pci"},
			"sys/devices/%s/%s/driver", f->bus, f->bdf);
	snprintf(path, sizeof(path), UP_TO_SYS_4 "devices/%s/%s", f->bus,
		 f->bdf);
	if (!r)
		r = items_makef(&tree->root, &f->binding,
				(struct item_plan){ITEM_LINK, 0, NULL, path},
				DRIVER_DIR "/%s", f->bdf);
	if (r)
		items_done(&tree->root, &f->binding);
	return r;
}

/* Where programs look first, so it is made last. */
static int add_device_link(struct tree *tree, struct func *f)
{
	char target[ITEM_PATH_MAX];

	snprintf(target, sizeof(target), "../../../devices/%s/%s", f->bus,
		 f->bdf);
	return items_makef(&tree->root, &f->made,
			   (struct item_plan){ITEM_LINK, 0, NULL, target},
			   "sys/bus/pci/devices/%s", f->bdf);
}

/* Canonical: what comes back from its numbers is the same text. */
static bool is_bdf(const char *s)
{
	unsigned int domain, bus, dev, fn;
	char again[BDF_LEN + 1];

	if (sscanf(s, "%4x:%2x:%2x.%1o", &domain, &bus, &dev, &fn) != 4)
		return false;
	snprintf(again, sizeof(again), "%04x:%02x:%02x.%o", domain & 0xffff,
		 bus & 0xff, dev & 0x1f, fn & 7);
	return !strcmp(s, again);
}

static struct func **func_find(struct tree *tree, const char *bdf)
{
	struct func **at = &tree->funcs;

	while (*at && strcmp((*at)->bdf, bdf))
		at = &(*at)->next;
	return at;
}

static void func_free(struct tree *tree, struct func *f)
{
	items_done(&tree->root, &f->binding);
	items_done(&tree->root, &f->made);
	free(f);
}

static int func_fill(struct tree *tree, struct func *f)
{
	int r = add_home(tree, f);

	if (!r)
		r = add_group(tree, f);
	if (!r && f->dev.bound)
		r = bind_driver(tree, f);
	if (!r)
		r = add_device_link(tree, f);
	return r;
}

int tree_add(struct tree *tree, const struct tree_dev *dev)
{
	if (!is_bdf(dev->bdf) || dev->group < 0 || dev->link_speed > 6)
		return -EINVAL;

	struct func **at = func_find(tree, dev->bdf);

	if (*at)
		return -EEXIST;

	struct func *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->dev = *dev;
	memcpy(f->bdf, dev->bdf, sizeof(f->bdf));
	f->dev.bdf = f->bdf;
	snprintf(f->bus, sizeof(f->bus), "pci%.7s", f->bdf);

	int r = func_fill(tree, f);

	if (r) {
		func_free(tree, f);
		return r;
	}
	f->dev.reset_methods = NULL; /* it was borrowed */
	*at = f;
	return 0;
}

int tree_remove(struct tree *tree, const char *bdf)
{
	struct func **at = func_find(tree, bdf);
	struct func *f = *at;

	if (!f)
		return -ENOENT;
	*at = f->next;
	func_free(tree, f);
	return 0;
}

/* Replaced by a rename: a reader sees the old text or the new one. */
static int write_uevent(struct tree *tree, const struct func *f)
{
	struct tree_text text = {.len = 0};
	char path[ITEM_PATH_MAX];

	snprintf(path, sizeof(path), "sys/devices/%s/%s/uevent", f->bus,
		 f->bdf);
	tree_print_uevent(&f->dev, &text);

	int r = item_make_file(tree->dir, SCRATCH, text.s, 0444);

	if (r)
		return r;
	if (renameat(tree->dir, SCRATCH, tree->root.fd, path)) {
		r = -errno;
		unlinkat(tree->dir, SCRATCH, 0);
	}
	return r;
}

int tree_set_driver(struct tree *tree, const char *bdf, bool bound)
{
	struct func *f = *func_find(tree, bdf);

	if (!f)
		return -ENOENT;
	if (f->dev.bound == bound)
		return 0;

	int r = bound ? bind_driver(tree, f) : 0;

	if (r)
		return r;
	f->dev.bound = bound;
	r = write_uevent(tree, f);
	if (r)
		f->dev.bound = !bound;
	if (!f->dev.bound)
		items_done(&tree->root, &f->binding);
	return r;
}

/* The tree */

int tree_root(const struct tree *tree)
{
	return tree->root.fd;
}

static int make_skeleton(struct tree *tree)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(skeleton) && !r; i++)
		r = items_make(&tree->root, &tree->made, &skeleton[i]);
	return r;
}

static int make_root(struct tree *tree, int dir)
{
	tree->dir = openat(dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (tree->dir < 0)
		return -errno;

	int r = item_make_dir(tree->dir, SV_TREE, 0755);

	if (r)
		return r;
	tree->root.fd = openat(tree->dir, SV_TREE,
			       O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (tree->root.fd >= 0)
		return 0;
	r = -errno;
	unlinkat(tree->dir, SV_TREE, AT_REMOVEDIR);
	return r;
}

int tree_new(int dir, struct tree **ret_tree)
{
	_cleanup_(tree_freep) struct tree *tree = calloc(1, sizeof(*tree));

	if (!tree)
		return -ENOMEM;
	tree->dir = -1;
	tree->root.fd = -1;

	int r = make_root(tree, dir);

	if (!r)
		r = make_skeleton(tree);
	if (r)
		return r;
	*ret_tree = TAKE_PTR(tree);
	return 0;
}

struct tree *tree_free(struct tree *tree)
{
	if (!tree)
		return NULL;
	while (tree->funcs)
		tree_remove(tree, tree->funcs->bdf);
	items_done(&tree->root, &tree->made);
	if (tree->root.fd >= 0) {
		close(tree->root.fd);
		unlinkat(tree->dir, SV_TREE, AT_REMOVEDIR);
	}
	if (tree->dir >= 0)
		close(tree->dir);
	free(tree);
	return NULL;
}

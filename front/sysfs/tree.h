/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The directory tree that the shim shows programs in place of /dev/vfio,
 * /sys/bus/pci and the rest: real directories, real files with the text Linux
 * has in them, the same relative links. So opendir, stat, readlink and reading
 * an attribute are the host's own system calls on real objects, and only nodes
 * that do something are the daemon's: those are socket inodes, which nothing
 * can open by accident.
 *
 * Context, for every function unless it says otherwise: one caller at a time
 * per tree; blocks on the file system, so no lock may be held.
 */
#ifndef SOFTVFIO_FRONT_SYSFS_TREE_H
#define SOFTVFIO_FRONT_SYSFS_TREE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define TREE_RESOURCES 7

/** struct tree_resource - a line of "resource"; all zero = not there */
struct tree_resource {
	uint64_t start;
	uint64_t end; /* the last address, as Linux prints it */
	uint64_t flags;
};

/**
 * struct tree_dev - What sysfs says about a function; borrowed for the call
 * @bdf:	   "0000:01:00.0"
 * @class_code:	   24 bits
 * @irq:	   the interrupt line, 0 = none
 * @resources:	   six BARs, then the ROM
 * @link_speed:	   PCIe generation 1 to 6, 0 = conventional PCI
 * @link_width:	   lanes
 * @reset_methods: as in "flr pm"; NULL = it cannot be reset, and then there
 *		   is neither "reset" nor "reset_method"
 * @group:	   IOMMU group
 * @bound:	   vfio-pci is its driver
 */
struct tree_dev {
	const char *bdf;
	uint16_t vendor;
	uint16_t device;
	uint16_t subsys_vendor;
	uint16_t subsys_device;
	uint32_t class_code;
	uint8_t revision;
	unsigned int irq;
	struct tree_resource resources[TREE_RESOURCES];
	unsigned int link_speed;
	unsigned int link_width;
	const char *reset_methods;
	int group;
	bool bound;
};

struct tree; /* everything below $dir/root */

/**
 * tree_new() - Make $dir/root with all that is there without any device
 * @dir: a descriptor of the instance's directory, which stays the caller's
 *
 * Return: 0; -EEXIST there is a root already; -ENOMEM, or what the file
 * system said. On failure nothing is left behind.
 */
int tree_new(int dir, struct tree **ret_tree);

/**
 * tree_add() - Show a function
 *
 * The entry in /sys/bus/pci/devices comes last, so whoever finds the function
 * there finds all of it.
 *
 * Return: 0; -EEXIST it is shown already; -EINVAL not a PCI address or an
 * impossible link; -ENOMEM, or what the file system said. On failure nothing
 * has changed.
 */
int tree_add(struct tree *tree, const struct tree_dev *dev);

/**
 * tree_set_driver() - vfio-pci has bound or let go of a function
 *
 * Moves the driver links, uevent's DRIVER= line, and /dev/vfio/<group>, which
 * is there while any function of the group is bound.
 *
 * Return: 0, also when nothing changes; -ENOENT no such function; -ENOMEM, or
 * what the file system said, and then nothing has changed.
 */
int tree_set_driver(struct tree *tree, const char *bdf, bool bound);

/**
 * tree_remove() - Show a function no more
 *
 * Return: 0; -ENOENT no such function.
 */
int tree_remove(struct tree *tree, const char *bdf);

/**
 * tree_resolve() - Where a path that a program used leads
 * @path: absolute, as the program says it
 * @canonical: receives the path without links, "." and "..", absolute as the
 *	program would say it; untouched on failure
 *
 * ".." stops at the root and links are followed below it, so nothing outside
 * is ever reached.
 *
 * Context: any thread, any number of them, beside the functions above.
 * Return: 0; -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG as open() would have;
 * -EINVAL @path is not absolute.
 */
int tree_resolve(const struct tree *tree, const char *path,
		 char canonical[PATH_MAX]);

/** tree_free() - Remove everything it made, never anything else */
struct tree *tree_free(struct tree *tree);
static inline void tree_freep(struct tree **tree)
{
	tree_free(*tree);
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* What a function looks like in the tree: core's objects to tree's text. */
#ifndef SOFTVFIO_FRONT_SHOW_H
#define SOFTVFIO_FRONT_SHOW_H

#include <stdbool.h>

struct machine_dev;
struct tree;

/*
 * Context, for all three: any thread; they take turns under a lock of their
 * own, hold no other, and block on the file system.
 */

/**
 * show_device() - Show it, bound to vfio-pci
 *
 * Return: as tree_add(): 0; -EEXIST it is shown.
 */
int show_device(struct tree *tree, const struct machine_dev *md);

/**
 * show_driver() - vfio-pci was bound or unbound
 *
 * Return: as tree_set_driver(): 0; -ENOENT it is not shown.
 */
int show_driver(struct tree *tree, const struct machine_dev *md, bool bound);

/**
 * show_remove() - Not there any more
 *
 * Return: 0; -ENOENT it was not.
 */
int show_remove(struct tree *tree, const struct machine_dev *md);

#endif

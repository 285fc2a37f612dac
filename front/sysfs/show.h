/* SPDX-License-Identifier: BSD-3-Clause */
/* What a function looks like in the tree: core's objects to tree's text. */
#ifndef SOFTVFIO_FRONT_SYSFS_SHOW_H
#define SOFTVFIO_FRONT_SYSFS_SHOW_H

struct sv_dev;
struct tree;

/**
 * show_update() - Have the tree say whether it is there, and bound
 * show_left() - The same, as device_host's @left; the tree is its argument
 *
 * Context: any thread; they take turns under a lock of their own, hold no
 * other but the server's release lock, and block on the file system.
 * Return: 0; -errno of the file system.
 */
int show_update(struct tree *tree, const struct sv_dev *dev);
void show_left(void *tree, struct sv_dev *dev);

#endif

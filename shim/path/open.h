/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening by path, for the exported functions that do more than open(). */
#ifndef SOFTVFIO_SHIM_PATH_OPEN_H
#define SOFTVFIO_SHIM_PATH_OPEN_H

#include "shim/path/path.h"

/**
 * open_tree() - open() of a path in the tree
 * @flags: as the program gave them; O_CREAT and O_TRUNC do nothing here
 *
 * Return: a descriptor; -EACCES writing to a plain file of the tree; or as
 * open().
 */
long open_tree(const struct shim_path *path, int flags);

#endif

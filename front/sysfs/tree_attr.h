/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The text of the files that describe a function in sysfs, and what else the
 * parts of tree share. Private to front/sysfs/tree*.c.
 */
#ifndef SOFTVFIO_FRONT_SYSFS_TREE_ATTR_H
#define SOFTVFIO_FRONT_SYSFS_TREE_ATTR_H

#include <stdbool.h>
#include <stddef.h>

#include "front/sysfs/tree.h"

#define TREE_TEXT_MAX 2048

/** struct tree_text - the contents of one file, growing */
struct tree_text {
	char s[TREE_TEXT_MAX];
	size_t len;
};

/**
 * struct tree_attr - One file of a function's directory
 * @print: adds the contents to an empty @text; false = this function has no
 *	   such file
 */
struct tree_attr {
	const char *name;
	bool (*print)(const struct tree_dev *dev, struct tree_text *text);
};

/** tree_attrs - all of them, ended by a NULL name */
extern const struct tree_attr tree_attrs[];

/** tree_print_uevent() - the one that changes with the driver */
bool tree_print_uevent(const struct tree_dev *dev, struct tree_text *text);

/** tree_root() - the directory that programs see as "/", O_PATH */
int tree_root(const struct tree *tree);

#endif

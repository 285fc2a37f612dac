/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making files so that they can be unmade: everything made is an item, and
 * every item is in the list of whoever made it (the tree, a function, the
 * binding of a function to its driver). Undoing a half-made list and removing
 * a whole one are the same walk backwards, and what nobody's list holds is
 * never touched.
 *
 * Items that several lists share (the root bus, a group, /dev/vfio/12) are
 * counted and leave with their last user. Private to front/sysfs/tree*.c.
 *
 * Context, for every function: as for front/sysfs/tree.h.
 */
#ifndef SOFTVFIO_FRONT_SYSFS_TREE_ITEMS_H
#define SOFTVFIO_FRONT_SYSFS_TREE_ITEMS_H

#include <stddef.h>
#include <sys/types.h>

#define ITEM_PATH_MAX 256

enum item_kind {
	ITEM_DIR,
	ITEM_FILE, /* @content is what is in it */
	ITEM_LINK, /* @content is where it points */
	ITEM_NODE, /* a socket inode: the daemon serves it */
};

/** struct item_plan - what to make; @path is relative to the root */
struct item_plan {
	enum item_kind kind;
	mode_t mode;
	const char *path;
	const char *content;
};

struct item;

/** struct items_root - where items are; zero but for @fd to begin with */
struct items_root {
	int fd;		     /* immutable, O_PATH */
	struct item *shared; /* those that may be shared */
};

/** struct items - a list, in the order of making; zero = empty */
struct items {
	struct item **items;
	size_t n;
};

/**
 * items_make() - Make one thing
 *
 * Return: 0; -EEXIST also when somebody else made it; -ENOMEM, or what the
 * file system said.
 */
int items_make(struct items_root *root, struct items *items,
	       const struct item_plan *plan);

/**
 * items_makef() - The same for a path that is put together, instead of plan->path
 *
 * Return: as items_make(); -ENAMETOOLONG.
 */
int items_makef(struct items_root *root, struct items *items,
		struct item_plan plan, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/**
 * items_share() - Make one thing, or use the one that others share already
 *
 * Return: as items_make().
 */
int items_share(struct items_root *root, struct items *items,
		const struct item_plan *plan);

/** items_done() - Unmake all of it, the last first */
void items_done(struct items_root *root, struct items *items);

/**
 * item_make_dir() - A directory outside any list
 * item_make_file() - A file with this text outside any list
 *
 * The mode does not depend on the umask: programs see these bits.
 * Return: 0, or what the file system said with nothing left behind.
 */
int item_make_dir(int dir, const char *path, mode_t mode);
int item_make_file(int dir, const char *path, const char *text, mode_t mode);

#endif

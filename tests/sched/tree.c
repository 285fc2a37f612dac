/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In place of front/sysfs/tree.c, whose hundred system calls for each change are no
 * matter of schedules: paths lead where they say, and what matters is kept, who
 * is shown and that only one caller at a time changes it.
 */
#include <errno.h>
#include <string.h>

#include "served.h"

struct tree {
	atomic_uint changing;
	bool shown[RIG_DEVS];
};

static struct tree the_tree;

struct tree *served_tree(void)
{
	return &the_tree;
}

/* "0000:01:00.1" is number 1 */
static bool *is_shown(struct tree *tree, const char *bdf)
{
	return &tree->shown[bdf[strlen(bdf) - 1] - '0'];
}

static int change(struct tree *tree, const char *bdf, bool show)
{
	sched_expect(atomic_fetch_add(&tree->changing, 1) == 0,
		     "two change the tree at once");
	sched_point("tree");

	bool *shown = is_shown(tree, bdf);
	int r = *shown != show ? 0 : show ? -EEXIST : -ENOENT;

	*shown = show;
	atomic_fetch_sub(&tree->changing, 1);
	return r;
}

int tree_add(struct tree *tree, const struct tree_dev *dev)
{
	return change(tree, dev->bdf, true);
}

int tree_remove(struct tree *tree, const char *bdf)
{
	return change(tree, bdf, false);
}

int tree_set_driver(struct tree *tree, const char *bdf, bool bound)
{
	return *is_shown(tree, bdf) ? 0 : -ENOENT;
}

bool served_shows(const struct rig_dev *rd)
{
	return *is_shown(&the_tree, rd->dev->name);
}

int tree_resolve(const struct tree *tree, const char *path,
		 char canonical[PATH_MAX])
{
	strcpy(canonical, path);
	return 0;
}

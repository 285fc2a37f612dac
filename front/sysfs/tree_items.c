/* SPDX-License-Identifier: BSD-3-Clause */
/* Items: see the header for why they are kept. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "front/sysfs/tree_items.h"
#include "lib/cleanup.h"
#include "lib/write.h"

struct item {
	bool directory;
	unsigned int users;  /* lists that hold it */
	struct item *shared; /* next in items_root.shared */
	char path[];
};

/*
 * Of something just made with @mode, of which the umask may have taken some.
 * Looking first is cheap; a change is a journal entry on some file systems.
 */
static int set_mode(int dir, const char *path, mode_t mode, int unlink_flags)
{
	struct stat st;

	if (!fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) &&
	    ((st.st_mode & 07777) == mode || !fchmodat(dir, path, mode, 0)))
		return 0;

	int r = -errno;

	unlinkat(dir, path, unlink_flags);
	return r;
}

int item_make_file(int dir, const char *path, const char *text, mode_t mode)
{
	_cleanup_(closep) int fd = openat(
		dir, path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);

	if (fd < 0)
		return -errno;

	int r = write_all(fd, text);

	if (r) {
		unlinkat(dir, path, 0);
		return r;
	}
	return set_mode(dir, path, mode, 0);
}

int item_make_dir(int dir, const char *path, mode_t mode)
{
	if (mkdirat(dir, path, mode))
		return -errno;
	return set_mode(dir, path, mode, AT_REMOVEDIR);
}

static int make_node(int dir, const char *path, mode_t mode)
{
	if (mknodat(dir, path, S_IFSOCK | mode, 0))
		return -errno;
	return set_mode(dir, path, mode, 0);
}

static int make(int dir, const struct item_plan *plan)
{
	switch (plan->kind) {
	case ITEM_DIR:
		return item_make_dir(dir, plan->path, plan->mode);
	case ITEM_FILE:
		return item_make_file(dir, plan->path, plan->content,
				      plan->mode);
	case ITEM_LINK:
		return symlinkat(plan->content, dir, plan->path) ? -errno : 0;
	case ITEM_NODE:
		return make_node(dir, plan->path, plan->mode);
	}
	return -EINVAL;
}

static int items_add(struct items *items, struct item *item)
{
	struct item **bigger =
		reallocarray(items->items, items->n + 1, sizeof(struct item *));

	if (!bigger)
		return -ENOMEM;
	items->items = bigger;
	bigger[items->n++] = item;
	return 0;
}

static struct item *item_new(const struct item_plan *plan)
{
	size_t size = strlen(plan->path) + 1;
	struct item *item = calloc(1, sizeof(*item) + size);

	if (!item)
		return NULL;
	item->directory = plan->kind == ITEM_DIR;
	item->users = 1;
	memcpy(item->path, plan->path, size);
	return item;
}

int items_make(struct items_root *root, struct items *items,
	       const struct item_plan *plan)
{
	_cleanup_(freep) struct item *item = item_new(plan);
	int r = item ? items_add(items, item) : -ENOMEM;

	if (r)
		return r;
	r = make(root->fd, plan);
	if (r) {
		items->n--;
		return r;
	}
	(void)TAKE_PTR(item);
	return 0;
}

int items_makef(struct items_root *root, struct items *items,
		struct item_plan plan, const char *fmt, ...)
{
	char path[ITEM_PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	plan.path = path;
	return items_make(root, items, &plan);
}

int items_share(struct items_root *root, struct items *items,
		const struct item_plan *plan)
{
	struct item *item = root->shared;
	int r;

	while (item && strcmp(item->path, plan->path))
		item = item->shared;
	if (item) {
		r = items_add(items, item);
		if (!r)
			item->users++;
		return r;
	}
	r = items_make(root, items, plan);
	if (r)
		return r;
	item = items->items[items->n - 1];
	item->shared = root->shared;
	root->shared = item;
	return 0;
}

static void item_put(struct items_root *root, struct item *item)
{
	struct item **at = &root->shared;

	if (--item->users)
		return;
	while (*at && *at != item)
		at = &(*at)->shared;
	if (*at)
		*at = item->shared;
	unlinkat(root->fd, item->path, item->directory ? AT_REMOVEDIR : 0);
	free(item);
}

void items_done(struct items_root *root, struct items *items)
{
	while (items->n)
		item_put(root, items->items[--items->n]);
	free(items->items);
	*items = (struct items){0};
}

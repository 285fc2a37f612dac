/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * realpath() with the tree as the whole world: the host's would follow links
 * and ".." out of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "front/sysfs/tree_attr.h"

#define LINKS_MAX 40 /* as in Linux */

/*
 * How far we are: @at is free of links, relative to the root and "" there;
 * @rest is what is still to be walked.
 */
struct walk {
	int root;
	unsigned int links;
	bool directory; /* @at is one */
	char at[PATH_MAX];
	char rest[PATH_MAX];
};

static void walk_up(struct walk *w)
{
	char *slash = strrchr(w->at, '/');

	if (slash)
		*slash = '\0';
	else
		w->at[0] = '\0';
}

/* @at is a link: walk where it points instead, then the rest. */
static int walk_link(struct walk *w)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(w->root, w->at, target, sizeof(target));

	if (n < 0)
		return -errno;
	if (++w->links > LINKS_MAX)
		return -ELOOP;

	size_t len = (size_t)n;
	size_t rest = strlen(w->rest);

	if (len + 1 + rest >= sizeof(w->rest))
		return -ENAMETOOLONG;
	memmove(w->rest + len + 1, w->rest, rest + 1);
	memcpy(w->rest, target, len);
	w->rest[len] = '/';
	/* a link to a file must not gain a slash that asks for a directory */
	if (!rest)
		w->rest[len] = '\0';
	if (target[0] == '/')
		w->at[0] = '\0';
	else
		walk_up(w);
	w->directory = true;
	return 0;
}

static int walk_down(struct walk *w, const char *name, size_t len)
{
	size_t used = strlen(w->at);
	struct stat st;

	if (len > NAME_MAX || used + 1 + len + 1 >= sizeof(w->at))
		return -ENAMETOOLONG;
	if (used)
		w->at[used++] = '/';
	memcpy(w->at + used, name, len);
	w->at[used + len] = '\0';
	if (fstatat(w->root, w->at, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (S_ISLNK(st.st_mode))
		return walk_link(w);
	w->directory = S_ISDIR(st.st_mode);
	return 0;
}

/* Take the first name off the rest; false when there is none left. */
static bool walk_next(struct walk *w, char name[PATH_MAX], size_t *ret_len)
{
	size_t skip = strspn(w->rest, "/");
	size_t len = strcspn(w->rest + skip, "/");

	if (!len)
		return false;
	memcpy(name, w->rest + skip, len);
	memmove(w->rest, w->rest + skip + len,
		strlen(w->rest + skip + len) + 1);
	*ret_len = len;
	return true;
}

static int walk_all(struct walk *w)
{
	char name[PATH_MAX];
	size_t len;

	while (walk_next(w, name, &len)) {
		int r = 0;

		if (!w->directory)
			return -ENOTDIR;
		if (len == 2 && !memcmp(name, "..", 2))
			walk_up(w);
		else if (len != 1 || name[0] != '.')
			r = walk_down(w, name, len);
		if (r)
			return r;
	}
	return w->directory || !w->rest[0] ? 0 : -ENOTDIR;
}

int tree_resolve(const struct tree *tree, const char *path,
		 char canonical[PATH_MAX])
{
	struct walk w = {.root = tree_root(tree), .directory = true};
	size_t len = strlen(path);

	if (path[0] != '/')
		return -EINVAL;
	if (len >= sizeof(w.rest))
		return -ENAMETOOLONG;
	memcpy(w.rest, path, len + 1);

	int r = walk_all(&w);

	if (r)
		return r;
	canonical[0] = '/';
	memcpy(canonical + 1, w.at, strlen(w.at) + 1);
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Extended attributes by path: the tree has none worth seeing, but ls asks for
 * them, and must not be told that what it lists is not there.
 */
#include "shim/path/path.h"
#include "shim/shim.h"

#include <sys/xattr.h>

DEFINE_NEXT(getxattr);
DEFINE_NEXT(lgetxattr);
DEFINE_NEXT(listxattr);
DEFINE_NEXT(llistxattr);

/* Where to ask: the tree's own path, or what the program said. */
static const char *mapped(const char *path, struct shim_path *p)
{
	if (!path_maybe(path) || path_map(path, p) <= 0)
		return path;
	return p->real;
}

EXPORT ssize_t getxattr(const char *path, const char *name, void *value,
			size_t size)
{
	struct shim_path p;

	return NEXT(getxattr)(mapped(path, &p), name, value, size);
}

EXPORT ssize_t lgetxattr(const char *path, const char *name, void *value,
			 size_t size)
{
	struct shim_path p;

	return NEXT(lgetxattr)(mapped(path, &p), name, value, size);
}

EXPORT ssize_t listxattr(const char *path, char *list, size_t size)
{
	struct shim_path p;

	return NEXT(listxattr)(mapped(path, &p), list, size);
}

EXPORT ssize_t llistxattr(const char *path, char *list, size_t size)
{
	struct shim_path p;

	return NEXT(llistxattr)(mapped(path, &p), list, size);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a program's path leads. What Linux has below /dev/vfio, /sys/bus/pci
 * and the like is a tree of the daemon's, $SOFTVFIO_DIR/root; paths go there
 * on their way in, and lose that root on their way out. All other paths are
 * the host's, at the price of looking at two characters.
 *
 * Nodes of the tree that only the daemon can serve are socket inodes: open()
 * says ENXIO, stat() says S_IFSOCK, and those are the signs to ask it.
 */
#ifndef SOFTVFIO_SHIM_PATH_PATH_H
#define SOFTVFIO_SHIM_PATH_PATH_H

#include "shim/shim.h"
#include "shim/base/peek.h"

#define PATH_ROOT_MAX 1024 /* of $SOFTVFIO_DIR/root */
#define PATH_SEEN_MAX 1024 /* of a path in the tree, as programs write it */

/**
 * struct shim_path - A path that leads into the tree
 * @real: on the host
 * @seen: the part of @real that the program knows
 */
struct shim_path {
	char real[PATH_ROOT_MAX + PATH_SEEN_MAX];
	const char *seen;
};

/**
 * path_maybe() - May a path lead into the tree
 *
 * False is certain for paths path_map() does not rewrite: nothing but
 * absolute ones that begin with 'd', 's', or what a lexical look removes.
 */
static inline bool path_maybe(const char *path)
{
	uint16_t head = peek(path);
	char second = (char)(head >> 8);

	return (head & 0xff) == '/' && (second == 'd' || second == 's' ||
					second == '/' || second == '.');
}

/**
 * path_map() - Where an absolute path leads
 *
 * "//", "/./" and ".." are removed up to the point where the tree begins;
 * behind it they are left to the host kernel, which knows the links.
 *
 * Return: 1 into the tree, @ret_path is it; 0 not; -ENAMETOOLONG.
 */
int path_map(const char *path, struct shim_path *ret_path);

/**
 * path_at() - Where a path leads that the host resolved by itself: relative to
 * a directory of the tree, or through a link
 *
 * Return: 1 into the tree; 0 not.
 */
int path_at(int dir, const char *path, struct shim_path *ret_path);

/**
 * path_seen() - The program's view of a path the host gave
 *
 * Return: a part of @real, or NULL: it is not in the tree.
 */
const char *path_seen(const char *real);

/**
 * path_strip() - Make a string the program's view, in place
 * @len: its length
 *
 * Return: the new length.
 */
size_t path_strip(char *real, size_t len);

/**
 * path_own_fd() - The N of a path that names /proc/self/fd/N
 *
 * Knows /proc/<pid>/fd, /proc/thread-self/fd, /dev/fd and names relative to
 * an open directory of these.
 *
 * Return: N or -1.
 */
int path_own_fd(int dir, const char *path);

#endif

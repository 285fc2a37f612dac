/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a path or descriptor is. The tree's socket inodes and our descriptors,
 * which are sockets, are shown as what Linux has in their place.
 */
#ifndef SOFTVFIO_SHIM_PATH_STAT_H
#define SOFTVFIO_SHIM_PATH_STAT_H

#include <sys/stat.h>

#include "shim/path/path.h"

/**
 * stat_at() - fstatat() of a path as the program sees it
 *
 * Return: 0 or -errno.
 */
long stat_at(int dir, const char *path, struct stat *st, int flags);

/**
 * stat_repair() - Correct what the host said about a path: S_IFSOCK
 * @dir, @path, @flags: of the call as the host got it
 *
 * Return: 0; -errno the daemon knows it no more.
 */
long stat_repair(int dir, const char *path, int flags, struct stat *st);

#endif

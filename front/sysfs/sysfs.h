/* SPDX-License-Identifier: BSD-3-Clause */
/* Files of /sys that do something. */
#ifndef SOFTVFIO_FRONT_SYSFS_SYSFS_H
#define SOFTVFIO_FRONT_SYSFS_SYSFS_H

#include "front/file.h"

/**
 * sysfs_file_open() - SV_OPEN of a live file of /sys
 *
 * Return: as file_open(); -ENXIO the node is none.
 */
int64_t sysfs_file_open(struct call *call, const char *path, bool cloexec);

/** sysfs_node_stat() - SV_STAT of a live file of /sys; 0 or -ENOENT */
int sysfs_node_stat(const struct call *call, const char *path,
		    struct sv_stat *st);

#endif

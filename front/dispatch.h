/* SPDX-License-Identifier: BSD-3-Clause */
/* From a request's operation and ioctl number to the handler. */
#ifndef SOFTVFIO_FRONT_DISPATCH_H
#define SOFTVFIO_FRONT_DISPATCH_H

#include <stddef.h>

#include "front/server.h"

/** struct ioctl_row - One ioctl of one kind of file */
struct ioctl_row {
	unsigned int cmd;
	const char *name;
	int64_t (*fn)(struct request *req);
};

/** dispatch_ioctl() - the row's result; -ENOTTY when no row has the number */
int64_t dispatch_ioctl(struct request *req, const struct ioctl_row *rows,
		       size_t n);

/** dispatch() - Answer a request on a file or on the door */
int64_t dispatch(struct request *req);

static inline uint64_t ioctl_arg(const struct request *req)
{
	return req->hdr.arg[1];
}

#define GROUP_MAJOR 511 /* dynamic in Linux; this is what it often gets */

extern const struct file_ops door_ops;
extern const struct file_ops container_ops;
extern const struct file_ops group_ops;
extern const struct file_ops device_ops;
extern const struct file_ops sysfs_ops;

/** container_open(), group_file_open(), sysfs_open() - SV_OPEN of a node */
int64_t container_file_open(struct request *req, bool cloexec);
int64_t group_file_open(struct request *req, unsigned int id, bool cloexec);
int64_t sysfs_file_open(struct request *req, const char *path, bool cloexec);

/** device_file_open() - VFIO_GROUP_GET_DEVICE_FD; takes over the open device
 * on success */
int64_t device_file_open(struct request *req, struct sv_dev *dev,
			 struct group *group);

/** node_stat() - stat() of a node in the tree; 0 or -ENOENT */
int node_stat(struct server *s, const char *path, struct sv_stat *st);

/** control() - SV_CONTROL: JSON in, a memfd of JSON out */
int64_t control(struct request *req);

#endif

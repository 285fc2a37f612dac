/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An IOMMU group: the functions that are isolated together, its one open file,
 * and the container it is attached to.
 *
 * The group's file counts as open for as long as one of its devices is, even
 * after the program closed it (Linux: an open device holds the group's file),
 * so that a second open is EBUSY until the last device is closed.
 */
#ifndef SOFTVFIO_CORE_GROUP_H
#define SOFTVFIO_CORE_GROUP_H

#include <stdbool.h>
#include <stddef.h>

#include "core/container.h"
#include "core/device.h"
#include "lib/lock.h"

#define GROUP_DEVICES_MAX 64

/** struct group_member - A function of the group and its driver */
struct group_member {
	struct sv_dev *dev;
	bool bound; /* to vfio-pci; group->lock */
};

struct group {
	unsigned int id;   /* immutable */
	struct mutex lock; /* everything below */
	struct group_member member[GROUP_DEVICES_MAX];
	size_t n_members;
	bool file_open;		     /* the program holds the group's file */
	unsigned int users;	     /* open device files */
	struct container *container; /* one reference, or NULL */
};

/** enum group_status - VFIO_GROUP_GET_STATUS */
struct group_status {
	bool viable;
	bool container_set;
};

int group_new(unsigned int id, struct group **ret_group); /* 0 or -ENOMEM */
struct group *group_free(struct group *g);
int group_add(struct group *g, struct sv_dev *dev); /* 0 or -ENOSPC */

/**
 * group_open() - open("/dev/vfio/N")
 *
 * Return: 0; -ENODEV no member is bound to vfio-pci; -EBUSY it is open.
 */
int group_open(struct group *g);

/** group_close() - The last reference to the group's file is gone */
void group_close(struct group *g);

void group_get_status(struct group *g, struct group_status *ret_status);

/**
 * group_set_container() - VFIO_GROUP_SET_CONTAINER
 * @c: one reference is taken on success
 *
 * Return: 0; -EINVAL it has a container; -EPERM a member is not bound to
 * vfio-pci.
 */
int group_set_container(struct group *g, struct container *c);

/**
 * group_unset_container() - VFIO_GROUP_UNSET_CONTAINER
 *
 * Return: 0; -EINVAL none is set; -EBUSY a device of the group is open.
 */
int group_unset_container(struct group *g);

/**
 * group_get_device() - VFIO_GROUP_GET_DEVICE_FD: find the device and open it
 * @name: "0000:01:00.0[ vf_token=UUID]"
 *
 * Return: 0; -ENODEV no member of that name; -EINVAL bad option, or no
 * container, or no IOMMU set on it; -EAGAIN.
 */
int group_get_device(struct group *g, const char *name,
		     struct sv_dev **ret_dev);

/** group_put_device() - What group_get_device() opened is closed */
void group_put_device(struct group *g, struct sv_dev *dev);

/**
 * group_bind() - Bind to or unbind from vfio-pci (sysfs)
 *
 * Return: 0; -ENODEV @dev is bound (unbound) already; -EBUSY it is in use.
 */
int group_bind(struct group *g, const struct sv_dev *dev, bool bind);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An IOMMU group: the functions that are isolated together, its one open file,
 * and the container it is attached to.
 *
 * The group's file counts as open for as long as one of its devices is, even
 * after the program closed it (Linux: an open device holds the group's file),
 * so that a second open is EBUSY until the last device is closed.
 *
 * Context, for every function unless it says otherwise: any thread; takes
 * group->lock and what is inside.
 */
#ifndef SOFTVFIO_CORE_VFIO_GROUP_H
#define SOFTVFIO_CORE_VFIO_GROUP_H

#include <stdbool.h>
#include <stddef.h>

#include "core/vfio/container.h"
#include "core/pci/device.h"
#include "lib/lock.h"

#define GROUP_DEVICES_MAX 64

struct group {
	/* immutable */
	unsigned int id;
	struct sv_dev *member[GROUP_DEVICES_MAX];
	size_t n_members;

	struct mutex lock;  /* everything below, and members' presence */
	bool file_open;	    /* the program holds the group's file */
	unsigned int users; /* open device files */
	/* one reference, or NULL; compared without the lock */
	struct container *_Atomic container;
};

/** struct group_status - VFIO_GROUP_GET_STATUS */
struct group_status {
	bool container_set;
};

/**
 * group_new() - A group without members
 *
 * Context: lock-free, as the next two: while the machine is being made.
 * Return: 0; -ENOMEM.
 */
int group_new(unsigned int id, struct group **ret_group);

/** group_free() - Closed and in no container; NULL is fine */
struct group *group_free(struct group *g);

/**
 * group_add() - One more member, bound to vfio-pci
 *
 * Return: 0; -ENOSPC there are GROUP_DEVICES_MAX.
 */
int group_add(struct group *g, struct sv_dev *dev);

/**
 * group_open() - open("/dev/vfio/N")
 *
 * Return: 0; -ENODEV no member is bound to vfio-pci; -EBUSY it is open.
 */
int group_open(struct group *g);

/** group_close() - The last reference to the group's file is gone */
void group_close(struct group *g);

/**
 * group_get_status() - VFIO_GROUP_GET_STATUS
 *
 * Return: 0; -ENODEV its last member has gone since it was opened.
 */
int group_get_status(struct group *g, struct group_status *ret_status);

/**
 * group_set_container() - VFIO_GROUP_SET_CONTAINER
 * @c: one reference is taken on success; NULL: what was passed is none, which
 *     Linux finds after it has looked at the group
 *
 * A member without a driver is in nobody's way (Linux: EPERM only for one that
 * a driver of the host's uses, and there are none here).
 *
 * Return: 0; -EINVAL it has a container; -ENODEV as group_get_status(); -EBADFD
 * no container, for the caller to refuse, who knows what it is instead.
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
 * container, or no IOMMU set on it; -EAGAIN, -EIO as
 * device_open().
 */
int group_get_device(struct group *g, const char *name,
		     struct sv_dev **ret_dev);

/**
 * group_put_device() - What group_get_device() opened is closed
 *
 * Context: takes the device's locks before, and not under, group->lock.
 * Return: 0; -EBUSY as device_close(): nothing has changed.
 */
int group_put_device(struct group *g, struct sv_dev *dev);

/**
 * group_bind() - sysfs bind: vfio-pci takes a function that has no driver
 *
 * Return: 0; -EBUSY it has one; -ENODEV it is not there.
 */
int group_bind(struct group *g, struct sv_dev *dev);

/**
 * group_unbind() - vfio-pci lets a function go
 * @remove: it is not to be there any more, instead of without a driver
 *
 * While it is in use it is DEVICE_LEAVING: nobody opens it any more, and with
 * the last close it goes. When the last member has gone the group leaves its
 * container, and its open file is of no group any more. With @remove whoever has
 * it open is revoked, with no DMA or access under way.
 *
 * Context: takes the group's lock and what is inside, with @remove the model
 * lock too.
 * Return: 1 it has gone; 0 it will; -ENODEV it is not bound, or with @remove,
 * not there; or going already.
 */
int group_unbind(struct group *g, struct sv_dev *dev, bool remove);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* From a call's operation and ioctl number to the handler. */
#ifndef SOFTVFIO_FRONT_DISPATCH_H
#define SOFTVFIO_FRONT_DISPATCH_H

#include <stddef.h>

#include "core/vfio/container.h"
#include "front/call.h"
#include "front/ipc/server.h"

/** struct ioctl_row - One ioctl of one kind of file */
struct ioctl_row {
	unsigned int cmd;
	const char *name;
	int64_t (*fn)(struct call *call);
};

/** dispatch_ioctl() - the row's result; -ENOTTY when no row has the number */
int64_t dispatch_ioctl(struct call *call, const struct ioctl_row *rows,
		       size_t n);

/**
 * dispatch() - Answer a call on a file or on the door
 * @op: enum sv_op
 *
 * Context: any thread, one at a time per file; no lock held.
 * Return: what the handler said: the result, -errno, or -ERESTART when more
 * is needed; -EBADF an operation of the door's on a file, or the reverse.
 */
int64_t dispatch(struct call *call, unsigned int op);

/** ioctl_arg() - The third argument of ioctl(): an address, or a number */
static inline uint64_t ioctl_arg(const struct call *call)
{
	return call->arg[1];
}

/**
 * ioctl_copy_in() - Copy in the structure an ioctl points to, which begins
 * with its argsz
 * @size: of what every program passes; later fields are up to argsz
 *
 * Return: 0; -EFAULT and -ERESTART as call_copy_in(); -EINVAL argsz is less
 * than @size.
 */
int ioctl_copy_in(struct call *call, void *buf, size_t size);

#define CONTAINER_PATH "/dev/vfio/vfio"

extern const struct file_ops door_ops;
extern const struct file_ops side_door_ops;

/** file_is_door() - It takes requests on no file, and is no VFIO file */
bool file_is_door(const struct file *f);
extern const struct file_ops container_ops;
extern const struct file_ops group_ops;
extern const struct file_ops device_ops;
extern const struct file_ops sysfs_ops;

/**
 * container_file_open() - SV_OPEN of CONTAINER_PATH
 *
 * Return: as container_new() and server_open().
 */
int64_t container_file_open(struct call *call, bool cloexec);

/**
 * container_file_get() - The container of a file with container_ops, which
 * need not be the one a call is on
 *
 * Return: a new reference; NULL when the file has been released.
 */
struct container *container_file_get(struct file *f);

/**
 * group_file_open() - SV_OPEN of /dev/vfio/N
 *
 * Return: as group_open() and server_open(); -ENOENT no such group.
 */
int64_t group_file_open(struct call *call, unsigned int id, bool cloexec);

/**
 * sysfs_file_open() - SV_OPEN of a live file of /sys
 *
 * Return: as server_open(); -ENXIO the node is none.
 */
int64_t sysfs_file_open(struct call *call, const char *path, bool cloexec);

/**
 * device_file_open() - VFIO_GROUP_GET_DEVICE_FD
 * @dev: open; the file's own on success
 *
 * Return: as server_open().
 */
int64_t device_file_open(struct call *call, struct sv_dev *dev,
			 struct group *group);

#define DIRTY_BITMAP_MAX (1u << 28) /* bytes */

/**
 * dirty_pages() - VFIO_IOMMU_DIRTY_PAGES (kernel-semantics 2.10)
 * dirty_unmap() - VFIO_IOMMU_UNMAP_DMA with GET_DIRTY_BITMAP; on success
 * unmap->size has become what was unmapped
 *
 * Context: as the handler of an ioctl.
 * Return: 0; -ERESTART; -EFAULT; -EINVAL; -EOVERFLOW; -EACCES type1 of the
 * first version; -ENOMEM.
 */
struct vfio_iommu_type1_dma_unmap;
int64_t dirty_pages(struct call *call, struct ioas *ioas, enum iommu_type type);
int dirty_unmap(struct call *call, struct ioas *ioas,
		struct vfio_iommu_type1_dma_unmap *unmap);

/**
 * get_hot_reset_info() - VFIO_DEVICE_GET_PCI_HOT_RESET_INFO
 * pci_hot_reset() - VFIO_DEVICE_PCI_HOT_RESET
 * ioeventfd() - VFIO_DEVICE_IOEVENTFD
 *
 * Return: kernel-semantics 3.7 and 3.8; or as call_*().
 */
int64_t get_hot_reset_info(struct call *call);
int64_t pci_hot_reset(struct call *call);
int64_t ioeventfd(struct call *call);

/** container_node_stat(), group_node_stat() - SV_STAT of them, open or not */
void container_node_stat(struct sv_stat *st);
void group_node_stat(unsigned int id, struct sv_stat *st);

/** sysfs_node_stat() - SV_STAT of a live file of /sys; 0 or -ENOENT */
int sysfs_node_stat(struct server *s, const char *path, struct sv_stat *st);

/**
 * control() - SV_CONTROL: JSON in, a memfd of JSON out
 *
 * Return: 0; -EINVAL not JSON, or no such command; -ENOMEM; -EIO, or what
 * memfd_create() said.
 */
int64_t control(struct call *call);

#endif

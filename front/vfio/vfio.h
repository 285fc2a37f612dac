/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO's files: containers, groups, devices. Those of another kind than a
 * function is about are NULL to it.
 */
#ifndef SOFTVFIO_FRONT_VFIO_VFIO_H
#define SOFTVFIO_FRONT_VFIO_VFIO_H

#include "core/vfio/container.h"
#include "front/file.h"
#include "uapi/vfio.h"

#define CONTAINER_PATH "/dev/vfio/vfio"

/**
 * container_file_open() - SV_OPEN of CONTAINER_PATH
 *
 * Return: as container_new() and file_open().
 */
int64_t container_file_open(struct call *call, bool cloexec);

/**
 * container_file_get() - The container of a file, which need not be the one a
 * call is on
 *
 * Return: a new reference; NULL of another kind, or the file has been released.
 */
struct container *container_file_get(struct file *f);

/**
 * group_file_open() - SV_OPEN of /dev/vfio/N
 *
 * Return: as group_open() and file_open(); -ENOENT no such group.
 */
int64_t group_file_open(struct call *call, unsigned int id, bool cloexec);

/** group_file_group() - For as long as the file is held; or NULL */
struct group *group_file_group(const struct file *f);

/**
 * device_file_open() - VFIO_GROUP_GET_DEVICE_FD
 * @dev: open; the file's own on success
 *
 * Return: as file_open().
 */
int64_t device_file_open(struct call *call, struct sv_dev *dev,
			 struct group *group);

/** device_file_dev() - As group_file_group() */
struct sv_dev *device_file_dev(const struct file *f);

/** container_node_stat(), group_node_stat() - SV_STAT of them, open or not */
void container_node_stat(struct sv_stat *st);
void group_node_stat(unsigned int id, struct sv_stat *st);

/** iommu_ioctl() - One of those a container has once it has an IOMMU; -ENOTTY */
int64_t iommu_ioctl(struct call *call, struct type1 *type1);

/**
 * dirty_pages() - VFIO_IOMMU_DIRTY_PAGES (kernel-semantics 2.10)
 * dirty_unmap() - VFIO_IOMMU_UNMAP_DMA with GET_DIRTY_BITMAP; on success
 * unmap->size has become what was unmapped
 *
 * Context: as the handler of an ioctl.
 * Return: 0; -ERESTART; -EFAULT; -EINVAL; -EOVERFLOW; -EACCES type1 of the
 * first version; -ENOMEM.
 */
int64_t dirty_pages(struct call *call, struct type1 *type1);
int dirty_unmap(struct call *call, struct type1 *type1,
		struct vfio_iommu_type1_dma_unmap *unmap);

/**
 * get_irq_info() - VFIO_DEVICE_GET_IRQ_INFO
 * set_irqs() - VFIO_DEVICE_SET_IRQS
 * get_hot_reset_info() - VFIO_DEVICE_GET_PCI_HOT_RESET_INFO
 * pci_hot_reset() - VFIO_DEVICE_PCI_HOT_RESET
 * ioeventfd() - VFIO_DEVICE_IOEVENTFD
 * feature() - VFIO_DEVICE_FEATURE
 *
 * Context: a call on a device's file.
 * Return: kernel-semantics 3; or as call_*().
 */
int64_t get_irq_info(struct call *call);
int64_t set_irqs(struct call *call);
int64_t get_hot_reset_info(struct call *call);
int64_t pci_hot_reset(struct call *call);
int64_t ioeventfd(struct call *call);
int64_t feature(struct call *call);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VFIO user interface as Linux 7.2 has it, in our own definitions: the
 * headers of Debian 12 lack parts of it. Sizes and offsets are asserted; names
 * are those of linux/vfio.h, so that a reader can look them up there.
 */
#ifndef SOFTVFIO_UAPI_VFIO_H
#define SOFTVFIO_UAPI_VFIO_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define VFIO_IO(nr) _IO(';', 100 + (nr))

#define VFIO_API_VERSION 0

/* extensions: VFIO_CHECK_EXTENSION, and VFIO_SET_IOMMU where a type */
#define VFIO_TYPE1_IOMMU   1
#define VFIO_TYPE1v2_IOMMU 3
#define VFIO_DMA_CC_IOMMU  4
#define VFIO_UNMAP_ALL	   9
#define VFIO_UPDATE_VADDR  10

/* container and group */
#define VFIO_GET_API_VERSION	   VFIO_IO(0)
#define VFIO_CHECK_EXTENSION	   VFIO_IO(1)
#define VFIO_SET_IOMMU		   VFIO_IO(2)
#define VFIO_GROUP_GET_STATUS	   VFIO_IO(3)
#define VFIO_GROUP_SET_CONTAINER   VFIO_IO(4)
#define VFIO_GROUP_UNSET_CONTAINER VFIO_IO(5)
#define VFIO_GROUP_GET_DEVICE_FD   VFIO_IO(6)
#define VFIO_IOMMU_GET_INFO	   VFIO_IO(12)
#define VFIO_IOMMU_MAP_DMA	   VFIO_IO(13)
#define VFIO_IOMMU_UNMAP_DMA	   VFIO_IO(14)
#define VFIO_IOMMU_DIRTY_PAGES	   VFIO_IO(17)
/* device; some numbers are shared with the container's */
#define VFIO_DEVICE_GET_INFO		   VFIO_IO(7)
#define VFIO_DEVICE_GET_REGION_INFO	   VFIO_IO(8)
#define VFIO_DEVICE_GET_IRQ_INFO	   VFIO_IO(9)
#define VFIO_DEVICE_SET_IRQS		   VFIO_IO(10)
#define VFIO_DEVICE_RESET		   VFIO_IO(11)
#define VFIO_DEVICE_GET_PCI_HOT_RESET_INFO VFIO_IO(12)
#define VFIO_DEVICE_PCI_HOT_RESET	   VFIO_IO(13)
#define VFIO_DEVICE_IOEVENTFD		   VFIO_IO(16)
#define VFIO_DEVICE_FEATURE		   VFIO_IO(17)

struct vfio_info_cap_header {
	uint16_t id;
	uint16_t version;
	uint32_t next; /* from the start of the info struct; 0 ends */
};

struct vfio_group_status {
	uint32_t argsz;
	uint32_t flags;
};
#define VFIO_GROUP_FLAGS_VIABLE	       (1u << 0)
#define VFIO_GROUP_FLAGS_CONTAINER_SET (1u << 1)

struct vfio_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
	uint32_t cap_offset;
	uint32_t pad;
};
static_assert(sizeof(struct vfio_device_info) == 24, "vfio_device_info");
#define VFIO_DEVICE_FLAGS_RESET (1u << 0)
#define VFIO_DEVICE_FLAGS_PCI	(1u << 1)
#define VFIO_DEVICE_FLAGS_CAPS	(1u << 7)

struct vfio_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset;
};
static_assert(sizeof(struct vfio_region_info) == 32, "vfio_region_info");
#define VFIO_REGION_INFO_FLAG_READ	   (1u << 0)
#define VFIO_REGION_INFO_FLAG_WRITE	   (1u << 1)
#define VFIO_REGION_INFO_FLAG_MMAP	   (1u << 2)
#define VFIO_REGION_INFO_FLAG_CAPS	   (1u << 3)
#define VFIO_REGION_INFO_CAP_MSIX_MAPPABLE 3

enum {
	VFIO_PCI_BAR0_REGION_INDEX,
	VFIO_PCI_BAR5_REGION_INDEX = 5,
	VFIO_PCI_ROM_REGION_INDEX,
	VFIO_PCI_CONFIG_REGION_INDEX,
	VFIO_PCI_VGA_REGION_INDEX,
	VFIO_PCI_NUM_REGIONS,
};
/* DPDK has this compiled in */
#define VFIO_PCI_OFFSET_SHIFT 40
#define VFIO_PCI_OFFSET_MASK  ((1ull << VFIO_PCI_OFFSET_SHIFT) - 1)

struct vfio_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};
#define VFIO_IRQ_INFO_EVENTFD	 (1u << 0)
#define VFIO_IRQ_INFO_MASKABLE	 (1u << 1)
#define VFIO_IRQ_INFO_AUTOMASKED (1u << 2)
#define VFIO_IRQ_INFO_NORESIZE	 (1u << 3)

struct vfio_irq_set {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
	uint8_t data[];
};
static_assert(offsetof(struct vfio_irq_set, data) == 20, "vfio_irq_set");
#define VFIO_IRQ_SET_DATA_NONE	    (1u << 0)
#define VFIO_IRQ_SET_DATA_BOOL	    (1u << 1)
#define VFIO_IRQ_SET_DATA_EVENTFD   (1u << 2)
#define VFIO_IRQ_SET_ACTION_MASK    (1u << 3)
#define VFIO_IRQ_SET_ACTION_UNMASK  (1u << 4)
#define VFIO_IRQ_SET_ACTION_TRIGGER (1u << 5)

struct vfio_pci_dependent_device {
	uint32_t group_id; /* or devid, of a function opened through its cdev */
	uint16_t segment;
	uint8_t bus;
	uint8_t devfn;
};
static_assert(sizeof(struct vfio_pci_dependent_device) == 8,
	      "vfio_pci_dependent_device");

struct vfio_pci_hot_reset_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
	struct vfio_pci_dependent_device devices[];
};
static_assert(offsetof(struct vfio_pci_hot_reset_info, devices) == 12,
	      "vfio_pci_hot_reset_info");

struct vfio_pci_hot_reset {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
	int32_t group_fds[];
};
static_assert(offsetof(struct vfio_pci_hot_reset, group_fds) == 12,
	      "vfio_pci_hot_reset");

struct vfio_device_ioeventfd {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	uint64_t data;
	int32_t fd;
	uint32_t reserved;
};
static_assert(sizeof(struct vfio_device_ioeventfd) == 32,
	      "vfio_device_ioeventfd");
static_assert(offsetof(struct vfio_device_ioeventfd, reserved) == 28,
	      "vfio_device_ioeventfd: what has to be there");
#define VFIO_DEVICE_IOEVENTFD_8		(1u << 0)
#define VFIO_DEVICE_IOEVENTFD_16	(1u << 1)
#define VFIO_DEVICE_IOEVENTFD_32	(1u << 2)
#define VFIO_DEVICE_IOEVENTFD_64	(1u << 3)
#define VFIO_DEVICE_IOEVENTFD_SIZE_MASK 0xfu

struct vfio_device_feature {
	uint32_t argsz;
	uint32_t flags;
	uint8_t data[];
};
#define VFIO_DEVICE_FEATURE_MASK			0xffffu
#define VFIO_DEVICE_FEATURE_GET				(1u << 16)
#define VFIO_DEVICE_FEATURE_SET				(1u << 17)
#define VFIO_DEVICE_FEATURE_PROBE			(1u << 18)
#define VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY		3
#define VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP 4
#define VFIO_DEVICE_FEATURE_LOW_POWER_EXIT		5
#define VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2		12

struct vfio_device_low_power_entry_with_wakeup {
	int32_t wakeup_eventfd;
	uint32_t reserved;
};

struct vfio_iommu_type1_info {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova_pgsizes;
	uint32_t cap_offset;
	uint32_t pad;
};
static_assert(sizeof(struct vfio_iommu_type1_info) == 24, "type1_info");
#define VFIO_IOMMU_INFO_PGSIZES (1u << 0)
#define VFIO_IOMMU_INFO_CAPS	(1u << 1)

#define VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE 1
#define VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION  2
#define VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL	     3

struct vfio_iova_range {
	uint64_t start;
	uint64_t end; /* inclusive */
};

struct vfio_iommu_type1_info_cap_iova_range {
	struct vfio_info_cap_header header;
	uint32_t nr_iovas;
	uint32_t reserved;
	struct vfio_iova_range iova_ranges[];
};

struct vfio_iommu_type1_info_cap_migration {
	struct vfio_info_cap_header header;
	uint32_t flags;
	uint64_t pgsize_bitmap;
	uint64_t max_dirty_bitmap_size; /* bytes */
};
static_assert(sizeof(struct vfio_iommu_type1_info_cap_migration) == 32,
	      "cap_migration");

struct vfio_iommu_type1_info_dma_avail {
	struct vfio_info_cap_header header;
	uint32_t avail;
};

struct vfio_iommu_type1_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t vaddr;
	uint64_t iova;
	uint64_t size;
};
static_assert(sizeof(struct vfio_iommu_type1_dma_map) == 32, "dma_map");
#define VFIO_DMA_MAP_FLAG_READ	(1u << 0)
#define VFIO_DMA_MAP_FLAG_WRITE (1u << 1)

struct vfio_iommu_type1_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova;
	uint64_t size;
	uint8_t data[];
};
static_assert(offsetof(struct vfio_iommu_type1_dma_unmap, data) == 24,
	      "dma_unmap");
#define VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP (1u << 0)
#define VFIO_DMA_UNMAP_FLAG_ALL		     (1u << 1)

struct vfio_bitmap {
	uint64_t pgsize;
	uint64_t size; /* bytes */
	uint64_t data; /* address */
};

struct vfio_iommu_type1_dirty_bitmap {
	uint32_t argsz;
	uint32_t flags;
	uint8_t data[];
};
#define VFIO_IOMMU_DIRTY_PAGES_FLAG_START      (1u << 0)
#define VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP       (1u << 1)
#define VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP (1u << 2)

struct vfio_iommu_type1_dirty_bitmap_get {
	uint64_t iova;
	uint64_t size;
	struct vfio_bitmap bitmap;
};
static_assert(sizeof(struct vfio_iommu_type1_dirty_bitmap_get) == 40,
	      "dirty_bitmap_get");

#endif

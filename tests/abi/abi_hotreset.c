/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hot reset of a function that has no bus above it to be reset by.
 */
#include "tests/abi/abi.h"

#define ROOM 4

struct info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
	struct vfio_pci_dependent_device dev[ROOM];
};

struct reset {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
	int32_t fds[ROOM];
};

static long get_info(int device, uint32_t argsz)
{
	struct info info = {.argsz = argsz};

	return R(ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info));
}

static long hot_reset(int device, uint32_t count)
{
	struct reset r = {
		.argsz = sizeof(r),
		.count = count,
		.fds = {-1, -1, -1, -1},
	};

	return R(ioctl(device, VFIO_DEVICE_PCI_HOT_RESET, &r));
}

void test_hotreset(void)
{
	struct vfio v;

	device_all(&v, "ram", 0);
	want(get_info(v.device, 11), -EINVAL,
	     "hot_reset_info: root bus: argsz comes first");
	want(get_info(v.device, sizeof(struct info)), -ENODEV,
	     "hot_reset_info: root bus");
	want(hot_reset(v.device, 0), -EINVAL,
	     "hot_reset: root bus: count 0 comes first");
	want(hot_reset(v.device, 100), -ENODEV,
	     "hot_reset: root bus comes before the descriptors");
	vfio_close(&v);
}

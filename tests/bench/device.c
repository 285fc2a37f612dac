/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/bench/device.h */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/bench/device.h"
#include "uapi/vfio.h"

void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static int group_open(const char *bdf)
{
	char link[128], path[160];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
		 bdf);
	ssize_t n = readlink(path, link, sizeof(link) - 1);

	if (n < 0)
		die(path);
	link[n] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);

	int group = open(path, O_RDWR);

	if (group < 0)
		die(path);
	return group;
}

int device_open(const char *bdf, int *ret_container)
{
	int group = group_open(bdf);
	int container = open("/dev/vfio/vfio", O_RDWR);

	if (container < 0 ||
	    ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) < 0 ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0)
		die("container");

	int device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);

	if (device < 0)
		die(bdf);
	*ret_container = container;
	return device;
}

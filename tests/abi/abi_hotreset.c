/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hot reset: who would be reset, who has to be shown to be held, and in which
 * order Linux looks at all that. edu and edu2 share a slot.
 */
#include <stdio.h>

#include "tests/abi/abi.h"

#define ROOM 4

/* Both structures begin like this, and end with an array. */
struct head {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
};

struct info {
	struct head head;
	struct vfio_pci_dependent_device dev[ROOM];
};

struct reset {
	struct head head;
	int32_t fds[ROOM];
};

static long get_info(int device, uint32_t argsz, struct info *info)
{
	memset(info, FILL, sizeof(*info));
	info->head.argsz = argsz;
	info->head.flags = 0;
	info->head.count = 0;
	return R(ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info));
}

static long hot_reset(int device, uint32_t count, int first, int second)
{
	struct reset r = {
		.head = {sizeof(r), 0, count},
		.fds = {first, second, second, second},
	};

	return R(ioctl(device, VFIO_DEVICE_PCI_HOT_RESET, &r));
}

static bool is_entry(const struct vfio_pci_dependent_device *dev,
		     const char *role)
{
	unsigned int segment, bus, slot, fn;

	sscanf(function(role)->bdf, "%x:%x:%x.%x", &segment, &bus, &slot, &fn);
	return dev->segment == segment && dev->bus == bus &&
	       dev->devfn == (slot << 3 | fn) &&
	       dev->group_id == (uint32_t)function(role)->group;
}

static void check_info(int d)
{
	const uint32_t full = sizeof(struct vfio_pci_hot_reset_info) + 2 * 8;
	struct info info;

	want(R(ioctl(d, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, nowhere())),
	     -EFAULT, "hot_reset_info: bad pointer is EFAULT");
	want(R(ioctl(d, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, edge(8))), -EFAULT,
	     "hot_reset_info: a header cut short is EFAULT");
	want(get_info(d, 0, &info), -EINVAL, "hot_reset_info: argsz 0");
	want(get_info(d, 11, &info), -EINVAL, "hot_reset_info: argsz 11");
	for (uint32_t argsz = 12; argsz < full; argsz += 7) {
		want(get_info(d, argsz, &info), -ENOSPC,
		     "hot_reset_info: argsz %u is ENOSPC", argsz);
		want(info.head.count, 2,
		     "hot_reset_info: argsz %u: count says how many", argsz);
		ok(filled(info.dev, sizeof(info.dev), FILL),
		   "hot_reset_info: argsz %u: no device written", argsz);
	}
	want(get_info(d, full, &info), 0, "hot_reset_info: room for both");
	want(info.head.count, 2, "hot_reset_info: two functions");
	want(info.head.flags, 0, "hot_reset_info: entries are groups");
	ok(is_entry(&info.dev[0], "edu") && is_entry(&info.dev[1], "edu2"),
	   "hot_reset_info: in the order of their addresses");
	ok(filled(&info.dev[2], 2 * 8, FILL),
	   "hot_reset_info: nothing behind them");
	want(get_info(d, sizeof(info), &info), 0, "hot_reset_info: more room");
}

static void check_arguments(const struct vfio *v)
{
	struct reset r = {.head = {11, 0, 1}, .fds = {v->group}};
	struct head *cut = edge(sizeof(*cut));
	int closed = dup(0), d = v->device;

	close(closed);
	want(R(ioctl(d, VFIO_DEVICE_PCI_HOT_RESET, nowhere())), -EFAULT,
	     "hot_reset: bad pointer is EFAULT");
	want(R(ioctl(d, VFIO_DEVICE_PCI_HOT_RESET, &r)), -EINVAL,
	     "hot_reset: argsz 11");
	r.head = (struct head){sizeof(r), 1, 1};
	want(R(ioctl(d, VFIO_DEVICE_PCI_HOT_RESET, &r)), -EINVAL,
	     "hot_reset: flags");
	want(hot_reset(d, 0, v->group, -1), -EINVAL, "hot_reset: no group");
	want(hot_reset(d, 3, v->group, v->group), -EINVAL,
	     "hot_reset: more groups than devices");
	*cut = (struct head){64, 0, 1};
	want(R(ioctl(d, VFIO_DEVICE_PCI_HOT_RESET, cut)), -EFAULT,
	     "hot_reset: descriptors that cannot be read are EFAULT");
	want(hot_reset(d, 1, closed, -1), -EBADF, "hot_reset: closed");
	want(hot_reset(d, 1, -1, -1), -EBADF, "hot_reset: -1");
	want(hot_reset(d, 2, v->group, closed), -EBADF,
	     "hot_reset: the second is closed");
	want(hot_reset(d, 1, v->device, -1), -EINVAL,
	     "hot_reset: a device is no group");
	want(hot_reset(d, 1, v->container, -1), -EINVAL,
	     "hot_reset: a container is no group");
	want(hot_reset(d, 2, v->container, closed), -EINVAL,
	     "hot_reset: the first wrong one counts");
}

static void check_resets(const struct vfio *v)
{
	uint8_t *bar;

	set_command(v->device, 0, 2);
	bar = mmap(NULL, PAGE, RW, MAP_SHARED, v->device, (off_t)BAR0);
	want(hot_reset(v->device, 1, v->group, -1), 0, "hot_reset: works");
	want(hot_reset(v->device, 2, v->group, v->group), 0,
	     "hot_reset: the same group twice");
	want(cfg(v->device, 4, 2) & 2, 2, "hot_reset: COMMAND is as before");
	ok(!touch(bar, false).signal, "hot_reset: a mapping made before works");
	set_command(v->device, 2, 0);
	want(hot_reset(v->device, 1, v->group, -1), 0,
	     "hot_reset: works with memory disabled");
	want(touch(bar, false).signal, SIGBUS,
	     "hot_reset: memory is still disabled");
	munmap(bar, PAGE);
}

/* A group that has nothing to do with it, and needs no container for that. */
static void check_others(const struct vfio *v)
{
	int other;

	if (!have("ram"))
		return;
	other = group_open("ram");
	want(hot_reset(v->device, 1, other, -1), -EINVAL,
	     "hot_reset: another's group is EINVAL");
	want(hot_reset(v->device, 2, other, v->group), 0,
	     "hot_reset: an unrelated one more");
	close(other);
}

static void check_root_bus(void)
{
	struct info info;
	struct vfio v;

	if (!have("root"))
		return;
	vfio_open(&v, "root");
	want(get_info(v.device, 11, &info), -EINVAL,
	     "hot_reset_info: root bus: argsz comes first");
	want(get_info(v.device, sizeof(info), &info), -ENODEV,
	     "hot_reset_info: root bus");
	want(hot_reset(v.device, 0, -1, -1), -EINVAL,
	     "hot_reset: root bus: count 0 comes first");
	want(hot_reset(v.device, 100, -1, -1), -ENODEV,
	     "hot_reset: root bus comes before the descriptors");
	vfio_close(&v);
}

void test_hotreset(void)
{
	struct vfio v;

	if (have("edu") && have("edu2")) {
		vfio_open(&v, "edu");
		check_info(v.device);
		check_arguments(&v);
		check_resets(&v);
		check_others(&v);
		vfio_close(&v);
	}
	check_root_bus();
}

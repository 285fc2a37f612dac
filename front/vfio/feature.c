/* SPDX-License-Identifier: BSD-3-Clause */
/* VFIO_DEVICE_FEATURE: low power; kernel-semantics 3.9. */
#include <errno.h>
#include <fcntl.h>

#include "core/pci/device.h"
#include "front/ioctl.h"
#include "front/vfio/vfio.h"
#include "lib/cleanup.h"
#include "lib/evfd.h"
#include "lib/refuse.h"

/* vfio_check_feature(): 1 = go on, else the answer */
static int feature_check(uint32_t flags, size_t room, uint32_t ops,
			 size_t payload)
{
	uint32_t op =
		flags & (VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET);

	if (op & ~ops)
		return refuse(EINVAL, "feature %u cannot be %s",
			      flags & VFIO_DEVICE_FEATURE_MASK,
			      op & ~ops & VFIO_DEVICE_FEATURE_GET ? "read"
								  : "set");
	if (flags & VFIO_DEVICE_FEATURE_PROBE)
		return 0;
	if (!op)
		return refuse(EINVAL, "feature %u: neither GET nor SET",
			      flags & VFIO_DEVICE_FEATURE_MASK);
	if (room < payload)
		return refuse(EINVAL,
			      "feature %u: payload of %zu bytes, "
			      "needs %zu",
			      flags & VFIO_DEVICE_FEATURE_MASK, room, payload);
	return 1;
}

static int low_power_entry(struct call *call, uint32_t flags, size_t room)
{
	int r = feature_check(flags, room, VFIO_DEVICE_FEATURE_SET, 0);

	return r == 1 ? device_low_power(device_file_dev(call->file), true, -1)
		      : r;
}

static int low_power_wakeup(struct call *call, uint32_t flags, size_t room)
{
	struct vfio_device_low_power_entry_with_wakeup entry;
	int fd;
	int r = feature_check(flags, room, VFIO_DEVICE_FEATURE_SET,
			      sizeof(entry));

	if (r != 1)
		return r;
	r = call_copy_in(call,
			 ioctl_arg(call) +
				 offsetof(struct vfio_device_feature, data),
			 &entry, sizeof(entry));
	if (r < 0)
		return r;
	if (entry.wakeup_eventfd < 0)
		return refuse(EINVAL, "wakeup_eventfd %d",
			      entry.wakeup_eventfd);
	r = call_fd(call, entry.wakeup_eventfd, &fd);
	if (r == 0)
		r = evfd_check(fd);
	if (r < 0)
		return r;

	_cleanup_(closep) int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (own < 0)
		return -errno;
	r = device_low_power(device_file_dev(call->file), true, own);
	if (r == 0)
		(void)TAKE_FD(own);
	return r;
}

static int low_power_exit(struct call *call, uint32_t flags, size_t room)
{
	int r = feature_check(flags, room, VFIO_DEVICE_FEATURE_SET, 0);

	return r == 1 ? device_low_power(device_file_dev(call->file), false, -1)
		      : r;
}

int64_t feature(struct call *call)
{
	const uint32_t known =
		VFIO_DEVICE_FEATURE_MASK | VFIO_DEVICE_FEATURE_GET |
		VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PROBE;
	const uint32_t both = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
	struct vfio_device_feature f;
	size_t head = sizeof(f);
	int r = ioctl_copy_in(call, &f, head);

	if (r < 0)
		return r;
	if (f.flags & ~known)
		return refuse(EINVAL, "unknown flags %#x", f.flags & ~known);
	if (!(f.flags & VFIO_DEVICE_FEATURE_PROBE) && (f.flags & both) == both)
		return refuse(EINVAL, "GET and SET at once");
	switch (f.flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
		return low_power_entry(call, f.flags, f.argsz - head);
	case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
		return low_power_wakeup(call, f.flags, f.argsz - head);
	case VFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
		return low_power_exit(call, f.flags, f.argsz - head);
	case VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2:
		/* unlike the features it belongs to, which are unknown then */
		return refuse(EINVAL, "this device cannot migrate");
	default:
		return refuse(ENOTTY, "this device has no feature %u",
			      f.flags & VFIO_DEVICE_FEATURE_MASK);
	}
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* VFIO_DEVICE_IOEVENTFD: kernel-semantics 3.8. */
#include <errno.h>

#include "core/pci/device.h"
#include "front/ioctl.h"
#include "front/vfio/vfio.h"
#include "lib/evfd.h"
#include "lib/refuse.h"
#include "uapi/vfio.h"

static int check_head(const struct vfio_device_ioeventfd *arg)
{
	uint32_t sizes = arg->flags & VFIO_DEVICE_IOEVENTFD_SIZE_MASK;

	if (arg->flags != sizes)
		return refuse(EINVAL, "unknown flags %#x", arg->flags & ~sizes);
	if (!sizes || sizes & (sizes - 1))
		return refuse(EINVAL, "flags %#x; exactly one size",
			      arg->flags);
	if (arg->fd < -1)
		return refuse(EINVAL, "fd %d; an eventfd, or -1 to remove",
			      arg->fd);
	return 0;
}

/* Linux looks for an equal one, and for room, before it looks at the file. */
static int add(struct call *call, struct sv_dev *dev,
	       const struct ioeventfd_request *ir, int32_t number)
{
	int fd;
	int r = ioeventfd_find(dev, ir);

	if (r == 0)
		r = call_fd(call, number, &fd);
	if (r == 0)
		r = evfd_check(fd) < 0 ? refuse(EINVAL,
						"descriptor %d is not an "
						"eventfd",
						number)
				       : 0;
	return r < 0 ? r : ioeventfd_add(dev, ir, fd);
}

int64_t ioeventfd(struct call *call)
{
	struct sv_dev *dev = device_file_dev(call->file);
	struct vfio_device_ioeventfd arg = {0};
	int r = ioctl_copy_in(call, &arg,
			      offsetof(struct vfio_device_ioeventfd, reserved));

	if (r == 0)
		r = check_head(&arg);
	if (r < 0)
		return r;

	/* the flag of a size is that size */
	struct ioeventfd_request ir = {
		.region = arg.offset >> VFIO_PCI_OFFSET_SHIFT,
		.off = arg.offset & VFIO_PCI_OFFSET_MASK,
		.data = arg.data,
		.len = arg.flags & VFIO_DEVICE_IOEVENTFD_SIZE_MASK,
		.pid = call->pid,
	};

	r = ioeventfd_check(dev, &ir);
	if (r < 0)
		return r;
	return arg.fd == -1 ? ioeventfd_remove(dev, &ir)
			    : add(call, dev, &ir, arg.fd);
}

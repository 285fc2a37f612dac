/* SPDX-License-Identifier: BSD-3-Clause */
/* The layouts of hot reset: linux/vfio.h, kernel-semantics 3.7. */
#include <errno.h>
#include <stdlib.h>

#include "core/vfio/hotreset.h"
#include "front/ioctl.h"
#include "front/vfio/vfio.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"
#include "uapi/vfio.h"

int64_t get_hot_reset_info(struct call *call)
{
	struct sv_dev *dev = device_file_dev(call->file);
	struct vfio_pci_hot_reset_info info;
	struct hotreset_entry entries[DEV_SET_MAX];
	struct vfio_pci_dependent_device devices[DEV_SET_MAX];
	int r = ioctl_copy_in(call, &info, sizeof(info));

	if (r == 0)
		r = hotreset_possible(dev);
	if (r < 0)
		return r;

	size_t n = hotreset_info(dev, entries);
	bool fits = (info.argsz - sizeof(info)) / sizeof(devices[0]) >= n;

	for (size_t i = 0; i < n; i++)
		devices[i] = (struct vfio_pci_dependent_device){
			.group_id = entries[i].group,
			.segment = entries[i].segment,
			.bus = entries[i].bus,
			.devfn = entries[i].devfn,
		};
	/* as Linux writes them: no count when a device can't be written */
	if (fits)
		r = call_copy_out(call, ioctl_arg(call) + sizeof(info), devices,
				  n * sizeof(devices[0]));
	info.flags = 0;
	info.count = (uint32_t)n;
	if (r == 0)
		r = call_copy_out(call, ioctl_arg(call), &info, sizeof(info));
	if (r == 0 && !fits)
		r = refuse(ENOSPC,
			   "argsz %u has room for less than %zu devices",
			   info.argsz, n);
	return r;
}

/* The group behind a number; its file is to be put. */
static int group_file_get(struct call *call, int32_t number,
			  struct file **ret_file)
{
	int fd;
	int r = number < 0 ? refuse(EBADF, "%d is no descriptor", number)
			   : call_fd(call, number, &fd);

	if (r < 0)
		return r;

	struct file *f = file_behind(call->server, fd);

	if (f && group_file_group(f)) {
		*ret_file = f;
		return 0;
	}
	file_put(f);
	return refuse(EINVAL, "descriptor %d is no group", number);
}

/* All of them are asked for in one round, before any is looked at. */
static int ask_for_fds(struct call *call, const int32_t *numbers,
		       uint32_t count)
{
	int r = 0, fd;

	for (uint32_t i = 0; i < count; i++)
		if (numbers[i] >= 0 &&
		    call_fd(call, numbers[i], &fd) == -ERESTART)
			r = -ERESTART;
	return r;
}

static int reset_with_groups(struct call *call, const int32_t *numbers,
			     uint32_t count)
{
	struct file *files[DEV_SET_MAX];
	struct group *groups[DEV_SET_MAX];
	uint32_t n = 0;
	int r = ask_for_fds(call, numbers, count);

	while (r == 0 && n < count) {
		r = group_file_get(call, numbers[n], &files[n]);
		if (r < 0)
			break;
		groups[n] = group_file_group(files[n]);
		n++;
	}
	if (r == 0)
		r = hotreset(device_file_dev(call->file), groups, n);
	while (n-- > 0)
		file_put(files[n]);
	return r;
}

int64_t pci_hot_reset(struct call *call)
{
	struct sv_dev *dev = device_file_dev(call->file);
	struct hotreset_entry entries[DEV_SET_MAX];
	int32_t numbers[DEV_SET_MAX];
	struct vfio_pci_hot_reset hot;
	int r = ioctl_copy_in(call, &hot, sizeof(hot));

	if (r < 0)
		return r;
	if (hot.flags)
		return refuse(EINVAL, "unknown flags %#x", hot.flags);
	if (!hot.count)
		return refuse(EINVAL, "count 0 is for devices opened without "
				      "a group; pass the groups' descriptors");
	r = hotreset_possible(dev);
	if (r < 0)
		return r;

	size_t n = hotreset_info(dev, entries);

	if (hot.count > n)
		return refuse(EINVAL, "%u groups for %zu devices", hot.count,
			      n);
	r = call_copy_in(call, ioctl_arg(call) + sizeof(hot), numbers,
			 hot.count * sizeof(numbers[0]));
	return r < 0 ? r : reset_with_groups(call, numbers, hot.count);
}

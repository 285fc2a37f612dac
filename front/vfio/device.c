/* SPDX-License-Identifier: BSD-3-Clause */
/* The device's file: kernel-semantics 3. */
#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/vfio/group.h"
#include "front/ioctl.h"
#include "front/vfio/vfio.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"
#include "uapi/vfio.h"

struct device_file {
	struct file f;
	/* immutable */
	struct sv_dev *dev;
	struct group *group;
};
static_assert(offsetof(struct device_file, f) == 0, "freed as a file");

static struct device_file *device_file(const struct file *f)
{
	return container_of(f, struct device_file, f);
}

static struct sv_dev *device_of(const struct call *call)
{
	return device_file(call->file)->dev;
}

static int64_t get_info(struct call *call)
{
	struct vfio_device_info info = {0};
	int r = ioctl_copy_in(call, &info,
			      offsetof(struct vfio_device_info, cap_offset));

	if (r < 0)
		return r;
	info.flags = VFIO_DEVICE_FLAGS_PCI;
	if (device_resettable(device_of(call)))
		info.flags |= VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = VFIO_PCI_NUM_REGIONS;
	info.num_irqs = IRQ_NUM;
	return call_copy_out(call, ioctl_arg(call), &info,
			     info.argsz < sizeof(info) ? info.argsz
						       : sizeof(info));
}

static uint32_t region_flags(const struct device_region *region)
{
	return (region->read ? VFIO_REGION_INFO_FLAG_READ : 0) |
	       (region->write ? VFIO_REGION_INFO_FLAG_WRITE : 0) |
	       (region->mmap ? VFIO_REGION_INFO_FLAG_MMAP : 0);
}

/* The one capability there is: the MSI-X table may be mapped. */
static int region_caps(struct call *call, struct vfio_region_info *info)
{
	struct vfio_info_cap_header cap = {
		.id = VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
		.version = 1,
	};

	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	info->cap_offset = 0;
	if (info->argsz < sizeof(*info) + sizeof(cap)) {
		info->argsz = sizeof(*info) + sizeof(cap);
		return 0;
	}
	info->cap_offset = sizeof(*info);
	return call_copy_out(call, ioctl_arg(call) + sizeof(*info), &cap,
			     sizeof(cap));
}

static int64_t get_region_info(struct call *call)
{
	struct vfio_region_info info;
	struct device_region region;
	int r = ioctl_copy_in(call, &info, sizeof(info));

	if (r == 0)
		r = device_region(device_of(call), info.index, &region);
	if (r < 0)
		return r;
	info.offset = (uint64_t)info.index << VFIO_PCI_OFFSET_SHIFT;
	info.size = region.size;
	info.flags = region_flags(&region);
	if (region.msix)
		r = region_caps(call, &info);
	return r < 0 ? r
		     : call_copy_out(call, ioctl_arg(call), &info,
				     sizeof(info));
}

static int64_t reset(struct call *call)
{
	return device_reset(device_of(call));
}

static const struct ioctl_row device_rows[] = {
	{VFIO_DEVICE_GET_INFO, "VFIO_DEVICE_GET_INFO", get_info},
	{VFIO_DEVICE_GET_REGION_INFO, "VFIO_DEVICE_GET_REGION_INFO",
	 get_region_info},
	{VFIO_DEVICE_GET_IRQ_INFO, "VFIO_DEVICE_GET_IRQ_INFO", get_irq_info},
	{VFIO_DEVICE_SET_IRQS, "VFIO_DEVICE_SET_IRQS", set_irqs},
	{VFIO_DEVICE_RESET, "VFIO_DEVICE_RESET", reset},
	{VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
	 "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", get_hot_reset_info},
	{VFIO_DEVICE_PCI_HOT_RESET, "VFIO_DEVICE_PCI_HOT_RESET", pci_hot_reset},
	{VFIO_DEVICE_IOEVENTFD, "VFIO_DEVICE_IOEVENTFD", ioeventfd},
	{VFIO_DEVICE_FEATURE, "VFIO_DEVICE_FEATURE", feature},
};

/* What was unplugged answers nothing, to those who still hold it either. */
static int check_there(const struct call *call)
{
	const struct sv_dev *dev = device_of(call);

	return device_gone(dev) ? refuse(ENODEV, "%s was unplugged", dev->name)
				: 0;
}

static int64_t device_ioctl(struct call *call)
{
	int r = check_there(call);

	if (r < 0)
		return r;
	device_wake(device_of(call));
	return ioctl_run(
		call, ioctl_find(call, device_rows, ARRAY_SIZE(device_rows)));
}

static int64_t device_file_read(struct call *call, uint64_t pos, size_t count)
{
	int64_t r = check_there(call);

	if (r == 0)
		r = device_read(device_of(call), pos, call->out, count);

	call->n_out = r > 0 ? (size_t)r : 0;
	return r;
}

static int64_t device_file_write(struct call *call, uint64_t pos)
{
	size_t have, count;
	const uint8_t *data = call_data(call, &have, &count);
	int r = check_there(call);

	return r < 0 ? r
		     : device_write(device_of(call), pos, data, have, count);
}

static void out_ranges(struct call *call, struct sv_map *map)
{
	struct device_range range[DEVICE_RANGES_MAX];

	map->n = (uint32_t)device_ranges(device_of(call), call->arg[0],
					 call->arg[1], range);
	call_out(call, map, sizeof(*map));
	for (uint32_t i = 0; i < map->n; i++) {
		const struct sv_map_range r = {
			.len = range[i].len,
			.trap = range[i].trap,
		};

		call_out(call, &r, sizeof(r));
	}
}

static int64_t device_file_mmap(struct call *call)
{
	const uint64_t *arg = call->arg;
	struct sv_map map = {0};
	int fd;
	int r = check_there(call);

	if (r < 0)
		return r;
	if (arg[2] & PROT_EXEC)
		return refuse(EPERM, "mmap: a device cannot be mapped "
				     "executable");

	const struct device_map want = {
		.owner = call->file->serial,
		.pid = call->pid,
		.pos = arg[0],
		.len = arg[1],
		.shared = (arg[3] & MAP_TYPE) == MAP_SHARED ||
			  (arg[3] & MAP_TYPE) == MAP_SHARED_VALIDATE,
	};

	r = device_mmap(device_of(call), &want, &map.offset, &fd);
	if (r < 0)
		return r;

	call_send_fd(call, fd, false, true);
	out_ranges(call, &map);
	return 0;
}

static void device_stat(struct file *f, struct sv_stat *st)
{
	st->mode = 0600; /* an anonymous inode has no type */
	st->nlink = 1;
}

static bool device_busy(struct file *f)
{
	return device_mapped(device_file(f)->dev, f->serial);
}

static int device_release(struct file *f)
{
	struct device_file *df = device_file(f);

	return group_put_device(df->group, df->dev);
}

static struct group *device_group(const struct file *f)
{
	return device_file(f)->group;
}

static struct sv_dev *device_model(const struct file *f)
{
	return device_file(f)->dev;
}

/* A completion time-out: all ones, as far as the region goes. */
static int64_t device_late(const struct file *f, uint64_t pos, uint64_t count)
{
	uint64_t off = pos & VFIO_PCI_OFFSET_MASK;
	struct device_region region;

	if (device_region(device_file(f)->dev,
			  (uint32_t)(pos >> VFIO_PCI_OFFSET_SHIFT),
			  &region) < 0 ||
	    off >= region.size)
		return -EIO;
	if (count > region.size - off)
		count = region.size - off;
	return (int64_t)(count < SV_DATA_MAX ? count : SV_DATA_MAX);
}

static const struct file_ops device_ops = {
	.size = sizeof(struct device_file),
	.ioctl = device_ioctl,
	.read = device_file_read,
	.write = device_file_write,
	.mmap = device_file_mmap,
	.stat = device_stat,
	.busy = device_busy,
	.release = device_release,
	.group = device_group,
	.late = device_late,
	.model = device_model,
};

struct sv_dev *device_file_dev(const struct file *f)
{
	return f->ops == &device_ops ? device_file(f)->dev : NULL;
}

int64_t device_file_open(struct call *call, struct sv_dev *dev,
			 struct group *group)
{
	struct file *f = file_new(call->server, &device_ops, call->pid,
				  "anon_inode:[vfio-device]");

	if (!f)
		return -ENOMEM;
	device_file(f)->dev = dev;
	device_file(f)->group = group;
	return file_open(call, f, true);
}

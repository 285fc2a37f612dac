/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations and nodes to handlers: front/dispatch.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/machine/machine.h"
#include "front/control/control.h"
#include "front/dispatch.h"
#include "front/ipc/server_impl.h"
#include "front/sysfs/sysfs.h"
#include "front/sysfs/tree.h"
#include "front/vfio/vfio.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"

int64_t dispatch_ioctl(struct call *call, const struct ioctl_row *rows,
		       size_t n)
{
	unsigned int cmd = (unsigned int)call->arg[0];

	for (size_t i = 0; i < n; i++) {
		if (rows[i].cmd != cmd)
			continue;
		call->name = rows[i].name;
		return rows[i].fn(call);
	}
	call->name = "ioctl";
	return refuse(ENOTTY, "%s has no ioctl %#x", call->file->what, cmd);
}

int ioctl_copy_in(struct call *call, void *buf, size_t size)
{
	uint32_t argsz;
	int r = call_copy_in(call, ioctl_arg(call), buf, size);

	if (r < 0)
		return r;
	memcpy(&argsz, buf, sizeof(argsz));
	return argsz >= size
		       ? 0
		       : refuse(EINVAL, "argsz %u, at least %zu", argsz, size);
}

static int64_t op_ioctl(struct call *call)
{
	if (!call->file->ops->ioctl)
		return refuse(ENOTTY, "%s has no ioctls", call->file->what);
	return call->file->ops->ioctl(call);
}

/* Where to read or write: the call's offset, or the file's own position. */
static uint64_t file_pos(struct call *call)
{
	if (call->arg[0] != SV_POS)
		return call->arg[0];
	mutex_lock(&call->file->lock);
	uint64_t pos = call->file->pos;

	mutex_unlock(&call->file->lock);
	return pos;
}

static void file_advance(struct call *call, int64_t done)
{
	if (call->arg[0] != SV_POS || done <= 0)
		return;
	mutex_lock(&call->file->lock);
	call->file->pos += (uint64_t)done;
	mutex_unlock(&call->file->lock);
}

/* The caller could not take what an earlier read gave: it did not happen. */
static void file_take_back(struct call *call)
{
	uint64_t back = call->arg[2];

	if (call->arg[0] != SV_POS)
		return;
	mutex_lock(&call->file->lock);
	call->file->pos -= back < call->file->pos ? back : call->file->pos;
	mutex_unlock(&call->file->lock);
}

static int64_t op_read(struct call *call)
{
	const struct file_ops *ops = call->file->ops;
	uint64_t count = call->arg[1];

	call->name = "read";
	if (!ops->read)
		return refuse(EINVAL, "%s cannot be read", call->file->what);
	file_take_back(call);
	if (call->arg[0] == SV_POS)
		file_wake(call->file); /* read(2) took the byte */
	if (count > SV_DATA_MAX)
		count = SV_DATA_MAX;

	int64_t r = ops->read(call, file_pos(call), count);

	file_advance(call, r);
	return r;
}

static int64_t op_write(struct call *call)
{
	const struct file_ops *ops = call->file->ops;

	call->name = "write";
	if (!ops->write)
		return refuse(EINVAL, "%s cannot be written", call->file->what);

	int64_t r = ops->write(call, file_pos(call));

	file_advance(call, r);
	return r;
}

static int64_t op_mmap(struct call *call)
{
	call->name = "mmap";
	if (!call->file->ops->mmap)
		return refuse(ENODEV, "%s cannot be mapped", call->file->what);
	return call->file->ops->mmap(call);
}

static int64_t op_fstat(struct call *call)
{
	struct sv_stat st = {0};

	call->name = "fstat";
	call->file->ops->stat(call->file, &st);
	return call_out(call, &st, sizeof(st));
}

static int open_path(struct call *call, char canonical[PATH_MAX])
{
	char path[PATH_MAX];
	int r = call_path(call, path, sizeof(path));

	if (r < 0)
		return r;
	r = tree_resolve(call->conf->tree, path, canonical);
	return r < 0 ? refuse(-r, "%s: not there", path) : 0;
}

static bool is_group_path(const char *path, unsigned int *ret_id)
{
	int end = 0;

	return sscanf(path, "/dev/vfio/%u%n", ret_id, &end) == 1 && !path[end];
}

static int64_t op_open(struct call *call)
{
	char path[PATH_MAX];
	unsigned int id;

	call->name = "open";
	int r = open_path(call, path);

	if (r < 0)
		return r;

	bool cloexec = call->arg[0] & O_CLOEXEC;

	if (!strcmp(path, CONTAINER_PATH))
		return container_file_open(call, cloexec);
	if (is_group_path(path, &id))
		return group_file_open(call, id, cloexec);
	return sysfs_file_open(call, path, cloexec);
}

static int node_stat(const struct call *call, const char *path,
		     struct sv_stat *st)
{
	unsigned int id;

	if (!strcmp(path, CONTAINER_PATH))
		container_node_stat(st);
	else if (is_group_path(path, &id))
		group_node_stat(id, st);
	else
		return sysfs_node_stat(call, path, st);
	return 0;
}

static int64_t op_stat(struct call *call)
{
	struct sv_stat st = {0};
	char path[PATH_MAX];

	call->name = "stat";
	int r = open_path(call, path);

	if (r == 0)
		r = node_stat(call, path, &st);
	return r < 0 ? r : call_out(call, &st, sizeof(st));
}

/* "softvfio:<instance>:<bdf>:<bar>", with anything around it */
static int bar_by_name(struct call *call, struct sv_dev **ret_dev,
		       unsigned int *ret_bar)
{
	struct machine *m = call->conf->machine;
	unsigned long long instance;
	char name[128], bdf[16];
	int r = call_path(call, name, sizeof(name));

	if (r < 0)
		return r;

	const char *p = strstr(name, SV_BAR_NAME_PREFIX);

	if (!p || sscanf(p, SV_BAR_NAME_PREFIX "%16llx:%12[0-9a-f:.]:%u",
			 &instance, bdf, ret_bar) != 3)
		return refuse(EINVAL, "\"%s\" is no BAR's name", name);

	struct machine_dev *md = machine_device(m, bdf);

	if (instance != m->instance || !md)
		return refuse(ENODEV, "\"%s\" is of another instance", name);
	*ret_dev = md->dev;
	return 0;
}

static int64_t op_fault(struct call *call)
{
	struct sv_dev *dev = NULL;
	unsigned int bar;

	call->name = "fault";
	int r = bar_by_name(call, &dev, &bar);

	if (r == 0)
		r = call_enter(call, dev);
	return r < 0 ? r : device_fault(dev, bar, call->arg[0]);
}

static int64_t op_access(struct call *call)
{
	const uint64_t *arg = call->arg;
	uint64_t val = arg[3];
	struct sv_dev *dev = NULL;
	unsigned int bar;

	call->name = "load or store";
	int r = bar_by_name(call, &dev, &bar);

	if (r == 0)
		r = call_enter(call, dev);
	if (r == 0)
		r = device_access(dev, bar, arg[0], (unsigned int)arg[1],
				  arg[2], &val);
	if (r < 0)
		return r;
	/* a 64-bit value could look like an errno, so it travels as data */
	return arg[2] ? 0 : call_out(call, &val, sizeof(val));
}

/* The channel that it asks for is made whatever the operation is. */
static int64_t op_channel(struct call *call)
{
	call->name = "channel";
	return 0;
}

static int64_t op_known(struct call *call)
{
	call->name = "known";
	return server_knows(call->server, call->arg[0]);
}

/* Nobody's but the shim's: it counts as no file that a program has open. */
static int64_t op_side_door(struct call *call)
{
	call->name = "side door";

	struct file *f =
		file_new(call->server, &side_door_ops, call->pid, "side door");

	return f ? file_open(call, f, true) : -ENOMEM;
}

struct op_row {
	int64_t (*fn)(struct call *call);
	bool on_door;
};

static const struct op_row op_rows[SV_OP_END] = {
	[SV_OPEN] = {op_open, true},	       [SV_STAT] = {op_stat, true},
	[SV_FAULT] = {op_fault, true},	       [SV_ACCESS] = {op_access, true},
	[SV_CONTROL] = {control, true},	       [SV_FSTAT] = {op_fstat, false},
	[SV_IOCTL] = {op_ioctl, false},	       [SV_READ] = {op_read, false},
	[SV_WRITE] = {op_write, false},	       [SV_MMAP] = {op_mmap, false},
	[SV_CHANNEL] = {op_channel, false},    [SV_KNOWN] = {op_known, true},
	[SV_SIDE_DOOR] = {op_side_door, true},
};

int64_t dispatch(struct call *call, unsigned int op)
{
	const struct op_row *row = &op_rows[op];

	if (row->on_door != file_is_door(call->file))
		return refuse(EBADF, "operation %u is not for %s", op,
			      call->file->what);

	const struct file_ops *ops = call->file->ops;
	int r = ops->model ? call_enter(call, ops->model(call->file)) : 0;

	return r < 0 ? r : row->fn(call);
}

const struct file_ops door_ops = {.size = sizeof(struct file)};
const struct file_ops side_door_ops = {.size = sizeof(struct file)};

bool file_is_door(const struct file *f)
{
	return f->ops == &door_ops || f->ops == &side_door_ops;
}

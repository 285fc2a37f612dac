/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations and nodes to handlers: front/dispatch.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front/dispatch.h"
#include "front/ipc/stuck.h"
#include "front/sysfs/tree.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"

int64_t dispatch_ioctl(struct request *req, const struct ioctl_row *rows,
		       size_t n)
{
	unsigned int cmd = (unsigned int)req->hdr.arg[0];

	for (size_t i = 0; i < n; i++) {
		if (rows[i].cmd != cmd)
			continue;
		req->call = rows[i].name;
		return rows[i].fn(req);
	}
	req->call = "ioctl";
	return refuse(ENOTTY, "%s has no ioctl %#x", req->file->what, cmd);
}

int ioctl_copy_in(struct request *req, void *buf, size_t size)
{
	uint32_t argsz;
	int r = req_copy_in(req, ioctl_arg(req), buf, size);

	if (r < 0)
		return r;
	memcpy(&argsz, buf, sizeof(argsz));
	return argsz >= size
		       ? 0
		       : refuse(EINVAL, "argsz %u, at least %zu", argsz, size);
}

static int64_t op_ioctl(struct request *req)
{
	if (!req->file->ops->ioctl)
		return refuse(ENOTTY, "%s has no ioctls", req->file->what);
	return req->file->ops->ioctl(req);
}

/* Where to read or write: the call's offset, or the file's own position. */
static uint64_t file_pos(struct request *req)
{
	if (req->hdr.arg[0] != SV_POS)
		return req->hdr.arg[0];
	mutex_lock(&req->file->lock);
	uint64_t pos = req->file->pos;

	mutex_unlock(&req->file->lock);
	return pos;
}

static void file_advance(struct request *req, int64_t done)
{
	if (req->hdr.arg[0] != SV_POS || done <= 0)
		return;
	mutex_lock(&req->file->lock);
	req->file->pos += (uint64_t)done;
	mutex_unlock(&req->file->lock);
}

/* The caller could not take what an earlier read gave: it did not happen. */
static void file_take_back(struct request *req)
{
	uint64_t back = req->hdr.arg[2];

	if (req->hdr.arg[0] != SV_POS)
		return;
	mutex_lock(&req->file->lock);
	req->file->pos -= back < req->file->pos ? back : req->file->pos;
	mutex_unlock(&req->file->lock);
}

static int64_t op_read(struct request *req)
{
	const struct file_ops *ops = req->file->ops;
	uint64_t count = req->hdr.arg[1];

	req->call = "read";
	if (!ops->read)
		return refuse(EINVAL, "%s cannot be read", req->file->what);
	file_take_back(req);
	if (req->hdr.arg[0] == SV_POS)
		server_wake(req->file); /* read(2) took the byte */
	if (count > SV_DATA_MAX)
		count = SV_DATA_MAX;

	int64_t r = ops->read(req, file_pos(req), count);

	file_advance(req, r);
	return r;
}

static int64_t op_write(struct request *req)
{
	const struct file_ops *ops = req->file->ops;

	req->call = "write";
	if (!ops->write)
		return refuse(EINVAL, "%s cannot be written", req->file->what);

	int64_t r = ops->write(req, file_pos(req));

	file_advance(req, r);
	return r;
}

static int64_t op_mmap(struct request *req)
{
	req->call = "mmap";
	if (!req->file->ops->mmap)
		return refuse(ENODEV, "%s cannot be mapped", req->file->what);
	return req->file->ops->mmap(req);
}

static int64_t op_fstat(struct request *req)
{
	struct sv_stat st = {0};

	req->call = "fstat";
	req->file->ops->stat(req->file, &st);
	return req_out(req, &st, sizeof(st));
}

static int open_path(struct request *req, char canonical[PATH_MAX])
{
	char path[PATH_MAX];
	int r = req_path(req, path, sizeof(path));

	if (r < 0)
		return r;
	r = tree_resolve(server_conf(req->server)->tree, path, canonical);
	return r < 0 ? refuse(-r, "%s: not there", path) : 0;
}

static bool is_group_path(const char *path, unsigned int *ret_id)
{
	int end = 0;

	return sscanf(path, "/dev/vfio/%u%n", ret_id, &end) == 1 && !path[end];
}

static int64_t op_open(struct request *req)
{
	char path[PATH_MAX];
	unsigned int id;

	req->call = "open";
	int r = open_path(req, path);

	if (r < 0)
		return r;

	bool cloexec = req->hdr.arg[0] & O_CLOEXEC;

	if (!strcmp(path, CONTAINER_PATH))
		return container_file_open(req, cloexec);
	if (is_group_path(path, &id))
		return group_file_open(req, id, cloexec);
	return sysfs_file_open(req, path, cloexec);
}

static int node_stat(struct server *s, const char *path, struct sv_stat *st)
{
	unsigned int id;

	if (!strcmp(path, CONTAINER_PATH))
		container_node_stat(st);
	else if (is_group_path(path, &id))
		group_node_stat(id, st);
	else
		return sysfs_node_stat(s, path, st);
	return 0;
}

static int64_t op_stat(struct request *req)
{
	struct sv_stat st = {0};
	char path[PATH_MAX];

	req->call = "stat";
	int r = open_path(req, path);

	if (r == 0)
		r = node_stat(req->server, path, &st);
	return r < 0 ? r : req_out(req, &st, sizeof(st));
}

/* "softvfio:<instance>:<bdf>:<bar>", with anything around it */
static int bar_by_name(struct request *req, struct sv_dev **ret_dev,
		       unsigned int *ret_bar)
{
	struct machine *m = server_conf(req->server)->machine;
	unsigned long long instance;
	char name[128], bdf[16];
	int r = req_path(req, name, sizeof(name));

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

static int64_t op_fault(struct request *req)
{
	struct sv_dev *dev = NULL;
	unsigned int bar;

	req->call = "fault";
	int r = bar_by_name(req, &dev, &bar);

	if (r == 0)
		r = queue_enter(req, dev);
	return r < 0 ? r : device_fault(dev, bar, req->hdr.arg[0]);
}

static int64_t op_access(struct request *req)
{
	const uint64_t *arg = req->hdr.arg;
	uint64_t val = arg[3];
	struct sv_dev *dev = NULL;
	unsigned int bar;

	req->call = "load or store";
	int r = bar_by_name(req, &dev, &bar);

	if (r == 0)
		r = queue_enter(req, dev);
	if (r == 0)
		r = device_access(dev, bar, arg[0], (unsigned int)arg[1],
				  arg[2], &val);
	if (r < 0)
		return r;
	/* a 64-bit value could look like an errno, so it travels as data */
	return arg[2] ? 0 : req_out(req, &val, sizeof(val));
}

/* The channel that it asks for is made whatever the operation is. */
static int64_t op_channel(struct request *req)
{
	req->call = "channel";
	return 0;
}

static int64_t op_known(struct request *req)
{
	req->call = "known";
	return server_knows(req->server, req->hdr.arg[0]);
}

/* Nobody's but the shim's: it counts as no file that a program has open. */
static int64_t op_side_door(struct request *req)
{
	req->call = "side door";
	return server_open(req, &side_door_ops, NULL, NULL, "side door", true);
}

struct op_row {
	int64_t (*fn)(struct request *req);
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

int64_t dispatch(struct request *req)
{
	const struct op_row *row = &op_rows[req->hdr.op];

	if (row->on_door != file_is_door(req->file))
		return refuse(EBADF, "operation %u is not for %s", req->hdr.op,
			      req->file->what);

	int r = req->file->ops == &device_ops
			? queue_enter(req, req->file->object)
			: 0;

	return r < 0 ? r : row->fn(req);
}

const struct file_ops door_ops = {0};
const struct file_ops side_door_ops = {0};

bool file_is_door(const struct file *f)
{
	return f->ops == &door_ops || f->ops == &side_door_ops;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* The group's file: /dev/vfio/N (kernel-semantics 2.4). */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "core/machine/machine.h"
#include "front/alive.h"
#include "front/ioctl.h"
#include "front/vfio/vfio.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"
#include "uapi/vfio.h"

#define GROUP_MAJOR 511 /* dynamic in Linux; this is what it often gets */

struct group_file {
	struct file f;
	struct group *group; /* immutable */
};
static_assert(offsetof(struct group_file, f) == 0, "freed as a file");

static struct group *group_of_file(const struct file *f)
{
	return container_of(f, struct group_file, f)->group;
}

static struct group *group_of(const struct call *call)
{
	return group_of_file(call->file);
}

static int64_t get_status(struct call *call)
{
	struct vfio_group_status status;
	struct group_status gs;
	int r = ioctl_copy_in(call, &status, sizeof(status));

	if (r < 0)
		return r;
	r = group_get_status(group_of(call), &gs);
	if (r < 0)
		return r;
	/* always: no driver of the host's could have a member */
	status.flags = VFIO_GROUP_FLAGS_VIABLE;
	if (gs.container_set)
		status.flags |= VFIO_GROUP_FLAGS_CONTAINER_SET;
	return call_copy_out(call, ioctl_arg(call), &status, sizeof(status));
}

static int64_t set_container(struct call *call)
{
	int32_t number;
	int fd;
	int r = call_copy_in(call, ioctl_arg(call), &number, sizeof(number));

	if (r < 0)
		return r;
	if (number < 0)
		return refuse(EBADF, "SET_CONTAINER: %d is no descriptor",
			      number);
	r = call_fd(call, number, &fd);
	if (r < 0)
		return r;

	struct file *f = file_behind(call->server, fd);
	struct container *c = f ? container_file_get(f) : NULL;

	r = group_set_container(group_of(call), c);
	if (r == -EBADFD)
		r = refuse(EBADFD,
			   "SET_CONTAINER: descriptor %d is no container",
			   number);
	container_put(c);
	file_put(f);
	return r;
}

static int64_t unset_container(struct call *call)
{
	return group_unset_container(group_of(call));
}

static int64_t get_device_fd(struct call *call)
{
	char name[PATH_MAX];
	struct sv_dev *dev;
	int r = call_string(call, ioctl_arg(call), name, sizeof(name));

	if (r < 0)
		return r;
	r = group_get_device(group_of(call), name, &dev);
	if (r < 0)
		return r;
	r = (int)device_file_open(call, dev, group_of(call));
	if (r < 0)
		group_put_device(group_of(call), dev);
	return r;
}

static const struct ioctl_row group_rows[] = {
	{VFIO_GROUP_GET_STATUS, "VFIO_GROUP_GET_STATUS", get_status},
	{VFIO_GROUP_SET_CONTAINER, "VFIO_GROUP_SET_CONTAINER", set_container},
	{VFIO_GROUP_UNSET_CONTAINER, "VFIO_GROUP_UNSET_CONTAINER",
	 unset_container},
	{VFIO_GROUP_GET_DEVICE_FD, "VFIO_GROUP_GET_DEVICE_FD", get_device_fd},
};

static int64_t group_ioctl(struct call *call)
{
	alive_settle_group(call->server, group_of(call));
	return ioctl_run(call,
			 ioctl_find(call, group_rows, ARRAY_SIZE(group_rows)));
}

void group_node_stat(unsigned int id, struct sv_stat *st)
{
	st->mode = S_IFCHR | 0600;
	st->nlink = 1;
	st->rdev = makedev(GROUP_MAJOR, id);
}

static void group_stat(struct file *f, struct sv_stat *st)
{
	group_node_stat(group_of_file(f)->id, st);
}

static int group_release(struct file *f)
{
	group_close(group_of_file(f));
	return 0;
}

static const struct file_ops group_ops = {
	.size = sizeof(struct group_file),
	.ioctl = group_ioctl,
	.stat = group_stat,
	.release = group_release,
	.group = group_of_file,
};

struct group *group_file_group(const struct file *f)
{
	return f->ops == &group_ops ? group_of_file(f) : NULL;
}

static int group_file_make(struct call *call, struct group *g, bool cloexec)
{
	char what[32];

	snprintf(what, sizeof(what), "/dev/vfio/%u", g->id);

	struct file *f = file_new(call->server, &group_ops, call->pid, what);

	if (!f)
		return -ENOMEM;
	container_of(f, struct group_file, f)->group = g;
	return file_open(call, f, cloexec);
}

int64_t group_file_open(struct call *call, unsigned int id, bool cloexec)
{
	struct group *g = machine_group(call->conf->machine, id);

	if (!g)
		return refuse(ENOENT, "there is no group %u", id);
	alive_settle_group(call->server, g);

	int r = group_open(g);

	if (r < 0)
		return r;
	r = group_file_make(call, g, cloexec);
	if (r < 0)
		group_close(g);
	return r;
}

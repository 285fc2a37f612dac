/* SPDX-License-Identifier: BSD-3-Clause */
/* The container's file, /dev/vfio/vfio (kernel-semantics 2.3). */
#include <assert.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "front/alive.h"
#include "front/ioctl.h"
#include "front/vfio/vfio.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"
#include "uapi/vfio.h"

#define MISC_MAJOR	10
#define CONTAINER_MINOR 196

struct container_file {
	struct file f;
	struct container *container; /* f.lock; NULL: released */
};
static_assert(offsetof(struct container_file, f) == 0, "freed as a file");

static struct container_file *container_file(const struct file *f)
{
	return container_of(f, struct container_file, f);
}

/* Not released while it is served. */
static struct container *container_of_call(const struct call *call)
{
	return container_file(call->file)->container;
}

static int64_t get_api_version(struct call *call)
{
	return VFIO_API_VERSION;
}

static int64_t check_extension(struct call *call)
{
	struct type1 *type1 = container_type1(container_of_call(call));
	bool has = type1_has_extension(type1, ioctl_arg(call));

	type1_put(type1);
	return has;
}

static int64_t set_iommu(struct call *call)
{
	return container_set_iommu(container_of_call(call), ioctl_arg(call));
}

static const struct ioctl_row container_rows[] = {
	{VFIO_GET_API_VERSION, "VFIO_GET_API_VERSION", get_api_version},
	{VFIO_CHECK_EXTENSION, "VFIO_CHECK_EXTENSION", check_extension},
	{VFIO_SET_IOMMU, "VFIO_SET_IOMMU", set_iommu},
};

static int64_t container_ioctl(struct call *call)
{
	const struct ioctl_row *row =
		ioctl_find(call, container_rows, ARRAY_SIZE(container_rows));

	/* whether there is an IOMMU depends on which groups are attached */
	alive_settle_container(call->server, container_of_call(call));
	if (row)
		return ioctl_run(call, row);

	struct type1 *type1 = container_type1(container_of_call(call));

	if (!type1)
		return refuse(EINVAL, "ioctl %#x before SET_IOMMU",
			      ioctl_cmd(call));

	int64_t r = iommu_ioctl(call, type1);

	type1_put(type1);
	return r;
}

void container_node_stat(struct sv_stat *st)
{
	st->mode = S_IFCHR | 0666;
	st->nlink = 1;
	st->rdev = makedev(MISC_MAJOR, CONTAINER_MINOR);
}

static void container_stat(struct file *f, struct sv_stat *st)
{
	container_node_stat(st);
}

/* Whoever else holds a reference to the file finds no container from now on. */
static int container_release(struct file *f)
{
	struct container_file *cf = container_file(f);

	mutex_lock(&f->lock);
	struct container *c = cf->container;

	cf->container = NULL;
	mutex_unlock(&f->lock);
	container_put(c);
	return 0;
}

static const struct file_ops container_ops = {
	.size = sizeof(struct container_file),
	.ioctl = container_ioctl,
	.stat = container_stat,
	.release = container_release,
};

struct container *container_file_get(struct file *f)
{
	if (f->ops != &container_ops)
		return NULL;
	mutex_lock(&f->lock);
	struct container *c = container_file(f)->container;

	if (c)
		container_get(c);
	mutex_unlock(&f->lock);
	return c;
}

static int container_file_make(struct call *call, struct container *c,
			       bool cloexec)
{
	struct file *f = file_new(call->server, &container_ops, call->pid,
				  CONTAINER_PATH);

	if (!f)
		return -ENOMEM;
	container_file(f)->container = c;
	return file_open(call, f, cloexec);
}

int64_t container_file_open(struct call *call, bool cloexec)
{
	struct container *c;
	int r = container_new(call->pid, &c);

	if (r < 0)
		return r;
	r = container_file_make(call, c, cloexec);
	if (r < 0)
		container_put(c);
	return r;
}

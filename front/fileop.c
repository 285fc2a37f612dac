/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls on an open file, by what its kind can do: front/fileop.h. */
#include <errno.h>

#include "front/file.h"
#include "front/fileop.h"
#include "lib/refuse.h"

int64_t fileop_ioctl(struct call *call)
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

int64_t fileop_read(struct call *call)
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

int64_t fileop_write(struct call *call)
{
	const struct file_ops *ops = call->file->ops;

	call->name = "write";
	if (!ops->write)
		return refuse(EINVAL, "%s cannot be written", call->file->what);

	int64_t r = ops->write(call, file_pos(call));

	file_advance(call, r);
	return r;
}

int64_t fileop_mmap(struct call *call)
{
	call->name = "mmap";
	if (!call->file->ops->mmap)
		return refuse(ENODEV, "%s cannot be mapped", call->file->what);
	return call->file->ops->mmap(call);
}

int64_t fileop_stat(struct call *call)
{
	struct sv_stat st = {0};

	call->name = "fstat";
	call->file->ops->stat(call->file, &st);
	return call_out(call, &st, sizeof(st));
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Ioctls' numbers and structures: front/ioctl.h. */
#include <errno.h>
#include <string.h>

#include "front/file.h"
#include "front/ioctl.h"
#include "lib/refuse.h"

const struct ioctl_row *ioctl_find(const struct call *call,
				   const struct ioctl_row *rows, size_t n)
{
	unsigned int cmd = ioctl_cmd(call);

	for (size_t i = 0; i < n; i++)
		if (rows[i].cmd == cmd)
			return &rows[i];
	return NULL;
}

int64_t ioctl_run(struct call *call, const struct ioctl_row *row)
{
	call->name = row ? row->name : "ioctl";
	return row ? row->fn(call)
		   : refuse(ENOTTY, "%s has no ioctl %#x", call->file->what,
			    ioctl_cmd(call));
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

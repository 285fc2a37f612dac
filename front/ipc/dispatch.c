/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of operations: front/ipc/dispatch.h. */
#include <errno.h>

#include "front/control/control.h"
#include "front/fileop.h"
#include "front/ipc/dispatch.h"
#include "front/ipc/server_impl.h"
#include "front/node.h"
#include "front/vfio/touch.h"
#include "lib/refuse.h"

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
	[SV_OPEN] = {node_open, true},
	[SV_STAT] = {node_stat, true},
	[SV_FAULT] = {touch_fault, true},
	[SV_ACCESS] = {touch_access, true},
	[SV_CONTROL] = {control, true},
	[SV_KNOWN] = {op_known, true},
	[SV_SIDE_DOOR] = {op_side_door, true},
	[SV_FSTAT] = {fileop_stat, false},
	[SV_IOCTL] = {fileop_ioctl, false},
	[SV_READ] = {fileop_read, false},
	[SV_WRITE] = {fileop_write, false},
	[SV_MMAP] = {fileop_mmap, false},
	[SV_CHANNEL] = {op_channel, false},
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

/* SPDX-License-Identifier: BSD-3-Clause */
/* Touches of a mapped BAR that the program's CPU did not make by itself. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "core/machine/machine.h"
#include "front/call.h"
#include "front/vfio/touch.h"
#include "lib/refuse.h"

/* Which BAR it is about, and may its function be asked? */
static int enter_bar(struct call *call, struct sv_dev **ret_dev,
		     unsigned int *ret_bar)
{
	struct sv_bar_id id;
	size_t len, want;
	const uint8_t *data = call_data(call, &len, &want);

	if (len != sizeof(id))
		return refuse(EINVAL, "%zu bytes name no BAR", len);
	memcpy(&id, data, sizeof(id));
	*ret_dev = machine_bar(call->conf->machine, id.dev, id.ino, ret_bar);
	if (!*ret_dev)
		return refuse(ENODEV,
			      "file %#" PRIx64 ":%" PRIu64 " is no BAR's here",
			      id.dev, id.ino);
	return call_enter(call, *ret_dev);
}

int64_t touch_fault(struct call *call)
{
	struct sv_dev *dev = NULL;
	unsigned int bar;

	call->name = "fault";
	int r = enter_bar(call, &dev, &bar);

	return r < 0 ? r : device_fault(dev, bar, call->arg[0]);
}

int64_t touch_access(struct call *call)
{
	const uint64_t *arg = call->arg;
	uint64_t val = arg[3];
	struct sv_dev *dev = NULL;
	unsigned int bar;

	call->name = "load or store";
	int r = enter_bar(call, &dev, &bar);

	if (r == 0)
		r = device_access(dev, bar, arg[0], (unsigned int)arg[1],
				  arg[2], &val);
	if (r < 0)
		return r;
	/* a 64-bit value could look like an errno, so it travels as data */
	return arg[2] ? 0 : call_out(call, &val, sizeof(val));
}

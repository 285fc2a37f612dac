/* SPDX-License-Identifier: BSD-3-Clause */
/* Touches of a mapped BAR that the program's CPU did not make by itself. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/machine/machine.h"
#include "front/call.h"
#include "front/vfio/touch.h"
#include "lib/refuse.h"

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

int64_t touch_fault(struct call *call)
{
	struct sv_dev *dev = NULL;
	unsigned int bar;

	call->name = "fault";
	int r = bar_by_name(call, &dev, &bar);

	if (r == 0)
		r = call_enter(call, dev);
	return r < 0 ? r : device_fault(dev, bar, call->arg[0]);
}

int64_t touch_access(struct call *call)
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

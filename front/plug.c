/* SPDX-License-Identifier: BSD-3-Clause */
/* The core decides, the tree shows it: front/plug.h. */
#include "core/machine/unplug.h"
#include "front/alive.h"
#include "front/plug.h"
#include "front/sysfs/show.h"

/* What the tree says follows from what the core says, so order is no matter. */
static int shown(struct call *call, struct machine_dev *md, int result)
{
	int r = show_update(call->conf->tree, md->dev);

	return result < 0 ? result : r < 0 ? r : result;
}

int plug_unbind(struct call *call, struct machine_dev *md)
{
	alive_settle_group(call->server, md->group);
	return shown(call, md, unplug_unbind(call->conf->machine, md));
}

int plug_remove(struct call *call, struct machine_dev *md)
{
	alive_settle_group(call->server, md->group);
	return shown(call, md, unplug_remove(call->conf->machine, md));
}

int plug_bind(struct call *call, struct machine_dev *md)
{
	alive_settle_group(call->server, md->group);
	return shown(call, md, group_bind(md->group, md->dev));
}

int plug_back(struct call *call, struct machine_dev *md)
{
	alive_settle_group(call->server, md->group);
	return shown(call, md, unplug_plug(call->conf->machine, md));
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* The core decides, the tree shows it: front/plug.h. */
#include "core/machine/unplug.h"
#include "front/plug.h"
#include "front/sysfs/show.h"

/* What the tree says follows from what the core says, so order is no matter. */
static int shown(struct server *s, struct machine_dev *md, int result)
{
	int r = show_update(server_conf(s)->tree, md->dev);

	return result < 0 ? result : r < 0 ? r : result;
}

int plug_unbind(struct server *s, struct machine_dev *md)
{
	server_settle_group(s, md->group);
	return shown(s, md, unplug_unbind(server_conf(s)->machine, md));
}

int plug_remove(struct server *s, struct machine_dev *md)
{
	server_settle_group(s, md->group);
	return shown(s, md, unplug_remove(server_conf(s)->machine, md));
}

int plug_bind(struct server *s, struct machine_dev *md)
{
	server_settle_group(s, md->group);
	return shown(s, md, group_bind(md->group, md->dev));
}

int plug_back(struct server *s, struct machine_dev *md)
{
	server_settle_group(s, md->group);
	return shown(s, md, unplug_plug(server_conf(s)->machine, md));
}

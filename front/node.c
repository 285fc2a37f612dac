/* SPDX-License-Identifier: BSD-3-Clause */
/* From a path to whose node it is: front/node.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "front/node.h"
#include "front/sysfs/sysfs.h"
#include "front/sysfs/tree.h"
#include "front/vfio/vfio.h"
#include "lib/refuse.h"

static int open_path(struct call *call, char canonical[PATH_MAX])
{
	char path[PATH_MAX];
	int r = call_path(call, path, sizeof(path));

	if (r < 0)
		return r;
	r = tree_resolve(call->conf->tree, path, canonical);
	return r < 0 ? refuse(-r, "%s: not there", path) : 0;
}

static bool is_group_path(const char *path, unsigned int *ret_id)
{
	int end = 0;

	return sscanf(path, "/dev/vfio/%u%n", ret_id, &end) == 1 && !path[end];
}

int64_t node_open(struct call *call)
{
	char path[PATH_MAX];
	unsigned int id;

	call->name = "open";
	int r = open_path(call, path);

	if (r < 0)
		return r;

	bool cloexec = call->arg[0] & O_CLOEXEC;

	if (!strcmp(path, CONTAINER_PATH))
		return container_file_open(call, cloexec);
	if (is_group_path(path, &id))
		return group_file_open(call, id, cloexec);
	return sysfs_file_open(call, path, cloexec);
}

static int stat_of(const struct call *call, const char *path,
		   struct sv_stat *st)
{
	unsigned int id;

	if (!strcmp(path, CONTAINER_PATH))
		container_node_stat(st);
	else if (is_group_path(path, &id))
		group_node_stat(id, st);
	else
		return sysfs_node_stat(call, path, st);
	return 0;
}

int64_t node_stat(struct call *call)
{
	struct sv_stat st = {0};
	char path[PATH_MAX];

	call->name = "stat";
	int r = open_path(call, path);

	if (r == 0)
		r = stat_of(call, path, &st);
	return r < 0 ? r : call_out(call, &st, sizeof(st));
}

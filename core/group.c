/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups: core/group.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/group.h"
#include "lib/refuse.h"

int group_new(unsigned int id, struct group **ret_group)
{
	struct group *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->id = id;
	mutex_init(&g->lock, RANK_GROUP, "group");
	*ret_group = g;
	return 0;
}

struct group *group_free(struct group *g)
{
	if (!g)
		return NULL;
	mutex_done(&g->lock);
	free(g);
	return NULL;
}

int group_add(struct group *g, struct sv_dev *dev)
{
	if (g->n_members == GROUP_DEVICES_MAX)
		return -ENOSPC;
	g->member[g->n_members++] = (struct group_member){dev, true};
	return 0;
}

static size_t group_bound_locked(const struct group *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n_members; i++)
		n += g->member[i].bound;
	return n;
}

int group_open(struct group *g)
{
	int r = 0;

	mutex_lock(&g->lock);
	if (!group_bound_locked(g))
		r = refuse(ENODEV,
			   "group %u: no device of it is bound to "
			   "vfio-pci",
			   g->id);
	else if (g->file_open || g->users)
		r = refuse(EBUSY,
			   "group %u: already open (%u device files or "
			   "mappings of it live)",
			   g->id, g->users);
	else
		g->file_open = true;
	mutex_unlock(&g->lock);
	return r;
}

/* The file is gone for good: leave the container. */
static void group_leave_locked(struct group *g) REQUIRES(&g->lock)
{
	if (g->file_open || g->users || !g->container)
		return;
	container_detach(g->container);
	g->container = container_put(g->container);
}

void group_close(struct group *g)
{
	mutex_lock(&g->lock);
	g->file_open = false;
	group_leave_locked(g);
	mutex_unlock(&g->lock);
}

void group_get_status(struct group *g, struct group_status *ret_status)
{
	mutex_lock(&g->lock);
	ret_status->container_set = g->container;
	mutex_unlock(&g->lock);
}

int group_set_container(struct group *g, struct container *c)
{
	int r = 0;

	mutex_lock(&g->lock);
	if (g->container) {
		r = refuse(EINVAL, "group %u: has a container already", g->id);
	} else {
		g->container = container_get(c);
		container_attach(c);
	}
	mutex_unlock(&g->lock);
	return r;
}

int group_unset_container(struct group *g)
{
	int r = 0;

	mutex_lock(&g->lock);
	if (!g->container) {
		r = refuse(EINVAL, "group %u: no container is set", g->id);
	} else if (g->users) {
		r = refuse(EBUSY, "group %u: %u device files are open", g->id,
			   g->users);
	} else {
		container_detach(g->container);
		g->container = container_put(g->container);
	}
	mutex_unlock(&g->lock);
	return r;
}

#define TOKEN_OPTION "vf_token="
#define UUID_LEN     36

static bool uuid_valid(const char *text, size_t len)
{
	if (len != UUID_LEN)
		return false;
	for (size_t i = 0; i < UUID_LEN; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-'
			 : !strchr("0123456789abcdefABCDEF", text[i]))
			return false;
	}
	return true;
}

/*
 * What may follow the address: spaces and one vf_token=UUID. Our functions are
 * neither PF nor VF, so a well-formed token is one too many.
 */
static int device_options_check(const char *options)
{
	const char *p = options;

	while (*p) {
		if (*p == ' ') {
			p++;
			continue;
		}
		size_t len = strcspn(p, " ");
		size_t key = strlen(TOKEN_OPTION);

		if (strncmp(p, TOKEN_OPTION, key) || len < key)
			return refuse(EINVAL,
				      "GET_DEVICE_FD: unknown option "
				      "\"%.*s\"",
				      (int)len, p);
		if (!uuid_valid(p + key, len - key))
			return refuse(EINVAL,
				      "GET_DEVICE_FD: \"%.*s\" is not "
				      "a UUID",
				      (int)(len - key), p + key);
		return refuse(EINVAL, "GET_DEVICE_FD: vf_token for a device "
				      "that is no VF or PF");
	}
	return 0;
}

static struct sv_dev *group_find_locked(struct group *g, const char *name)
{
	for (size_t i = 0; i < g->n_members; i++) {
		struct sv_dev *dev = g->member[i].dev;
		size_t len = strlen(dev->name);

		if (g->member[i].bound && !strncmp(name, dev->name, len) &&
		    (name[len] == '\0' || name[len] == ' '))
			return dev;
	}
	return NULL;
}

static int group_get_device_locked(struct group *g, const char *name,
				   struct sv_dev **ret_dev) REQUIRES(&g->lock)
{
	enum iommu_type type;
	struct sv_dev *dev = group_find_locked(g, name);

	if (!dev)
		return refuse(ENODEV,
			      "GET_DEVICE_FD: group %u has no device "
			      "\"%s\"",
			      g->id, name);

	int r = device_options_check(name + strlen(dev->name));

	if (r < 0)
		return r;
	if (!g->container)
		return refuse(EINVAL,
			      "GET_DEVICE_FD: group %u has no "
			      "container; SET_CONTAINER comes first",
			      g->id);

	struct ioas *ioas = container_ioas(g->container, &type);

	if (!ioas)
		return refuse(EINVAL,
			      "GET_DEVICE_FD: the container of group "
			      "%u has no IOMMU; SET_IOMMU comes first",
			      g->id);
	r = device_open(dev, ioas);
	ioas_put(ioas);
	if (r < 0)
		return r;
	g->users++;
	*ret_dev = dev;
	return 0;
}

int group_get_device(struct group *g, const char *name, struct sv_dev **ret_dev)
{
	mutex_lock(&g->lock);
	int r = group_get_device_locked(g, name, ret_dev);

	mutex_unlock(&g->lock);
	return r;
}

void group_put_device(struct group *g, struct sv_dev *dev)
{
	device_close(dev);
	mutex_lock(&g->lock);
	g->users--;
	group_leave_locked(g);
	mutex_unlock(&g->lock);
}

static int group_bind_locked(struct group *g, struct group_member *m, bool bind)
	REQUIRES(&g->lock)
{
	if (m->bound == bind)
		return bind ? refuse(EBUSY, "%s is bound already", m->dev->name)
			    : refuse(ENODEV, "%s is not bound", m->dev->name);
	if (g->file_open || g->users)
		return refuse(EBUSY, "group %u is in use", g->id);
	m->bound = bind;
	return 0;
}

int group_bind(struct group *g, const struct sv_dev *dev, bool bind)
{
	int r = -ENODEV;

	mutex_lock(&g->lock);
	for (size_t i = 0; i < g->n_members; i++)
		if (g->member[i].dev == dev)
			r = group_bind_locked(g, &g->member[i], bind);
	mutex_unlock(&g->lock);
	return r;
}

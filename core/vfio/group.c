/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups: core/vfio/group.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/pci/device_impl.h"
#include "core/vfio/group.h"
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
	g->member[g->n_members++] = dev;
	return 0;
}

/* Those with vfio-pci, and those it still has. */
static size_t group_bound_locked(const struct group *g) REQUIRES(&g->lock)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n_members; i++)
		n += atomic_load(&g->member[i]->presence) <= DEVICE_LEAVING;
	return n;
}

/* Its file may be open all the same. */
static int check_has_members(const struct group *g) REQUIRES(&g->lock)
{
	return group_bound_locked(g)
		       ? 0
		       : refuse(ENODEV, "group %u: its devices have gone",
				g->id);
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

int group_get_status(struct group *g, struct group_status *ret_status)
{
	mutex_lock(&g->lock);
	int r = check_has_members(g);

	ret_status->container_set = g->container;
	mutex_unlock(&g->lock);
	return r;
}

int group_set_container(struct group *g, struct container *c)
{
	int r = 0;

	mutex_lock(&g->lock);
	if (g->container)
		r = refuse(EINVAL, "SET_CONTAINER: the group has a container");
	else
		r = check_has_members(g);
	if (r == 0 && !c)
		r = -EBADFD;
	if (r == 0) {
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
		struct sv_dev *dev = g->member[i];
		size_t len = strlen(dev->name);

		if (atomic_load(&dev->presence) == DEVICE_BOUND &&
		    !strncmp(name, dev->name, len) &&
		    (name[len] == '\0' || name[len] == ' '))
			return dev;
	}
	return NULL;
}

/* One that is attached elsewhere is open elsewhere: it stays so. */
static int device_open_on(struct sv_dev *dev, struct domain *d)
{
	int r = device_open(dev);

	if (r < 0)
		return r;
	r = device_attach(dev, d);
	if (r < 0)
		device_close(dev);
	return r;
}

static int group_get_device_locked(struct group *g, const char *name,
				   struct sv_dev **ret_dev) REQUIRES(&g->lock)
{
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

	struct type1 *type1 = container_type1(g->container);

	if (!type1)
		return refuse(EINVAL,
			      "GET_DEVICE_FD: the container of group "
			      "%u has no IOMMU; SET_IOMMU comes first",
			      g->id);
	r = device_open_on(dev, type1_domain(type1));
	type1_put(type1);
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

/* Set under both locks, so whoever has one of them sees it stay. */
static void set_presence(struct sv_dev *dev, enum device_presence presence)
	REQUIRES(&dev->set->lock)
{
	atomic_store(&dev->presence, presence);
	if (presence >= DEVICE_UNBOUND)
		atomic_store(&dev->revoked, false);
}

static bool go_if_unused(struct sv_dev *dev)
{
	mutex_lock(&dev->set->lock);
	bool goes = atomic_load(&dev->presence) == DEVICE_LEAVING &&
		    dev->open_count == 0;

	if (goes)
		set_presence(dev, dev->remove ? DEVICE_ABSENT : DEVICE_UNBOUND);
	mutex_unlock(&dev->set->lock);
	return goes;
}

/* The last member gone: the file that may be open is of no group any more. */
static bool group_let_go_locked(struct group *g, struct sv_dev *dev)
	REQUIRES(&g->lock)
{
	bool gone = go_if_unused(dev);

	if (gone && g->container && !group_bound_locked(g)) {
		container_detach(g->container);
		g->container = container_put(g->container);
	}
	return gone;
}

int group_put_device(struct group *g, struct sv_dev *dev)
{
	int r = device_close(dev);

	if (r < 0)
		return r;
	mutex_lock(&g->lock);
	g->users--;
	bool left = group_let_go_locked(g, dev);

	group_leave_locked(g);
	mutex_unlock(&g->lock);
	if (left && dev->left)
		dev->left(dev->left_arg, dev);
	return 0;
}

int group_bind(struct group *g, struct sv_dev *dev)
{
	int r = 0;

	mutex_lock(&g->lock);
	mutex_lock(&dev->set->lock);
	enum device_presence presence = atomic_load(&dev->presence);

	if (presence == DEVICE_ABSENT)
		r = refuse(ENODEV, "%s is not there", dev->name);
	else if (presence != DEVICE_UNBOUND)
		r = refuse(EBUSY, "%s is bound already", dev->name);
	else
		set_presence(dev, DEVICE_BOUND);
	mutex_unlock(&dev->set->lock);
	mutex_unlock(&g->lock);
	return r;
}

/* Who is revoked is decided, and its DMA ended, with the rest: an open function
 * that comes back meanwhile is another one. */
static int start_to_leave(struct sv_dev *dev, bool remove)
{
	int r = 0;

	mutex_lock(&dev->set->lock);
	enum device_presence presence = atomic_load(&dev->presence);

	if (presence == DEVICE_ABSENT ||
	    (presence == DEVICE_LEAVING && dev->remove))
		r = refuse(ENODEV, "%s is not there any more", dev->name);
	else if (presence != DEVICE_BOUND && !remove)
		r = refuse(ENODEV, "%s is not bound", dev->name);
	if (r == 0) {
		dev->remove = remove;
		set_presence(dev, DEVICE_LEAVING);
		if (remove && dev->open_count) {
			atomic_store(&dev->revoked, true);
			device_take_away(dev);
		}
	}
	mutex_unlock(&dev->set->lock);
	return r;
}

int group_unbind(struct group *g, struct sv_dev *dev, bool remove)
{
	mutex_lock(&g->lock);
	int r = start_to_leave(dev, remove);

	if (r == 0)
		r = group_let_go_locked(g, dev);
	mutex_unlock(&g->lock);
	return r;
}

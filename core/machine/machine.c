/* SPDX-License-Identifier: BSD-3-Clause */
/* The set of functions and groups: core/machine/machine.h. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/machine/machine.h"

int machine_new(struct machine **ret_machine)
{
	struct machine *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->space = (struct bus_space)BUS_SPACE_INIT;
	m->unplug.timer = -1;
	m->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	int r = m->inotify < 0 ? -errno : watcher_new(&m->watcher);

	if (r == 0)
		r = unplug_init(m);
	if (r == 0 && getrandom(&m->instance, sizeof(m->instance), 0) < 0)
		r = -errno;
	if (r < 0) {
		machine_free(m);
		return r;
	}
	*ret_machine = m;
	return 0;
}

struct machine *machine_free(struct machine *m)
{
	if (!m)
		return NULL;
	m->watcher = watcher_free(m->watcher);
	unplug_done(m);
	for (size_t i = 0; i < m->n_devs; i++) {
		device_free(m->dev[i].dev);
		mutex_done(&m->dev[i].lock);
	}
	for (size_t i = 0; i < m->n_groups; i++)
		group_free(m->group[i]);
	for (size_t i = 0; i < m->n_sets; i++) {
		mutex_done(&m->set[i]->lock);
		free(m->set[i]);
	}
	if (m->inotify >= 0)
		close(m->inotify);
	free(m);
	return NULL;
}

struct group *machine_group(const struct machine *m, unsigned int id)
{
	for (size_t i = 0; i < m->n_groups; i++)
		if (m->group[i]->id == id)
			return m->group[i];
	return NULL;
}

struct machine_dev *machine_device(struct machine *m, const char *name)
{
	for (size_t i = 0; i < m->n_devs; i++)
		if (!strcmp(m->dev[i].dev->name, name))
			return &m->dev[i];
	return NULL;
}

static_assert(MACHINE_BAR_SLOTS > 2 * MACHINE_DEVICES_MAX * SV_NUM_BARS,
	      "an empty slot ends each search");

/* The host counts inodes up: neighbours are not to be neighbours here. */
static size_t bar_slot(uint64_t st_ino)
{
	return (st_ino * UINT64_C(0x9e3779b97f4a7c15) >> 32) %
	       MACHINE_BAR_SLOTS;
}

static void list_bar(struct machine *m, size_t at, unsigned int b)
{
	size_t slot = bar_slot(m->dev[at].dev->bar[b].st_ino);

	while (m->bar_slot[slot])
		slot = (slot + 1) % MACHINE_BAR_SLOTS;
	m->bar_slot[slot] = (uint16_t)(1 + at * SV_NUM_BARS + b);
}

void machine_list_bars(struct machine *m, size_t at)
{
	for (unsigned int b = 0; b < SV_NUM_BARS; b++)
		if (bar_mappable(&m->dev[at].dev->bar[b]))
			list_bar(m, at, b);
}

struct sv_dev *machine_bar(const struct machine *m, uint64_t st_dev,
			   uint64_t st_ino, unsigned int *ret_bar)
{
	for (size_t slot = bar_slot(st_ino); m->bar_slot[slot];
	     slot = (slot + 1) % MACHINE_BAR_SLOTS) {
		unsigned int n = m->bar_slot[slot] - 1u;
		struct sv_dev *dev = m->dev[n / SV_NUM_BARS].dev;
		const struct bar *bar = &dev->bar[n % SV_NUM_BARS];

		if (bar->st_ino != st_ino || bar->st_dev != st_dev)
			continue;
		*ret_bar = n % SV_NUM_BARS;
		return dev;
	}
	return NULL;
}

static int machine_get_group(struct machine *m, unsigned int id,
			     struct group **ret_group)
{
	*ret_group = machine_group(m, id);
	if (*ret_group)
		return 0;

	int r = group_new(id, ret_group);

	if (r == 0)
		m->group[m->n_groups++] = *ret_group;
	return r;
}

/* "0000:01:00" of "0000:01:00.0" */
static bool same_slot(const char *a, const char *b)
{
	const char *dot = strrchr(a, '.');

	return dot && !strncmp(a, b, (size_t)(dot - a) + 1);
}

static bool same_bus(const char *a, const char *b)
{
	return !strncmp(a, b, strlen("0000:00"));
}

/* Does a reset that reaches one reach the other? */
static bool reset_together(const struct sv_dev *a, const struct sv_dev *b)
{
	if (!same_bus(a->name, b->name) || device_on_root_bus(a))
		return false;
	return same_slot(a->name, b->name) ||
	       (a->shape.no_pcie && b->shape.no_pcie);
}

/* In the order of addresses, which are of one length. */
static void set_insert(struct dev_set *set, struct sv_dev *dev)
{
	size_t at = set->n++;

	while (at > 0 && strcmp(set->dev[at - 1]->name, dev->name) > 0) {
		set->dev[at] = set->dev[at - 1];
		at--;
	}
	set->dev[at] = dev;
	dev->set = set;
}

/* A function with friends in two sets makes them one. */
static void machine_join_sets(struct machine *m, struct sv_dev *dev)
{
	for (size_t i = 0; i < m->n_devs; i++) {
		struct dev_set *other = m->dev[i].dev->set;

		if (other == dev->set || !reset_together(m->dev[i].dev, dev))
			continue;
		for (size_t k = 0; k < other->n; k++)
			set_insert(dev->set, other->dev[k]);
		other->n = 0;
	}
}

static int machine_new_set(struct machine *m, struct dev_set **ret_set)
{
	struct dev_set *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	mutex_init(&set->lock, RANK_DEV_SET, "dev_set");
	m->set[m->n_sets++] = set;
	*ret_set = set;
	return 0;
}

int machine_add(struct machine *m, struct device_host *host, unsigned int id,
		char err[256])
{
	struct group *group;
	struct sv_dev *dev;

	if (m->n_devs == MACHINE_DEVICES_MAX)
		return -ENOSPC;
	host->space = &m->space;
	host->watcher = m->watcher;
	host->instance = m->instance;
	host->inotify = m->inotify;
	host->group_id = id;

	int r = machine_new_set(m, &host->set);

	if (r == 0)
		r = machine_get_group(m, id, &group);
	if (r == 0)
		r = device_new(host, err, &dev);
	if (r < 0)
		return r;
	r = group_add(group, dev);
	if (r < 0) {
		device_free(dev);
		return r;
	}
	set_insert(host->set, dev);
	machine_join_sets(m, dev);

	struct machine_dev *md = &m->dev[m->n_devs++];

	md->dev = dev;
	md->group = group;
	mutex_init(&md->lock, RANK_LEAF, "driver_override");
	machine_list_bars(m, m->n_devs - 1);
	return 0;
}

void machine_override_get(struct machine_dev *md, char *text, size_t size)
{
	mutex_lock(&md->lock);
	snprintf(text, size, "%s",
		 md->driver_override[0] ? md->driver_override : "(null)");
	mutex_unlock(&md->lock);
}

void machine_override_set(struct machine_dev *md, const char *text)
{
	mutex_lock(&md->lock);
	snprintf(md->driver_override, sizeof(md->driver_override), "%s", text);
	mutex_unlock(&md->lock);
}

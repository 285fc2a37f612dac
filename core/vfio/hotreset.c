/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * Every function of the set is taken in three steps, each through the whole set
 * before the next: that no other reset is going on (resetting), that its model
 * stands still (model), that nobody is at its memory (memory_lock). The first
 * and last are tried for only; models are waited for, since a busy sibling is
 * no reason to fail, but not for ever. So no two hot resets, resets or devices
 * that do DMA to each other can wait for one another in a ring.
 *
 * All of it is done by the thread of the function that was asked, so that who
 * asked can leave when a model does not return.
 *
 * If one cannot be had all is undone: functions visited so far had their memory
 * closed, and have it opened again. Otherwise all are reset, and let go in the
 * opposite order.
 */
#include <errno.h>
#include <stdio.h>

#include "core/pci/device_impl.h"
#include "core/vfio/hotreset.h"
#include "lib/refuse.h"

/* A model returns from DMA at once when told to; what is left is its own. */
#define MODEL_TIMEOUT_NS 1000000000ull

int hotreset_possible(const struct sv_dev *dev)
{
	if (!device_on_root_bus(dev))
		return 0;
	return refuse(ENODEV,
		      "hot reset: %s is on the root bus, which cannot be reset",
		      dev->name);
}

static bool is_there(const struct sv_dev *dev)
{
	return atomic_load(&dev->presence) != DEVICE_ABSENT;
}

size_t hotreset_info(struct sv_dev *dev, struct hotreset_entry *entries)
{
	struct dev_set *set = dev->set;
	unsigned int segment, bus, slot, fn;
	size_t n = 0;

	mutex_lock(&set->lock);
	for (size_t i = 0; i < set->n; i++) {
		if (!is_there(set->dev[i]) ||
		    sscanf(set->dev[i]->name, "%4x:%2x:%2x.%1x", &segment, &bus,
			   &slot, &fn) != 4)
			continue;
		entries[n++] = (struct hotreset_entry){
			.group = set->dev[i]->group_id,
			.segment = (uint16_t)segment,
			.bus = (uint8_t)bus,
			.devfn = (uint8_t)(slot << 3 | fn),
		};
	}
	mutex_unlock(&set->lock);
	return n;
}

static bool in_groups(const struct sv_dev *dev, struct group *const *groups,
		      size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (groups[i]->id == dev->group_id)
			return true;
	return false;
}

static bool is_bound(const struct sv_dev *dev)
{
	enum device_presence p = atomic_load(&dev->presence);

	return p == DEVICE_BOUND || p == DEVICE_LEAVING;
}

static int check_owned(const struct dev_set *set, struct group *const *groups,
		       size_t n) REQUIRES(&set->lock)
{
	for (size_t i = 0; i < set->n; i++)
		if (is_there(set->dev[i]) && !is_bound(set->dev[i]))
			return refuse(EINVAL,
				      "hot reset: %s is not bound to vfio-pci",
				      set->dev[i]->name);
	for (size_t i = 0; i < set->n; i++)
		if (is_there(set->dev[i]) && !in_groups(set->dev[i], groups, n))
			return refuse(EINVAL,
				      "hot reset: %s would be reset too; pass "
				      "group %u as well",
				      set->dev[i]->name, set->dev[i]->group_id);
	return 0;
}

/* Each step takes the functions in order and returns how many it got. */

static size_t NO_TSA begin_resets(struct dev_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (!mutex_trylock(&set->dev[i]->resetting))
			return i;
	return set->n;
}

static void NO_TSA end_resets(struct dev_set *set, size_t n)
{
	while (n-- > 0)
		mutex_unlock(&set->dev[n]->resetting);
}

static size_t NO_TSA stop_models(struct dev_set *set)
{
	uint64_t deadline = clock_ns() + MODEL_TIMEOUT_NS;
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++)
		device_cancel_dma(set->dev[i]);
	while (n < set->n && mutex_lock_until(&set->dev[n]->model, deadline))
		n++;
	for (size_t i = 0; i < set->n; i++)
		device_allow_dma(set->dev[i]);
	return n;
}

static void NO_TSA start_models(struct dev_set *set, size_t n)
{
	while (n-- > 0)
		mutex_unlock(&set->dev[n]->model);
}

static size_t NO_TSA close_memory(struct dev_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		if (!rwlock_trywrite(&set->dev[i]->memory_lock))
			return i;
		device_gate_close(set->dev[i]);
	}
	return set->n;
}

static void NO_TSA open_memory(struct dev_set *set, size_t n)
{
	while (n-- > 0) {
		device_gate_update(set->dev[n]);
		rwlock_unwrite(&set->dev[n]->memory_lock);
	}
}

static int busy(const struct dev_set *set, size_t n, const char *why)
{
	return refuse(EBUSY, "hot reset: %s %s; try again", set->dev[n]->name,
		      why);
}

static int NO_TSA reset_closed(struct dev_set *set)
{
	size_t n = close_memory(set);
	int r = n < set->n ? busy(set, n, "is being accessed") : 0;

	for (size_t i = 0; i < set->n && r == 0; i++) {
		atomic_store(&set->at, set->dev[i]);
		config_reset(set->dev[i]->config);
		device_power_on(set->dev[i], SV_RESET_FUNCTION);
	}
	atomic_store(&set->at, NULL);
	open_memory(set, n);
	return r;
}

static int reset_stopped(struct dev_set *set)
{
	size_t n = stop_models(set);
	int r = n < set->n ? busy(set, n, "does not stand still")
			   : reset_closed(set);

	start_models(set, n);
	return r;
}

static int reset_all(void *opaque)
{
	struct dev_set *set = ((struct sv_dev *)opaque)->set;
	size_t n = begin_resets(set);
	int r = n < set->n ? busy(set, n, "is being reset")
			   : reset_stopped(set);

	end_resets(set, n);
	return r;
}

int hotreset(struct sv_dev *dev, struct group *const *groups, size_t n)
{
	struct dev_set *set = dev->set;

	mutex_lock(&set->lock);
	int r = check_owned(set, groups, n);

	if (r == 0) {
		device_cancel_dma(dev);
		r = devthread_do(dev->thread, reset_all);
		device_allow_dma(dev);
	}
	mutex_unlock(&set->lock);
	if (r == -ETIMEDOUT)
		r = refuse(ENOTTY,
			   "hot reset: %s, or one that is reset with "
			   "it, does not return",
			   dev->name);
	for (size_t i = 0; i < set->n && r == 0; i++)
		devthread_kick(set->dev[i]->thread);
	return r;
}

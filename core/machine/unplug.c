/* SPDX-License-Identifier: BSD-3-Clause */
/* Going and coming back: core/machine/unplug.h. */
#include <errno.h>
#include <unistd.h>

#include "core/pci/device_impl.h"
#include "core/machine/machine.h"
#include "core/machine/unplug.h"
#include "lib/refuse.h"
#include "lib/ticker.h"

static bool is_leaving(const struct machine_dev *md)
{
	return atomic_load(&md->dev->presence) == DEVICE_LEAVING;
}

/* Repeating, or not. The lock orders the last look with who arms it. */
static void set_timer(struct unplug *u, bool on) REQUIRES(&u->lock)
{
	ticker_set(u->timer, on ? u->period_ns : 0);
}

static void unplug_tick(void *opaque)
{
	struct machine *m = opaque;
	bool any = false;
	uint64_t ticks;

	if (read(m->unplug.timer, &ticks, sizeof(ticks)) < 0)
		return;
	mutex_lock(&m->unplug.lock);
	for (size_t i = 0; i < m->n_devs; i++)
		if (is_leaving(&m->dev[i]))
			any = true;
	if (!any)
		set_timer(&m->unplug, false);
	mutex_unlock(&m->unplug.lock);
	for (size_t i = 0; i < m->n_devs; i++)
		if (is_leaving(&m->dev[i]))
			irq_request_release(m->dev[i].dev->irq);
}

int unplug_init(struct machine *m)
{
	struct unplug *u = &m->unplug;

	mutex_init(&u->lock, RANK_LEAF, "unplug");
	u->period_ns = UNPLUG_PERIOD_NS;
	u->timer = ticker_new();
	if (u->timer < 0)
		return u->timer;
	u->watch = (struct watch){unplug_tick, m};
	return watcher_add(m->watcher, u->timer, &u->watch);
}

void unplug_done(struct machine *m)
{
	ticker_free(m->unplug.timer);
	mutex_done(&m->unplug.lock);
}

static void ask_to_release(struct machine *m, struct machine_dev *md)
{
	irq_request_release(md->dev->irq);
	mutex_lock(&m->unplug.lock);
	set_timer(&m->unplug, true);
	mutex_unlock(&m->unplug.lock);
}

/* One that is stuck is taken away all the same. */
void NO_TSA device_take_away(struct sv_dev *dev)
{
	device_cancel_dma(dev);
	bool stands = model_lock(dev);

	device_allow_dma(dev);
	if (memory_write(dev)) {
		device_gate_update(dev);
		rwlock_unwrite(&dev->memory_lock);
	} else {
		device_gate_late(dev);
	}
	if (stands)
		mutex_unlock(&dev->model);
}

int unplug_unbind(struct machine *m, struct machine_dev *md)
{
	int r = group_unbind(md->group, md->dev, false);

	if (r == 0)
		ask_to_release(m, md);
	return r;
}

int unplug_remove(struct machine *m, struct machine_dev *md)
{
	int r = group_unbind(md->group, md->dev, true);

	if (r == 0)
		ask_to_release(m, md);
	return r;
}

int unplug_plug(struct machine *m, struct machine_dev *md)
{
	struct sv_dev *dev = md->dev;
	int r = 0;

	mutex_lock(&dev->set->lock);
	if (atomic_load(&dev->presence) == DEVICE_ABSENT)
		atomic_store(&dev->presence, DEVICE_UNBOUND);
	else if (is_leaving(md) && dev->remove)
		r = refuse(EBUSY,
			   "%s: files of the one that was unplugged are "
			   "still open",
			   dev->name);
	else
		r = refuse(EEXIST, "%s is there", dev->name);
	mutex_unlock(&dev->set->lock);
	return r < 0 ? r : group_bind(md->group, dev);
}

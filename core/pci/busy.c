/* SPDX-License-Identifier: BSD-3-Clause */
/* Callbacks that do not return: core/pci/busy.h. */
#include <stdio.h>

#include "core/pci/device.h"

/* The model's lock is held: one thread at a time writes here. */

void callback_begin(struct sv_dev *dev, const char *name)
{
	struct callback *c = &dev->callback;
	uint64_t serial =
		atomic_load_explicit(&c->serial, memory_order_relaxed);

	atomic_store_explicit(&c->name, name, memory_order_relaxed);
	atomic_store_explicit(&c->thread, pthread_self(), memory_order_relaxed);
	atomic_store_explicit(&c->serial, serial + 1, memory_order_release);
}

void callback_end(struct sv_dev *dev)
{
	struct callback *c = &dev->callback;
	uint64_t serial =
		atomic_load_explicit(&c->serial, memory_order_relaxed);

	atomic_store(&c->serial, serial + 1);
	if (atomic_load(&c->stuck))
		atomic_store(&c->stuck, false);
}

bool callback_under_way(const struct sv_dev *dev)
{
	return atomic_load(&dev->callback.serial) & 1;
}

/* The function itself, or one that is being reset together with it. */
static const struct sv_dev *find_stuck(const struct sv_dev *dev)
{
	if (atomic_load(&dev->callback.stuck))
		return dev;

	const struct sv_dev *at = dev->set ? atomic_load(&dev->set->at) : NULL;

	return at && atomic_load(&at->callback.stuck) ? at : NULL;
}

bool device_stuck(const struct sv_dev *dev)
{
	return find_stuck(dev);
}

const char *device_stuck_text(const struct sv_dev *dev, char *buf, size_t size)
{
	const struct sv_dev *at = find_stuck(dev);

	buf[0] = '\0';
	if (!at)
		return buf;

	uint64_t ns = clock_ns() - atomic_load(&at->callback.since);

	snprintf(buf, size, "%s%sstuck in %s() for %llu s",
		 at == dev ? "" : at->name, at == dev ? "" : " is ",
		 atomic_load(&at->callback.name),
		 (unsigned long long)(ns / 1000000000));
	return buf;
}

static enum device_news note_change(struct callback *c, uint64_t serial)
{
	bool was_stuck = c->looks >= STUCK_LOOKS;

	c->seen = serial;
	c->looks = 0;
	atomic_store(&c->since, clock_ns());
	return was_stuck ? DEVICE_IS_BACK : DEVICE_NO_NEWS;
}

/* It may return just now: then it was not to be called stuck. */
static enum device_news note_stuck(struct callback *c)
{
	atomic_store(&c->stuck, true);
	if (atomic_load(&c->serial) != c->seen)
		atomic_store(&c->stuck, false);
	return DEVICE_IS_STUCK;
}

enum device_news device_watch(struct sv_dev *dev)
{
	struct callback *c = &dev->callback;
	uint64_t serial = atomic_load(&c->serial);

	if (serial != c->seen)
		return note_change(c, serial);
	if (!(serial & 1))
		return DEVICE_NO_NEWS;
	return ++c->looks == STUCK_LOOKS ? note_stuck(c) : DEVICE_IS_SLOW;
}

pthread_t callback_thread(const struct sv_dev *dev)
{
	return atomic_load(&dev->callback.thread);
}

bool device_waits(void *dev)
{
	return !device_stuck(dev);
}

bool NO_TSA model_lock(struct sv_dev *dev)
{
	return mutex_lock_while(&dev->model, device_waits, dev);
}

bool NO_TSA access_lock(struct sv_dev *dev)
{
	return mutex_lock_while(&dev->access, device_waits, dev);
}

bool NO_TSA resetting_lock(struct sv_dev *dev)
{
	return mutex_lock_while(&dev->resetting, device_waits, dev);
}

bool NO_TSA memory_read(struct sv_dev *dev)
{
	return rwlock_read_while(&dev->memory_lock, device_waits, dev);
}

bool NO_TSA memory_write(struct sv_dev *dev)
{
	return rwlock_write_while(&dev->memory_lock, device_waits, dev);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Timers and descriptors of models: core/pci/timer.h. */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/pci/device_impl.h"
#include "lib/cleanup.h"

/* --- timers --- */

/* The device's thread reads it without the lock, before it sleeps. */
static void publish(struct timers *t)
{
	atomic_store(&t->at, t->first ? t->first->at : 0);
}

static void take_out(struct timers *t, struct sv_timer *timer)
{
	struct sv_timer **p = &t->first;

	if (!timer->set)
		return;
	while (*p != timer)
		p = &(*p)->next;
	*p = timer->next;
	timer->set = false;
}

void sv_timer_set(struct sv_dev *dev, struct sv_timer *timer, uint64_t at)
{
	struct timers *t = &dev->timers;
	struct sv_timer **p = &t->first;

	take_out(t, timer);
	timer->at = at ? at : 1; /* 0 is none */
	while (*p && (*p)->at <= timer->at)
		p = &(*p)->next;
	timer->next = *p;
	timer->set = true;
	*p = timer;
	publish(t);
	if (t->first == timer)
		devthread_kick(dev->thread);
}

void sv_timer_cancel(struct sv_dev *dev, struct sv_timer *timer)
{
	take_out(&dev->timers, timer);
	publish(&dev->timers);
}

void timers_cancel(struct sv_dev *dev)
{
	while (dev->timers.first)
		take_out(&dev->timers, dev->timers.first);
	publish(&dev->timers);
}

/* Those that were due when it began: one that sets itself again goes on later. */
bool timers_run(struct sv_dev *dev)
{
	struct timers *t = &dev->timers;
	uint64_t now = t->first ? sv_clock(dev) : 0;
	bool any = false;

	while (t->first && t->first->at <= now) {
		struct sv_timer *timer = t->first;

		take_out(t, timer);
		callback_begin(dev, "timer");
		timer->fn(dev, timer);
		callback_end(dev);
		any = true;
	}
	if (any)
		publish(t);
	return any;
}

/* --- descriptors --- */

static void note_news(void *opaque)
{
	struct readable *r = opaque;

	atomic_store(&r->news, true);
	devthread_kick(r->dev->thread);
}

/* Whether it can be waited for, said while init() can still fail for that. */
static int try_watch(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN};
	_cleanup_(closep) int set = epoll_create1(EPOLL_CLOEXEC);

	if (set < 0)
		return -errno;
	return epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int sv_watch_fd(struct sv_dev *dev, int fd,
		void (*readable)(struct sv_dev *dev, int fd))
{
	int r = try_watch(fd);

	if (r == 0 && dev->n_readables == SV_WATCHES)
		r = -ENOSPC;
	if (r < 0)
		return r;

	struct readable *new = &dev->readable[dev->n_readables++];

	new->watch = (struct watch){note_news, new};
	new->dev = dev;
	new->fd = fd;
	new->fn = readable;
	return 0;
}

int readables_start(struct sv_dev *dev)
{
	int r = 0;

	for (unsigned int i = 0; i < dev->n_readables && r == 0; i++)
		r = watcher_add(dev->watcher, dev->readable[i].fd,
				&dev->readable[i].watch);
	return r;
}

bool readables_run(struct sv_dev *dev)
{
	bool any = false;

	for (unsigned int i = 0; i < dev->n_readables; i++) {
		struct readable *r = &dev->readable[i];

		if (!atomic_exchange(&r->news, false))
			continue;
		callback_begin(dev, "readable");
		r->fn(dev, r->fd);
		callback_end(dev);
		any = true;
	}
	return any;
}

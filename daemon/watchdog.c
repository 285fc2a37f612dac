/* SPDX-License-Identifier: BSD-3-Clause */
/* Looking now and then: daemon/watchdog.h. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/watchdog.h"
#include "core/machine/machine.h"
#include "front/ipc/stuck.h"
#include "lib/log.h"
#include "lib/thread.h"

#define NS_PER_MS   1000000
#define END_LOOK_MS 20

struct watchdog {
	struct server *server;
	int stop_fd;
	struct thread thread;
};

static void look_at(struct watchdog *w, struct sv_dev *dev)
{
	char text[64];

	switch (device_watch(dev)) {
	case DEVICE_NO_NEWS:
		return;
	case DEVICE_IS_SLOW:
		server_make_room(w->server);
		return;
	case DEVICE_IS_STUCK:
		log_warn("%s: its model %s is %s", dev->name, dev->ops->name,
			 device_stuck_text(dev, text, sizeof(text)));
		server_stuck(w->server, dev);
		return;
	case DEVICE_IS_BACK:
		log_warn("%s: its model %s has returned", dev->name,
			 dev->ops->name);
		server_unstuck(w->server);
		return;
	}
}

static void *watchdog_main(void *arg)
{
	struct watchdog *w = arg;
	const struct machine *m = server_conf(w->server)->machine;
	struct pollfd stop = {.fd = w->stop_fd, .events = POLLIN};

	while (poll(&stop, 1, WATCH_PERIOD_NS / NS_PER_MS) <= 0)
		for (size_t i = 0; i < m->n_devs; i++)
			look_at(w, m->dev[i].dev);
	return NULL;
}

int watchdog_new(struct server *s, struct watchdog **ret_watchdog)
{
	struct watchdog *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->server = s;
	w->stop_fd = eventfd(0, EFD_CLOEXEC);

	int r = w->stop_fd < 0 ? -errno
			       : thread_start(&w->thread, "watchdog",
					      watchdog_main, w);

	if (r < 0) {
		if (w->stop_fd >= 0)
			close(w->stop_fd);
		free(w);
		return r;
	}
	*ret_watchdog = w;
	return 0;
}

static struct sv_dev *find_busy(const struct machine *m)
{
	for (size_t i = 0; i < m->n_devs; i++)
		if (callback_under_way(m->dev[i].dev))
			return m->dev[i].dev;
	return NULL;
}

bool watchdog_end(struct watchdog *w)
{
	uint64_t deadline = clock_ns() + END_NS;
	struct sv_dev *dev;

	/* others may be called meanwhile: it is the one that counts */
	while ((dev = find_busy(server_conf(w->server)->machine))) {
		uint64_t serial = atomic_load(&dev->callback.serial);

		while (atomic_load(&dev->callback.serial) == serial) {
			if (clock_ns() > deadline) {
				log_warn("%s: its model %s does not return "
					 "from %s(); ending without it",
					 dev->name, dev->ops->name,
					 atomic_load(&dev->callback.name));
				return false;
			}
			poll(NULL, 0, END_LOOK_MS);
		}
		if (clock_ns() > deadline)
			break;
	}
	return true;
}

struct watchdog *watchdog_free(struct watchdog *w)
{
	if (!w)
		return NULL;
	eventfd_write(w->stop_fd, 1);
	thread_join(&w->thread);
	close(w->stop_fd);
	free(w);
	return NULL;
}

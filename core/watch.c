/* SPDX-License-Identifier: BSD-3-Clause */
/* An epoll set, a thread, and an eventfd that ends it. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/watch.h"
#include "lib/thread.h"

struct watcher {
	int epfd;
	int stop_fd;
	struct thread thread;
};

static void *watcher_main(void *arg)
{
	struct watcher *w = arg;
	struct epoll_event ev;

	for (;;) {
		if (thread_wait_events(w->epfd, &ev, 1) < 1)
			continue;

		struct watch *watch = ev.data.ptr;

		if (!watch)
			return NULL;
		watch->fn(watch->opaque);
	}
}

static int watcher_open(struct watcher *w)
{
	struct epoll_event ev = {.events = EPOLLIN};

	w->epfd = epoll_create1(EPOLL_CLOEXEC);
	w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->epfd < 0 || w->stop_fd < 0 ||
	    epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->stop_fd, &ev) < 0)
		return -errno;
	return thread_start(&w->thread, "watcher", watcher_main, w);
}

static void watcher_close(struct watcher *w)
{
	if (w->epfd >= 0)
		close(w->epfd);
	if (w->stop_fd >= 0)
		close(w->stop_fd);
	free(w);
}

int watcher_new(struct watcher **ret_watcher)
{
	struct watcher *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;

	int r = watcher_open(w);

	if (r < 0) {
		watcher_close(w);
		return r;
	}
	*ret_watcher = w;
	return 0;
}

struct watcher *watcher_free(struct watcher *w)
{
	if (!w)
		return NULL;
	eventfd_write(w->stop_fd, 1);
	thread_join(&w->thread);
	watcher_close(w);
	return NULL;
}

int watcher_add(struct watcher *w, int fd, struct watch *watch)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLET, /* one call for each write */
		.data.ptr = watch,
	};

	return epoll_ctl(w->epfd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

void watcher_del(struct watcher *w, int fd)
{
	epoll_ctl(w->epfd, EPOLL_CTL_DEL, fd, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* An epoll set, a thread, and an eventfd that ends it. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/common/watch.h"
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

static int set_add(int set, int fd, uint32_t events, epoll_data_t data)
{
	struct epoll_event ev = {.events = events, .data = data};

	return epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int watcher_add(struct watcher *w, int fd, struct watch *watch)
{
	/* one call for each write */
	return set_add(w->epfd, fd, EPOLLIN | EPOLLET,
		       (epoll_data_t){.ptr = watch});
}

int watcher_add_set(struct watcher *w, int set, struct watch *watch)
{
	/* the host puts one that was reported behind all that are ready */
	return set_add(w->epfd, set, EPOLLIN, (epoll_data_t){.ptr = watch});
}

void watcher_del(struct watcher *w, int fd)
{
	epoll_ctl(w->epfd, EPOLL_CTL_DEL, fd, NULL);
}

int watch_set_new(void)
{
	int set = epoll_create1(EPOLL_CLOEXEC);

	return set < 0 ? -errno : set;
}

int watch_set_add(int set, int fd, uint64_t tag)
{
	return set_add(set, fd, EPOLLIN | EPOLLET, (epoll_data_t){.u64 = tag});
}

void watch_set_del(int set, int fd)
{
	epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL);
}

int watch_set_take(int set, struct epoll_event *events, int max)
{
	int n = epoll_wait(set, events, max, 0);

	return n < 0 ? 0 : n; /* EINTR: they are still there */
}

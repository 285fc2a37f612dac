/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * The eventfds of a device are in an epoll set of its own, which the one
 * watcher thread watches. It takes the signal and makes the write, when
 * memory_lock can be had at once. It never waits: when the lock is contended,
 * or the write is for the model and not for memory, the entry is marked and the
 * device's own thread makes the write. With decode off the write is dropped;
 * the eventfd has been drained all the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/device.h"
#include "core/ioeventfd.h"
#include "lib/evfd.h"
#include "lib/refuse.h"

#define COPY_MIN 3 /* copies stay clear of the standard descriptors */
#define AT_ONCE	 64

void ioeventfds_init(struct ioeventfds *io)
{
	mutex_init(&io->lock, RANK_IOEVENTFD, "ioeventfds");
	TAILQ_INIT(&io->list);
	io->epfd = -1;
}

void ioeventfds_done(struct ioeventfds *io)
{
	if (io->epfd >= 0)
		close(io->epfd);
	mutex_done(&io->lock);
}

static struct ioeventfd *find_locked(struct ioeventfds *io,
				     const struct ioeventfd_request *req)
	REQUIRES(&io->lock)
{
	struct ioeventfd *e;

	TAILQ_FOREACH (e, &io->list, link)
		if (e->bar == req->region && e->off == req->off &&
		    e->data == req->data && e->len == req->len)
			return e;
	return NULL;
}

int ioeventfd_check(const struct sv_dev *dev,
		    const struct ioeventfd_request *req)
{
	uint64_t start, end;

	if (req->region > REGION_BAR5)
		return refuse(EINVAL, "ioeventfd: region %llu is no BAR",
			      (unsigned long long)req->region);

	unsigned int bar = (unsigned int)req->region;
	uint64_t size = dev->bar[bar].size;

	if (req->off > size || req->len > size - req->off)
		return refuse(EINVAL,
			      "ioeventfd: %zu bytes at %#llx leave BAR%u of "
			      "%#llx bytes",
			      req->len, (unsigned long long)req->off, bar,
			      (unsigned long long)size);
	device_msix_table(dev, bar, &start, &end);
	if (req->off < end && req->off + req->len > start)
		return refuse(EINVAL,
			      "ioeventfd: %#llx is in the MSI-X table, which "
			      "is not the program's",
			      (unsigned long long)req->off);
	return 0;
}

static int room_locked(struct ioeventfds *io,
		       const struct ioeventfd_request *req) REQUIRES(&io->lock)
{
	if (find_locked(io, req))
		return refuse(EEXIST,
			      "ioeventfd: there is one for BAR%llu at %#llx, "
			      "%zu bytes, value %#llx",
			      (unsigned long long)req->region,
			      (unsigned long long)req->off, req->len,
			      (unsigned long long)req->data);
	if (io->n >= IOEVENTFDS_MAX)
		return refuse(ENOSPC, "ioeventfd: there are %d already",
			      IOEVENTFDS_MAX);
	return 0;
}

int ioeventfd_find(struct sv_dev *dev, const struct ioeventfd_request *req)
{
	struct ioeventfds *io = &dev->ioeventfds;

	mutex_lock(&io->lock);
	int r = room_locked(io, req);

	mutex_unlock(&io->lock);
	return r;
}

/* Signals */

/* One was signalled. Returns whether the device's thread has to be told. */
static bool signalled_locked(struct sv_dev *dev, uint64_t id)
	REQUIRES(&dev->ioeventfds.lock)
{
	struct ioeventfds *io = &dev->ioeventfds;
	struct ioeventfd *e;

	TAILQ_FOREACH (e, &io->list, link)
		if (e->id == id)
			break;
	if (!e)
		return false;
	evfd_drain(e->fd);
	if (e->pending ||
	    device_posted_write(dev, e->bar, e->off, &e->data, e->len, false))
		return false;
	e->pending = true;
	io->n_pending++;
	return true;
}

/* All that can be told at once, so that two with one eventfd both are. */
static void ioeventfd_event(void *opaque)
{
	struct sv_dev *dev = opaque;
	struct ioeventfds *io = &dev->ioeventfds;
	struct epoll_event ev[AT_ONCE];
	bool kick = false;
	int n;

	do {
		mutex_lock(&dev->ioeventfds.lock);
		n = epoll_wait(io->epfd, ev, AT_ONCE, 0);
		for (int i = 0; i < n; i++)
			if (signalled_locked(dev, ev[i].data.u64))
				kick = true;
		mutex_unlock(&dev->ioeventfds.lock);
	} while (n > 0);
	if (kick)
		devthread_kick(dev->thread);
}

/* One that waits is made a copy of: the lock is not held over the write. */
static bool take_pending(struct ioeventfds *io, struct ioeventfd *ret_copy)
{
	struct ioeventfd *e = NULL;

	mutex_lock(&io->lock);
	if (io->n_pending)
		TAILQ_FOREACH (e, &io->list, link)
			if (e->pending)
				break;
	if (e) {
		e->pending = false;
		io->n_pending--;
		*ret_copy = *e;
	}
	mutex_unlock(&io->lock);
	return e;
}

bool ioeventfd_run(struct sv_dev *dev)
{
	struct ioeventfd e;
	bool any = false;

	while (take_pending(&dev->ioeventfds, &e)) {
		device_posted_write(dev, e.bar, e.off, &e.data, e.len, true);
		any = true;
	}
	return any;
}

/* Setup */

static int watch_locked(struct sv_dev *dev) REQUIRES(&dev->ioeventfds.lock)
{
	struct ioeventfds *io = &dev->ioeventfds;

	if (io->epfd >= 0)
		return 0;

	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0)
		return -errno;
	io->epfd = fd;
	io->watch = (struct watch){ioeventfd_event, dev};

	int r = watcher_add(dev->watcher, fd, &io->watch);

	if (r < 0) {
		close(fd);
		io->epfd = -1;
	}
	return r;
}

static int insert_locked(struct ioeventfds *io, struct ioeventfd *e)
	REQUIRES(&io->lock)
{
	struct epoll_event ev = {.events = EPOLLIN};

	e->id = ev.data.u64 = ++io->last_id;
	TAILQ_INSERT_TAIL(&io->list, e, link);
	io->n++;
	if (epoll_ctl(io->epfd, EPOLL_CTL_ADD, e->fd, &ev) == 0)
		return 0;

	int r = -errno;

	TAILQ_REMOVE(&io->list, e, link);
	io->n--;
	return r;
}

int ioeventfd_add(struct sv_dev *dev, const struct ioeventfd_request *req,
		  int fd)
{
	struct ioeventfd *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->bar = (unsigned int)req->region;
	e->off = req->off;
	e->data = req->data;
	e->len = req->len;
	e->fd = fcntl(fd, F_DUPFD_CLOEXEC, COPY_MIN);
	if (e->fd < 0) {
		free(e);
		return -errno;
	}
	mutex_lock(&dev->ioeventfds.lock);
	int r = room_locked(&dev->ioeventfds, req);

	if (r == 0)
		r = watch_locked(dev);
	if (r == 0)
		r = insert_locked(&dev->ioeventfds, e);
	mutex_unlock(&dev->ioeventfds.lock);
	if (r < 0) {
		close(e->fd);
		free(e);
	}
	return r;
}

static void unlink_locked(struct ioeventfds *io, struct ioeventfd *e)
	REQUIRES(&io->lock)
{
	epoll_ctl(io->epfd, EPOLL_CTL_DEL, e->fd, NULL);
	TAILQ_REMOVE(&io->list, e, link);
	io->n--;
	io->n_pending -= e->pending;
	close(e->fd);
	free(e);
}

int ioeventfd_remove(struct sv_dev *dev, const struct ioeventfd_request *req)
{
	struct ioeventfds *io = &dev->ioeventfds;

	mutex_lock(&io->lock);
	struct ioeventfd *e = find_locked(io, req);

	if (e)
		unlink_locked(io, e);
	mutex_unlock(&io->lock);
	if (!e)
		return refuse(ENODEV,
			      "ioeventfd: none for BAR%llu at %#llx, %zu "
			      "bytes, value %#llx to be removed",
			      (unsigned long long)req->region,
			      (unsigned long long)req->off, req->len,
			      (unsigned long long)req->data);
	/* the device's thread may be at the write, with this lock held */
	mutex_lock(&dev->model);
	mutex_unlock(&dev->model);
	return 0;
}

void ioeventfd_close(struct sv_dev *dev)
{
	struct ioeventfds *io = &dev->ioeventfds;
	struct ioeventfd *e;

	mutex_lock(&io->lock);
	while ((e = TAILQ_FIRST(&io->list)))
		unlink_locked(io, e);
	mutex_unlock(&io->lock);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * The eventfds of a device are in an epoll set of its own, each once, since the
 * host limits how often one may be watched. The one watcher thread watches the
 * set. It takes the signal and makes the write, when
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
	TAILQ_INIT(&io->sources);
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
	if (req->len == 8)
		return refuse(EINVAL,
			      "ioeventfd: 8 bytes; Linux writes at most 4, "
			      "take two");
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

/* Returns whether the device's thread has to be told. */
static bool write_locked(struct sv_dev *dev, struct ioeventfd *e)
	REQUIRES(&dev->ioeventfds.lock)
{
	if (e->pending ||
	    device_posted_write(dev, e->bar, e->off, &e->data, e->len, false))
		return false;
	e->pending = true;
	dev->ioeventfds.n_pending++;
	return true;
}

static bool signalled_locked(struct sv_dev *dev, uint64_t tag)
	REQUIRES(&dev->ioeventfds.lock)
{
	struct ioeventfd *e;
	bool kick = false;

	TAILQ_FOREACH (e, &dev->ioeventfds.list, link) {
		if (e->source->tag != tag)
			continue;
		evfd_drain(e->source->fd);
		if (write_locked(dev, e))
			kick = true;
	}
	return kick;
}

static void ioeventfd_event(void *opaque)
{
	struct sv_dev *dev = opaque;
	struct epoll_event ev[AT_ONCE];
	bool kick = false;
	int n;

	do {
		mutex_lock(&dev->ioeventfds.lock);
		n = epoll_wait(dev->ioeventfds.epfd, ev, AT_ONCE, 0);
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

static struct ioeventfd_source *source_get_locked(struct ioeventfds *io,
						  uint64_t id)
	REQUIRES(&io->lock)
{
	struct ioeventfd_source *src;

	TAILQ_FOREACH (src, &io->sources, link)
		if (id && src->id == id) {
			src->users++;
			return src;
		}
	return NULL;
}

static void source_put_locked(struct ioeventfds *io,
			      struct ioeventfd_source *src) REQUIRES(&io->lock)
{
	if (--src->users)
		return;
	epoll_ctl(io->epfd, EPOLL_CTL_DEL, src->fd, NULL);
	TAILQ_REMOVE(&io->sources, src, link);
	close(src->fd);
	free(src);
}

static int source_new_locked(struct ioeventfds *io, uint64_t id, int fd,
			     struct ioeventfd_source **ret_src)
	REQUIRES(&io->lock)
{
	struct ioeventfd_source *src = calloc(1, sizeof(*src));
	struct epoll_event ev = {.events = EPOLLIN};

	if (!src)
		return -ENOMEM;
	src->id = id;
	src->users = 1;
	src->tag = ev.data.u64 = ++io->last_tag;
	src->fd = fcntl(fd, F_DUPFD_CLOEXEC, COPY_MIN);

	int r = src->fd < 0 ? -errno : 0;

	if (r == 0 && epoll_ctl(io->epfd, EPOLL_CTL_ADD, src->fd, &ev) < 0) {
		r = -errno;
		close(src->fd);
	}
	if (r < 0) {
		free(src);
		return r;
	}
	TAILQ_INSERT_TAIL(&io->sources, src, link);
	*ret_src = src;
	return 0;
}

/* @e is listed, unless something was in the way. */
static int insert_locked(struct ioeventfds *io, struct ioeventfd *e, int fd)
	REQUIRES(&io->lock)
{
	uint64_t id = evfd_id(fd);
	int r = 0;

	e->source = source_get_locked(io, id);
	if (!e->source)
		r = source_new_locked(io, id, fd, &e->source);
	if (r < 0)
		return r;
	TAILQ_INSERT_TAIL(&io->list, e, link);
	io->n++;
	return 0;
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
	mutex_lock(&dev->ioeventfds.lock);
	int r = room_locked(&dev->ioeventfds, req);

	if (r == 0)
		r = watch_locked(dev);
	if (r == 0)
		r = insert_locked(&dev->ioeventfds, e, fd);
	mutex_unlock(&dev->ioeventfds.lock);
	if (r < 0)
		free(e);
	return r;
}

static void unlink_locked(struct ioeventfds *io, struct ioeventfd *e)
	REQUIRES(&io->lock)
{
	TAILQ_REMOVE(&io->list, e, link);
	io->n--;
	io->n_pending -= e->pending;
	source_put_locked(io, e->source);
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

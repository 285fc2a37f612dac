/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * The eventfds of a device are in a set of its own, each once, since the host
 * limits how often one may be watched. The one watcher thread watches the set.
 * It takes the signal and makes the write, when
 * memory_lock can be had at once. It never waits: when the lock is contended,
 * or the write is for the model and not for memory, the entry is marked and the
 * device's own thread makes the write. With decode off the write is dropped;
 * the eventfd has been read all the same.
 *
 * As in Linux, a signal is one read and one write for each entry, whatever the
 * counter says: a semaphore keeps the rest. What was signalled before an entry
 * came is a write without a read, and what was signalled before it goes is a
 * write still. Linux does all that while the program signals, the watcher soon
 * after, so setting up and removing begin with a look at what has come.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/pci/device.h"
#include "core/pci/ioeventfd.h"
#include "lib/evfd.h"
#include "lib/refuse.h"

#define COPY_MIN 3 /* copies stay clear of the standard descriptors */
#define AT_ONCE	 64

void ioeventfds_init(struct ioeventfds *io)
{
	mutex_init(&io->lock, RANK_IOEVENTFD, "ioeventfds");
	TAILQ_INIT(&io->list);
	TAILQ_INIT(&io->pending);
	TAILQ_INIT(&io->sources);
	io->set = -1;
}

void ioeventfds_done(struct ioeventfds *io)
{
	if (io->set >= 0)
		close(io->set);
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
	TAILQ_INSERT_TAIL(&dev->ioeventfds.pending, e, due);
	return true;
}

static bool signalled_locked(struct sv_dev *dev, uint64_t tag, bool read)
	REQUIRES(&dev->ioeventfds.lock)
{
	struct ioeventfd *e;
	bool kick = false;

	TAILQ_FOREACH (e, &dev->ioeventfds.list, link) {
		if (e->source->tag != tag)
			continue;
		if (read)
			evfd_take(e->source->fd);
		if (write_locked(dev, e))
			kick = true;
	}
	return kick;
}

/*
 * Up to @max signals; that of the source @fresh, 0 for none, came before there
 * was one to read it. Returns whether the device's thread has to be told.
 */
static bool look_locked(struct sv_dev *dev, struct epoll_event *ev, int max,
			uint64_t fresh) REQUIRES(&dev->ioeventfds.lock)
{
	int n = watch_set_take(dev->ioeventfds.set, ev, max);
	bool kick = false;

	for (int i = 0; i < n; i++)
		if (signalled_locked(dev, ev[i].data.u64,
				     ev[i].data.u64 != fresh))
			kick = true;
	return kick;
}

/* All signals there are; a set that there is not yet has none. */
static void look_at_all_locked(struct sv_dev *dev, uint64_t fresh)
	REQUIRES(&dev->ioeventfds.lock)
{
	struct epoll_event ev[IOEVENTFDS_MAX];

	if (look_locked(dev, ev, IOEVENTFDS_MAX, fresh))
		devthread_kick(dev->thread);
}

static void ioeventfd_event(void *opaque)
{
	struct sv_dev *dev = opaque;
	struct epoll_event ev[AT_ONCE];

	mutex_lock(&dev->ioeventfds.lock);
	bool kick = look_locked(dev, ev, AT_ONCE, 0);

	mutex_unlock(&dev->ioeventfds.lock);
	if (kick)
		devthread_kick(dev->thread);
}

static bool take_pending_locked(struct ioeventfds *io, struct ioeventfd *e)
	REQUIRES(&io->lock)
{
	bool was = e->pending;

	if (was)
		TAILQ_REMOVE(&io->pending, e, due);
	e->pending = false;
	return was;
}

/* One that waits is made a copy of: the lock is not held over the write. */
static bool take_first(struct ioeventfds *io, struct ioeventfd *ret_copy)
{
	mutex_lock(&io->lock);
	struct ioeventfd *e = TAILQ_FIRST(&io->pending);

	if (e) {
		take_pending_locked(io, e);
		*ret_copy = *e;
	}
	mutex_unlock(&io->lock);
	return e;
}

static void write_pending(struct sv_dev *dev, const struct ioeventfd *e)
{
	device_posted_write(dev, e->bar, e->off, &e->data, e->len, true);
}

/* Not without end: a program that goes on signalling is not all there is. */
bool ioeventfd_run(struct sv_dev *dev)
{
	struct ioeventfd e;
	int n = 0;

	while (n < IOEVENTFDS_MAX && take_first(&dev->ioeventfds, &e)) {
		write_pending(dev, &e);
		n++;
	}
	return n > 0;
}

/* Setup */

static int watch_locked(struct sv_dev *dev) REQUIRES(&dev->ioeventfds.lock)
{
	struct ioeventfds *io = &dev->ioeventfds;

	if (io->set >= 0)
		return 0;

	int set = watch_set_new();

	if (set < 0)
		return set;
	io->set = set;
	io->watch = (struct watch){ioeventfd_event, dev};

	int r = watcher_add_set(dev->watcher, set, &io->watch);

	if (r < 0) {
		close(set);
		io->set = -1;
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

/* Half-made ones are fine. */
static void source_free(struct ioeventfd_source *src)
{
	if (src->fd >= 0)
		close(src->fd);
	share_give(&src->share);
	free(src);
}

static void source_put_locked(struct ioeventfds *io,
			      struct ioeventfd_source *src) REQUIRES(&io->lock)
{
	if (--src->users)
		return;
	watch_set_del(io->set, src->fd);
	TAILQ_REMOVE(&io->sources, src, link);
	source_free(src);
}

static int source_copy_locked(struct ioeventfds *io,
			      struct ioeventfd_source *src, pid_t pid, int fd)
	REQUIRES(&io->lock)
{
	int r = share_take(&src->share, SHARE_EVENTFDS, pid, 1);

	if (r < 0)
		return r;
	src->fd = fcntl(fd, F_DUPFD_CLOEXEC, COPY_MIN);
	return src->fd < 0 ? -errno : watch_set_add(io->set, src->fd, src->tag);
}

static int source_new_locked(struct ioeventfds *io, uint64_t id, pid_t pid,
			     int fd, struct ioeventfd_source **ret_src)
	REQUIRES(&io->lock)
{
	struct ioeventfd_source *src = calloc(1, sizeof(*src));

	if (!src)
		return -ENOMEM;
	src->fd = -1;
	src->id = id;
	src->users = 1;
	src->tag = ++io->last_tag;

	int r = source_copy_locked(io, src, pid, fd);

	if (r < 0) {
		source_free(src);
		return r;
	}
	TAILQ_INSERT_TAIL(&io->sources, src, link);
	*ret_src = src;
	return 0;
}

/* @e is listed, unless something was in the way. */
static int insert_locked(struct ioeventfds *io, struct ioeventfd *e, pid_t pid,
			 int fd) REQUIRES(&io->lock)
{
	uint64_t id = evfd_id(fd);
	int r = 0;

	e->source = source_get_locked(io, id);
	if (!e->source)
		r = source_new_locked(io, id, pid, fd, &e->source);
	if (r < 0)
		return r;
	/* who came last is called first, as in a wait queue of Linux */
	TAILQ_INSERT_HEAD(&io->list, e, link);
	io->n++;
	return 0;
}

static bool is_signalled(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* @e is new: it alone has to do with what is in the counter already. */
static void begin_locked(struct sv_dev *dev, struct ioeventfd *e)
	REQUIRES(&dev->ioeventfds.lock)
{
	bool first = e->source->users == 1;

	look_at_all_locked(dev, first ? e->source->tag : 0);
	if (!first && is_signalled(e->source->fd) && write_locked(dev, e))
		devthread_kick(dev->thread);
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
	look_at_all_locked(dev, 0);
	int r = room_locked(&dev->ioeventfds, req);

	if (r == 0)
		r = watch_locked(dev);
	if (r == 0)
		r = insert_locked(&dev->ioeventfds, e, req->pid, fd);
	if (r == 0)
		begin_locked(dev, e);
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
	take_pending_locked(io, e);
	source_put_locked(io, e->source);
	free(e);
}

/* Returns whether there is one; @ret_due: it was signalled, and what it was */
static bool remove_locked(struct sv_dev *dev,
			  const struct ioeventfd_request *req, bool *ret_due,
			  struct ioeventfd *ret_copy)
	REQUIRES(&dev->ioeventfds.lock)
{
	struct ioeventfd *e = find_locked(&dev->ioeventfds, req);

	if (!e)
		return false;
	look_at_all_locked(dev, 0);
	*ret_due = take_pending_locked(&dev->ioeventfds, e);
	*ret_copy = *e;
	unlink_locked(&dev->ioeventfds, e);
	return true;
}

/* Of a model that is stuck the write is lost. */
int NO_TSA ioeventfd_remove(struct sv_dev *dev,
			    const struct ioeventfd_request *req)
{
	struct ioeventfd e;
	bool due = false;

	/* the device's thread may be at the write, with this lock held */
	bool stands = model_lock(dev);

	mutex_lock(&dev->ioeventfds.lock);
	bool there = remove_locked(dev, req, &due, &e);

	mutex_unlock(&dev->ioeventfds.lock);
	if (due && stands)
		write_pending(dev, &e);
	if (stands)
		mutex_unlock(&dev->model);
	if (there)
		return 0;
	return refuse(ENODEV,
		      "ioeventfd: none for BAR%llu at %#llx, %zu "
		      "bytes, value %#llx to be removed",
		      (unsigned long long)req->region,
		      (unsigned long long)req->off, req->len,
		      (unsigned long long)req->data);
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

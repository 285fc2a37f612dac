/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ioeventfds: an eventfd of the program's which, when signalled, has a fixed
 * value written to a BAR, as VFIO_DEVICE_IOEVENTFD says.
 */
#ifndef SOFTVFIO_CORE_PCI_IOEVENTFD_H
#define SOFTVFIO_CORE_PCI_IOEVENTFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "core/common/share.h"
#include "core/common/watch.h"
#include "lib/lock.h"

#define IOEVENTFDS_MAX 1000 /* of one device: VFIO_PCI_IOEVENTFD_MAX */

struct sv_dev;

/** struct ioeventfd_source - An eventfd, once, however many are about it */
struct ioeventfd_source {
	TAILQ_ENTRY(ioeventfd_source) link;
	/* immutable */
	uint64_t tag; /* in the epoll set; never reused */
	uint64_t id;  /* of the host's, 0 = unknown */
	int fd;	      /* our own copy */
	unsigned int users;
	struct share share;
};

/** struct ioeventfd - One of them: where, what, and at whose signal */
struct ioeventfd {
	TAILQ_ENTRY(ioeventfd) link;
	/* immutable */
	struct ioeventfd_source *source;
	unsigned int bar;
	uint64_t off;
	uint64_t data;
	size_t len;
	bool pending; /* signalled; the device's thread has to write */
	TAILQ_ENTRY(ioeventfd) due;
};

/** struct ioeventfds - Those of one device */
struct ioeventfds {
	struct mutex lock;		 /* everything below */
	TAILQ_HEAD(, ioeventfd) list;	 /* in the order of their writes */
	TAILQ_HEAD(, ioeventfd) pending; /* in the order of their signals */
	TAILQ_HEAD(, ioeventfd_source) sources;
	size_t n;
	uint64_t last_tag;
	int set; /* of the eventfds, watched; -1 before the first */
	struct watch watch;
};

void ioeventfds_init(struct ioeventfds *io);

/** ioeventfds_done() - The watcher has ended. Never initialised is fine */
void ioeventfds_done(struct ioeventfds *io);

/**
 * struct ioeventfd_request - linux/vfio.h: struct vfio_device_ioeventfd
 * @region: which region, as the offset says
 * @off:    in the region
 * @data:   what to write
 * @len:    1, 2, 4 or 8 bytes
 * @pid:    whose share of SHARE_EVENTFDS it takes
 */
struct ioeventfd_request {
	uint64_t region;
	uint64_t off;
	uint64_t data;
	size_t len;
	pid_t pid;
};

/**
 * ioeventfd_check() - Everything Linux checks before it looks for an equal one
 *
 * Context: any thread, lock-free.
 * Return: 0; -EINVAL not in a BAR, or in the MSI-X table.
 */
int ioeventfd_check(const struct sv_dev *dev,
		    const struct ioeventfd_request *req);

/**
 * ioeventfd_find() - Is there an equal one, or room for one more
 *
 * Context: takes the ioeventfd lock.
 * Return: 0 there is room; -EEXIST; -ENOSPC.
 */
int ioeventfd_find(struct sv_dev *dev, const struct ioeventfd_request *req);

/**
 * ioeventfd_add() - One more
 * @fd: an eventfd; the caller's, a copy is kept
 *
 * Context: takes the ioeventfd lock.
 * Return: as ioeventfd_find(); -EMFILE, also beyond the program's share; -ENFILE
 * beyond all programs'; -ENOMEM, -ENOSPC of the host.
 */
int ioeventfd_add(struct sv_dev *dev, const struct ioeventfd_request *req,
		  int fd);

/**
 * ioeventfd_remove() - When it returns, what was signalled before is written,
 * and nothing any more
 *
 * Context: takes the model lock, then the ioeventfd lock; calls the model.
 * Return: 0; -ENODEV there is none like it.
 */
int ioeventfd_remove(struct sv_dev *dev, const struct ioeventfd_request *req);

/**
 * ioeventfd_run() - Make the writes that had to wait
 *
 * Context: the device's thread, model lock held; takes the ioeventfd lock.
 * Return: whether there were any.
 */
bool ioeventfd_run(struct sv_dev *dev);

/** ioeventfd_close() - The last close: all of them go */
void ioeventfd_close(struct sv_dev *dev);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One thread that waits for descriptors programs hand to the core (the unmask
 * eventfds of INTx) and calls back when one is readable.
 */
#ifndef SOFTVFIO_CORE_WATCH_H
#define SOFTVFIO_CORE_WATCH_H

struct watcher;

/**
 * struct watch - Whom to call; lives as long as the watcher may call it, that
 * is until watcher_free(), even after watcher_del()
 * @fn: called once for each time the descriptor is written to
 */
struct watch {
	void (*fn)(void *opaque);
	void *opaque;
};

int watcher_new(struct watcher **ret_watcher); /* 0, -EMFILE, -EAGAIN */
struct watcher *watcher_free(struct watcher *w);

/** watcher_add() - 0; -EEXIST watched already; -ENOMEM, -ENOSPC */
int watcher_add(struct watcher *w, int fd, struct watch *watch);

/**
 * watcher_del() - No new call starts for what happens from now on; one that is
 * under way is not waited for, so that locks it takes may be held here
 */
void watcher_del(struct watcher *w, int fd);

#endif

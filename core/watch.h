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

/**
 * watcher_new() - A watcher and its thread
 *
 * Context: any thread.
 * Return: 0; -EMFILE, -ENFILE; -ENOMEM; -EAGAIN the host has no thread to give.
 */
int watcher_new(struct watcher **ret_watcher);

/**
 * watcher_free() - Ends the thread; NULL is fine
 *
 * Context: waits for a call under way, so no lock that it takes may be held.
 */
struct watcher *watcher_free(struct watcher *w);

/**
 * watcher_add() - Call @watch whenever @fd is written to
 * @fd: borrowed until watcher_del()
 *
 * Context: any thread, any lock.
 * Return: 0; -EEXIST watched already; -ENOMEM, -ENOSPC; -EBADF; -EPERM it is
 * of a kind that cannot be watched.
 */
int watcher_add(struct watcher *w, int fd, struct watch *watch);

/**
 * watcher_del() - No new call starts for what happens from now on; one that is
 * under way is not waited for
 *
 * Context: any thread, any lock, those that the call takes included.
 */
void watcher_del(struct watcher *w, int fd);

#endif

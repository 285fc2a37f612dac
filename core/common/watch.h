/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One thread that waits for the descriptors of all devices (eventfds that
 * programs have handed to the core, timers) and calls back when one is
 * signalled. It calls in turn: what has more to say has to wait until all others
 * have had theirs, so no program can keep the thread to itself, as long as a
 * call does a bounded amount of work.
 */
#ifndef SOFTVFIO_CORE_COMMON_WATCH_H
#define SOFTVFIO_CORE_COMMON_WATCH_H

#include <stdint.h>

struct epoll_event;
struct watcher;

/**
 * struct watch - Whom to call; lives as long as the watcher may call it, that
 * is until watcher_free(), even after watcher_del()
 * @fn: called as watcher_add() and watcher_add_set() say
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
 * watcher_add_set() - Call @watch as long as there are events in @set
 * @set: of watch_set_new(); borrowed until watcher_del()
 *
 * Context: any thread, any lock.
 * Return: as watcher_add().
 */
int watcher_add_set(struct watcher *w, int set, struct watch *watch);

/**
 * watcher_del() - No new call starts for what happens from now on; one that is
 * under way is not waited for
 *
 * Context: any thread, any lock, those that the call takes included.
 */
void watcher_del(struct watcher *w, int fd);

/**
 * watch_set_new() - A set of eventfds, still empty, that is watched as one
 *
 * Each signal of one of them is an event, whatever it leaves in the counter: a
 * semaphore stays readable, and is no event for that. Signals that come before
 * anybody has looked are one event.
 *
 * Context: any thread, any lock.
 * Return: its descriptor; -EMFILE, -ENFILE; -ENOMEM.
 */
int watch_set_new(void);

/**
 * watch_set_add() - Have signals of @fd be events of @set
 * @tag: what the events carry
 *
 * If its counter is not zero, that is an event at once. It leaves the set when
 * @fd and its copies are closed, or with watch_set_del().
 *
 * Context: any thread, any lock.
 * Return: as watcher_add().
 */
int watch_set_add(int set, int fd, uint64_t tag);
void watch_set_del(int set, int fd);

/**
 * watch_set_take() - Take up to @max events, the longest waiting first
 *
 * Context: any thread, any lock; never waits.
 * Return: how many there were.
 */
int watch_set_take(int set, struct epoll_event *events, int max);

#endif

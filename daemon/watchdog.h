/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A thread that looks for models whose callback does not return (core/pci/busy.h),
 * says so, and has those answered who would wait for them.
 */
#ifndef SOFTVFIO_DAEMON_WATCHDOG_H
#define SOFTVFIO_DAEMON_WATCHDOG_H

#include "front/ipc/server.h"

#define END_NS 2000000000 /* for a model to return when the daemon is to end */

struct watchdog;

/**
 * watchdog_new() - Start looking
 * @s: and its machine are borrowed until watchdog_free()
 *
 * Return: 0; -ENOMEM; -EMFILE; -EAGAIN the host has no thread to give.
 */
int watchdog_new(struct server *s, struct watchdog **ret_watchdog);

/**
 * watchdog_end() - The daemon ends: wait until no callback is under way
 *
 * Return: true; false after END_NS: one does not return, which is logged, and
 * neither the server nor the machine can be freed.
 */
bool watchdog_end(struct watchdog *w);

/** watchdog_free() - Stop looking; NULL is fine */
struct watchdog *watchdog_free(struct watchdog *w);

#endif

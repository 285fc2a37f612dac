/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's front door: open VFIO files as sockets, a pool of threads that
 * answers requests on them (one at a time per file, different files in
 * parallel), and the release of files nobody holds any more.
 */
#ifndef SOFTVFIO_FRONT_IPC_SERVER_H
#define SOFTVFIO_FRONT_IPC_SERVER_H

#include <stdbool.h>

#include "front/conf.h"

#define SERVER_THREADS	   8  /* started as they are needed */
#define SERVER_THREADS_MAX 64 /* while some wait for models, or for the dead */

struct server;

/**
 * server_new() - Listen and answer
 * @door: path of the socket
 *
 * Return: 0; -errno.
 */
int server_new(const struct front_conf *conf, const char *door,
	       struct server **ret_server);

/**
 * server_stop() - Stop answering; every file is released
 *
 * The watchdog may still look at what is left (front/ipc/stuck.h).
 *
 * Return: true; false a model does not return, and still uses what it has.
 */
bool server_stop(struct server *s);

/** server_free() - Stopped or not; NULL is fine */
struct server *server_free(struct server *s);

const struct front_conf *server_conf(const struct server *s);

#endif

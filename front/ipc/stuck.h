/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A model that does not return must not take the server along. Two things see
 * to that: no more than DEVICE_THREADS serve one device at a time, what comes
 * beyond is parked until one of them is done; and the request whose thread is
 * inside such a model is answered by the watchdog, as hardware that does not
 * answer would.
 */
#ifndef SOFTVFIO_FRONT_IPC_STUCK_H
#define SOFTVFIO_FRONT_IPC_STUCK_H

#include "front/ipc/server.h"

struct call;
struct file;
struct sv_dev;

#ifdef SOFTVFIO_SCHED
#define DEVICE_THREADS 2 /* so that few programs are a crowd */
#else
#define DEVICE_THREADS 4 /* of the pool, for one device */
#endif

struct server_thread;

/** queue_enter() - call_enter() of calls that requests carry */
int queue_enter(struct call *call, const struct sv_dev *dev);

/**
 * queue_park() - What queue_enter() has not let in waits for its turn
 *
 * @t gets another request to go on with.
 *
 * Return: a file whose parked request, now @t's, is to be served after all,
 * with a reference; or NULL.
 */
struct file *queue_park(struct server_thread *t, struct file *f);

/** queue_next() - @t has served its request: the same, about its device */
struct file *queue_next(struct server_thread *t);

/** queues_init() - One for each device of @s. Return: 0; -ENOMEM */
int queues_init(struct server *s);

/** queues_done() - Nobody serves any more: what is parked is dropped */
void queues_done(struct server *s);

/** thread_serves() - @t serves a request of @f from now on */
void thread_serves(struct server_thread *t, struct file *f);

/** thread_served() - It has. Return: whether it is to answer itself */
bool thread_served(struct server_thread *t);

/**
 * server_make_room() - A model is slow: see to it that somebody is idle
 * server_stuck() - One does not return: whoever waits for it gets an answer
 * server_unstuck() - It has: what could not be released may be now
 *
 * Context: the watchdog's thread. They never wait for a model, nor take a lock
 * that is held while one is waited for: such waits end by the watchdog alone.
 * What needs more than that, a front thread does.
 */
void server_make_room(struct server *s);
void server_stuck(struct server *s, struct sv_dev *dev);
void server_unstuck(struct server *s);

#endif

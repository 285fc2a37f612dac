/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads of the daemon. They go through here so that a schedules build
 * (lib/sched.h) can have them take turns.
 */
#ifndef SOFTVFIO_LIB_THREAD_H
#define SOFTVFIO_LIB_THREAD_H

#include <pthread.h>

struct epoll_event;

struct thread {
	pthread_t id;
#ifdef SOFTVFIO_SCHED
	unsigned int slot;
#endif
};

/**
 * thread_start() - Run @fn(@arg) on a thread of its own
 * @name: as ps and gdb show it, cut to 15 characters
 *
 * It is ended with thread_join() or left alone with thread_detach().
 *
 * Context: any thread, any lock. It starts with the caller's signal mask.
 * Return: 0; -EAGAIN the host has no thread to give.
 */
int thread_start(struct thread *t, const char *name, void *(*fn)(void *arg),
		 void *arg);

/** thread_join() - Wait for its end. Context: no lock that it takes is held */
void thread_join(struct thread *t);

/** thread_detach() - Nobody will wait for it */
void thread_detach(struct thread *t);

/**
 * thread_wait_events() - epoll_wait(2) until there is something
 *
 * Context: any thread; no lock that others need to make it happen is held.
 * Return: as epoll_wait(2), never 0.
 */
int thread_wait_events(int epfd, struct epoll_event *events, int max);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What lib/lock.c is made of: the host's locks, or in a schedules build those
 * of threads that take turns (lib/sched.c). Nobody else includes this.
 */
#ifndef SOFTVFIO_LIB_LOCK_IMPL_H
#define SOFTVFIO_LIB_LOCK_IMPL_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "lib/lock.h"

#define NS_PER_S 1000000000

#ifdef SOFTVFIO_SCHED

void impl_lock(struct mutex *m);
bool impl_trylock(struct mutex *m);
void impl_unlock(struct mutex *m);
void impl_read(struct rwlock *l);
bool impl_tryread(struct rwlock *l);
void impl_unread(struct rwlock *l);
void impl_write(struct rwlock *l);
bool impl_trywrite(struct rwlock *l);
void impl_unwrite(struct rwlock *l);
void impl_signal(struct cond *c);
void impl_broadcast(struct cond *c);
void impl_wait(struct cond *c, struct mutex *m);
bool impl_wait_until(struct cond *c, struct mutex *m, uint64_t deadline_ns);
uint64_t impl_clock(void);

/* To have tried in vain was one already. */
static inline void impl_yield(void)
{
}

#else

static inline void impl_lock(struct mutex *m)
{
	pthread_mutex_lock(&m->m);
}

static inline bool impl_trylock(struct mutex *m)
{
	return pthread_mutex_trylock(&m->m) == 0;
}

static inline void impl_unlock(struct mutex *m)
{
	pthread_mutex_unlock(&m->m);
}

static inline void impl_read(struct rwlock *l)
{
	pthread_rwlock_rdlock(&l->l);
}

static inline bool impl_tryread(struct rwlock *l)
{
	return pthread_rwlock_tryrdlock(&l->l) == 0;
}

static inline void impl_unread(struct rwlock *l)
{
	pthread_rwlock_unlock(&l->l);
}

static inline void impl_write(struct rwlock *l)
{
	pthread_rwlock_wrlock(&l->l);
}

static inline bool impl_trywrite(struct rwlock *l)
{
	return pthread_rwlock_trywrlock(&l->l) == 0;
}

static inline void impl_unwrite(struct rwlock *l)
{
	pthread_rwlock_unlock(&l->l);
}

static inline void impl_signal(struct cond *c)
{
	pthread_cond_signal(&c->c);
}

static inline void impl_broadcast(struct cond *c)
{
	pthread_cond_broadcast(&c->c);
}

static inline void impl_wait(struct cond *c, struct mutex *m)
{
	pthread_cond_wait(&c->c, &m->m);
}

static inline bool impl_wait_until(struct cond *c, struct mutex *m,
				   uint64_t deadline_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(deadline_ns / NS_PER_S),
		.tv_nsec = (long)(deadline_ns % NS_PER_S),
	};

	return pthread_cond_timedwait(&c->c, &m->m, &ts) == 0;
}

static inline void impl_yield(void)
{
	sched_yield();
}

static inline uint64_t impl_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

#endif

#endif

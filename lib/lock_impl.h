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
bool impl_lock_until(struct mutex *m, uint64_t deadline_ns);
void impl_unlock(struct mutex *m);
void impl_read(struct rwlock *l);
bool impl_tryread(struct rwlock *l);
bool impl_read_until(struct rwlock *l, uint64_t deadline_ns);
void impl_unread(struct rwlock *l);
void impl_write(struct rwlock *l);
bool impl_trywrite(struct rwlock *l);
bool impl_write_until(struct rwlock *l, uint64_t deadline_ns);
void impl_unwrite(struct rwlock *l);
void impl_signal(struct cond *c);
void impl_broadcast(struct cond *c);
void impl_wait(struct cond *c, struct mutex *m);
bool impl_wait_until(struct cond *c, struct mutex *m, uint64_t deadline_ns);
uint64_t impl_clock(void);

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

static inline uint64_t impl_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

#if defined(__SANITIZE_THREAD__)
#define IMPL_POLLS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IMPL_POLLS 1
#endif
#endif

/* ThreadSanitizer does not know the calls that wait by the monotonic clock. */
#ifdef IMPL_POLLS
#define IMPL_WAIT(try, wait, deadline_ns)                                      \
	do {                                                                   \
		if ((try) == 0)                                                \
			return true;                                           \
		sched_yield();                                                 \
	} while (impl_clock() <= (deadline_ns));                               \
	return false
#else
#define IMPL_WAIT(try, wait, deadline_ns)                                      \
	struct timespec ts = {                                                 \
		.tv_sec = (time_t)((deadline_ns) / NS_PER_S),                  \
		.tv_nsec = (long)((deadline_ns) % NS_PER_S),                   \
	};                                                                     \
	return (wait) == 0
#endif

static inline bool impl_lock_until(struct mutex *m, uint64_t deadline_ns)
{
	IMPL_WAIT(pthread_mutex_trylock(&m->m),
		  pthread_mutex_clocklock(&m->m, CLOCK_MONOTONIC, &ts),
		  deadline_ns);
}

static inline bool impl_read_until(struct rwlock *l, uint64_t deadline_ns)
{
	IMPL_WAIT(pthread_rwlock_tryrdlock(&l->l),
		  pthread_rwlock_clockrdlock(&l->l, CLOCK_MONOTONIC, &ts),
		  deadline_ns);
}

static inline bool impl_write_until(struct rwlock *l, uint64_t deadline_ns)
{
	IMPL_WAIT(pthread_rwlock_trywrlock(&l->l),
		  pthread_rwlock_clockwrlock(&l->l, CLOCK_MONOTONIC, &ts),
		  deadline_ns);
}

#endif

#endif

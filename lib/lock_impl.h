/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What lib/lock.c is made of: the host's locks, or in a schedules build those
 * of threads that take turns (lib/sched.c). Nobody else includes this.
 */
#ifndef SOFTVFIO_LIB_LOCK_IMPL_H
#define SOFTVFIO_LIB_LOCK_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "lib/lock.h"

#define NS_PER_S 1000000000

#define SLICE_NS 100000000 /* of a wait that may turn out to be in vain */

#ifdef SOFTVFIO_SCHED

/* A wait without end is what the scheduler is to see. */
static inline uint64_t impl_slice(void)
{
	return 0;
}

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

static inline uint64_t impl_slice(void)
{
	return impl_clock() + SLICE_NS;
}

/*
 * ThreadSanitizer knows the calls that wait by the clock of the day only: then
 * a wait is as much too long or too short as that clock is set meanwhile.
 */
#if defined(__SANITIZE_THREAD__)
#define IMPL_REALTIME 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IMPL_REALTIME 1
#endif
#endif

#ifdef IMPL_REALTIME
#define IMPL_UNTIL(timed, clocked, lock, ts) timed(lock, ts)
#else
#define IMPL_UNTIL(timed, clocked, lock, ts) clocked(lock, CLOCK_MONOTONIC, ts)
#endif

static inline struct timespec impl_until(uint64_t deadline_ns)
{
#ifdef IMPL_REALTIME
	uint64_t now = impl_clock();
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	deadline_ns = (deadline_ns > now ? deadline_ns - now : 0) +
		      (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
#endif
	return (struct timespec){
		.tv_sec = (time_t)(deadline_ns / NS_PER_S),
		.tv_nsec = (long)(deadline_ns % NS_PER_S),
	};
}

static inline bool impl_lock_until(struct mutex *m, uint64_t deadline_ns)
{
	struct timespec ts = impl_until(deadline_ns);

	return IMPL_UNTIL(pthread_mutex_timedlock, pthread_mutex_clocklock,
			  &m->m, &ts) == 0;
}

static inline bool impl_read_until(struct rwlock *l, uint64_t deadline_ns)
{
	struct timespec ts = impl_until(deadline_ns);

	return IMPL_UNTIL(pthread_rwlock_timedrdlock,
			  pthread_rwlock_clockrdlock, &l->l, &ts) == 0;
}

static inline bool impl_write_until(struct rwlock *l, uint64_t deadline_ns)
{
	struct timespec ts = impl_until(deadline_ns);

	return IMPL_UNTIL(pthread_rwlock_timedwrlock,
			  pthread_rwlock_clockwrlock, &l->l, &ts) == 0;
}

#endif

#endif

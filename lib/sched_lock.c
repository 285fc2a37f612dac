/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Locks, conditions and threads of a schedules build: lib/lock_impl.h and
 * lib/thread.h on top of the scheduler.
 *
 * The host's own locks are taken as well, always by trying: the scheduler
 * decides who may have them, ThreadSanitizer sees who had them.
 */
#ifndef SOFTVFIO_SCHED
#define SOFTVFIO_SCHED /* for whoever only looks at this file */
#endif

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/lock_impl.h"
#include "lib/sched_impl.h"
#include "lib/thread.h"
#include "lib/ticker.h"

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#else
#define __tsan_acquire(p) ((void)(p))
#define __tsan_release(p) ((void)(p))
#endif

/* --- mutexes --- */

/* One wait for a lock. False: what ended it was the deadline; 0 is never. */
static SCHED_UNSEEN bool wait_in_turn(enum sched_wait kind, const void *lock,
				      const char *name, uint64_t deadline)
{
	sched_wait_begin(kind, lock, name, deadline);
	sched_wait_end();
	if (!sched_self->late)
		return true;
	sched_wait_over();
	return false;
}

static SCHED_UNSEEN bool lock_again(struct mutex *m, uint64_t deadline)
{
	while (pthread_mutex_trylock(&m->m))
		if (!wait_in_turn(SCHED_WAIT_LOCK, m, m->name, deadline))
			return false;
	sched_wait_over();
	sched_hold(m, m->name);
	return true;
}

SCHED_UNSEEN void impl_lock(struct mutex *m)
{
	if (!sched_self) {
		pthread_mutex_lock(&m->m);
		return;
	}
	sched_step("lock", m->name);
	lock_again(m, 0);
}

SCHED_UNSEEN bool impl_lock_until(struct mutex *m, uint64_t deadline_ns)
{
	if (!sched_self)
		return pthread_mutex_trylock(&m->m) == 0;
	sched_step("lock until", m->name);
	return lock_again(m, deadline_ns);
}

SCHED_UNSEEN bool impl_trylock(struct mutex *m)
{
	if (!sched_self)
		return pthread_mutex_trylock(&m->m) == 0;
	sched_step("trylock", m->name);
	if (pthread_mutex_trylock(&m->m)) {
		sched_yield_turn();
		return false;
	}
	sched_hold(m, m->name);
	return true;
}

static SCHED_UNSEEN void unlock_only(struct mutex *m)
{
	sched_let_go(m);
	pthread_mutex_unlock(&m->m);
	sched_wake(m);
}

SCHED_UNSEEN void impl_unlock(struct mutex *m)
{
	/* its name, since the lock may be gone when it is our turn again */
	const char *name = m->name;

	if (!sched_self) {
		pthread_mutex_unlock(&m->m);
		return;
	}
	unlock_only(m);
	sched_step("unlocked", name);
}

/* --- read-write locks --- */

static SCHED_UNSEEN bool read_again(struct rwlock *l, uint64_t deadline)
{
	while (sched_waits_to_write(l) || pthread_rwlock_tryrdlock(&l->l))
		if (!wait_in_turn(SCHED_WAIT_READ, l, l->name, deadline))
			return false;
	sched_wait_over();
	sched_hold(l, l->name);
	return true;
}

SCHED_UNSEEN void impl_read(struct rwlock *l)
{
	if (!sched_self) {
		pthread_rwlock_rdlock(&l->l);
		return;
	}
	sched_step("read", l->name);
	read_again(l, 0);
}

SCHED_UNSEEN bool impl_read_until(struct rwlock *l, uint64_t deadline_ns)
{
	if (!sched_self)
		return pthread_rwlock_tryrdlock(&l->l) == 0;
	sched_step("read until", l->name);
	return read_again(l, deadline_ns);
}

SCHED_UNSEEN bool impl_tryread(struct rwlock *l)
{
	if (!sched_self)
		return pthread_rwlock_tryrdlock(&l->l) == 0;
	sched_step("tryread", l->name);
	if (sched_waits_to_write(l) || pthread_rwlock_tryrdlock(&l->l)) {
		sched_yield_turn();
		return false;
	}
	sched_hold(l, l->name);
	return true;
}

static SCHED_UNSEEN bool write_again(struct rwlock *l, uint64_t deadline)
{
	while (pthread_rwlock_trywrlock(&l->l))
		if (!wait_in_turn(SCHED_WAIT_WRITE, l, l->name, deadline)) {
			sched_wake(l); /* readers that stood behind */
			return false;
		}
	sched_wait_over();
	sched_hold(l, l->name);
	return true;
}

SCHED_UNSEEN void impl_write(struct rwlock *l)
{
	if (!sched_self) {
		pthread_rwlock_wrlock(&l->l);
		return;
	}
	sched_step("write", l->name);
	write_again(l, 0);
}

SCHED_UNSEEN bool impl_write_until(struct rwlock *l, uint64_t deadline_ns)
{
	if (!sched_self)
		return pthread_rwlock_trywrlock(&l->l) == 0;
	sched_step("write until", l->name);
	return write_again(l, deadline_ns);
}

SCHED_UNSEEN bool impl_trywrite(struct rwlock *l)
{
	if (!sched_self)
		return pthread_rwlock_trywrlock(&l->l) == 0;
	sched_step("trywrite", l->name);
	if (pthread_rwlock_trywrlock(&l->l)) {
		sched_yield_turn();
		return false;
	}
	sched_hold(l, l->name);
	return true;
}

static SCHED_UNSEEN void rwlock_let_go(struct rwlock *l, const char *where)
{
	const char *name = l->name;

	sched_let_go(l);
	pthread_rwlock_unlock(&l->l);
	sched_wake(l);
	sched_step(where, name);
}

SCHED_UNSEEN void impl_unread(struct rwlock *l)
{
	if (sched_self)
		rwlock_let_go(l, "unread");
	else
		pthread_rwlock_unlock(&l->l);
}

SCHED_UNSEEN void impl_unwrite(struct rwlock *l)
{
	if (sched_self)
		rwlock_let_go(l, "unwritten");
	else
		pthread_rwlock_unlock(&l->l);
}

/* --- conditions --- */

SCHED_UNSEEN void impl_signal(struct cond *c)
{
	if (!sched_self) {
		pthread_cond_signal(&c->c);
		return;
	}
	sched_point("signal");
	sched_wake_one(c);
}

SCHED_UNSEEN void impl_broadcast(struct cond *c)
{
	if (!sched_self) {
		pthread_cond_broadcast(&c->c);
		return;
	}
	sched_point("broadcast");
	sched_wake(c);
}

/* To wait and to let the lock go is one step. True: woken, false: late. */
static SCHED_UNSEEN bool wait_for(struct cond *c, struct mutex *m,
				  uint64_t deadline)
{
	sched_step("wait", m->name);
	sched_wait_begin(SCHED_WAIT_COND, c, m->name, deadline);
	unlock_only(m);
	sched_wait_end();

	bool late = sched_self->late;

	lock_again(m, 0);
	return !late;
}

SCHED_UNSEEN void impl_wait(struct cond *c, struct mutex *m)
{
	if (sched_self)
		wait_for(c, m, 0);
	else
		pthread_cond_wait(&c->c, &m->m);
}

SCHED_UNSEEN bool impl_wait_until(struct cond *c, struct mutex *m,
				  uint64_t deadline_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(deadline_ns / NS_PER_S),
		.tv_nsec = (long)(deadline_ns % NS_PER_S),
	};

	if (sched_self)
		return wait_for(c, m, deadline_ns);
	return pthread_cond_timedwait(&c->c, &m->m, &ts) == 0;
}

SCHED_UNSEEN uint64_t impl_clock(void)
{
	struct timespec ts;

	if (sched_self)
		return sched_now();
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* --- threads --- */

SCHED_UNSEEN void *sched_thread_main(void *arg)
{
	struct sched_thread *t = arg;
	sigset_t none;

	/* whoever has it made may have had signals blocked for one thread */
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	sched_self = t;
	for (;;) {
		sched_park(t);
		__tsan_acquire(t);
		t->fn(t->arg);
		__tsan_release(t);
		sched_ended();
	}
	return NULL;
}

static SCHED_UNSEEN int start_on_host(struct thread *t, void *(*fn)(void *arg),
				      void *arg)
{
	return pthread_create(&t->id, NULL, fn, arg) ? -EAGAIN : 0;
}

SCHED_UNSEEN int thread_start(struct thread *t, const char *name,
			      void *(*fn)(void *arg), void *arg)
{
	if (!sched_self)
		return start_on_host(t, fn, arg);

	struct sched_thread *st = sched_claim(name);

	if (!st)
		return -EAGAIN;
	st->fn = fn;
	st->arg = arg;
	t->slot = (unsigned int)(st - sched_threads);
	__tsan_release(st);
	st->state = SCHED_READY;
	sched_step("start", name);
	return 0;
}

SCHED_UNSEEN void thread_join(struct thread *t)
{
	if (!sched_self) {
		pthread_join(t->id, NULL);
		return;
	}

	struct sched_thread *st = &sched_threads[t->slot];

	sched_step("join", st->name);
	while (st->state != SCHED_ENDED) {
		sched_wait_begin(SCHED_WAIT_THREAD, st, st->name, 0);
		sched_wait_end();
	}
	__tsan_acquire(st);
	st->state = SCHED_FREE;
}

SCHED_UNSEEN void thread_detach(struct thread *t)
{
	if (!sched_self) {
		pthread_detach(t->id);
		return;
	}

	struct sched_thread *st = &sched_threads[t->slot];

	st->detached = true;
	if (st->state == SCHED_ENDED)
		st->state = SCHED_FREE;
}

SCHED_UNSEEN int thread_wait_events(int epfd, struct epoll_event *events,
				    int max)
{
	int n = 0;

	if (!sched_self)
		return epoll_wait(epfd, events, max, -1);
	while (!n) {
		sched_wait_readable(epfd, "events");
		n = epoll_wait(epfd, events, max, 0);
	}
	return n;
}

/* --- tickers --- */

SCHED_UNSEEN int ticker_new(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

SCHED_UNSEEN void ticker_set(int fd, uint64_t period_ns)
{
	if (sched_self)
		sched_tick(fd, period_ns);
}

SCHED_UNSEEN void ticker_free(int fd)
{
	if (fd < 0)
		return;
	ticker_set(fd, 0);
	close(fd);
}

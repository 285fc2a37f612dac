/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * With SOFTVFIO_LOCK_RANKS every thread keeps a short stack of the locks it
 * holds. A blocking acquire checks that the new rank is above the highest one
 * held; two locks of one rank are therefore never held together, except by
 * trylock. Locks may be released in any order.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/lock_impl.h"

#ifdef SOFTVFIO_LOCK_RANKS

#define HELD_MAX 800 /* a hot reset: three of each function of a bus */

struct held {
	const void *lock;
	const char *name;
	enum lock_rank rank;
};

static __thread struct held held[HELD_MAX];
static __thread unsigned int n_held;

static void rank_check(enum lock_rank rank, const char *name)
{
	for (unsigned int i = 0; i < n_held; i++) {
		if (held[i].rank < rank)
			continue;
		fprintf(stderr,
			"lock order: %s (rank %d) taken while holding %s "
			"(rank %d)\n",
			name, rank, held[i].name, held[i].rank);
		abort();
	}
}

static void rank_push(const void *lock, enum lock_rank rank, const char *name)
{
	assert(n_held < HELD_MAX);
	held[n_held++] = (struct held){lock, name, rank};
}

static void rank_pop(const void *lock)
{
	for (unsigned int i = n_held; i-- > 0;) {
		if (held[i].lock != lock)
			continue;
		for (n_held--; i < n_held; i++)
			held[i] = held[i + 1];
		return;
	}
	assert(!"releasing a lock this thread does not hold");
}

void lock_assert_none_held(const char *where)
{
	if (!n_held)
		return;
	fprintf(stderr, "%s: entered while holding %s\n", where, held[0].name);
	abort();
}

#else

static void rank_check(enum lock_rank rank, const char *name)
{
	(void)rank;
	(void)name;
}

static void rank_push(const void *lock, enum lock_rank rank, const char *name)
{
	(void)lock;
	(void)rank;
	(void)name;
}

static void rank_pop(const void *lock)
{
	(void)lock;
}

void lock_assert_none_held(const char *where)
{
	(void)where;
}

#endif

/* The bodies below are what the analysis takes the annotations' word for. */

void mutex_init(struct mutex *m, enum lock_rank rank, const char *name)
{
	pthread_mutex_init(&m->m, NULL);
	m->rank = rank;
	m->name = name;
}

void mutex_done(struct mutex *m)
{
	pthread_mutex_destroy(&m->m);
}

void NO_TSA mutex_lock(struct mutex *m)
{
	rank_check(m->rank, m->name);
	impl_lock(m);
	rank_push(m, m->rank, m->name);
}

bool NO_TSA mutex_trylock(struct mutex *m)
{
	if (!impl_trylock(m))
		return false;
	rank_push(m, m->rank, m->name);
	return true;
}

void NO_TSA mutex_unlock(struct mutex *m)
{
	rank_pop(m);
	impl_unlock(m);
}

bool NO_TSA mutex_lock_until(struct mutex *m, uint64_t deadline_ns)
{
	if (!impl_lock_until(m, deadline_ns))
		return false;
	rank_push(m, m->rank, m->name);
	return true;
}

bool NO_TSA mutex_lock_while(struct mutex *m, lock_wait_fn wait, void *arg)
{
	rank_check(m->rank, m->name);
	for (bool got = impl_trylock(m); !got;
	     got = impl_lock_until(m, impl_slice()))
		if (!wait(arg))
			return false;
	rank_push(m, m->rank, m->name);
	return true;
}

void rwlock_init(struct rwlock *l, enum lock_rank rank, const char *name)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(
		&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&l->l, &attr);
	pthread_rwlockattr_destroy(&attr);
	l->rank = rank;
	l->name = name;
}

void rwlock_done(struct rwlock *l)
{
	pthread_rwlock_destroy(&l->l);
}

void NO_TSA rwlock_read(struct rwlock *l)
{
	rank_check(l->rank, l->name);
	impl_read(l);
	rank_push(l, l->rank, l->name);
}

bool NO_TSA rwlock_tryread(struct rwlock *l)
{
	if (!impl_tryread(l))
		return false;
	rank_push(l, l->rank, l->name);
	return true;
}

bool NO_TSA rwlock_read_until(struct rwlock *l, uint64_t deadline_ns)
{
	if (!impl_read_until(l, deadline_ns))
		return false;
	rank_push(l, l->rank, l->name);
	return true;
}

bool NO_TSA rwlock_read_while(struct rwlock *l, lock_wait_fn wait, void *arg)
{
	rank_check(l->rank, l->name);
	for (bool got = impl_tryread(l); !got;
	     got = impl_read_until(l, impl_slice()))
		if (!wait(arg))
			return false;
	rank_push(l, l->rank, l->name);
	return true;
}

void NO_TSA rwlock_unread(struct rwlock *l)
{
	rank_pop(l);
	impl_unread(l);
}

void NO_TSA rwlock_write(struct rwlock *l)
{
	rank_check(l->rank, l->name);
	impl_write(l);
	rank_push(l, l->rank, l->name);
}

bool NO_TSA rwlock_trywrite(struct rwlock *l)
{
	if (!impl_trywrite(l))
		return false;
	rank_push(l, l->rank, l->name);
	return true;
}

bool NO_TSA rwlock_write_while(struct rwlock *l, lock_wait_fn wait, void *arg)
{
	rank_check(l->rank, l->name);
	for (bool got = impl_trywrite(l); !got;
	     got = impl_write_until(l, impl_slice()))
		if (!wait(arg))
			return false;
	rank_push(l, l->rank, l->name);
	return true;
}

void NO_TSA rwlock_unwrite(struct rwlock *l)
{
	rank_pop(l);
	impl_unwrite(l);
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->c, &attr);
	pthread_condattr_destroy(&attr);
}

void cond_done(struct cond *c)
{
	pthread_cond_destroy(&c->c);
}

void cond_signal(struct cond *c)
{
	impl_signal(c);
}

void cond_broadcast(struct cond *c)
{
	impl_broadcast(c);
}

void NO_TSA cond_wait(struct cond *c, struct mutex *m)
{
	impl_wait(c, m);
}

bool NO_TSA cond_wait_until(struct cond *c, struct mutex *m,
			    uint64_t deadline_ns)
{
	return impl_wait_until(c, m, deadline_ns);
}

bool NO_TSA cond_wait_while(struct cond *c, struct mutex *m, lock_wait_fn wait,
			    void *arg)
{
	return impl_wait_until(c, m, impl_slice()) || wait(arg);
}

uint64_t clock_ns(void)
{
	return impl_clock();
}

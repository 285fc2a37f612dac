/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the scheduler (sched.c) and the locks and threads made on it
 * (sched_lock.c) share. Nobody else includes this.
 */
#ifndef SOFTVFIO_LIB_SCHED_IMPL_H
#define SOFTVFIO_LIB_SCHED_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/sched.h"

/*
 * ThreadSanitizer must not see that threads take turns, or it would take that
 * for what keeps them from each other's data.
 */
#define SCHED_UNSEEN __attribute__((no_sanitize("thread")))

#define SCHED_THREADS 24 /* at a time, the first included */
#define SCHED_HELD    16 /* locks of one thread */

enum sched_state {
	SCHED_FREE,  /* nobody's, or parked for the next to start */
	SCHED_READY, /* may go on */
	SCHED_WAITS, /* until sched_wake() of what it waits for, or a deadline */
	SCHED_ENDED, /* to be joined */
};

enum sched_wait {
	SCHED_WAIT_LOCK,
	SCHED_WAIT_READ,
	SCHED_WAIT_WRITE,
	SCHED_WAIT_COND,
	SCHED_WAIT_THREAD,
	SCHED_WAIT_FD, /* nobody wakes it: the host is asked */
};

struct sched_held {
	const void *lock;
	const char *name;
};

struct sched_thread {
	pthread_t real;
	bool made;	      /* there is a thread of the host's behind it */
	volatile uint32_t go; /* futex: its turn has come */
	enum sched_state state;
	int64_t prio; /* of those that are ready the highest goes */
	bool detached;
	const char *name;
	void *(*fn)(void *arg);
	void *arg;

	const char *point; /* where it was last seen, and at what */
	const char *object;
	const void *on; /* while it waits */
	int fd;
	bool readable; /* when the host was asked last */
	enum sched_wait kind;
	uint64_t deadline; /* 0: none */
	bool late;	   /* what ended the wait was the deadline */
	struct sched_held held[SCHED_HELD];
	unsigned int n_held;
};

extern struct sched_thread sched_threads[SCHED_THREADS];
extern __thread struct sched_thread *sched_self; /* NULL: not one of ours */

/** sched_step() - A point with the object it is about */
void sched_step(const char *where, const char *object);

/** sched_yield_turn() - Tried in vain: the others first, and time passes */
void sched_yield_turn(void);

/** sched_wait_begin() - This thread is not ready any more */
void sched_wait_begin(enum sched_wait kind, const void *on, const char *name,
		      uint64_t deadline);

/** sched_wait_end() - Have others go on; return once it is ready again */
void sched_wait_end(void);

/** sched_wait_over() - It has what it waited for, and is in no queue */
void sched_wait_over(void);

/** sched_wake() - Whoever waits for @on is ready, and looks again */
void sched_wake(const void *on);

/** sched_wake_one() - One of those that wait for @on, the seed says which */
void sched_wake_one(const void *on);

/** sched_waits_to_write() - Is there a thread that waits to write @on? */
bool sched_waits_to_write(const void *on);

/** sched_hold(), sched_let_go() - What the report says it holds */
void sched_hold(const void *lock, const char *name);
void sched_let_go(const void *lock);

/** sched_now() - The schedule's time in ns; it passes with each step */
uint64_t sched_now(void);

/** sched_tick() - Write to @fd every @period ns of that time; 0: no more */
void sched_tick(int fd, uint64_t period);

/** sched_claim() - A slot with a parked thread behind it; NULL: no more */
struct sched_thread *sched_claim(const char *name);

/** sched_ended() - The calling thread has done what it was started for */
void sched_ended(void);

/** sched_park() - Until it is this thread's turn */
void sched_park(struct sched_thread *t);

/** sched_thread_main() - What a parked thread does: sched_lock.c */
void *sched_thread_main(void *arg);

#endif

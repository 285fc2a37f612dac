/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * After work the thread looks again at once, for SPIN_NS, since a busy
 * program's next doorbell is a microsecond away. Then it sleeps an eighth of
 * the time it has been idle, at most SLEEP_MAX_NS: so waiting costs a program
 * at most an eighth of its own think time, and an idle device costs a wake-up
 * every SLEEP_MAX_NS (0.1 % of a core). On a machine with one core it never
 * spins, since it would be spinning against the very program it waits for. A
 * device that is not polled sleeps until it is kicked.
 */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/devthread.h"
#include "lib/lock.h"
#include "lib/sched.h"
#include "lib/thread.h"

#define SPIN_NS	     20000
#define SLEEP_MAX_NS 80000000

struct devthread {
	/* immutable */
	bool (*run)(void *opaque);
	void *opaque;
	bool polled;
	bool spins; /* set by start */

	struct thread thread;
	bool running; /* owner of start and stop */
	_Atomic bool kicked;
	_Atomic bool stop;
	struct mutex lock; /* nothing but the sleep itself */
	struct cond wake;
};

int devthread_new(bool (*run)(void *opaque), void *opaque, bool polled,
		  struct devthread **ret_thread)
{
	struct devthread *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->run = run;
	t->opaque = opaque;
	t->polled = polled;
	mutex_init(&t->lock, RANK_THREAD, "devthread");
	cond_init(&t->wake);
	*ret_thread = t;
	return 0;
}

struct devthread *devthread_free(struct devthread *t)
{
	if (!t)
		return NULL;
	cond_done(&t->wake);
	mutex_done(&t->lock);
	free(t);
	return NULL;
}

static bool devthread_wanted(struct devthread *t)
{
	return atomic_load(&t->stop) || atomic_load(&t->kicked);
}

static void devthread_sleep(struct devthread *t, uint64_t until_ns)
{
	mutex_lock(&t->lock);
	while (!devthread_wanted(t)) {
		if (!until_ns)
			cond_wait(&t->wake, &t->lock);
		else if (!cond_wait_until(&t->wake, &t->lock, until_ns))
			break;
	}
	mutex_unlock(&t->lock);
}

/* Nothing to do since @idle_since: wait as long as the time suggests. */
static void devthread_rest(struct devthread *t, uint64_t idle_since)
{
	uint64_t now = clock_ns();
	uint64_t idle = now - idle_since;

	if (!t->polled) {
		devthread_sleep(t, 0);
	} else if (t->spins && idle < SPIN_NS) {
		__builtin_ia32_pause();
	} else {
		uint64_t nap = idle / 8;

		devthread_sleep(
			t, now + (nap < SLEEP_MAX_NS ? nap : SLEEP_MAX_NS));
	}
}

static void *devthread_main(void *arg)
{
	struct devthread *t = arg;
	uint64_t idle_since = clock_ns();

	prctl(PR_SET_TIMERSLACK, 1000ul);
	while (!atomic_load(&t->stop)) {
		sched_point("device thread");
		bool kicked = atomic_exchange(&t->kicked, false);

		if (t->run(t->opaque) || kicked)
			idle_since = clock_ns();
		else
			devthread_rest(t, idle_since);
	}
	return NULL;
}

int devthread_start(struct devthread *t, const char *name)
{
	atomic_store(&t->stop, false);
	t->spins = sysconf(_SC_NPROCESSORS_ONLN) > 1;

	int r = thread_start(&t->thread, name, devthread_main, t);

	t->running = r == 0;
	return r;
}

static void devthread_wake(struct devthread *t)
{
	/* the lock orders this with the sleeper's last look */
	mutex_lock(&t->lock);
	cond_signal(&t->wake);
	mutex_unlock(&t->lock);
}

void devthread_stop(struct devthread *t)
{
	if (!t->running)
		return;
	atomic_store(&t->stop, true);
	sched_point("stop device thread");
	devthread_wake(t);
	thread_join(&t->thread);
	t->running = false;
}

void devthread_kick(struct devthread *t)
{
	sched_point("kick");
	if (!atomic_exchange(&t->kicked, true))
		devthread_wake(t);
}

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

#include "core/pci/devthread.h"
#include "lib/lock.h"
#include "lib/refuse.h"
#include "lib/sched.h"
#include "lib/thread.h"

#define SPIN_NS	     20000
#define SLEEP_MAX_NS 80000000

struct devthread {
	/* immutable */
	const struct devthread_ops *ops;
	void *opaque;
	bool polled;
	bool spins; /* set by start */

	struct thread thread;
	bool running; /* owner of start and stop */
	_Atomic bool kicked;
	_Atomic bool stop;
	struct mutex lock; /* the sleep itself, and the fields below */
	struct cond wake;
	struct cond news;      /* one of them has changed */
	bool begun;	       /* first() has returned */
	bool alive;	       /* last() has not */
	int (*job)(void *arg); /* NULL: none */
	void *job_arg;
	bool job_begun;
	bool job_left; /* by whoever asked for it */
	bool job_done; /* and whoever asked has not seen it */
	int job_result;
	char refusal[REFUSAL_MAX];
};

int devthread_new(const struct devthread_ops *ops, void *opaque, bool polled,
		  struct devthread **ret_thread)
{
	struct devthread *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->ops = ops;
	t->opaque = opaque;
	t->polled = polled;
	mutex_init(&t->lock, RANK_THREAD, "devthread");
	cond_init(&t->wake);
	cond_init(&t->news);
	*ret_thread = t;
	return 0;
}

struct devthread *devthread_free(struct devthread *t)
{
	if (!t)
		return NULL;
	cond_done(&t->news);
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
	uint64_t now = clock_ns(), due = t->ops->due(t->opaque);
	uint64_t idle = now - idle_since;

	if (!t->polled) {
		devthread_sleep(t, due);
	} else if (t->spins && idle < SPIN_NS) {
		__builtin_ia32_pause();
	} else {
		uint64_t nap =
			idle / 8 < SLEEP_MAX_NS ? idle / 8 : SLEEP_MAX_NS;

		devthread_sleep(t, due && due < now + nap ? due : now + nap);
	}
}

static void devthread_say(struct devthread *t, bool *what, bool value)
{
	mutex_lock(&t->lock);
	*what = value;
	cond_broadcast(&t->news);
	mutex_unlock(&t->lock);
}

static int (*take_job(struct devthread *t, void **ret_arg))(void *arg)
{
	mutex_lock(&t->lock);
	int (*job)(void *arg) = t->job_done ? NULL : t->job;

	t->job_begun = job;
	*ret_arg = t->job_arg;
	mutex_unlock(&t->lock);
	return job;
}

/* Whoever asked may have gone: then its place is free again. */
static void finish_job(struct devthread *t, int result)
{
	mutex_lock(&t->lock);
	t->job_result = result;
	if (refusal_take(t->refusal) != -result)
		t->refusal[0] = '\0';
	t->job_begun = false;
	if (t->job_left)
		t->job = NULL;
	else
		t->job_done = true;
	t->job_left = false;
	cond_broadcast(&t->news);
	mutex_unlock(&t->lock);
}

static void do_job(struct devthread *t)
{
	void *arg;
	int (*job)(void *arg) = take_job(t, &arg);

	if (job)
		finish_job(t, job(arg));
}

static void devthread_work(struct devthread *t)
{
	uint64_t idle_since = clock_ns();

	while (!atomic_load(&t->stop)) {
		sched_point("device thread");
		bool kicked = atomic_exchange(&t->kicked, false);

		if (kicked)
			do_job(t);
		if (t->ops->run(t->opaque) || kicked)
			idle_since = clock_ns();
		else
			devthread_rest(t, idle_since);
	}
}

static void *devthread_main(void *arg)
{
	struct devthread *t = arg;

	prctl(PR_SET_TIMERSLACK, 1000ul);
	t->ops->first(t->opaque);
	devthread_say(t, &t->begun, true);
	devthread_work(t);
	t->ops->last(t->opaque);
	devthread_say(t, &t->alive, false);
	return NULL;
}

/* False: it is not worth waiting any more. */
static bool devthread_wait(struct devthread *t) REQUIRES(&t->lock)
{
	return cond_wait_while(&t->news, &t->lock, t->ops->waits, t->opaque);
}

static int wait_begun(struct devthread *t)
{
	bool waits = true;

	mutex_lock(&t->lock);
	while (!t->begun && waits)
		waits = devthread_wait(t);
	int r = t->begun ? 0 : -ETIMEDOUT;

	mutex_unlock(&t->lock);
	return r;
}

/* Others may ask it for something before it is there, or after. */
static void set_alive(struct devthread *t, bool alive)
{
	mutex_lock(&t->lock);
	t->begun = false;
	t->alive = alive;
	if (!alive)
		cond_broadcast(&t->news);
	mutex_unlock(&t->lock);
}

int devthread_start(struct devthread *t, const char *name)
{
	atomic_store(&t->stop, false);
	t->spins = sysconf(_SC_NPROCESSORS_ONLN) > 1;
	set_alive(t, true);

	int r = thread_start(&t->thread, name, devthread_main, t);

	t->running = r == 0;
	if (r < 0)
		set_alive(t, false);
	return r < 0 ? r : wait_begun(t);
}

static void devthread_wake(struct devthread *t)
{
	/* the lock orders this with the sleeper's last look */
	mutex_lock(&t->lock);
	cond_signal(&t->wake);
	mutex_unlock(&t->lock);
}

static int wait_ended(struct devthread *t)
{
	bool waits = true;

	mutex_lock(&t->lock);
	while (t->alive && waits)
		waits = devthread_wait(t);
	int r = t->alive ? -ETIMEDOUT : 0;

	mutex_unlock(&t->lock);
	return r;
}

int devthread_stop(struct devthread *t)
{
	if (!t->running)
		return 0;
	atomic_store(&t->stop, true);
	sched_point("stop device thread");
	devthread_wake(t);

	int r = wait_ended(t);

	if (r < 0)
		return r;
	thread_join(&t->thread);
	t->running = false;
	return 0;
}

void devthread_kick(struct devthread *t)
{
	sched_point("kick");
	if (!atomic_exchange(&t->kicked, true))
		devthread_wake(t);
}

/* How long somebody waits for a job; NULL: as long as it is worth it. */
struct patience {
	uint64_t begin_ns;
	uint64_t end_ns;
};

static bool wait_for_job(struct devthread *t, const struct patience *p,
			 bool begun) REQUIRES(&t->lock)
{
	if (!p)
		return devthread_wait(t);
	return cond_wait_until(&t->news, &t->lock,
			       begun ? p->end_ns : p->begin_ns);
}

/* One at a time: whoever asks waits for the place. */
static bool post_job(struct devthread *t, int (*fn)(void *arg), void *arg,
		     const struct patience *p) REQUIRES(&t->lock)
{
	while (t->alive && t->job)
		if (!wait_for_job(t, p, false))
			return false;
	if (!t->alive)
		return true;
	t->job = fn;
	t->job_arg = arg;
	atomic_store(&t->kicked, true);
	cond_signal(&t->wake);
	return true;
}

/* What is not begun yet is taken back. */
static int leave_job(struct devthread *t) REQUIRES(&t->lock)
{
	t->job_left = t->job_begun;
	if (t->job_begun)
		return -EINPROGRESS;
	t->job = NULL;
	cond_broadcast(&t->news);
	return -ETIMEDOUT;
}

/* @ret_ours: the thread has ended without a look at it. */
static int await_job(struct devthread *t, const struct patience *p,
		     bool *ret_ours) REQUIRES(&t->lock)
{
	while (!t->job_done && t->alive)
		if (!wait_for_job(t, p, t->job_begun) && !t->job_done &&
		    t->alive)
			return leave_job(t);
	*ret_ours = !t->job_done;
	t->job_done = false;
	t->job = NULL;
	cond_broadcast(&t->news);
	if (!*ret_ours && t->job_result < 0 && t->refusal[0])
		return refuse(-t->job_result, "%s", t->refusal);
	return t->job_result;
}

static int ask(struct devthread *t, int (*fn)(void *arg), void *arg,
	       const struct patience *p, bool *ret_ours)
{
	int r = -ETIMEDOUT;

	mutex_lock(&t->lock);
	*ret_ours = false;
	if (post_job(t, fn, arg, p)) {
		*ret_ours = !t->alive;
		if (t->alive)
			r = await_job(t, p, ret_ours);
	}
	mutex_unlock(&t->lock);
	return r;
}

int devthread_do(struct devthread *t, int (*fn)(void *opaque))
{
	bool ours;
	int r = ask(t, fn, t->opaque, NULL, &ours);

	if (ours)
		return fn(t->opaque);
	return r == -EINPROGRESS ? -ETIMEDOUT : r;
}

int devthread_do_until(struct devthread *t, int (*fn)(void *arg), void *arg,
		       uint64_t begin_ns, uint64_t end_ns)
{
	const struct patience p = {begin_ns, end_ns};
	bool ours;
	int r = ask(t, fn, arg, &p, &ours);

	return ours ? -ETIMEDOUT : r;
}

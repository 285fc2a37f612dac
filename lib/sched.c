/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * Every thread of a schedule is a thread of the host's that sleeps on a futex
 * of its own unless it is its turn. Whoever runs decides at each step who goes
 * on, wakes that one and goes to sleep; nothing here needs a lock, since only
 * one of them ever runs.
 *
 * Who goes on is PCT's choice for three seeds in four (Burckhardt et al., "A
 * Randomized Scheduler with Probabilistic Guarantees of Finding Bugs"): each
 * thread has a random priority, the highest that is ready runs, and at a few
 * steps, chosen beforehand, the running thread's falls below all others. A bug
 * that needs d orderings is found with d - 1 such changes, and runs between
 * them are long, so a schedule has few switches and costs little. The fourth
 * seed tosses a coin at each step, which is better at long ping-pong.
 *
 * A thread that tries something in vain (trylock, so as to try again) falls
 * behind all others, or it would run for ever.
 *
 * Host threads stay when what they ran has ended, and wait for the next.
 */
#ifndef SOFTVFIO_SCHED
#define SOFTVFIO_SCHED /* for whoever only looks at this file */
#endif

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/sched_impl.h"

#define STEPS_MAX    200000 /* of a schedule: more, and it has no end */
#define CHANGES_MAX  16
#define LAST_MAX     48 /* steps a report shows */
#define TICKERS_MAX  4
#define JUMPS_MAX    4 /* of time, for somebody to go on */
#define TIME_0	     1000000000
#define STEP_NS	     1000    /* how long a step takes, in the schedule's time */
#define IN_VAIN_NS   1000000 /* and one that was in vain */
#define EARLY	     128     /* one step in so many ends a timed wait early */
#define PRIO_INITIAL (INT64_C(1) << 40)

struct sched_thread sched_threads[SCHED_THREADS];
__thread struct sched_thread *sched_self;

struct step {
	const struct sched_thread *thread;
	const char *where;
	const char *object;
};

struct ticker {
	int fd;
	uint64_t period; /* 0: nobody's */
	uint64_t next;
};

static struct {
	struct sched_conf conf;
	struct sched_result result;
	uint64_t random;
	uint64_t now;
	bool racing;
	uint64_t news;	/* counts what may have changed a descriptor */
	uint64_t asked; /* as far as the host was asked about it */
	bool coin;	/* no priorities: any ready thread at each step */
	unsigned int change_at[CHANGES_MAX];
	unsigned int n_changes;
	int64_t lowest; /* falls with each thread that falls behind all */
	struct ticker ticker[TICKERS_MAX];
	unsigned int all_steps;
	struct step last[LAST_MAX];
} run;

/* --- chance --- */

/* splitmix64 */
SCHED_UNSEEN uint64_t sched_random(void)
{
	uint64_t z = (run.random += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static SCHED_UNSEEN unsigned int below(unsigned int n)
{
	return (unsigned int)(sched_random() % n);
}

/* --- reports --- */

static const char *const wait_text[] = {
	[SCHED_WAIT_LOCK] = "waits for",
	[SCHED_WAIT_READ] = "waits to read",
	[SCHED_WAIT_WRITE] = "waits to write",
	[SCHED_WAIT_COND] = "waits for a condition with",
	[SCHED_WAIT_THREAD] = "waits for the end of",
	[SCHED_WAIT_FD] = "waits for something on",
};

static SCHED_UNSEEN void print_thread(const struct sched_thread *t)
{
	printf("#   %-12s ", t->name);
	if (t->state == SCHED_WAITS)
		printf("%s %s", wait_text[t->kind], t->object);
	else
		printf("at: %s %s", t->point ? t->point : "start",
		       t->object ? t->object : "");
	for (unsigned int i = 0; i < t->n_held; i++)
		printf("%s%s", i ? ", " : "; holds ", t->held[i].name);
	printf("\n");
}

static SCHED_UNSEEN void print_last(void)
{
	unsigned int n = run.all_steps;
	unsigned int from = n > LAST_MAX ? n - LAST_MAX : 0;

	printf("# its last steps:\n");
	for (unsigned int i = from; i < n; i++) {
		const struct step *s = &run.last[i % LAST_MAX];

		printf("#   %-12s %s %s\n", s->thread->name, s->where,
		       s->object ? s->object : "");
	}
}

SCHED_UNSEEN void sched_fail(const char *fmt, ...)
{
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n# in schedule %llu of %s, step %u, thread %s; "
	       "SOFTVFIO_SEED=%llu runs it again\n",
	       (unsigned long long)run.conf.seed, run.conf.name,
	       run.result.steps, sched_self ? sched_self->name : "?",
	       (unsigned long long)run.conf.seed);
	for (unsigned int i = 0; i < SCHED_THREADS; i++)
		if (sched_threads[i].state != SCHED_FREE)
			print_thread(&sched_threads[i]);
	print_last();
	fflush(stdout);
	_exit(1);
}

/* --- turns --- */

static SCHED_UNSEEN void futex(volatile uint32_t *word, int op, uint32_t val)
{
	syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, val, NULL, NULL, 0);
}

SCHED_UNSEEN void sched_park(struct sched_thread *t)
{
	while (!t->go)
		futex(&t->go, FUTEX_WAIT, 0);
	t->go = 0;
}

static SCHED_UNSEEN void release(struct sched_thread *t)
{
	t->go = 1;
	futex(&t->go, FUTEX_WAKE, 1);
}

/*
 * To ask costs more than a step. What makes a descriptor readable is a system
 * call, so the host is asked after each point that stands for one, not after
 * each lock: a little late, as on a host that is busy. And not through libc:
 * ThreadSanitizer would see threads meet here.
 */
static SCHED_UNSEEN void ask_host(void)
{
	struct pollfd p[SCHED_THREADS];
	struct sched_thread *waits[SCHED_THREADS];
	unsigned int n = 0;

	for (unsigned int i = 0; i < SCHED_THREADS; i++) {
		struct sched_thread *t = &sched_threads[i];

		if (t->state != SCHED_WAITS || t->kind != SCHED_WAIT_FD)
			continue;
		waits[n] = t;
		p[n++] = (struct pollfd){.fd = t->fd, .events = POLLIN};
	}
	if (n)
		syscall(SYS_poll, p, n, 0);
	for (unsigned int i = 0; i < n; i++)
		waits[i]->readable = p[i].revents;
	run.asked = run.news;
}

static SCHED_UNSEEN bool can_go(const struct sched_thread *t)
{
	if (t->state == SCHED_WAITS && t->kind == SCHED_WAIT_FD)
		return t->readable;
	return t->state == SCHED_READY;
}

static SCHED_UNSEEN struct sched_thread *ready_random(void)
{
	struct sched_thread *ready[SCHED_THREADS];
	unsigned int n = 0;

	for (unsigned int i = 0; i < SCHED_THREADS; i++)
		if (can_go(&sched_threads[i]))
			ready[n++] = &sched_threads[i];
	return n ? ready[below(n)] : NULL;
}

static SCHED_UNSEEN struct sched_thread *ready_highest(void)
{
	struct sched_thread *best = NULL;

	for (unsigned int i = 0; i < SCHED_THREADS; i++) {
		struct sched_thread *t = &sched_threads[i];

		if ((!best || t->prio > best->prio) && can_go(t))
			best = t;
	}
	return best;
}

/* The timed wait that ends first; NULL: nobody waits like that. */
static SCHED_UNSEEN struct sched_thread *first_deadline(void)
{
	struct sched_thread *first = NULL;

	for (unsigned int i = 0; i < SCHED_THREADS; i++) {
		struct sched_thread *t = &sched_threads[i];

		if (t->state == SCHED_WAITS && t->deadline &&
		    (!first || t->deadline < first->deadline))
			first = t;
	}
	return first;
}

static SCHED_UNSEEN void end_late(struct sched_thread *t)
{
	if (run.now < t->deadline)
		run.now = t->deadline;
	t->late = true;
	t->state = SCHED_READY;
}

static SCHED_UNSEEN void tick(struct ticker *t)
{
	uint64_t one = 1;

	if (run.now < t->next)
		run.now = t->next;
	t->next = run.now + t->period;
	syscall(SYS_write, t->fd, &one, sizeof(one));
	run.news++;
}

/* The ticker that is next; NULL: none is on. */
static SCHED_UNSEEN struct ticker *first_ticker(void)
{
	struct ticker *first = NULL;

	for (unsigned int i = 0; i < TICKERS_MAX; i++)
		if (run.ticker[i].period &&
		    (!first || run.ticker[i].next < first->next))
			first = &run.ticker[i];
	return first;
}

SCHED_UNSEEN void sched_tick(int fd, uint64_t period)
{
	struct ticker *t = run.ticker;

	while (t < run.ticker + TICKERS_MAX && t->period && t->fd != fd)
		t++;
	sched_expect(t < run.ticker + TICKERS_MAX, "too many tickers");
	*t = (struct ticker){fd, period, run.now + period};
}

static SCHED_UNSEEN bool is_due(uint64_t when)
{
	return run.now >= when ||
	       (run.racing && run.conf.timeouts && !below(EARLY));
}

/* What is due by the clock, or, if the schedule may, before. */
static SCHED_UNSEEN void pass_time(void)
{
	struct sched_thread *late = first_deadline();
	struct ticker *ticker = first_ticker();

	if (late && is_due(late->deadline))
		end_late(late);
	if (ticker && is_due(ticker->next))
		tick(ticker);
}

/* Nobody can go on: what comes first by the clock is due now. */
static SCHED_UNSEEN void jump(void)
{
	struct sched_thread *late = first_deadline();
	struct ticker *ticker = first_ticker();

	if (late && (!ticker || late->deadline <= ticker->next))
		end_late(late);
	else if (ticker)
		tick(ticker);
	else
		sched_fail("deadlock");
}

static SCHED_UNSEEN struct sched_thread *choose_now(void)
{
	if (run.asked != run.news)
		ask_host();
	return run.racing && run.coin ? ready_random() : ready_highest();
}

/* @stay: out of a race, only somebody that must gives its turn away */
static SCHED_UNSEEN struct sched_thread *choose(bool stay)
{
	pass_time();
	if (!run.racing && stay && sched_self->state == SCHED_READY)
		return sched_self;

	struct sched_thread *t = choose_now();

	if (!t) {
		run.news++;
		t = choose_now();
	}
	for (unsigned int n = 0; !t; t = choose_now()) {
		if (++n > JUMPS_MAX)
			sched_fail("deadlock");
		jump();
	}
	t->state = SCHED_READY;
	return t;
}

static SCHED_UNSEEN void print_switch(const struct sched_thread *to)
{
	fprintf(stderr, "%6u %-12s %s %s -> %s\n", run.result.steps,
		sched_self->name, sched_self->point ? sched_self->point : "",
		sched_self->object ? sched_self->object : "", to->name);
}

static SCHED_UNSEEN void hand_over(struct sched_thread *to)
{
	run.result.switches++;
	if (run.conf.verbose)
		print_switch(to);
	release(to);
}

static SCHED_UNSEEN void take_turns(bool stay)
{
	struct sched_thread *next = choose(stay);

	if (next == sched_self)
		return;
	hand_over(next);
	sched_park(sched_self);
}

/* --- steps --- */

static SCHED_UNSEEN void hash(const char *text)
{
	while (text && *text)
		run.result.trace = (run.result.trace ^ (unsigned char)*text++) *
				   0x100000001b3ull; /* FNV-1a */
}

static SCHED_UNSEEN void record(const char *where, const char *object)
{
	struct step *s = &run.last[run.all_steps++ % LAST_MAX];

	*s = (struct step){sched_self, where, object};
	sched_self->point = where;
	sched_self->object = object;
	if (run.all_steps > STEPS_MAX)
		sched_fail("%u steps, and no end", STEPS_MAX);
	if (!run.racing)
		return;
	hash(sched_self->name);
	hash(where);
	hash(object);
}

static SCHED_UNSEEN bool is_change(unsigned int step)
{
	for (unsigned int i = 0; i < run.n_changes; i++)
		if (run.change_at[i] == step)
			return true;
	return false;
}

SCHED_UNSEEN void sched_step(const char *where, const char *object)
{
	record(where, object);
	run.now += STEP_NS;
	if (!run.racing)
		return;
	if (is_change(++run.result.steps))
		sched_self->prio = below(1u << 20);
	take_turns(true);
}

SCHED_UNSEEN void sched_point(const char *where)
{
	if (!sched_self)
		return;
	run.news++;
	sched_step(where, NULL);
}

SCHED_UNSEEN void sched_yield_turn(void)
{
	run.now += IN_VAIN_NS;
	sched_self->prio = --run.lowest;
	take_turns(false);
}

SCHED_UNSEEN void sched_rest(void)
{
	record("rest", NULL);
	run.news++;
	sched_yield_turn();
}

SCHED_UNSEEN uint64_t sched_now(void)
{
	return run.now += STEP_NS;
}

/* --- waiting --- */

SCHED_UNSEEN void sched_wait_begin(enum sched_wait kind, const void *on,
				   const char *name, uint64_t deadline)
{
	struct sched_thread *t = sched_self;

	t->kind = kind;
	t->on = on;
	t->object = name;
	t->deadline = deadline;
	t->late = false;
	t->state = SCHED_WAITS;
}

SCHED_UNSEEN void sched_wait_end(void)
{
	take_turns(true);
	sched_self->deadline = 0;
}

SCHED_UNSEEN void sched_wait_readable(int fd, const char *name)
{
	run.news++;
	sched_step("look at", name);
	sched_self->fd = fd;
	sched_wait_begin(SCHED_WAIT_FD, NULL, name, 0);
	run.news++;
	sched_wait_end();
}

SCHED_UNSEEN void sched_wait_over(void)
{
	sched_self->on = NULL;
}

SCHED_UNSEEN void sched_wake(const void *on)
{
	for (unsigned int i = 0; i < SCHED_THREADS; i++)
		if (sched_threads[i].state == SCHED_WAITS &&
		    sched_threads[i].on == on)
			sched_threads[i].state = SCHED_READY;
}

SCHED_UNSEEN void sched_wake_one(const void *on)
{
	struct sched_thread *waiting[SCHED_THREADS];
	unsigned int n = 0;

	for (unsigned int i = 0; i < SCHED_THREADS; i++)
		if (sched_threads[i].state == SCHED_WAITS &&
		    sched_threads[i].on == on)
			waiting[n++] = &sched_threads[i];
	if (n)
		waiting[below(n)]->state = SCHED_READY;
}

/* One that has been woken but has not got it yet still stands in the queue. */
SCHED_UNSEEN bool sched_waits_to_write(const void *on)
{
	for (unsigned int i = 0; i < SCHED_THREADS; i++)
		if (sched_threads[i].on == on &&
		    sched_threads[i].kind == SCHED_WAIT_WRITE)
			return true;
	return false;
}

SCHED_UNSEEN void sched_hold(const void *lock, const char *name)
{
	struct sched_thread *t = sched_self;

	sched_expect(t->n_held < SCHED_HELD, "more than %d locks held",
		     SCHED_HELD);
	t->held[t->n_held++] = (struct sched_held){lock, name};
}

SCHED_UNSEEN void sched_let_go(const void *lock)
{
	struct sched_thread *t = sched_self;

	for (unsigned int i = t->n_held; i-- > 0;) {
		if (t->held[i].lock != lock)
			continue;
		for (t->n_held--; i < t->n_held; i++)
			t->held[i] = t->held[i + 1];
		return;
	}
	sched_fail("a lock is let go that %s does not hold", t->name);
}

/* --- threads --- */

static SCHED_UNSEEN int64_t first_prio(void)
{
	return PRIO_INITIAL + below(1u << 30);
}

SCHED_UNSEEN struct sched_thread *sched_claim(const char *name)
{
	for (unsigned int i = 0; i < SCHED_THREADS; i++) {
		struct sched_thread *t = &sched_threads[i];

		if (t->state != SCHED_FREE)
			continue;
		if (!t->made &&
		    pthread_create(&t->real, NULL, sched_thread_main, t))
			return NULL;
		t->made = true;
		t->name = name;
		t->prio = first_prio();
		t->detached = false;
		t->point = t->object = NULL;
		t->on = NULL;
		t->n_held = 0;
		return t;
	}
	return NULL;
}

SCHED_UNSEEN void sched_ended(void)
{
	struct sched_thread *t = sched_self;

	sched_expect(!t->n_held, "%s ends and holds %s", t->name,
		     t->held[0].name);
	t->state = t->detached ? SCHED_FREE : SCHED_ENDED;
	sched_wake(t);
	sched_wake(&run);
	hand_over(choose(false));
}

/* --- a schedule --- */

static SCHED_UNSEEN bool anybody_else(void)
{
	for (unsigned int i = 1; i < SCHED_THREADS; i++)
		if (sched_threads[i].state != SCHED_FREE)
			return true;
	return false;
}

SCHED_UNSEEN void sched_race(bool on)
{
	run.racing = on;
	if (!on)
		return;
	run.now = TIME_0;
	run.coin = run.conf.seed % 4 == 0;
	run.n_changes = run.conf.changes ? below(run.conf.changes + 1) : 0;
	if (run.n_changes > CHANGES_MAX)
		run.n_changes = CHANGES_MAX;
	for (unsigned int i = 0; i < run.n_changes; i++)
		run.change_at[i] = 1 + below(run.conf.steps);
}

static SCHED_UNSEEN void run_begin(const struct sched_conf *conf)
{
	struct sched_thread *first = &sched_threads[0];

	memset(&run, 0, sizeof(run));
	run.conf = *conf;
	run.random = conf->seed;
	run.now = TIME_0;
	run.result.trace = 0xcbf29ce484222325ull;
	*first = (struct sched_thread){
		.made = true,
		.state = SCHED_READY,
		.name = "main",
		.prio = first_prio(),
	};
	sched_self = first;
}

SCHED_UNSEEN void sched_run(const struct sched_conf *conf,
			    void (*fn)(void *arg), void *arg,
			    struct sched_result *ret_result)
{
	run_begin(conf);
	fn(arg);
	run.racing = false;
	while (anybody_else()) {
		sched_wait_begin(SCHED_WAIT_THREAD, &run, "all others", 0);
		sched_wait_end();
	}
	sched_threads[0].state = SCHED_FREE;
	sched_threads[0].on = NULL;
	sched_self = NULL;
	*ret_result = run.result;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lib/sched.h: what a schedule finds, what it must not, and that it replays.
 * What fails ends its process, so each hunt is a child.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/lock.h"
#include "lib/sched.h"
#include "lib/thread.h"
#include "lib/ticker.h"

#define SEEDS 2000
#define SAID  8192

#define THREADS 3

static struct mutex a;
static struct rwlock rw;
static struct cond cond;
static _Atomic unsigned int n;
static atomic_bool flag;
static bool timeouts;

static struct sched_result run(void (*fn)(void *), uint64_t seed)
{
	const struct sched_conf conf = {
		.name = "test",
		.seed = seed,
		.steps = 40,
		.changes = 4,
		.timeouts = timeouts,
	};
	struct sched_result result;

	sched_run(&conf, fn, NULL, &result);
	return result;
}

/* Runs @fn with one seed after the other; what was said when one failed. */
static bool found(void (*fn)(void *), char said[SAID])
{
	size_t have = 0;
	ssize_t got;
	int p[2], status;

	assert_int_equal(pipe(p), 0);
	fflush(stdout);
	pid_t pid = fork();

	if (pid == 0) {
		dup2(p[1], STDOUT_FILENO);
		for (uint64_t seed = 1; seed <= SEEDS; seed++)
			run(fn, seed);
		_exit(0);
	}
	close(p[1]);
	while ((got = read(p[0], said + have, SAID - 1 - have)) > 0)
		have += (size_t)got;
	said[have] = '\0';
	close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) == 1;
}

typedef void *(*thread_fn)(void *arg);

static void race(const thread_fn fns[THREADS])
{
	static const char *const names[THREADS] = {"first", "second", "third"};
	struct thread t[THREADS];

	rwlock_init(&rw, 1, "rw");
	mutex_init(&a, 2, "a");
	cond_init(&cond);
	n = 0;
	flag = false;
	for (int i = 0; i < THREADS && fns[i]; i++)
		sched_expect(thread_start(&t[i], names[i], fns[i], NULL) == 0,
			     "no thread");
	sched_race(true);
	for (int i = 0; i < THREADS && fns[i]; i++)
		thread_join(&t[i]);
	sched_race(false);
	cond_done(&cond);
	mutex_done(&a);
	rwlock_done(&rw);
}

#define RACE(...) race((const thread_fn[THREADS]){__VA_ARGS__})

/* --- a lost update --- */

static void *add_unlocked(void *arg)
{
	for (int i = 0; i < 5; i++) {
		unsigned int old = n;

		sched_point("between");
		n = old + 1;
	}
	return NULL;
}

static void *add_locked(void *arg)
{
	mutex_lock(&a);
	add_unlocked(arg);
	mutex_unlock(&a);
	return NULL;
}

static void unlocked(void *arg)
{
	RACE(add_unlocked, add_unlocked);
	sched_expect(n == 10, "%u of 10", n);
}

static void locked(void *arg)
{
	RACE(add_locked, add_locked);
	sched_expect(n == 10, "%u of 10", n);
}

static void a_lost_update_is_found(void **state)
{
	char said[SAID];

	assert_true(found(unlocked, said));
	assert_non_null(strstr(said, "SOFTVFIO_SEED="));
	assert_false(found(locked, said));
}

/* --- deadlocks --- */

static void *wait_for_flag(void *arg)
{
	mutex_lock(&a);
	while (!flag)
		cond_wait(&cond, &a);
	mutex_unlock(&a);
	return NULL;
}

static void *set_flag(void *arg)
{
	mutex_lock(&a);
	flag = true;
	cond_signal(&cond);
	mutex_unlock(&a);
	return NULL;
}

/* The look and the wait are two steps for whoever sets it without the lock. */
static void *set_flag_unlocked(void *arg)
{
	flag = true;
	cond_signal(&cond);
	return NULL;
}

static void *look_then_wait(void *arg)
{
	mutex_lock(&a);
	if (!flag) {
		sched_point("looked");
		cond_wait(&cond, &a);
	}
	mutex_unlock(&a);
	return NULL;
}

static void good_wait(void *arg)
{
	RACE(wait_for_flag, set_flag);
}

static void lost_wake_up(void *arg)
{
	RACE(look_then_wait, set_flag_unlocked);
}

static void a_lost_wake_up_is_a_deadlock(void **state)
{
	char said[SAID];

	assert_true(found(lost_wake_up, said));
	assert_non_null(strstr(said, "deadlock"));
	assert_non_null(strstr(said, "first        waits for a condition"));
	assert_false(found(good_wait, said));
}

static void *read_and_wait(void *arg)
{
	rwlock_read(&rw);
	wait_for_flag(NULL);
	rwlock_unread(&rw);
	return NULL;
}

static void *read_and_set(void *arg)
{
	rwlock_read(&rw);
	set_flag(NULL);
	rwlock_unread(&rw);
	return NULL;
}

static void *write_once(void *arg)
{
	rwlock_write(&rw);
	rwlock_unwrite(&rw);
	return NULL;
}

static void readers_and_a_writer(void *arg)
{
	RACE(read_and_wait, read_and_set, write_once);
}

static void readers_alone(void *arg)
{
	RACE(read_and_wait, read_and_set);
}

/* As on the host, where writers are preferred. */
static void a_reader_does_not_pass_a_waiting_writer(void **state)
{
	char said[SAID];

	assert_true(found(readers_and_a_writer, said));
	assert_non_null(strstr(said, "second       waits to read rw"));
	assert_non_null(strstr(said, "third        waits to write rw"));
	assert_non_null(strstr(said, "holds rw"));
	assert_false(found(readers_alone, said));
}

/* --- replay --- */

static void a_seed_is_one_schedule(void **state)
{
	uint64_t trace[100];
	unsigned int differ = 0;

	for (uint64_t i = 0; i < 100; i++) {
		trace[i] = run(locked, i).trace;
		assert_true(run(locked, i).trace == trace[i]);
		differ += i && trace[i] != trace[i - 1];
	}
	assert_true(differ > 50);
}

/* --- time --- */

static unsigned int n_late, n_in_time;

static void *wait_with_deadline(void *arg)
{
	uint64_t deadline = clock_ns() + 1000000000000;
	bool in_time = true;

	mutex_lock(&a);
	while (!flag && in_time)
		in_time = cond_wait_until(&cond, &a, deadline);
	if (in_time)
		n_in_time++;
	else
		n_late++;
	sched_expect(in_time || clock_ns() >= deadline, "late too early");
	mutex_unlock(&a);
	return NULL;
}

static void nobody_signals(void *arg)
{
	RACE(wait_with_deadline);
}

static void somebody_signals(void *arg)
{
	RACE(wait_with_deadline, set_flag, add_unlocked);
}

static void time_passes_when_nobody_can_go_on(void **state)
{
	n_late = n_in_time = 0;
	for (uint64_t i = 0; i < 100; i++)
		run(nobody_signals, i);
	assert_int_equal(n_late, 100);

	n_late = n_in_time = 0;
	for (uint64_t i = 0; i < 100; i++)
		run(somebody_signals, i);
	assert_int_equal(n_in_time, 100);
}

static void time_outs_can_come_at_any_time(void **state)
{
	n_late = n_in_time = 0;
	timeouts = true;
	for (uint64_t i = 0; i < 1000; i++)
		run(somebody_signals, i);
	timeouts = false;
	assert_true(n_late > 0);
	assert_true(n_in_time > 0);
}

/* --- descriptors --- */

static int bell;
static uint64_t rung;

static void *wait_for_bell(void *arg)
{
	sched_wait_readable(bell, "bell");
	assert_int_equal(read(bell, &rung, sizeof(rung)), sizeof(rung));
	return NULL;
}

static void *ring(void *arg)
{
	sched_point("ring");
	assert_int_equal(eventfd_write(bell, 1), 0);
	return NULL;
}

static void somebody_rings(void *arg)
{
	RACE(wait_for_bell, ring, add_unlocked);
}

static void nobody_rings(void *arg)
{
	RACE(wait_for_bell, add_unlocked);
}

static void who_waits_for_a_descriptor_goes_on_when_it_is_readable(void **state)
{
	char said[SAID];

	bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	/* first: a child has none of the threads that runs leave behind */
	assert_true(found(nobody_rings, said));
	assert_non_null(strstr(said, "waits for something on bell"));
	for (uint64_t i = 0; i < 100; i++) {
		rung = 0;
		run(somebody_rings, i);
		assert_int_equal(rung, 1);
	}
	close(bell);
}

static void a_ticker_rings(void *arg)
{
	bell = ticker_new();
	ticker_set(bell, 1000000000);
	for (unsigned int i = 0; i < 3; i++) {
		rung = 0;
		RACE(wait_for_bell);
		sched_expect(rung == 1, "rung %u times", (unsigned int)rung);
	}
	ticker_free(bell);
}

static void a_ticker_goes_by_the_time_of_the_schedule(void **state)
{
	for (uint64_t i = 0; i < 100; i++)
		run(a_ticker_rings, i);
}

/* --- threads --- */

static void *end_some_time(void *arg)
{
	sched_point("detached");
	n++;
	return NULL;
}

static void leave_a_thread(void *arg)
{
	struct thread t;

	n = 0;
	assert_int_equal(thread_start(&t, "left", end_some_time, NULL), 0);
	thread_detach(&t);
}

static void a_schedule_ends_with_its_last_thread(void **state)
{
	for (uint64_t i = 0; i < 100; i++) {
		run(leave_a_thread, i);
		assert_int_equal(n, 1);
	}
}

static void outside_a_schedule_locks_are_locks(void **state)
{
	struct thread t;

	mutex_init(&a, 2, "a");
	cond_init(&cond);
	flag = false;
	assert_int_equal(thread_start(&t, "setter", set_flag, NULL), 0);
	wait_for_flag(NULL);
	thread_join(&t);
	cond_done(&cond);
	mutex_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lost_update_is_found),
		cmocka_unit_test(a_lost_wake_up_is_a_deadlock),
		cmocka_unit_test(a_reader_does_not_pass_a_waiting_writer),
		cmocka_unit_test(
			who_waits_for_a_descriptor_goes_on_when_it_is_readable),
		cmocka_unit_test(a_seed_is_one_schedule),
		cmocka_unit_test(time_passes_when_nobody_can_go_on),
		cmocka_unit_test(time_outs_can_come_at_any_time),
		cmocka_unit_test(a_ticker_goes_by_the_time_of_the_schedule),
		cmocka_unit_test(a_schedule_ends_with_its_last_thread),
		cmocka_unit_test(outside_a_schedule_locks_are_locks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

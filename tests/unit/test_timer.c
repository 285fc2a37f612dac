/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a model waits for besides its program: timers and descriptors, called on
 * the device's thread like run(), and only while somebody has the device open.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "tests/unit/bus_rig.h"

#define DEADLINE_NS 10000000000ull
#define MS	    1000000ull
#define CALLS_MAX   64

/* What the model has been called with, in order; guarded by @lock. */
static struct {
	struct mutex lock;
	struct cond changed;
	unsigned int n;
	void *who[CALLS_MAX];
	uint64_t at[CALLS_MAX];
	pthread_t thread;
	unsigned int again; /* so many times more */
	unsigned int bytes;
	int fd; /* the reading end of a pipe; -1: the model wants none */
	int watched;
} heard;

static void note(struct sv_dev *dev, void *who)
{
	mutex_lock(&heard.lock);
	heard.who[heard.n] = who;
	heard.at[heard.n] = sv_clock(dev);
	heard.thread = pthread_self();
	heard.n++;
	cond_broadcast(&heard.changed);
	mutex_unlock(&heard.lock);
}

static void await(unsigned int n)
{
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	mutex_lock(&heard.lock);
	while (heard.n < n)
		assert_true(
			cond_wait_until(&heard.changed, &heard.lock, deadline));
	mutex_unlock(&heard.lock);
}

static void ring(struct sv_dev *dev, struct sv_timer *timer)
{
	note(dev, timer);
	if (heard.again) {
		heard.again--;
		sv_timer_set(dev, timer, sv_clock(dev));
	}
}

static void readable(struct sv_dev *dev, int fd)
{
	char buf[16];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		heard.bytes += (unsigned int)n;
	note(dev, &heard.fd);
}

static int model_init(struct sv_dev *dev)
{
	if (heard.fd >= 0)
		heard.watched = sv_watch_fd(dev, heard.fd, readable);
	return 0;
}

static void model_reset(struct sv_dev *dev, enum sv_reset why)
{
}

static const struct sv_dev_ops model = {
	.api = SV_API,
	.name = "model",
	.shape = {.vendor = 0x1234, .device = 0x5678},
	.init = model_init,
	.reset = model_reset,
};

struct fixture {
	struct bus_rig bus;
	struct sv_dev *dev;
	int pipe[2];
	struct sv_timer a;
	struct sv_timer b;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char err[256];

	assert_non_null(f);
	memset(&heard, 0, sizeof(heard));
	mutex_init(&heard.lock, RANK_LEAF, "test.heard");
	cond_init(&heard.changed);
	assert_int_equal(pipe2(f->pipe, O_CLOEXEC | O_NONBLOCK), 0);
	heard.fd = f->pipe[0];
	f->a.fn = f->b.fn = ring;
	bus_begin(&f->bus);

	struct device_host host = bus_host(&f->bus, "0000:01:00.0", &model);

	assert_int_equal(device_new(&host, err, &f->dev), 0);
	assert_int_equal(heard.watched, 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	bus_end(&f->bus, f->dev);
	close(f->pipe[0]);
	close(f->pipe[1]);
	cond_done(&heard.changed);
	mutex_done(&heard.lock);
	free(f);
	return 0;
}

/* As a callback of the model would. */
static void set(struct fixture *f, struct sv_timer *timer, uint64_t at)
{
	mutex_lock(&f->dev->model);
	if (at)
		sv_timer_set(f->dev, timer, at);
	else
		sv_timer_cancel(f->dev, timer);
	mutex_unlock(&f->dev->model);
}

static void timers_ring_when_they_are_due_and_in_order(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(device_open(f->dev), 0);

	uint64_t now = sv_clock(f->dev);

	set(f, &f->a, now + 30 * MS);
	set(f, &f->b, now + 10 * MS);
	await(2);
	assert_ptr_equal(heard.who[0], &f->b);
	assert_ptr_equal(heard.who[1], &f->a);
	assert_true(heard.at[0] >= now + 10 * MS);
	assert_true(heard.at[1] >= now + 30 * MS);
	assert_false(pthread_equal(heard.thread, pthread_self()));
	device_close(f->dev);
}

static void a_timer_is_moved_and_cancelled(void **state)
{
	struct fixture *f = *state;
	uint64_t far = sv_clock(f->dev) + DEADLINE_NS;

	assert_int_equal(device_open(f->dev), 0);
	set(f, &f->a, far);
	set(f, &f->a, 1); /* long ago: now */
	await(1);
	set(f, &f->a, far);
	set(f, &f->b, far);
	set(f, &f->a, 0);
	set(f, &f->a, 0);
	set(f, &f->b, sv_clock(f->dev));
	await(2);
	assert_ptr_equal(heard.who[1], &f->b);
	assert_false(f->a.set);
	device_close(f->dev);
	assert_int_equal(heard.n, 2);
}

static void a_timer_may_set_itself_again(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(device_open(f->dev), 0);
	heard.again = 20;
	set(f, &f->a, 1);
	await(21);
	device_close(f->dev);
	assert_int_equal(heard.n, 21);
}

static void a_reset_cancels_timers(void **state)
{
	struct fixture *f = *state;
	uint64_t far = sv_clock(f->dev) + DEADLINE_NS;

	assert_int_equal(device_open(f->dev), 0);
	set(f, &f->a, far);
	assert_int_equal(device_reset(f->dev), 0);
	assert_false(f->a.set);
	set(f, &f->a, far);
	set(f, &f->b, far);
	device_close(f->dev);
	assert_false(f->a.set || f->b.set);
	assert_int_equal(device_open(f->dev), 0);
	set(f, &f->b, 1);
	await(1);
	device_close(f->dev);
	assert_int_equal(heard.n, 1);
}

static void a_model_hears_of_what_can_be_read(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(device_open(f->dev), 0);
	for (unsigned int i = 1; i <= 10; i++) {
		assert_int_equal(write(f->pipe[1], "abc", 3), 3);
		await(i);
		assert_int_equal(heard.bytes, 3 * i);
	}
	assert_false(pthread_equal(heard.thread, pthread_self()));
	device_close(f->dev);
}

static void what_came_while_it_was_closed_is_told_of(void **state)
{
	struct fixture *f = *state;
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	assert_int_equal(write(f->pipe[1], "abc", 3), 3);
	while (!atomic_load(&f->dev->readable[0].news))
		assert_true(clock_ns() < deadline);
	assert_int_equal(heard.n, 0);
	assert_int_equal(device_open(f->dev), 0);
	await(1);
	assert_int_equal(heard.bytes, 3);
	device_close(f->dev);
}

static void what_cannot_be_waited_for_is_refused(void **state)
{
	struct fixture *f = *state;
	int file = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(sv_watch_fd(f->dev, file, readable), -EPERM);
	close(file);
	assert_int_equal(sv_watch_fd(f->dev, -1, readable), -EBADF);
	for (unsigned int i = 1; i < SV_WATCHES; i++)
		assert_int_equal(sv_watch_fd(f->dev, f->pipe[1], readable), 0);
	assert_int_equal(sv_watch_fd(f->dev, f->pipe[1], readable), -ENOSPC);
	f->dev->n_readables = 1; /* as it was */
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(timers_ring_when_they_are_due_and_in_order),
		TEST(a_timer_is_moved_and_cancelled),
		TEST(a_timer_may_set_itself_again),
		TEST(a_reset_cancels_timers),
		TEST(a_model_hears_of_what_can_be_read),
		TEST(what_came_while_it_was_closed_is_told_of),
		TEST(what_cannot_be_waited_for_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory gate from the device's side, and with locks held that a program
 * could not hold for long: kernel-semantics 1.0 and 1.1 by their numbers. What
 * programs see is in tests/client/victim_gate.c.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/hotreset.h"
#include "core/machine.h"
#include "lib/evfd.h"

#define DEADLINE_NS 20000000000ull
#define BAR_LEN	    (64u * PAGE)
#define STORERS	    8
#define ROUNDS	    100
#define ROUNDS_SOAK 100000

static atomic_uint resets;

static void model_reset(struct sv_dev *dev, enum sv_reset why)
{
	if (why == SV_RESET_FUNCTION)
		atomic_fetch_add(&resets, 1);
}

static const struct sv_dev_ops model = {
	.name = "model",
	.shape =
		{
			.vendor = 0x1234,
			.device = 0x5678,
			.bar[1] = {.size = BAR_LEN,
				   .kind = SV_BAR_MEM32,
				   .access = SV_ACCESS_DIRECT,
				   .persistent = true},
		},
	.reset = model_reset,
};

struct fixture {
	struct machine *m;
	struct sv_dev *dev[2]; /* in one slot, in groups of their own */
	struct ioas *ioas;
	uint8_t *map;
	atomic_bool stop;
	atomic_uint wrong;
};

static void command(struct sv_dev *dev, uint16_t value)
{
	uint64_t pos = (uint64_t)REGION_CONFIG << REGION_SHIFT | PCI_COMMAND;

	assert_int_equal(device_write(dev, pos, &value, 2, 2), 2);
}

static int set_up(void **state)
{
	static const char *const names[] = {"0000:01:00.0", "0000:01:00.1"};
	static struct fixture f;
	char err[256];

	memset(&f, 0, sizeof(f));
	atomic_store(&resets, 0);
	assert_int_equal(machine_new(&f.m), 0);
	assert_int_equal(ioas_new(8, &f.ioas), 0);
	for (unsigned int i = 0; i < 2; i++) {
		struct device_host host = {.name = names[i], .ops = &model};

		assert_int_equal(machine_add(f.m, &host, i, err), 0);
		f.dev[i] = f.m->dev[i].dev;
		assert_int_equal(device_open(f.dev[i], f.ioas), 0);
	}
	f.map = mmap(NULL, BAR_LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
		     f.dev[0]->bar[1].memfd, 0);
	assert_ptr_not_equal(f.map, MAP_FAILED);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	munmap(f->map, BAR_LEN);
	for (int i = 0; i < 2; i++)
		device_close(f->dev[i]);
	machine_free(f->m);
	ioas_put(f->ioas);
	return 0;
}

/* What another thread is asked to do, and what came of it. */
struct errand {
	struct sv_dev *dev;
	struct fixture *f;
	pthread_t thread;
	atomic_bool done;
	int result;
};

static void run_errand(struct errand *e, void *(*fn)(void *))
{
	atomic_store(&e->done, false);
	assert_int_equal(pthread_create(&e->thread, NULL, fn, e), 0);
}

static bool is_done(struct errand *e)
{
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	while (!atomic_load(&e->done) && clock_ns() < deadline)
		sched_yield();
	return atomic_load(&e->done);
}

static void *faulting(void *arg)
{
	struct errand *e = arg;

	e->result = device_fault(e->dev, 1, 0);
	atomic_store(&e->done, true);
	return NULL;
}

static void *hot_resetting(void *arg)
{
	struct errand *e = arg;
	struct group *groups[] = {e->f->m->group[0], e->f->m->group[1]};

	e->result = hotreset(e->dev, groups, 2);
	atomic_store(&e->done, true);
	return NULL;
}

static void a_fault_waits_for_the_gate_1_0_4(void **state)
{
	struct fixture *f = *state;
	struct errand one = {.dev = f->dev[0]}, other = {.dev = f->dev[1]};

	rwlock_write(&f->dev[0]->memory_lock);
	run_errand(&one, faulting);
	run_errand(&other, faulting); /* 1.1.8: of another device, at once */
	assert_true(is_done(&other));
	assert_false(atomic_load(&one.done));
	rwlock_unwrite(&f->dev[0]->memory_lock);
	assert_true(is_done(&one));
	pthread_join(one.thread, NULL);
	pthread_join(other.thread, NULL);
	assert_int_equal(one.result, 0);
	assert_int_equal(other.result, 0);
}

static void faults_do_not_wait_for_each_other_1_1_8(void **state)
{
	struct fixture *f = *state;
	struct errand e = {.dev = f->dev[0]};

	rwlock_read(&f->dev[0]->memory_lock);
	run_errand(&e, faulting);
	assert_true(is_done(&e));
	rwlock_unread(&f->dev[0]->memory_lock);
	pthread_join(e.thread, NULL);
	assert_int_equal(e.result, 0);
}

static int hot_reset_of(struct fixture *f)
{
	struct errand e = {.dev = f->dev[0], .f = f};

	run_errand(&e, hot_resetting);
	assert_true(is_done(&e));
	pthread_join(e.thread, NULL);
	return e.result;
}

/* Whoever is visited first is opened again, and nobody is reset. */
static void contention_makes_a_hot_reset_busy_1_0_8(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		rwlock_read(&f->dev[i]->memory_lock);
		assert_int_equal(hot_reset_of(f), -EBUSY);
		rwlock_unread(&f->dev[i]->memory_lock);
		mutex_lock(&f->dev[i]->resetting);
		assert_int_equal(hot_reset_of(f), -EBUSY);
		mutex_unlock(&f->dev[i]->resetting);
		assert_int_equal(device_fault(f->dev[0], 1, 0), 0);
		assert_int_equal(device_fault(f->dev[1], 1, 0), 0);
	}
	assert_int_equal(atomic_load(&resets), 0);
	assert_int_equal(hot_reset_of(f), 0);
	assert_int_equal(atomic_load(&resets), 2);
}

static uint64_t peek(struct sv_dev *dev)
{
	uint64_t val;

	assert_int_equal(device_read(dev, 1ull << REGION_SHIFT, &val, 8), 8);
	return val;
}

static void a_contended_ioeventfd_is_deferred_1_0_6(void **state)
{
	struct fixture *f = *state;
	struct ioeventfd_request req = {.region = 1, .data = 42, .len = 8};
	int fd = eventfd(0, EFD_NONBLOCK);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	assert_int_equal(ioeventfd_add(f->dev[0], &req, fd), 0);
	rwlock_write(&f->dev[0]->memory_lock);
	evfd_signal(fd);
	while (poll(&p, 1, 0) && clock_ns() < deadline)
		sched_yield();
	assert_int_equal(poll(&p, 1, 0), 0); /* the signal is taken */
	assert_int_equal(*(uint64_t *)f->dev[0]->bar[1].mem, 0);
	rwlock_unwrite(&f->dev[0]->memory_lock);
	while (peek(f->dev[0]) != 42 && clock_ns() < deadline)
		sched_yield();
	assert_int_equal(peek(f->dev[0]), 42);
	assert_int_equal(ioeventfd_remove(f->dev[0], &req), 0);
	close(fd);
}

/* Storing through a mapping, as a program without a shim would. */

static __thread sigjmp_buf on_bus;

static void caught(int sig)
{
	siglongjmp(on_bus, sig);
}

static void store(volatile uint64_t *at, uint64_t val)
{
	if (!sigsetjmp(on_bus, 1)) /* a sanitizer blocks signals in handlers */
		*at = val;
}

static void *storing(void *arg)
{
	struct errand *e = arg;
	unsigned int n = (unsigned int)e->result;
	volatile uint64_t *at =
		(volatile uint64_t *)(e->f->map + n * 7 * PAGE + 8 * n);
	uint64_t stamp = 0;

	while (!atomic_load(&e->f->stop))
		store(at, ++stamp);
	return NULL;
}

static unsigned int rounds(void)
{
	const char *slow = getenv("SOFTVFIO_SLOW");

	if (getenv("SOFTVFIO_SOAK"))
		return ROUNDS_SOAK;
	return ROUNDS / (slow ? (unsigned int)atoi(slow) : 1);
}

/* From the return of a disable to the next enable the device sees no store. */
static void nothing_changes_while_decode_is_off_1_0_3(void **state)
{
	static uint8_t seen[BAR_LEN];
	struct fixture *f = *state;
	struct sigaction sa = {.sa_handler = caught, .sa_flags = SA_NODEFER};
	struct errand storers[STORERS];
	struct sigaction was;
	unsigned int changed = 0;

	sigaction(SIGBUS, &sa, &was);
	for (int i = 0; i < STORERS; i++) {
		storers[i] = (struct errand){.f = f, .result = i};
		run_errand(&storers[i], storing);
	}
	for (unsigned int i = 0; i < rounds(); i++) {
		command(f->dev[0], 0);
		rwlock_read(&f->dev[0]->memory_lock);
		memcpy(seen, f->dev[0]->bar[1].mem, BAR_LEN);
		sched_yield();
		changed += memcmp(seen, f->dev[0]->bar[1].mem, BAR_LEN) != 0;
		rwlock_unread(&f->dev[0]->memory_lock);
		command(f->dev[0], PCI_COMMAND_MEMORY);
	}
	atomic_store(&f->stop, true);
	for (int i = 0; i < STORERS; i++)
		pthread_join(storers[i].thread, NULL);
	sigaction(SIGBUS, &was, NULL);
	assert_int_equal(changed, 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_fault_waits_for_the_gate_1_0_4),
		T(faults_do_not_wait_for_each_other_1_1_8),
		T(contention_makes_a_hot_reset_busy_1_0_8),
		T(a_contended_ioeventfd_is_deferred_1_0_6),
		T(nothing_changes_while_decode_is_off_1_0_3),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory gate from the device's side, and with locks held that a program
 * could not hold for long: kernel-semantics 1.0 and 1.1 by their numbers. What
 * programs see is in tests/client/victim_gate.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
#include <stdio.h>
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

#define REGS  3 /* BAR whose accesses the model sees */
#define PORTS 4 /* I/O BAR */

static atomic_uint resets;
static atomic_uint asked; /* calls of the model that were no reset */
static atomic_bool off;	  /* a write that turned decode off has returned */
static atomic_uint late;  /* asked although it is off */

static void model_reset(struct sv_dev *dev, enum sv_reset why)
{
	if (why == SV_RESET_FUNCTION)
		atomic_fetch_add(&resets, 1);
}

static void count_access(unsigned int bar)
{
	atomic_fetch_add(&asked, 1);
	if (bar == REGS && atomic_load(&off))
		atomic_fetch_add(&late, 1);
}

static uint64_t model_read(struct sv_dev *dev, unsigned int bar, uint64_t at,
			   unsigned int size)
{
	count_access(bar);
	return 0x77;
}

static void model_write(struct sv_dev *dev, unsigned int bar, uint64_t at,
			uint64_t val, unsigned int size)
{
	count_access(bar);
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
			.bar[REGS] = {.size = 16, .kind = SV_BAR_MEM32},
			.bar[PORTS] = {.size = 16, .kind = SV_BAR_IO},
		},
	.reset = model_reset,
	.read = model_read,
	.write = model_write,
};

struct fixture {
	struct machine *m;
	struct sv_dev *dev[2]; /* in one slot, in groups of their own */
	struct ioas *ioas;
	uint8_t *map;
	atomic_bool stop;
	atomic_uint wrong;
};

static uint64_t region(unsigned int index)
{
	return (uint64_t)index << REGION_SHIFT;
}

static void command(struct sv_dev *dev, uint16_t value)
{
	uint64_t pos = region(REGION_CONFIG) | PCI_COMMAND;

	assert_int_equal(device_write(dev, pos, &value, 2, 2), 2);
}

static int set_up(void **state)
{
	static const char *const names[] = {"0000:01:00.0", "0000:01:00.1"};
	static struct fixture f;
	char err[256];

	memset(&f, 0, sizeof(f));
	atomic_store(&resets, 0);
	atomic_store(&asked, 0);
	atomic_store(&late, 0);
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

static void a_fault_asks_no_model_1_1_6(void **state)
{
	struct fixture *f = *state;

	f->map[0] = 1; /* populated */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(device_fault(f->dev[0], 1, 0), 0);
		assert_int_equal(device_fault(f->dev[0], REGS, 0), 0);
	}
	assert_int_equal(f->map[0], 1);
	assert_int_equal(atomic_load(&asked), 0);
	assert_int_equal(atomic_load(&resets), 0);
}

static void only_memory_bars_are_gated_1_0_5(void **state)
{
	struct sv_dev *dev = ((struct fixture *)*state)->dev[0];
	uint32_t val = 5;

	command(dev, PCI_COMMAND_IO);
	assert_int_equal(device_read(dev, region(1), &val, 4), -EIO);
	assert_int_equal(device_write(dev, region(1), &val, 4, 4), -EIO);
	assert_int_equal(device_read(dev, region(REGS), &val, 4), -EIO);
	assert_int_equal(device_write(dev, region(REGS), &val, 4, 4), -EIO);
	assert_int_equal(atomic_load(&asked), 0);
	assert_int_equal(*dev->bar[1].mem, 0);
	assert_int_equal(device_write(dev, region(PORTS), &val, 4, 4), 4);
	assert_int_equal(device_read(dev, region(PORTS), &val, 4), 4);
	assert_int_equal(val, 0x77);
	assert_int_equal(atomic_load(&asked), 2);
	/* with COMMAND.IO off too it is let through: nobody answers */
	command(dev, 0);
	assert_int_equal(device_read(dev, region(PORTS), &val, 4), 4);
	assert_int_equal(val, UINT32_MAX);
	command(dev, PCI_COMMAND_MEMORY);
	assert_int_equal(device_read(dev, region(REGS), &val, 4), 4);
	assert_int_equal(atomic_load(&asked), 3);
}

static uint64_t peek(struct sv_dev *dev)
{
	uint64_t val;

	assert_int_equal(device_read(dev, region(1), &val, 8), 8);
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

/* The host runs out of memory: this program stands in for its calls. */

static atomic_int room = INT_MAX; /* for so many writes */

static bool has_room(void)
{
	if (atomic_fetch_sub(&room, 1) > 0)
		return true;
	atomic_store(&room, 0);
	errno = ENOMEM;
	return false;
}

#define WRAP_SENDFILE(name)                                                    \
	ssize_t __real_##name(int out, int in, off_t *at, size_t len);         \
	ssize_t __wrap_##name(int out, int in, off_t *at, size_t len);         \
	ssize_t __wrap_##name(int out, int in, off_t *at, size_t len)          \
	{                                                                      \
		return has_room() ? __real_##name(out, in, at, len) : -1;      \
	}

#define WRAP_PWRITE(name)                                                      \
	ssize_t __real_##name(int fd, const void *buf, size_t len, off_t at);  \
	ssize_t __wrap_##name(int fd, const void *buf, size_t len, off_t at);  \
	ssize_t __wrap_##name(int fd, const void *buf, size_t len, off_t at)   \
	{                                                                      \
		return has_room() ? __real_##name(fd, buf, len, at) : -1;      \
	}

/* which of the names is used depends on _FILE_OFFSET_BITS */
WRAP_SENDFILE(sendfile)
WRAP_SENDFILE(sendfile64)
WRAP_PWRITE(pwrite)
WRAP_PWRITE(pwrite64)

/* Storing through a mapping, as a program without a shim would. */

static __thread sigjmp_buf on_bus;

static void caught(int sig)
{
	siglongjmp(on_bus, sig);
}

static bool store(volatile uint64_t *at, uint64_t val)
{
	if (sigsetjmp(on_bus, 1)) /* a sanitizer blocks signals in handlers */
		return false;
	*at = val;
	return true;
}

static struct sigaction catch_sigbus(void)
{
	struct sigaction sa = {.sa_handler = caught, .sa_flags = SA_NODEFER};
	struct sigaction was;

	sigaction(SIGBUS, &sa, &was);
	return was;
}

/* The first page of two comes back, the second does not: neither is there. */
static void what_cannot_be_filled_stays_closed_1_1_5(void **state)
{
	struct fixture *f = *state;
	volatile uint64_t *first = (uint64_t *)f->map;
	volatile uint64_t *second = (uint64_t *)(f->map + 10 * PAGE);
	struct sigaction was = catch_sigbus();

	assert_true(store(first, 1) && store(second, 2));
	command(f->dev[0], 0);
	for (int i = 0; i < 2; i++) { /* and again once a fault has tried */
		atomic_store(&room, 1);
		if (i == 0)
			command(f->dev[0], PCI_COMMAND_MEMORY);
		assert_false(store(first, 3) || store(second, 3));
		assert_false(store(second + PAGE, 3));
		atomic_store(&room, 1);
		assert_int_equal(device_fault(f->dev[0], 1, 0), -EFAULT);
		assert_int_equal(peek(f->dev[0]), 1); /* decode is on */
	}
	atomic_store(&room, INT_MAX);
	assert_int_equal(device_fault(f->dev[0], 1, 0), 0);
	assert_int_equal(*first, 1);
	assert_int_equal(*second, 2);
	sigaction(SIGBUS, &was, NULL);
}

static volatile uint64_t *place_of(const struct fixture *f, int n)
{
	return (volatile uint64_t *)(f->map + n * 7 * PAGE + 8 * n);
}

static void *storing(void *arg)
{
	struct errand *e = arg;
	volatile uint64_t *at = place_of(e->f, e->result);
	uint64_t stamp = 0;

	while (!atomic_load(&e->f->stop))
		store(at, ++stamp);
	return NULL;
}

/* Half of the storers are in a process of their own. */

#define HALF (STORERS / 2)

static int elsewhere = -1; /* a number: of the BAR's descriptor, or enough */

static void store_until_told(struct fixture *f, int from)
{
	struct errand storers[HALF];
	int n;

	for (int i = 0; i < HALF; i++) {
		storers[i] = (struct errand){.f = f, .result = HALF + i};
		pthread_create(&storers[i].thread, NULL, storing, &storers[i]);
	}
	if (read(from, &n, sizeof(n)) < 0)
		perror("read");
	atomic_store(&f->stop, true);
	for (int i = 0; i < HALF; i++)
		pthread_join(storers[i].thread, NULL);
}

static void store_elsewhere(int from)
{
	struct fixture f = {0};
	char path[64];
	int n;

	catch_sigbus();
	while (read(from, &n, sizeof(n)) == sizeof(n)) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getppid(),
			 n);
		int fd = open(path, O_RDWR | O_CLOEXEC);

		f.map = mmap(NULL, BAR_LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
			     fd, 0);
		close(fd);
		if (f.map == MAP_FAILED)
			break;
		store_until_told(&f, from);
	}
	_exit(0);
}

/* Before there is any thread. */
static void start_elsewhere(void)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return;
	if (fork() == 0) {
		close(p[1]);
		store_elsewhere(p[0]);
	}
	close(p[0]);
	elsewhere = p[1];
}

static void tell_elsewhere(int n)
{
	assert_int_equal(write(elsewhere, &n, sizeof(n)), sizeof(n));
}

static void wait_for_stores(const struct fixture *f)
{
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	for (int i = 0; i < STORERS; i++)
		while (!*place_of(f, i) && clock_ns() < deadline)
			sched_yield();
	for (int i = 0; i < STORERS; i++)
		assert_true(*place_of(f, i));
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
	struct sigaction was = catch_sigbus();
	struct errand storers[HALF];
	unsigned int changed = 0;

	tell_elsewhere(f->dev[0]->bar[1].memfd);
	for (int i = 0; i < HALF; i++) {
		storers[i] = (struct errand){.f = f, .result = i};
		run_errand(&storers[i], storing);
	}
	wait_for_stores(f);
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
	for (int i = 0; i < HALF; i++)
		pthread_join(storers[i].thread, NULL);
	tell_elsewhere(-1);
	sigaction(SIGBUS, &was, NULL);
	assert_int_equal(changed, 0);
}

static void *accessing(void *arg)
{
	struct errand *e = arg;
	struct sv_dev *dev = e->f->dev[0];
	uint64_t val = 1;

	while (!atomic_load(&e->f->stop)) {
		device_access(dev, REGS, 0, 4, e->result & 1, &val);
		device_read(dev, region(REGS), &val, 4);
		device_write(dev, region(REGS) + 4, &val, 8, 8);
	}
	return NULL;
}

/* Through the descriptor and through a mapping; the model says whether any. */
static void nothing_reaches_the_model_with_decode_off_1_0_1(void **state)
{
	struct fixture *f = *state;
	struct errand e[4];

	for (int i = 0; i < 4; i++) {
		e[i] = (struct errand){.f = f, .result = i};
		run_errand(&e[i], accessing);
	}
	for (unsigned int i = 0; i < rounds(); i++) {
		command(f->dev[0], 0);
		atomic_store(&off, true);
		sched_yield();
		atomic_store(&off, false);
		command(f->dev[0], PCI_COMMAND_MEMORY);
	}
	atomic_store(&f->stop, true);
	for (int i = 0; i < 4; i++)
		pthread_join(e[i].thread, NULL);
	assert_true(atomic_load(&asked));
	assert_int_equal(atomic_load(&late), 0);
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
		T(nothing_reaches_the_model_with_decode_off_1_0_1),
		T(what_cannot_be_filled_stays_closed_1_1_5),
		T(a_fault_asks_no_model_1_1_6),
		T(only_memory_bars_are_gated_1_0_5),
	};

	start_elsewhere();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

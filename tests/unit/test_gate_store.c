/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory gate from the device's side, while programs store and load. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/gate_rig.h"

#define STORERS	    8
#define ROUNDS	    100
#define ROUNDS_SOAK 100000

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
		if (!store(at, ++stamp))
			sched_yield(); /* to whoever is to open it again */
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

static bool has_stored(const struct fixture *f, int n)
{
	return __atomic_load_n(place_of(f, n), __ATOMIC_RELAXED);
}

static void wait_for_stores(const struct fixture *f)
{
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	for (int i = 0; i < STORERS; i++)
		while (!has_stored(f, i) && clock_ns() < deadline)
			sched_yield();
	for (int i = 0; i < STORERS; i++)
		assert_true(has_stored(f, i));
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
	while (!atomic_load(&asked)) /* or the suite's deadline passes */
		sched_yield();
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nothing_changes_while_decode_is_off_1_0_3),
		T(nothing_reaches_the_model_with_decode_off_1_0_1),
	};

	start_elsewhere();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

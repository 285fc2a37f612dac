/* SPDX-License-Identifier: BSD-3-Clause */
/* The gate's tests of what goes on all the while that it opens and closes. */
#include "tests/client/victim_gate.h"

#include <sched.h>

#define STORERS	  4 /* in each of two processes */
#define PROCESSES 2

/*
 * 1.0.3, 1.0.4: storers with a stamp each. A store either counts or gets
 * SIGBUS, the value that retired last is what is there, and none retires
 * between the return of a disable and the next enable.
 */

struct storer {
	volatile uint64_t *at;
};

static void *storing(void *arg)
{
	const struct storer *s = arg;
	uint64_t retired = 0, stamp = 0, got;
	unsigned long stores = 0, faults = 0;

	while (!atomic_load(&shared->stop)) {
		int sig = store_in_phase(s->at, ++stamp);

		faults += sig != 0;
		stores += sig == 0;
		if (!sig)
			retired = stamp;
		if (!load_in_phase(s->at, &got))
			CHECK(got == retired);
	}
	atomic_fetch_add(&shared->stores, stores);
	atomic_fetch_add(&shared->faults, faults);
	return NULL;
}

struct storers {
	char *map;
	unsigned int first;
};

/* Two to a page, most of them far apart. */
static volatile uint64_t *place_of(const struct storers *all, unsigned int n)
{
	return (void *)(all->map + n / 2 * 97 * PAGE + 64 * n);
}

static void storing_process(void *arg)
{
	const struct storers *all = arg;
	struct storer s[STORERS];
	pthread_t threads[STORERS];

	for (unsigned int i = 0; i < STORERS; i++) {
		s[i].at = place_of(all, all->first + i);
		CHECK(!pthread_create(&threads[i], NULL, storing, &s[i]));
	}
	for (unsigned int i = 0; i < STORERS; i++)
		CHECK(!pthread_join(threads[i], NULL));
}

static void toggle(unsigned long i)
{
	gate_close();
	let_them_run(i);
	gate_open();
	let_them_run(i);
}

static void reset(unsigned long i)
{
	device_reset();
	let_them_run(i);
}

static void hot(unsigned long i)
{
	long r;

	while ((r = hot_reset()) == -EBUSY)
		sched_yield();
	CHECK(r == 0);
	let_them_run(i);
}

static void under(void (*act)(unsigned long i), char **args)
{
	unsigned long rounds = rounds_of(args);
	struct storers all;
	pid_t pids[PROCESSES];

	start(MAIN);
	all.map = bar_map(vfio.device, 2, SIZE);
	/* so that no storer's first store is the page's first one ever */
	for (unsigned int i = 0; i < PROCESSES * STORERS; i++)
		check_open((void *)place_of(&all, i), 0);
	for (unsigned int i = 0; i < PROCESSES; i++) {
		all.first = i * STORERS;
		pids[i] = fork_into(storing_process, &all);
	}
	for (unsigned long i = 0; i < rounds; i++)
		act(i);
	atomic_store(&shared->stop, true);
	for (int i = 0; i < PROCESSES; i++)
		check_child(pids[i]);
	CHECK(atomic_load(&shared->stores));
}

static void toggling_1_0_3(char **args)
{
	under(toggle, args);
}

/* The gate is open before and after: no storer sees a SIGBUS. */
static void resets_1_0_4(char **args)
{
	under(reset, args);
	CHECK(!atomic_load(&shared->faults));
}

static void hot_resets_1_0_4(char **args)
{
	under(hot, args);
	CHECK(!atomic_load(&shared->faults));
}

/* 1.0.8: a sibling in mid-reset */

static void *sibling_resets(void *arg)
{
	int device = *(int *)arg;

	while (!atomic_load(&shared->stop))
		CHECK(!ioctl(device, VFIO_DEVICE_RESET));
	return NULL;
}

/* All or nothing: a reset clears the register. Mappings work in any case. */
static bool hot_reset_whole(char *map, char *siblings)
{
	reg_write(vfio.device, REGION(0), 0x55);
	long r = hot_reset();

	CHECK(r == 0 || r == -EBUSY);
	CHECK(reg_read(vfio.device, REGION(0)) == (r ? 0x55 : 0));
	check_open(map, 1);
	check_open(siblings, 2);
	return r == 0;
}

static void sibling_1_0_8(char **args)
{
	unsigned long rounds = rounds_of(args), done = 0, busy = 0;
	pthread_t thread;

	start(MAIN);
	int sibling = ioctl(vfio.group, VFIO_GROUP_GET_DEVICE_FD, SIBLING);

	CHECK(sibling >= 0);
	command_set(sibling, 2);
	char *map = bar_map(vfio.device, 2, PAGE);
	char *siblings = bar_map(sibling, 2, PAGE);

	CHECK(!pthread_create(&thread, NULL, sibling_resets, &sibling));
	/* busy ones are tried again, and all that is done was meant to be */
	while (done + busy < rounds || !done || !busy) {
		if (hot_reset_whole(map, siblings))
			done++;
		else
			busy++;
	}
	atomic_store(&shared->stop, true);
	CHECK(!pthread_join(thread, NULL));
	CHECK(hot_reset_whole(map, siblings));
}

/* 1.0.9: mappings that come, fork and die while the gate works */

static void touch_and_die(void *arg)
{
	uint64_t got;

	load_in_phase(arg, &got);
}

static void *mapping_all_day(void *arg)
{
	(void)arg;
	while (!atomic_load(&shared->stop)) {
		char *map = bar_map(vfio.device, 2, 16 * PAGE);

		store_in_phase(map + PAGE, 1); /* something to inherit */
		pid_t pid = fork_into(touch_and_die, map + PAGE);

		store_in_phase(map, 1);
		CHECK(!munmap(map, 16 * PAGE));
		check_child(pid);
	}
	return NULL;
}

static void run_two(void *(*fn)(void *), void (*act)(unsigned long i),
		    char **args)
{
	unsigned long rounds = rounds_of(args);
	pthread_t threads[2];

	start(MAIN);
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_create(&threads[i], NULL, fn, NULL));
	for (unsigned long i = 0; i < rounds; i++)
		act(i);
	atomic_store(&shared->stop, true);
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_join(threads[i], NULL));
}

static void toggle_and_reset(unsigned long i)
{
	toggle(i);
	reset(i);
}

static void fork_and_unmap_1_0_9(char **args)
{
	run_two(mapping_all_day, toggle_and_reset, args);
}

/*
 * 1.0.10: the host fills memory for the program while a reset is under way.
 * MAP_DMA waits, as on Linux. System calls do not, which is the one documented
 * difference: they may be EFAULT, and nothing else. A touch waits.
 */

static void moved_or_efault(ssize_t n)
{
	CHECK(n == 8 || (n == -1 && errno == EFAULT));
}

static void *buffers_all_day(void *arg)
{
	static _Atomic off_t next = REGION(2);
	off_t mine = atomic_fetch_add(&next, 2 * PAGE);
	char *map = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, vfio.device, mine);
	uint64_t iova = (uint64_t)(mine - REGION(2));
	int p[2];

	(void)arg;
	CHECK(map != MAP_FAILED && !pipe2(p, O_NONBLOCK));
	/* the first store ever to a page may be lost to a close, this not */
	reg_write(vfio.device, mine, 0);
	reg_write(vfio.device, mine + PAGE, 0);
	for (uint64_t i = 1; !atomic_load(&shared->stop); i++) {
		CHECK(!dma_map(vfio.container, map, iova, PAGE));
		CHECK(!dma_unmap(vfio.container, iova, PAGE));
		check_open(map, i);
		moved_or_efault(write(p[1], map, 8));
		if (read(p[0], map + PAGE, 8) == 8)
			check_holds(map + PAGE, i);
		else
			CHECK(errno == EFAULT || errno == EAGAIN);
		while (read(p[0], &(uint64_t){0}, 8) == 8)
			;
		moved_or_efault(pread(vfio.device, map + 8, 8, CONFIG));
	}
	return NULL;
}

static void buffers_1_0_10(char **args)
{
	run_two(buffers_all_day, reset, args);
}

const struct victim_test gate_storm_tests[] = {
	{"toggling_1_0_3", toggling_1_0_3},
	{"resets_1_0_4", resets_1_0_4},
	{"hot_resets_1_0_4", hot_resets_1_0_4},
	{"sibling_1_0_8", sibling_1_0_8},
	{"fork_and_unmap_1_0_9", fork_and_unmap_1_0_9},
	{"buffers_1_0_10", buffers_1_0_10},
	{NULL, NULL},
};

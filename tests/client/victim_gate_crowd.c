/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A crowd at the gate: 64 threads in each of four processes are let loose on
 * pages that none of them has touched.
 */
#include "tests/client/victim_gate.h"

#define PROCESSES 4
#define THREADS	  64
#define CROWD	  (PROCESSES * THREADS)
#define PAGES	  (SIZE / PAGE)
#define FRESH	  (PAGES / CROWD) /* rounds until there is no other page */

struct crowd {
	char *map[PROCESSES];
	size_t maps;
	unsigned int process;
	unsigned long rounds;
	bool apart;  /* each thread has a page of its own */
	bool moving; /* the gate opens and closes all the time */
};

struct member {
	const struct crowd *crowd;
	unsigned int id;
};

/* Odd, so that it is another page for every number below PAGES. */
#define SPREAD 61

static unsigned long page_of(const struct crowd *c, unsigned long i,
			     unsigned int id)
{
	if (!c->apart)
		return i % PAGES;
	return (i % FRESH * CROWD + id) * SPREAD % PAGES;
}

/* Every page has been touched: after a reset none is mapped in. */
static void unmap_all(const struct crowd *c, unsigned long i)
{
	if (!c->apart || i % FRESH)
		return;
	if (pthread_barrier_wait(&shared->barrier) ==
	    PTHREAD_BARRIER_SERIAL_THREAD)
		device_reset();
}

static void *crowd_thread(void *arg)
{
	const struct member *m = arg;
	const struct crowd *c = m->crowd;

	for (unsigned long i = 0; i < c->rounds; i++) {
		char *at = c->map[m->id % c->maps] +
			   page_of(c, i, m->id) * PAGE + 8 * m->id;
		uint64_t val = i << 16 | m->id, got = val;

		unmap_all(c, i);
		pthread_barrier_wait(&shared->barrier);
		int sig = store_in_phase(at, val);

		CHECK(!sig || c->moving);
		sig = load_in_phase(at, &got);
		/* the first store ever to a page may be lost to a close */
		CHECK(c->moving || (!sig && got == val));
	}
	return NULL;
}

static void crowd_process(void *arg)
{
	struct crowd *c = arg;
	struct member members[THREADS];
	pthread_t threads[THREADS];
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64ul << 10);
	for (unsigned int i = 0; i < THREADS; i++) {
		members[i] = (struct member){c, c->process * THREADS + i};
		CHECK(!pthread_create(&threads[i], &attr, crowd_thread,
				      &members[i]));
	}
	for (unsigned int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(threads[i], NULL));
}

static void make_barrier(void)
{
	pthread_barrierattr_t attr;

	CHECK(!pthread_barrierattr_init(&attr));
	CHECK(!pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
	CHECK(!pthread_barrier_init(&shared->barrier, &attr, CROWD));
}

static void *moving_gate(void *arg)
{
	(void)arg;
	for (unsigned long i = 0; !atomic_load(&shared->stop); i++) {
		gate_close();
		let_them_run(i);
		gate_open();
		let_them_run(i);
	}
	return NULL;
}

static void crowd(struct crowd c, char **args)
{
	pid_t pids[PROCESSES];
	pthread_t gate;

	start(MAIN);
	make_barrier();
	c.rounds = rounds_of(args);
	for (size_t i = 0; i < c.maps; i++)
		c.map[i] = bar_map(vfio.device, 2, SIZE);
	for (unsigned int i = 0; i < PROCESSES; i++) {
		c.process = i;
		pids[i] = fork_into(crowd_process, &c);
	}
	if (c.moving)
		CHECK(!pthread_create(&gate, NULL, moving_gate, NULL));
	for (int i = 0; i < PROCESSES; i++)
		check_child(pids[i]);
	atomic_store(&shared->stop, true);
	if (c.moving)
		CHECK(!pthread_join(gate, NULL));
}

static void same_page_1_1_1(char **args)
{
	crowd((struct crowd){.maps = 1}, args);
}

static void different_pages_1_1_2(char **args)
{
	crowd((struct crowd){.maps = 1, .apart = true}, args);
}

/* The same page through four mappings in each of four processes. */
static void different_mappings_1_1_2(char **args)
{
	crowd((struct crowd){.maps = PROCESSES}, args);
}

static void first_touch_and_close_1_1_3(char **args)
{
	crowd((struct crowd){.maps = PROCESSES, .moving = true}, args);
}

const struct victim_test gate_crowd_tests[] = {
	{"same_page_1_1_1", same_page_1_1_1},
	{"different_pages_1_1_2", different_pages_1_1_2},
	{"different_mappings_1_1_2", different_mappings_1_1_2},
	{"first_touch_and_close_1_1_3", first_touch_and_close_1_1_3},
	{NULL, NULL},
};

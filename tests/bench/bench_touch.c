/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a program pays for touching a BAR, with 1, 2 and 8 threads: a store to a
 * page that is there and to plain memory, the first touch of a page, a fault in
 * a closed BAR (a signal, a question to the daemon, and the program's own
 * handler) and one that is to be tried again.
 *
 *     bench_touch          bare: a shared file, and another process that answers
 *     bench_touch BDF      under softvfio, BAR 2 of a ram
 *
 * Both do the same, so the first gives the floors of the second. Prints one
 * JSON object; figures are medians over rounds and threads of what one touch
 * took. bench_gate.py runs both by turns.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/device.h"

#define PAGE	4096ull
#define SIZE	(256ull << 20)
#define THREADS 8u
#define ROUNDS	5u
#define STORES	5000000u
#define TOUCHES 400u /* new pages of each thread and round */
#define FAULTS	100u

static const unsigned int crowds[] = {1, 2, 8};

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* What is touched */

static struct {
	uint8_t *mem;
	uint8_t *plain; /* private memory, to compare with */
	int fd;		/* bare: the file; else the device */
	bool bare;
	int ask[THREADS];   /* bare: each thread's socket */
	uint64_t next_page; /* never touched, from here on */
} place;

static uint8_t *map(int fd, uint64_t at)
{
	void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_NORESERVE, fd, (off_t)at);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void *answer(void *arg)
{
	int fd = *(int *)arg;
	char buf[64];

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n <= 0 || send(fd, buf, (size_t)n, 0) < 0)
			return NULL;
	}
}

/* The process that answers has a thread for each of ours. */
static void start_answering(void)
{
	static int theirs[THREADS];
	pthread_t thread[THREADS];

	for (unsigned int i = 0; i < THREADS; i++) {
		int sv[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) < 0)
			die("socketpair");
		place.ask[i] = sv[0];
		theirs[i] = sv[1];
	}
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	for (unsigned int i = 0; i < THREADS; i++)
		close(pid ? theirs[i] : place.ask[i]);
	if (pid)
		return;
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, answer, &theirs[i]);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	_exit(0);
}

static void open_bare(void)
{
	place.bare = true;
	place.fd = memfd_create("bare", MFD_CLOEXEC);
	if (place.fd < 0 || ftruncate(place.fd, SIZE) < 0)
		die("memfd");
	place.mem = map(place.fd, 0);
	start_answering();
}

static void open_device(const char *bdf)
{
	int container;

	place.fd = device_open(bdf, &container);
	place.mem = map(place.fd, 2ull << 40);
}

/* By COMMAND.MEMORY, or by the length of the file. */
static void set_open(bool open)
{
	uint16_t command = open ? 2 : 0;

	if (place.bare ? ftruncate(place.fd, open ? SIZE : 0) < 0
		       : pwrite(place.fd, &command, 2, (7ll << 40) + 4) != 2)
		die("open or close");
}

/* The program's handler */

static __thread sigjmp_buf on_bus;
static __thread unsigned int self; /* which thread */
static __thread bool retry;

static void caught(int sig)
{
	char buf[32] = {0};

	if (place.bare && (send(place.ask[self], buf, sizeof(buf), 0) < 0 ||
			   recv(place.ask[self], buf, sizeof(buf), 0) < 0))
		_exit(1);
	if (!retry)
		siglongjmp(on_bus, sig);
}

/* What one thread does, so many times */

static void store_to(uint8_t *page)
{
	volatile uint64_t *at = (volatile uint64_t *)page;

	for (uint64_t i = 0; i < STORES; i++)
		*at = i;
}

static void store(uint64_t first)
{
	store_to(place.mem + first * PAGE);
}

static void store_plain(uint64_t first)
{
	store_to(place.plain + self * PAGE);
}

static void touch(uint64_t first)
{
	for (uint64_t i = 0; i < TOUCHES; i++)
		*(volatile uint64_t *)(place.mem + (first + i) * PAGE) = 1;
}

static void fault(uint64_t first)
{
	for (volatile unsigned int i = 0; i < FAULTS; i++)
		if (!sigsetjmp(on_bus, 0))
			*(volatile uint64_t *)(place.mem + first * PAGE) = 1;
}

/* As if the BAR had been closed and is open again: there is no other way to be
 * certain that it is, when the question arrives. */
static void fault_again(uint64_t first)
{
	siginfo_t info = {
		.si_signo = SIGBUS,
		.si_code = BUS_ADRERR,
		.si_addr = place.mem + first * PAGE,
	};

	retry = true;
	for (unsigned int i = 0; i < FAULTS; i++)
		if (syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGBUS,
			    &info) < 0)
			die("rt_tgsigqueueinfo");
	retry = false;
}

static const struct deed {
	const char *name;
	void (*run)(uint64_t first); /* page of the thread's own */
	unsigned int times;
	unsigned int pages; /* each thread uses up, 0 = the same again */
	bool closed;
	double scale; /* nanoseconds in the unit of the name */
} deeds[] = {
	{"store_ns", store, STORES, 0, false, 1},
	{"plain_store_ns", store_plain, STORES, 0, false, 1},
	{"first_touch_us", touch, TOUCHES, TOUCHES, false, 1e3},
	{"fault_us", fault, FAULTS, 0, true, 1e3},
	{"fault_retried_us", fault_again, FAULTS, 0, false, 1e3},
};

/* Measuring */

struct worker {
	pthread_t thread;
	pthread_barrier_t *barrier;
	const struct deed *deed;
	unsigned int index;
	uint64_t first;
	double each;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	self = w->index;
	pthread_barrier_wait(w->barrier);
	double t = now_ns();

	w->deed->run(w->first);
	w->each = (now_ns() - t) / w->deed->times / w->deed->scale;
	return NULL;
}

/* Pages of their own: the first ones, or such as nobody has had. */
static uint64_t pages_for(const struct deed *deed, unsigned int index)
{
	uint64_t first = place.next_page;

	if (!deed->pages)
		return index;
	place.next_page += deed->pages;
	return first;
}

static void run_round(const struct deed *deed, unsigned int n, double *ret_each)
{
	struct worker w[THREADS];
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, n);
	for (unsigned int i = 0; i < n; i++) {
		w[i] = (struct worker){.barrier = &barrier,
				       .deed = deed,
				       .index = i,
				       .first = pages_for(deed, i)};
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			die("thread");
	}
	for (unsigned int i = 0; i < n; i++) {
		pthread_join(w[i].thread, NULL);
		ret_each[i] = w[i].each;
	}
	pthread_barrier_destroy(&barrier);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double measure(const struct deed *deed, unsigned int n)
{
	double each[ROUNDS * THREADS];

	if (deed->closed)
		set_open(false);
	for (unsigned int i = 0; i < ROUNDS; i++)
		run_round(deed, n, each + (size_t)i * n);
	if (deed->closed)
		set_open(true);
	qsort(each, (size_t)ROUNDS * n, sizeof(each[0]), by_value);
	return each[(size_t)ROUNDS * n / 2];
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = caught, .sa_flags = SA_NODEFER};
	const char *comma = "{";

	if (argc > 2) {
		fprintf(stderr, "usage: bench_touch [BDF]\n");
		return 2;
	}
	sigaction(SIGBUS, &sa, NULL);
	place.plain = mmap(NULL, THREADS * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	place.next_page = THREADS;
	if (argc == 1)
		open_bare();
	else
		open_device(argv[1]);
	set_open(true);
	for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++)
		for (size_t c = 0; c < 3; c++) {
			printf("%s\"%s_%u\": %.3f", comma, deeds[i].name,
			       crowds[c], measure(&deeds[i], crowds[c]));
			comma = ", ";
		}
	puts("}");
	return 0;
}

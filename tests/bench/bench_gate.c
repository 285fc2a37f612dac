/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What closing and opening a BAR costs, beside the bare calls it cannot do
 * without (vmsplice, ftruncate, read; pwrite, ftruncate) in the same run: for
 * three sizes, untouched, 1 % and fully populated, with nobody mapping it, and
 * with a thread on another core that touches what is populated all the time.
 *
 *     bench_gate [SHAPE]...
 *
 * Prints one JSON object; every figure is a median, in microseconds. A shape
 * for which there is no memory says so and is left out. bench_gate.py puts
 * this beside what a program sees.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/pci/bar.h"

#define PIPE_PAGES 256u
#define PIPES	   BAR_PIPES_MAX
#define SMALL	   (64ull << 10) /* all of such a BAR is held */
#define SPARE	   (256ull << 20)
#define PASSES	   3
#define SAMPLES	   256

struct shape {
	const char *name;
	uint64_t len;
	unsigned int percent;
	unsigned int rounds; /* in each pass */
	unsigned int passes;
};

/* A file with the same pages, and the bare calls; everything made before. */
struct bare {
	int fd;
	uint8_t *view;
	uint8_t *kept;
	int pipe[PIPES][2];
};

struct stage {
	uint64_t len;
	uint64_t step; /* a page in so many is populated; 0 = none */
	uint64_t held; /* a page in so many has to be held */
	struct bar bar;
	struct bare bare;
	uint8_t *mapped; /* what the mapper touches, NULL = nobody does */
	atomic_bool stop;
};

static void check(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static void *map_shared(int fd, void *at, uint64_t len)
{
	void *p =
		mmap(at, len, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_NORESERVE | (at ? MAP_FIXED : 0), fd, 0);

	check(p != MAP_FAILED, "mmap");
	return p;
}

/* Contents for all of it, without a fault for each page. */
static void fill(int fd, uint64_t len)
{
	static char data[1u << 20];

	memset(data, 1, sizeof(data));
	for (uint64_t at = 0; at < len; at += sizeof(data)) {
		size_t n = len - at < sizeof(data) ? len - at : sizeof(data);

		check(pwrite(fd, data, n, (off_t)at) == (ssize_t)n, "pwrite");
	}
}

static void populate(const struct stage *s, int fd, uint8_t *view)
{
	if (s->step == 1)
		fill(fd, s->len);
	for (uint64_t at = 0; s->step > 1 && at < s->len; at += s->step * PAGE)
		*(volatile uint64_t *)(view + at) = at;
}

/* The bare calls */

/* From *@at on, as many pages as a pipe holds. */
static size_t next_batch(const struct stage *s, uint8_t *base, uint64_t *at,
			 struct iovec *iov)
{
	size_t n = 0, pages = 0;

	while (*at < s->len && pages < PIPE_PAGES) {
		uint64_t len = PAGE;

		if (s->held == 1) {
			len = s->len - *at;
			if (len > (uint64_t)PIPE_PAGES * PAGE)
				len = (uint64_t)PIPE_PAGES * PAGE;
		}
		iov[n++] = (struct iovec){base + *at, len};
		pages += len / PAGE;
		*at += s->held == 1 ? len : s->held * PAGE;
	}
	return n;
}

static void bare_close(struct stage *s)
{
	struct iovec iov[PIPE_PAGES];
	struct bare *b = &s->bare;
	uint64_t at = 0, held = 0;
	size_t n = 0;

	for (; s->held && at < s->len && n < PIPES; n++) {
		size_t v = next_batch(s, b->view, &at, iov);

		check(vmsplice(b->pipe[n][1], iov, v, 0) > 0, "vmsplice");
	}
	if (s->held && at < s->len)
		check(pread(b->fd, b->kept + at, s->len - at, (off_t)at) > 0,
		      "pread");
	check(ftruncate(b->fd, 0) == 0, "ftruncate");
	for (size_t i = 0; i < n; i++) {
		size_t v = next_batch(s, b->kept, &held, iov);

		check(readv(b->pipe[i][0], iov, (int)v) > 0, "readv");
	}
}

static void bare_open(struct stage *s)
{
	struct bare *b = &s->bare;

	for (uint64_t at = 0; s->held && at < s->len; at += s->held * PAGE) {
		uint64_t len = s->held == 1 ? s->len : PAGE;

		check(pwrite(b->fd, b->kept + at, len, (off_t)at) ==
			      (ssize_t)len,
		      "pwrite");
		if (s->held == 1)
			break;
	}
	check(ftruncate(b->fd, (off_t)s->len) == 0, "ftruncate");
}

static void bare_clear(struct stage *s)
{
	map_shared(s->bare.fd, s->bare.view, s->len);
	check(fallocate(s->bare.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			0, (off_t)s->len) == 0,
	      "fallocate");
}

static int bare_set(struct stage *s)
{
	struct bare *b = &s->bare;

	b->fd = memfd_create("bare", MFD_CLOEXEC);
	check(ftruncate(b->fd, (off_t)s->len) == 0, "ftruncate");
	b->view = map_shared(b->fd, NULL, s->len);
	b->kept = mmap(NULL, s->len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	check(b->kept != MAP_FAILED, "mmap");
	/* what is scattered in a BAR is not kept in huge pages either */
	madvise(b->kept, s->len,
		s->step == 1 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (int i = 0; i < PIPES; i++) {
		check(pipe2(b->pipe[i], O_CLOEXEC) == 0, "pipe2");
		fcntl(b->pipe[i][1], F_SETPIPE_SZ, PIPE_PAGES * PAGE);
	}
	populate(s, b->fd, b->view);
	return b->fd;
}

static void bare_strike(struct stage *s)
{
	struct bare *b = &s->bare;

	munmap(b->view, s->len);
	munmap(b->kept, s->len);
	close(b->fd);
	for (int i = 0; i < PIPES; i++) {
		close(b->pipe[i][0]);
		close(b->pipe[i][1]);
	}
}

/* The gate */

static void gate_close(struct stage *s)
{
	bar_close(&s->bar);
}

static void gate_open(struct stage *s)
{
	bar_open(&s->bar);
}

static void gate_clear(struct stage *s)
{
	bar_clear(&s->bar);
}

static int gate_set(struct stage *s)
{
	struct sv_bar bar = {.size = s->len,
			     .kind = SV_BAR_MEM64,
			     .access = SV_ACCESS_DIRECT};

	check(bar_init(&s->bar, "bench", &bar, -1) == 0, "bar_init");
	populate(s, s->bar.memfd, s->bar.view);
	return s->bar.memfd;
}

static void gate_strike(struct stage *s)
{
	bar_done(&s->bar);
}

/* One after the other, so both are at the same addresses: how much of a page
 * table the host has to look through depends on what is around. */
static const struct side {
	int (*set)(struct stage *s); /* returns the file to map */
	void (*strike)(struct stage *s);
	void (*close)(struct stage *s);
	void (*open)(struct stage *s);
	void (*clear)(struct stage *s); /* untouched again */
} sides[] = {
	{bare_set, bare_strike, bare_close, bare_open, bare_clear},
	{gate_set, gate_strike, gate_close, gate_open, gate_clear},
};

/* The thread on the other core */

static __thread sigjmp_buf on_bus;

static void caught(int sig)
{
	siglongjmp(on_bus, sig);
}

static void touch(const uint8_t *at)
{
	if (!sigsetjmp(on_bus, 0))
		(void)*(const volatile uint8_t *)at;
}

static void *mapping(void *arg)
{
	const struct stage *s = arg;
	uint64_t at = 0;

	while (!atomic_load(&s->stop)) {
		if (s->step)
			touch(s->mapped + at);
		at += s->step * PAGE;
		if (at >= s->len)
			at = 0;
	}
	return NULL;
}

static pthread_t mapper_start(struct stage *s, int fd)
{
	pthread_t thread;

	s->mapped = map_shared(fd, NULL, s->len);
	atomic_store(&s->stop, false);
	check(pthread_create(&thread, NULL, mapping, s) == 0, "thread");
	return thread;
}

static void mapper_stop(struct stage *s, pthread_t thread)
{
	atomic_store(&s->stop, true);
	pthread_join(thread, NULL);
	munmap(s->mapped, s->len);
}

/* Measuring */

struct samples {
	size_t n;
	double close[SAMPLES];
	double open[SAMPLES];
};

static void round_of(struct stage *s, const struct side *side,
		     struct samples *to)
{
	uint64_t a = clock_ns();

	side->close(s);
	uint64_t b = clock_ns();

	side->open(s);
	uint64_t c = clock_ns();

	if (!s->step)
		side->clear(s);
	to->close[to->n] = (double)(b - a) / 1e3;
	to->open[to->n++] = (double)(c - b) / 1e3;
}

static void measure(struct stage *s, const struct shape *shape,
		    const struct side *side, bool mapper, struct samples *to)
{
	int fd = side->set(s);
	pthread_t thread = mapper ? mapper_start(s, fd) : 0;

	round_of(s, side, to); /* makes what stays */
	to->n--;
	for (unsigned int i = 0; i < shape->rounds; i++)
		round_of(s, side, to);
	if (mapper)
		mapper_stop(s, thread);
	side->strike(s);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

static void measure_shape(const struct shape *shape, bool mapper)
{
	static struct samples samples[2];
	static struct stage s;

	s.len = shape->len;
	s.step = shape->percent ? 100 / shape->percent : 0;
	s.held = s.len <= SMALL ? 1 : s.step;
	samples[0].n = samples[1].n = 0;
	for (unsigned int i = 0; i < shape->passes; i++)
		for (int side = 0; side < 2; side++)
			measure(&s, shape, &sides[side], mapper,
				&samples[side]);
	printf("{\"close_us\": %.2f, \"close_floor_us\": %.2f, "
	       "\"open_us\": %.2f, \"open_floor_us\": %.2f}",
	       median(samples[1].close, samples[1].n),
	       median(samples[0].close, samples[0].n),
	       median(samples[1].open, samples[1].n),
	       median(samples[0].open, samples[0].n));
}

/* Memory */

/* UINT64_MAX when there is no such file, or no number (the text "max"). */
static uint64_t number_in(const char *path, const char *before, uint64_t unit)
{
	FILE *f = fopen(path, "re");
	uint64_t number = UINT64_MAX;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, before, strlen(before)) &&
		    sscanf(line + strlen(before), "%" SCNu64, &number) == 1)
			number *= unit;
	if (f)
		fclose(f);
	return number;
}

static uint64_t memory_available(void)
{
	uint64_t free = number_in("/proc/meminfo", "MemAvailable:", 1024);
	uint64_t max = number_in("/sys/fs/cgroup/memory.max", "", 1);
	uint64_t now = number_in("/sys/fs/cgroup/memory.current", "", 1);
	uint64_t left = max == UINT64_MAX ? max : max > now ? max - now : 0;

	return free < left ? free : left;
}

/* The contents are twice there while they are being kept. */
static bool fits(const struct shape *shape, uint64_t *ret_needed)
{
	*ret_needed = 2 * shape->len / 100 * shape->percent + SPARE;
	return memory_available() >= *ret_needed;
}

static void measure_or_skip(const struct shape *shape, bool mapper)
{
	uint64_t needed;

	if (fits(shape, &needed))
		measure_shape(shape, mapper);
	else
		printf("{\"skipped\": \"needs %" PRIu64 " MiB of memory, "
		       "%" PRIu64 " are available\"}",
		       needed >> 20, memory_available() >> 20);
}

/* What a system call and the question whether there is anything cost. */
static void measure_questions(void)
{
	static double call[SAMPLES], ask[SAMPLES];
	int fd = memfd_create("asked", MFD_CLOEXEC);
	struct stat st;

	for (size_t i = 0; i < SAMPLES; i++) {
		uint64_t a = clock_ns();

		(void)getppid();
		uint64_t b = clock_ns();

		check(fstat(fd, &st) == 0, "fstat");
		call[i] = (double)(b - a) / 1e3;
		ask[i] = (double)(clock_ns() - b) / 1e3;
	}
	close(fd);
	printf("{\"system_call_us\": %.2f, \"fstat_us\": %.2f",
	       median(call, SAMPLES), median(ask, SAMPLES));
}

static bool wanted(const char *name, char **names)
{
	bool found = !*names;

	for (; *names; names++)
		found |= !strcmp(name, *names);
	return found;
}

int main(int argc, char **argv)
{
	static const struct shape shapes[] = {
		{"16k_untouched", 16ull << 10, 0, 63, PASSES},
		{"16k_full", 16ull << 10, 100, 63, PASSES},
		{"16m_untouched", 16ull << 20, 0, 63, PASSES},
		{"16m_1pc", 16ull << 20, 1, 63, PASSES},
		{"16m_full", 16ull << 20, 100, 5, PASSES},
		{"1g_untouched", 1ull << 30, 0, 63, PASSES},
		{"1g_1pc", 1ull << 30, 1, 7, PASSES},
		{"1g_full", 1ull << 30, 100, 1, 1},
	};
	struct sigaction sa = {.sa_handler = caught, .sa_flags = SA_NODEFER};

	sigaction(SIGBUS, &sa, NULL);
	measure_questions();
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (!wanted(shapes[i].name, argv + 1))
			continue;
		for (int mapper = 0; mapper < 2; mapper++) {
			printf(", \"%s_%s\": ", shapes[i].name,
			       mapper ? "mapped" : "alone");
			measure_or_skip(&shapes[i], mapper);
			fflush(stdout);
		}
	}
	puts("}");
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What closing and opening a BAR costs, beside the bare calls it cannot do
 * without (vmsplice, ftruncate, read; pwrite, ftruncate) in the same run: for
 * three sizes, untouched, 1 % and fully populated, with nobody mapping it, and
 * with a thread on another core that touches what is populated all the time.
 * Prints one JSON object; every figure is a median, in microseconds.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
#include <fcntl.h>

#include "core/bar.h"

#define PIPE_PAGES 256u
#define PIPES	   BAR_PIPES_MAX

struct shape {
	const char *name;
	uint64_t len;
	unsigned int percent;
	unsigned int rounds;
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

static void *map_shared(int fd, uint64_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_NORESERVE, fd, 0);

	check(p != MAP_FAILED, "mmap");
	return p;
}

static void populate(const struct stage *s, uint8_t *view)
{
	for (uint64_t at = 0; s->step && at < s->len; at += s->step * PAGE)
		*(volatile uint64_t *)(view + at) = at;
}

/* The bare calls */

static uint64_t run_len(const struct stage *s)
{
	return s->step == 1 ? s->len : PAGE;
}

/* From *@at on, as many pages as a pipe holds. */
static size_t next_batch(const struct stage *s, uint8_t *base, uint64_t *at,
			 struct iovec *iov)
{
	size_t n = 0, pages = 0;

	while (*at < s->len && pages < PIPE_PAGES) {
		uint64_t len = run_len(s);

		if (s->step == 1) {
			len = s->len - *at;
			if (len > (uint64_t)PIPE_PAGES * PAGE)
				len = (uint64_t)PIPE_PAGES * PAGE;
		}
		iov[n++] = (struct iovec){base + *at, len};
		pages += len / PAGE;
		*at += s->step == 1 ? len : s->step * PAGE;
	}
	return n;
}

static void bare_close(struct stage *s)
{
	struct iovec iov[PIPE_PAGES];
	struct bare *b = &s->bare;
	uint64_t at = 0, held = 0;
	size_t n = 0;

	for (; s->step && at < s->len && n < PIPES; n++) {
		size_t v = next_batch(s, b->view, &at, iov);

		check(vmsplice(b->pipe[n][1], iov, v, 0) > 0, "vmsplice");
	}
	if (s->step && at < s->len)
		memcpy(b->kept + at, b->view + at, s->len - at);
	check(ftruncate(b->fd, 0) == 0, "ftruncate");
	for (size_t i = 0; i < n; i++) {
		size_t v = next_batch(s, b->kept, &held, iov);

		check(readv(b->pipe[i][0], iov, (int)v) > 0, "readv");
	}
}

static void bare_open(struct stage *s)
{
	struct bare *b = &s->bare;

	for (uint64_t at = 0; s->step && at < s->len; at += s->step * PAGE) {
		uint64_t len = run_len(s);

		check(pwrite(b->fd, b->kept + at, len, (off_t)at) ==
			      (ssize_t)len,
		      "pwrite");
		if (s->step == 1)
			break;
	}
	check(ftruncate(b->fd, (off_t)s->len) == 0, "ftruncate");
}

static void gate_close(struct stage *s)
{
	bar_close(&s->bar);
}

static void gate_open(struct stage *s)
{
	bar_open(&s->bar);
}

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

/* Measuring */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, unsigned int n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

struct figures {
	double close;
	double open;
};

static struct figures measure(struct stage *s, unsigned int rounds, int fd,
			      void (*close_it)(struct stage *s),
			      void (*open_it)(struct stage *s), bool mapper)
{
	double closes[64], opens[64];
	pthread_t thread;

	s->mapped = mapper ? map_shared(fd, s->len) : NULL;
	atomic_store(&s->stop, false);
	if (mapper)
		pthread_create(&thread, NULL, mapping, s);
	for (unsigned int i = 0; i <= rounds; i++) {
		uint64_t a = clock_ns();

		close_it(s);
		uint64_t b = clock_ns();

		open_it(s);
		uint64_t c = clock_ns();

		if (i == 0)
			continue; /* warm up */
		closes[i - 1] = (double)(b - a) / 1e3;
		opens[i - 1] = (double)(c - b) / 1e3;
	}
	atomic_store(&s->stop, true);
	if (mapper) {
		pthread_join(thread, NULL);
		munmap(s->mapped, s->len);
	}
	return (struct figures){median(closes, rounds), median(opens, rounds)};
}

static void stage_set(struct stage *s, const struct shape *shape)
{
	struct sv_bar bar = {.size = shape->len,
			     .kind = SV_BAR_MEM64,
			     .access = SV_ACCESS_DIRECT};

	memset(s, 0, sizeof(*s));
	s->len = shape->len;
	s->step = shape->percent ? 100 / shape->percent : 0;
	check(bar_init(&s->bar, "bench", &bar, -1) == 0, "bar_init");
	s->bare.fd = memfd_create("bare", MFD_CLOEXEC);
	check(ftruncate(s->bare.fd, (off_t)s->len) == 0, "ftruncate");
	s->bare.view = map_shared(s->bare.fd, s->len);
	s->bare.kept = mmap(NULL, s->len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	for (int i = 0; i < PIPES; i++) {
		check(pipe2(s->bare.pipe[i], O_CLOEXEC) == 0, "pipe2");
		fcntl(s->bare.pipe[i][1], F_SETPIPE_SZ, PIPE_PAGES * PAGE);
	}
	populate(s, s->bar.view);
	populate(s, s->bare.view);
}

static void stage_strike(struct stage *s)
{
	bar_done(&s->bar);
	munmap(s->bare.view, s->len);
	munmap(s->bare.kept, s->len);
	close(s->bare.fd);
	for (int i = 0; i < PIPES; i++) {
		close(s->bare.pipe[i][0]);
		close(s->bare.pipe[i][1]);
	}
}

static void print(const char *name, const char *how, struct figures gate,
		  struct figures bare, const char *comma)
{
	printf("%s\"%s_%s_close_us\": %.2f, \"%s_%s_close_floor_us\": %.2f, "
	       "\"%s_%s_close_ratio\": %.2f, \"%s_%s_open_us\": %.2f, "
	       "\"%s_%s_open_floor_us\": %.2f, \"%s_%s_open_ratio\": %.2f",
	       comma, name, how, gate.close, name, how, bare.close, name, how,
	       gate.close / bare.close, name, how, gate.open, name, how,
	       bare.open, name, how, gate.open / bare.open);
}

int main(void)
{
	static const struct shape shapes[] = {
		{"16k_untouched", 16ull << 10, 0, 63},
		{"16k_full", 16ull << 10, 100, 63},
		{"16m_untouched", 16ull << 20, 0, 63},
		{"16m_1pc", 16ull << 20, 1, 63},
		{"16m_full", 16ull << 20, 100, 15},
		{"1g_untouched", 1ull << 30, 0, 63},
		{"1g_1pc", 1ull << 30, 1, 7},
		{"1g_full", 1ull << 30, 100, 1},
	};
	struct sigaction sa = {.sa_handler = caught, .sa_flags = SA_NODEFER};
	static struct stage s;
	const char *comma = "{";

	sigaction(SIGBUS, &sa, NULL);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		const struct shape *sh = &shapes[i];

		for (int mapper = 0; mapper < 2; mapper++) {
			stage_set(&s, sh);
			struct figures bare =
				measure(&s, sh->rounds, s.bare.fd, bare_close,
					bare_open, mapper);
			struct figures gate =
				measure(&s, sh->rounds, s.bar.memfd, gate_close,
					gate_open, mapper);

			stage_strike(&s);
			print(sh->name, mapper ? "mapped" : "alone", gate, bare,
			      comma);
			comma = ", ";
		}
	}
	puts("}");
	return 0;
}

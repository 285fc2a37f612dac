/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a program can do to a BAR's memfd, which it was handed to map: harm its
 * own device. The daemon goes on, also where the host gives no more mappings.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/pci/bar.h"

#define SIZE   (1u << 20)
#define PAGES  (SIZE / PAGE)
#define ROUNDS 20000

/* What the host is made to do. */
static bool no_more_maps;
static bool nothing_grows; /* ftruncate() says it did */
static bool sealable;	   /* memfds are, as under vm.memfd_noexec=1 */

#define WRAP_MMAP(name)                                                        \
	void *__real_##name(void *addr, size_t len, int prot, int flags,       \
			    int fd, off_t off);                                \
	void *__wrap_##name(void *addr, size_t len, int prot, int flags,       \
			    int fd, off_t off);                                \
	void *__wrap_##name(void *addr, size_t len, int prot, int flags,       \
			    int fd, off_t off)                                 \
	{                                                                      \
		if (!no_more_maps)                                             \
			return __real_##name(addr, len, prot, flags, fd, off); \
		errno = ENOMEM;                                                \
		return MAP_FAILED;                                             \
	}

WRAP_MMAP(mmap)
WRAP_MMAP(mmap64)

#define WRAP_FTRUNCATE(name)                                                   \
	int __real_##name(int fd, off_t len);                                  \
	int __wrap_##name(int fd, off_t len);                                  \
	int __wrap_##name(int fd, off_t len)                                   \
	{                                                                      \
		return nothing_grows && len ? 0 : __real_##name(fd, len);      \
	}

WRAP_FTRUNCATE(ftruncate)
WRAP_FTRUNCATE(ftruncate64)

int __real_memfd_create(const char *name, unsigned int flags);
int __wrap_memfd_create(const char *name, unsigned int flags);
int __wrap_memfd_create(const char *name, unsigned int flags)
{
	return __real_memfd_create(name,
				   flags | (sealable ? MFD_ALLOW_SEALING : 0));
}

struct fixture {
	struct bar bar;
	int fd;	    /* the program's */
	uint8_t *p; /* and what it mapped */
};

static void make(struct fixture *f)
{
	const struct sv_bar shape = {
		.size = SIZE,
		.kind = SV_BAR_MEM32,
		.access = SV_ACCESS_DIRECT,
	};

	assert_int_equal(bar_init(&f->bar, "guarded", &shape, -1), 0);
	assert_int_equal(bar_map(&f->bar, 1, getpid(), 0, SIZE, &f->fd), 0);
	f->p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	assert_ptr_not_equal(f->p, MAP_FAILED);
}

static void unmake(struct fixture *f)
{
	munmap(f->p, SIZE);
	close(f->fd);
	bar_done(&f->bar);
}

/* cmocka puts its own handler around every test, and takes ours away. */
static int set_up(void **state)
{
	static struct fixture f;

	make(&f);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	unmake(*state);
	return 0;
}

/* How many mappings the daemon's view is made of. */
static size_t count_maps(const struct bar *bar)
{
	unsigned long view = (unsigned long)bar->view, start, end;
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	size_t n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		n += sscanf(line, "%lx-%lx", &start, &end) == 2 &&
		     start < view + SIZE && end > view;
	fclose(maps);
	return n;
}

static void touch_all(struct bar *bar)
{
	volatile uint8_t *mem = bar->mem;

	for (size_t i = 0; i < PAGES; i++)
		mem[i * PAGE] = (uint8_t)(mem[i * PAGE] + 1);
}

static void a_program_that_truncates_its_bar_harms_itself_only(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(bar_guard_init(), 0);
	assert_int_equal(ftruncate(f->fd, 0), 0);
	f->bar.mem[0] = 1; /* not the end of the daemon */
	assert_int_equal(f->bar.mem[0], 1);
	bar_clear(&f->bar); /* a reset heals it */
	f->bar.mem[0] = 5;
	assert_int_equal(f->p[0], 5);
}

static void repairs_need_no_mapping(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(bar_guard_init(), 0);
	no_more_maps = true;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(ftruncate(f->fd, i * PAGE), 0);
		touch_all(&f->bar);
	}
	bar_close(&f->bar);
	bar_open(&f->bar);
	bar_clear(&f->bar);
	no_more_maps = false;
	assert_int_equal(count_maps(&f->bar), 1);
	f->bar.mem[0] = 5;
	assert_int_equal(f->p[0], 5);
}

struct liar {
	int fd;
	atomic_bool stop;
};

static void *truncate_all_day(void *arg)
{
	struct liar *liar = arg;

	while (!atomic_load(&liar->stop))
		__real_ftruncate(liar->fd, 0);
	return NULL;
}

static void a_program_that_goes_on_truncating_holds_nobody_up(void **state)
{
	struct fixture *f = *state;
	struct liar liar = {.fd = f->fd};
	pthread_t thread;

	assert_int_equal(bar_guard_init(), 0);
	assert_int_equal(pthread_create(&thread, NULL, truncate_all_day, &liar),
			 0);
	for (int i = 0; i < ROUNDS / (int)PAGES; i++)
		touch_all(&f->bar);
	atomic_store(&liar.stop, true);
	pthread_join(thread, NULL);
	bar_clear(&f->bar);
	f->bar.mem[0] = 5;
	f->p[1] = 6;
	assert_int_equal(f->p[0], 5);
	assert_int_equal(f->bar.mem[1], 6);
}

/* Whatever makes a touch fail, it is over; a reset tries the file again. */
static void what_growing_does_not_help_is_replaced(void (*heal)(struct bar *),
						   struct fixture *f)
{
	assert_int_equal(bar_guard_init(), 0);
	assert_int_equal(ftruncate(f->fd, 0), 0);
	nothing_grows = true;
	touch_all(&f->bar);
	nothing_grows = false;
	assert_int_equal(f->bar.mem[0], 1);
	assert_int_equal(count_maps(&f->bar), 1);

	heal(&f->bar);
	assert_int_equal(count_maps(&f->bar), 1);
	f->bar.mem[0] = 5;
	f->p[1] = 6;
	assert_int_equal(f->p[0], 5);
	assert_int_equal(f->bar.mem[1], 6);
}

static void a_clear_replaces_back(void **state)
{
	what_growing_does_not_help_is_replaced(bar_clear, *state);
}

/* As a reset of a device whose memory is on does. */
static void discard_and_open(struct bar *bar)
{
	bar_discard(bar);
	bar_clear(bar);
	bar_open(bar);
}

static void a_reset_replaces_back(void **state)
{
	what_growing_does_not_help_is_replaced(discard_and_open, *state);
}

static void a_program_can_seal_no_bar(void **state)
{
	const int seals[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE,
			     F_SEAL_FUTURE_WRITE, F_SEAL_SEAL};
	struct fixture f = {0};

	sealable = true;
	make(&f);
	sealable = false;
	for (size_t i = 0; i < sizeof(seals) / sizeof(seals[0]); i++) {
		assert_int_equal(fcntl(f.fd, F_ADD_SEALS, seals[i]), -1);
		assert_int_equal(errno, EPERM);
	}
	f.p[0] = 7;
	bar_close(&f.bar);
	assert_int_equal(lseek(f.fd, 0, SEEK_END), 0);
	bar_open(&f.bar);
	assert_int_equal(f.p[0], 7);
	unmake(&f);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_program_that_truncates_its_bar_harms_itself_only),
		T(repairs_need_no_mapping),
		T(a_program_that_goes_on_truncating_holds_nobody_up),
		T(a_clear_replaces_back),
		T(a_reset_replaces_back),
		cmocka_unit_test(a_program_can_seal_no_bar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

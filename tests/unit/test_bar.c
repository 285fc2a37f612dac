/* SPDX-License-Identifier: BSD-3-Clause */
/* core/pci/bar.h: which mappings live, and closing and opening under a mapper. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/pci/bar.h"

#define SIZE (1u << 20)

struct fixture {
	struct bar bar;
	uint8_t *p; /* a program's mapping */
};

static __thread sigjmp_buf landing;
static __thread volatile bool expected;

static void on_sigbus(int sig)
{
	if (expected)
		siglongjmp(landing, 1);
	signal(sig, SIG_DFL);
}

/* cmocka puts its own handler around every test. */
static void catch_sigbus(void)
{
	struct sigaction sa = {.sa_handler = on_sigbus, .sa_flags = SA_NODEFER};

	sigaction(SIGBUS, &sa, NULL);
}

/* Does a load from @p get SIGBUS? */
static bool faults(const volatile uint8_t *p)
{
	catch_sigbus();
	if (sigsetjmp(landing, 1)) {
		expected = false;
		return true;
	}
	expected = true;
	(void)*p;
	expected = false;
	return false;
}

static uint8_t *map(struct bar *bar, uint64_t owner)
{
	int fd;

	assert_int_equal(bar_map(bar, owner, getpid(), 0, SIZE, &fd), 0);
	void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	close(fd);
	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static int set_up(void **state)
{
	static struct fixture f;
	const struct sv_bar shape = {
		.size = SIZE,
		.kind = SV_BAR_MEM32,
		.access = SV_ACCESS_DIRECT,
	};
	assert_int_equal(bar_init(&f.bar, "bar", &shape, -1), 0);
	f.p = map(&f.bar, 1);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	munmap(f->p, SIZE);
	bar_done(&f->bar);
	return 0;
}

static void a_mapping_lives_until_its_last_page_goes(void **state)
{
	struct fixture *f = *state;
	uint8_t *p = map(&f->bar, 2);

	assert_true(bar_mapped(&f->bar, 2));
	munmap(p, SIZE / 2);
	assert_true(bar_mapped(&f->bar, 2));
	munmap(p + SIZE / 2, SIZE / 2);
	assert_false(bar_mapped(&f->bar, 2));
	assert_true(bar_mapped(&f->bar, 1));
}

static size_t listed(struct bar *bar)
{
	struct bar_mapping *m;
	size_t n = 0;

	mutex_lock(&bar->lock);
	TAILQ_FOREACH (m, &bar->mappings, link)
		n++;
	mutex_unlock(&bar->lock);
	return n;
}

/* As listings ask: the dead are forgotten. */
static size_t list_alive(struct bar *bar)
{
	struct bar_listed *all = NULL;
	size_t n;

	assert_int_equal(bar_list(bar, &all, &n), 0);
	assert_int_equal(all == NULL, n == 0);
	free(all);
	return n;
}

static uint64_t newest(struct bar *bar)
{
	mutex_lock(&bar->lock);
	uint64_t id = bar->last_id;

	mutex_unlock(&bar->lock);
	return id;
}

static bool is_listed(struct bar *bar, uint64_t id)
{
	struct bar_mapping *m;
	int n = 0;

	mutex_lock(&bar->lock);
	TAILQ_FOREACH (m, &bar->mappings, link)
		n += m->id == id;
	mutex_unlock(&bar->lock);
	assert_true(n <= 1);
	return n;
}

/* Ids are not used again, and a mapping that failed is in no list. */
static void no_mapping_is_listed_twice_1_1_4(void **state)
{
	struct fixture *f = *state;
	struct rlimit all;
	int fd = -1;

	uint8_t *p = map(&f->bar, 2);
	uint64_t id = newest(&f->bar);

	assert_int_equal(listed(&f->bar), 2);
	munmap(p + PAGE, PAGE); /* in two pieces it is still one */
	assert_true(bar_mapped(&f->bar, 2));
	assert_true(is_listed(&f->bar, id));
	munmap(p, SIZE);
	assert_false(bar_mapped(&f->bar, 2));
	assert_false(is_listed(&f->bar, id));

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	assert_int_equal(
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, all.rlim_max}), 0);
	int r = bar_map(&f->bar, 2, getpid(), 0, SIZE, &fd);

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
	assert_int_equal(r, -EMFILE);
	assert_int_equal(fd, -1);
	assert_int_equal(listed(&f->bar), 1);
	p = map(&f->bar, 2); /* and later it works */
	assert_true(newest(&f->bar) > id);
	assert_true(is_listed(&f->bar, newest(&f->bar)));
	munmap(p, SIZE);
}

static void dead_mappings_do_not_pile_up(void **state)
{
	struct fixture *f = *state;
	uint8_t *alive = map(&f->bar, 2);

	for (int i = 0; i < 1000; i++)
		munmap(map(&f->bar, 3), SIZE);
	assert_true(listed(&f->bar) < 100);
	assert_true(bar_mapped(&f->bar, 2));
	list_alive(&f->bar);
	assert_int_equal(listed(&f->bar), 2);
	munmap(alive, SIZE);
}

static void a_listing_says_who_has_what_mapped(void **state)
{
	struct fixture *f = *state;
	struct bar_listed *all = NULL;
	size_t n;
	int fd;

	assert_int_equal(bar_map(&f->bar, 2, 4711, 4096, 8192, &fd), 0);
	munmap(map(&f->bar, 3), SIZE);
	assert_int_equal(bar_list(&f->bar, &all, &n), 0);
	assert_int_equal(n, 2); /* that of the fixture is the first */
	assert_int_equal(all[1].pid, 4711);
	assert_int_equal(all[1].off, 4096);
	assert_int_equal(all[1].len, 8192);
	free(all);
	close(fd);
	assert_int_equal(list_alive(&f->bar), 1);
}

static int map_as(struct bar *bar, pid_t pid)
{
	int fd = -1, r = bar_map(bar, 9, pid, 0, SIZE, &fd);

	return r < 0 ? r : fd;
}

/* The row stays lowered. */
static void a_program_maps_within_its_share(void **state)
{
	struct fixture *f = *state;
	int fd[8], other;

	share_lower(SHARE_BAR_MAPS, 16);
	for (int i = 0; i < 8; i++)
		assert_true((fd[i] = map_as(&f->bar, 4711)) >= 0);
	assert_int_equal(map_as(&f->bar, 4711), -ENOMEM);
	assert_true((other = map_as(&f->bar, 4712)) >= 0);
	close(other);

	close(fd[3]);
	list_alive(&f->bar);
	assert_int_equal(share_held(SHARE_BAR_MAPS, 4711), 7);
	assert_int_equal(share_held(SHARE_BAR_MAPS, 4712), 0);
	assert_true((fd[3] = map_as(&f->bar, 4711)) >= 0);
	for (int i = 0; i < 8; i++)
		close(fd[i]);
	list_alive(&f->bar);
	assert_int_equal(share_held(SHARE_BAR_MAPS, 4711), 0);
}

static void a_forked_mapping_lives_as_long_as_the_child(void **state)
{
	struct fixture *f = *state;
	uint8_t *p = map(&f->bar, 2);
	int hold[2];

	assert_int_equal(pipe(hold), 0);
	pid_t pid = fork();

	if (pid == 0) {
		char c;

		close(hold[1]);
		_exit(read(hold[0], &c, 1) == 0 ? 0 : 1);
	}
	close(hold[0]);
	munmap(p, SIZE);
	assert_true(bar_mapped(&f->bar, 2));
	close(hold[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(bar_mapped(&f->bar, 2));
}

static void closing_unmaps_every_page_and_opening_brings_it_back(void **state)
{
	struct fixture *f = *state;

	f->p[0] = 1;
	f->p[SIZE - 1] = 2;
	bar_close(&f->bar);
	assert_true(faults(f->p));
	assert_true(faults(f->p + SIZE - 1));
	assert_true(faults(f->p + SIZE / 2)); /* never touched before */
	assert_int_equal(f->bar.mem[0], 1);   /* the model still sees it */
	f->bar.mem[1] = 3;
	bar_close(&f->bar); /* again: nothing */
	bar_open(&f->bar);
	assert_false(faults(f->p));
	assert_int_equal(f->p[0], 1);
	assert_int_equal(f->p[1], 3);
	assert_int_equal(f->p[SIZE - 1], 2);
	bar_open(&f->bar);
	assert_true(bar_mapped(&f->bar, 1));
}

static void a_mapping_made_while_closed_works_when_open(void **state)
{
	struct fixture *f = *state;

	bar_close(&f->bar);
	uint8_t *late = map(&f->bar, 3);

	assert_true(faults(late));
	bar_open(&f->bar);
	late[5] = 9;
	assert_int_equal(f->p[5], 9);
	munmap(late, SIZE);
}

static void clearing_works_open_and_closed(void **state)
{
	struct fixture *f = *state;

	f->p[7] = 1;
	bar_clear(&f->bar);
	assert_int_equal(f->p[7], 0);
	f->p[7] = 1;
	bar_close(&f->bar);
	bar_clear(&f->bar);
	bar_open(&f->bar);
	assert_int_equal(f->p[7], 0);
}

/* The rest is copied; a BAR of which that is true is not the daemon's end. */
static void more_than_pipes_hold_is_kept_too(void **state)
{
	const struct sv_bar shape = {
		.size = 2ull * BAR_PIPES_MAX << 20,
		.kind = SV_BAR_MEM32,
		.access = SV_ACCESS_DIRECT,
	};
	const size_t populated = (BAR_PIPES_MAX + 1ul) << 20;
	struct bar bar;

	assert_int_equal(bar_init(&bar, "big", &shape, -1), 0);
	for (size_t at = 0; at < populated; at += PAGE)
		bar.view[at] = (uint8_t)(at / PAGE | 1);
	bar_close(&bar);
	assert_ptr_equal(bar.mem, bar.kept_mem);
	bar_open(&bar);
	for (size_t at = 0; at < populated; at += PAGE)
		assert_int_equal(bar.view[at], (uint8_t)(at / PAGE | 1));
	bar_done(&bar);
}

static long kept_blocks(const struct bar *bar)
{
	struct stat st;

	assert_int_equal(fstat(bar->kept, &st), 0);
	return st.st_blocks;
}

static void discarding_closes_and_keeps_nothing(void **state)
{
	struct fixture *f = *state;

	f->p[7] = 1;
	bar_close(&f->bar);
	bar_open(&f->bar); /* kept is still there, for the next time */
	assert_true(kept_blocks(&f->bar) > 0);
	f->p[8] = 1;
	bar_discard(&f->bar);
	assert_true(faults(f->p));
	assert_int_equal(kept_blocks(&f->bar), 0);
	assert_int_equal(f->bar.mem[7], 0);
	bar_open(&f->bar);
	assert_int_equal(f->p[7], 0);
	assert_int_equal(f->p[8], 0);
}

/* As many pages as there were, but not those: a list of them would be wrong. */
static void what_a_model_wrote_while_closed_is_put_back(void **state)
{
	struct fixture *f = *state;

	f->p[0] = 1;
	bar_close(&f->bar);
	bar_open(&f->bar);
	bar_close(&f->bar);
	bar_clear(&f->bar);
	f->bar.mem[SIZE / 2] = 2;
	bar_open(&f->bar);
	assert_int_equal(f->p[0], 0);
	assert_int_equal(f->p[SIZE / 2], 2);
}

#define PAGES	   (SIZE / 4096)
#define MODEL_OPS  3000
#define MODEL_SEED 20

struct contents {
	struct fixture *f;
	uint8_t page[PAGES]; /* the first byte of each */
};

static void op_store(struct contents *c, unsigned int random)
{
	uint8_t *mem = c->f->bar.closed ? c->f->bar.mem : c->f->p;
	unsigned int page = random / 16 % PAGES;

	c->page[page] = mem[page * 4096ul] = (uint8_t)random;
}

static void op_close(struct contents *c, unsigned int random)
{
	bar_close(&c->f->bar);
}

static void op_open(struct contents *c, unsigned int random)
{
	bar_open(&c->f->bar);
}

static void op_throw_away(struct contents *c, unsigned int random)
{
	if (random % 16) /* seldom, so that something accumulates */
		return;
	if (random / 16 % 2)
		bar_clear(&c->f->bar);
	else
		bar_discard(&c->f->bar);
	memset(c->page, 0, sizeof(c->page));
}

/* A load would populate what it looks at. */
static uint8_t peek(const struct bar *bar, size_t page)
{
	int fd = bar->closed ? bar->kept : bar->memfd;
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, (off_t)(page * 4096)), 1);
	return byte;
}

static void contents_are_those_of_a_plain_array(void **state)
{
	static void (*const ops[8])(struct contents *, unsigned int) = {
		op_store, op_store, op_store,	   op_close,
		op_open,  op_close, op_throw_away, op_open,
	};
	struct contents c = {.f = *state};
	uint64_t random = MODEL_SEED;

	for (int i = 0; i < MODEL_OPS; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		ops[random >> 61](&c, (unsigned int)(random >> 32));
		for (size_t p = 0; p < PAGES && i % 16 == 0; p++)
			assert_int_equal(peek(&c.f->bar, p), c.page[p]);
	}
}

/* ThreadSanitizer delays signals, and this is about when they come. */
#ifndef __SANITIZE_THREAD__

struct storm {
	volatile uint64_t *word;
	_Atomic uint64_t stored; /* highest stamp whose store has retired */
	_Atomic bool stop;
};

/* Counts upwards in the BAR; waits out each time it is closed. */
static void *storm(void *arg)
{
	struct storm *s = arg;
	volatile uint64_t n = 0;

	while (!atomic_load(&s->stop)) {
		if (sigsetjmp(landing, 1)) {
			expected = false;
			sched_yield();
			continue;
		}
		expected = true;
		*s->word = n + 1;
		expected = false;
		n = n + 1;
		atomic_store(&s->stored, n);
	}
	return NULL;
}

static void no_retired_store_is_lost_and_none_lands_while_closed(void **state)
{
	struct fixture *f = *state;
	struct storm s = {.word = (uint64_t *)f->p};
	pthread_t thread;

	catch_sigbus();
	assert_int_equal(pthread_create(&thread, NULL, storm, &s), 0);
	for (int i = 0; i < 2000; i++) {
		bar_close(&f->bar);
		uint64_t stored = atomic_load(&s.stored);
		uint64_t kept = *(uint64_t *)f->bar.mem;

		/* one may have retired without being counted yet */
		assert_true(kept >= stored);
		assert_true(kept <= atomic_load(&s.stored) + 1);
		bar_open(&f->bar);
	}
	atomic_store(&s.stop, true);
	pthread_join(thread, NULL);
}

#endif

/* What lies behind the BAR's end is nobody's, and no memory of the daemon's. */
static void a_program_that_extends_its_bar_gains_nothing(void **state)
{
	struct fixture *f = *state;
	int fd;

	f->p[1] = 6;
	assert_int_equal(bar_map(&f->bar, 4, getpid(), 0, SIZE, &fd), 0);
	assert_int_equal(ftruncate(fd, 64l * SIZE), 0);
	assert_int_equal(pwrite(fd, "behind", 7, SIZE - 3), 7);
	assert_int_equal(pwrite(fd, "far behind", 11, 63l * SIZE), 11);
	bar_close(&f->bar);
	assert_int_equal(f->bar.mem[1], 6);
	bar_open(&f->bar);
	assert_int_equal(f->p[1], 6);
	assert_memory_equal(f->p + SIZE - 3, "beh", 3);
	assert_int_equal(lseek(fd, 0, SEEK_END), SIZE);
	close(fd);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_mapping_lives_until_its_last_page_goes),
		T(no_mapping_is_listed_twice_1_1_4),
		T(dead_mappings_do_not_pile_up),
		T(a_listing_says_who_has_what_mapped),
		T(a_forked_mapping_lives_as_long_as_the_child),
		T(closing_unmaps_every_page_and_opening_brings_it_back),
		T(a_mapping_made_while_closed_works_when_open),
		T(clearing_works_open_and_closed),
		T(more_than_pipes_hold_is_kept_too),
		T(discarding_closes_and_keeps_nothing),
		T(what_a_model_wrote_while_closed_is_put_back),
		T(contents_are_those_of_a_plain_array),
#ifndef __SANITIZE_THREAD__
		T(no_retired_store_is_lost_and_none_lands_while_closed),
#endif
		T(a_program_that_extends_its_bar_gains_nothing),
		T(a_program_maps_within_its_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

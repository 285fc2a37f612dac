/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs that hold up the copy of their pages. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/hold_rig.h"
#include "tests/unit/map_rig.h"
#include "tests/unit/mem_rig.h"

/* --- a program that holds up its pages --- */

struct copy {
	struct mem *mem;
	uint64_t at;
	struct mem_stop stop;
	bool write;
	char buf[32];
	int result;
	uint64_t took_ns;
	pthread_t t;
};

static void *copy_main(void *arg)
{
	struct copy *c = arg;
	uint64_t start = clock_ns();

	if (c->write)
		c->result = mem_write(c->mem, &c->stop, c->at, c->buf, 32);
	else
		c->result = mem_read(c->mem, &c->stop, c->at, c->buf, 32);
	c->took_ns = clock_ns() - start;
	return NULL;
}

static void copy_start(struct copy *c)
{
	strcpy(c->buf, "untouched");
	pthread_create(&c->t, NULL, copy_main, c);
}

/* A copy that was let down must have left its buffer alone, for good. */
static void copy_check_abandoned(struct copy *c, int err)
{
	pthread_join(c->t, NULL);
	assert_int_equal(c->result, err);
	assert_string_equal(c->buf, "untouched");
	assert_true(c->took_ns < MEM_TIMEOUT_NS + MEM_TIMEOUT_NS / 2);
}

/* Leaves the page held, and the worker in it. */
static void copy_cancel_held(struct copy *c, struct program *p,
			     struct dma_ctx *ctx)
{
	hold_page(p->pages);
	copy_start(c);
	hold_wait_inside(1);
	atomic_store(&ctx->cancel, true);
	mem_wake(ctx);
	copy_check_abandoned(c, -ECANCELED);
}

static void held_copy_gives_up_on_cancel(void **state)
{
	struct dma_ctx ctx = {false};
	struct program p;

	program_start(&p);
	struct copy c = {.mem = program_mem(&p),
			 .at = va(p.pages),
			 .stop = {.cancel = &ctx.cancel}};

	copy_cancel_held(&c, &p, &ctx);
	assert_true(c.took_ns < MEM_TIMEOUT_NS);

	/* still cancelled: nothing new is begun either */
	assert_int_equal(mem_read(c.mem, &c.stop, va(p.heap), c.buf, 1),
			 -ECANCELED);
	hold_page(NULL);
	hold_wait_inside(0);
	/* the worker is back at work, and has written to nobody */
	atomic_store(&ctx.cancel, false);
	assert_int_equal(mem_read(c.mem, &c.stop, va(p.heap), c.buf + 16, 4),
			 0);
	assert_string_equal(c.buf, "untouched");
	mem_put(c.mem);
	program_done(&p);
}

/*
 * One copy is stuck, another waits behind it: both end by their own time-out,
 * and other address spaces notice nothing.
 */
static void held_copies_time_out_each(void **state)
{
	struct program p, other;
	char buf[32];

	program_start(&p);
	program_start(&other);
	struct mem *free_mem = program_mem(&other);
	struct copy stuck = {.mem = program_mem(&p), .at = va(p.pages)};
	struct copy behind = {
		.mem = stuck.mem, .at = va(p.pages + PAGE), .write = true};

	hold_page(p.pages);
	copy_start(&stuck);
	hold_wait_inside(1);
	copy_start(&behind);
	assert_int_equal(
		mem_read(free_mem, NULL, va(other.pages + PAGE), buf, 32), 0);
	copy_check_abandoned(&stuck, -EIO);
	copy_check_abandoned(&behind, -EIO);
	hold_page(NULL);
	hold_wait_inside(0);

	/* what waited behind was taken back: it must not arrive late */
	assert_int_equal(mem_read(stuck.mem, NULL, behind.at, buf, 32), 0);
	assert_string_equal(buf, "");
	mem_put(stuck.mem);
	mem_put(free_mem);
	program_done(&other); /* it has inherited p.go, so it goes first */
	program_done(&p);
}

static void held_write_delivers_what_it_was_given(void **state)
{
	struct dma_ctx ctx = {false};
	struct program p;
	char buf[32];

	program_start(&p);
	struct copy c = {.mem = program_mem(&p),
			 .at = va(p.pages),
			 .stop = {.cancel = &ctx.cancel},
			 .write = true};

	copy_cancel_held(&c, &p, &ctx);
	strcpy(c.buf, "something else"); /* ours again */
	hold_page(NULL);
	hold_wait_inside(0);
	assert_int_equal(mem_read(c.mem, NULL, va(p.pages), buf, 32), 0);
	assert_string_equal(buf, "untouched");
	mem_put(c.mem);
	program_done(&p);
}

struct dma {
	struct type1 *type1;
	bool write;
	int result;
	_Atomic bool ended;
	pthread_t t;
};

static void *dma_main(void *arg)
{
	struct dma *d = arg;
	struct dma_ctx ctx = {0};
	char buf[32] = DEVICE_SAYS;

	if (d->write)
		d->result = dma_write(type1_iopt(d->type1), &ctx, 0, buf, 32);
	else
		d->result = dma_read(type1_iopt(d->type1), &ctx, 0, buf, 32);
	atomic_store(&d->ended, true);
	return NULL;
}

/* Unmap lets the copy down; then the last put happens with the worker stuck. */
static void held_copy_gives_up_on_unmap(void **state)
{
	struct dma d = {.result = 1};
	struct mem *mem = NULL;
	struct program p;
	uint64_t n = 0;

	program_start(&p);
	struct mem_seg seg = {program_mem(&p), va(p.pages), PAGE};

	d.type1 = rig_type1(TYPE1_V2, 8);
	assert_non_null(d.type1);
	assert_int_equal(rig_map_one(d.type1, 0, PAGE, IOPT_READ, &seg), 0);
	hold_page(p.pages);
	pthread_create(&d.t, NULL, dma_main, &d);
	hold_wait_inside(1);

	uint64_t start = clock_ns();

	assert_int_equal(type1_unmap(d.type1, false, 0, PAGE, &n), 0);
	assert_int_equal(n, PAGE);
	assert_true(clock_ns() - start < MEM_TIMEOUT_NS);
	pthread_join(d.t, NULL);
	assert_int_equal(d.result, -ECANCELED);
	type1_put(d.type1);

	/* the stuck one is nobody's; a new one works at once */
	assert_int_equal(mem_mm(getpid(), &p.id, -1, &mem), -ENOENT);
	char buf[8];

	mem = program_mem(&p);
	assert_int_equal(mem_read(mem, NULL, va(p.pages + PAGE), buf, 8), 0);
	mem_put(mem);
	hold_page(NULL);
	hold_wait_inside(0);
	program_done(&p);
}

struct unmapper {
	struct type1 *type1;
	struct mem *mem;
	uint64_t at;
	char found[32]; /* in memory, at the moment it was unmapped */
	pthread_t t;
};

static void *unmap_and_look(void *arg)
{
	struct unmapper *u = arg;
	uint64_t n = 0;

	type1_unmap(u->type1, false, 0, PAGE, &n);
	mem_read(u->mem, NULL, u->at, u->found, 32);
	return NULL;
}

/* Does it give up? An unmap of its range is under way. */
static bool dma_ends_in_a_while(struct dma *d)
{
	uint64_t until = clock_ns() + MEM_GRACE_NS / 5;

	while (!atomic_load(&d->ended) && clock_ns() < until)
		sched_yield();
	return atomic_load(&d->ended);
}

/*
 * A write under way when its range is unmapped, and late for no fault of the
 * program's, has arrived when unmap returns: the program may reuse the memory.
 */
static void slow_write_does_not_outlive_an_unmap(void **state)
{
	struct dma d = {.result = 1, .write = true};
	struct unmapper u = {0};
	struct program p;

	program_start(&p);
	struct mem_seg seg = {program_mem(&p), va(p.pages), PAGE};

	d.type1 = rig_type1(TYPE1_V2, 8);
	assert_non_null(d.type1);
	assert_int_equal(rig_map_one(d.type1, 0, PAGE, IOPT_WRITE, &seg), 0);
	hold_page(p.pages);
	pthread_create(&d.t, NULL, dma_main, &d);
	hold_wait_inside(1);
	u.type1 = d.type1;
	u.mem = program_mem(&p);
	u.at = va(p.pages);
	pthread_create(&u.t, NULL, unmap_and_look, &u);
	bool gave_up = dma_ends_in_a_while(&d);

	hold_page(NULL);
	pthread_join(u.t, NULL);
	pthread_join(d.t, NULL);
	assert_false(gave_up);
	assert_int_equal(d.result, 0);
	assert_string_equal(u.found, DEVICE_SAYS);
	mem_put(u.mem);
	type1_put(d.type1);
	program_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(held_copy_gives_up_on_cancel),
		cmocka_unit_test(held_copies_time_out_each),
		cmocka_unit_test(held_write_delivers_what_it_was_given),
		cmocka_unit_test(held_copy_gives_up_on_unmap),
		cmocka_unit_test(slow_write_does_not_outlive_an_unmap),
		cmocka_unit_test(nothing_is_left_behind),
	};

	hold_init();
	count_from_now();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

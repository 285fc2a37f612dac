/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What DMA may and may not reach, over however many mappings and segments, and
 * that nothing is written once an unmap has returned.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "tests/unit/ram_rig.h"

#define DEADLINE_NS 10000000000ull

/* A BAR of the test's own: 64 KiB that can hold up whoever reads it. */
static struct {
	struct mutex lock;
	struct cond changed;
	bool hold;
	unsigned int inside;
	unsigned int left;
	int result;
	uint8_t bytes[64 << 10];
} bar;

static int bar_access(void *dev, unsigned int index, uint64_t off, void *buf,
		      size_t len, bool write)
{
	mutex_lock(&bar.lock);
	bar.inside++;
	cond_broadcast(&bar.changed);
	while (bar.hold)
		cond_wait(&bar.changed, &bar.lock);
	if (write)
		memcpy(bar.bytes + off, buf, len);
	else
		memcpy(buf, bar.bytes + off, len);
	bar.inside--;
	bar.left++;
	int r = bar.result;

	mutex_unlock(&bar.lock);
	return r;
}

static const struct mem_bar_ops bar_ops = {bar_access};

static int bar_setup(void **state)
{
	memset(&bar, 0, sizeof(bar));
	mutex_init(&bar.lock, RANK_LEAF, "test.bar");
	cond_init(&bar.changed);
	return 0;
}

static void map_bar(struct type1 *t, uint64_t iova, uint64_t size, uint64_t off)
{
	const struct type1_map map = {0, iova, size, RW};
	struct mem_seg seg = {NULL, off, size};

	assert_int_equal(mem_bar(&bar_ops, NULL, 0, &seg.mem), 0);
	assert_int_equal(rig_map(t, &map, &seg, 1), 0);
}

static void dma_runs_across_adjacent_mappings(void **state)
{
	struct type1 *t = new_type1(TYPE1_V2, 64);
	struct dma_ctx ctx = {false};
	struct ram ram;
	uint8_t in[3 * PAGE], out[3 * PAGE];

	ram_init(&ram, 4 * PAGE);
	assert_int_equal(map(t, &ram, PAGE, PAGE, RW, 3 * PAGE), 0);
	map_bar(t, 2 * PAGE, PAGE, 5 * PAGE);
	assert_int_equal(map(t, &ram, 3 * PAGE, PAGE, RW, 0), 0);

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + i / 256);
	assert_int_equal(
		dma_write(type1_iopt(t), &ctx, PAGE + 5, out, 3 * PAGE - 9), 0);
	assert_memory_equal(ram.bytes + 3 * PAGE + 5, out, PAGE - 5);
	assert_memory_equal(bar.bytes + 5 * PAGE, out + PAGE - 5, PAGE);
	assert_memory_equal(ram.bytes, out + 2 * PAGE - 5, PAGE - 4);
	assert_int_equal(
		dma_read(type1_iopt(t), &ctx, PAGE + 5, in, 3 * PAGE - 9), 0);
	assert_memory_equal(in, out, 3 * PAGE - 9);
	assert_int_equal(dma_read(type1_iopt(t), &ctx, 99 * PAGE, in, 0), 0);

	bar.result = -EIO;
	assert_int_equal(dma_read(type1_iopt(t), &ctx, PAGE, in, 3 * PAGE),
			 -EIO);
	type1_put(t);
	ram_done(&ram);
}

/* One mapping of several segments, and an access over many mappings. */
static void dma_finds_every_segment(void **state)
{
	enum { N = 37 };
	struct type1 *t = new_type1(TYPE1_V2, 64);
	struct dma_ctx ctx = {false};
	static uint8_t buf[N * PAGE];
	const struct type1_map all = {0, 1 << 30, N * PAGE, IOPT_READ};
	struct mem_seg seg[N];
	struct ram ram;

	ram_init(&ram, N * PAGE);
	for (unsigned int i = 0; i < N; i++) {
		ram.bytes[i * PAGE] = (uint8_t)i;
		seg[i] = (struct mem_seg){mem_get(ram.mem), (N - 1 - i) * PAGE,
					  PAGE};
		/* below, the same pages one mapping each */
		assert_int_equal(map(t, &ram, i * PAGE, PAGE, IOPT_READ,
				     (N - 1 - i) * PAGE),
				 0);
	}
	assert_int_equal(rig_map(t, &all, seg, N), 0);
	assert_int_equal(type1_avail(t), 64 - N - 1);
	for (unsigned int base = 0; base < 2; base++) {
		memset(buf, 0xff, sizeof(buf));
		assert_int_equal(dma_read(type1_iopt(t), &ctx,
					  (uint64_t)base << 30, buf,
					  sizeof(buf)),
				 0);
		for (unsigned int i = 0; i < N; i++)
			assert_int_equal(buf[i * PAGE], N - 1 - i);
	}
	/* each segment alone */
	for (unsigned int i = 0; i < N; i++) {
		assert_int_equal(dma_read(type1_iopt(t), &ctx,
					  (1 << 30) + i * PAGE, buf, 1),
				 0);
		assert_int_equal(buf[0], N - 1 - i);
	}
	assert_int_equal(unmap(t, 1 << 30, N * PAGE), N * PAGE);
	type1_put(t);
	ram_done(&ram);
}

static void dma_that_misses_copies_nothing(void **state)
{
	struct type1 *t = new_type1(TYPE1_V2, 64);
	struct dma_ctx ctx = {false};
	uint8_t buf[4 * PAGE], before[4 * PAGE];
	struct ram ram;

	ram_init(&ram, 4 * PAGE);
	memset(ram.bytes, 1, 4 * PAGE);
	memset(buf, 2, sizeof(buf));
	memset(before, 1, sizeof(before));
	assert_int_equal(map(t, &ram, PAGE, PAGE, RW, 0), 0);
	assert_int_equal(map(t, &ram, 3 * PAGE, PAGE, RW, PAGE), 0);
	assert_int_equal(map(t, &ram, 4 * PAGE, PAGE, IOPT_READ, 2 * PAGE), 0);
	assert_int_equal(map(t, &ram, 5 * PAGE, PAGE, IOPT_WRITE, 3 * PAGE), 0);

	assert_int_equal(dma_write(type1_iopt(t), &ctx, PAGE, buf, 3 * PAGE),
			 -EFAULT);
	assert_int_equal(dma_write(type1_iopt(t), &ctx, 0, buf, 2 * PAGE),
			 -EFAULT);
	assert_int_equal(
		dma_write(type1_iopt(t), &ctx, 3 * PAGE, buf, PAGE + 1),
		-EFAULT);
	assert_int_equal(dma_write(type1_iopt(t), &ctx, ~0ull, buf, 2),
			 -EFAULT);
	assert_memory_equal(ram.bytes, before, 4 * PAGE);
	memset(buf, 1, sizeof(buf));
	memset(ram.bytes, 3, 4 * PAGE);
	assert_int_equal(dma_read(type1_iopt(t), &ctx, PAGE, buf, 3 * PAGE),
			 -EFAULT);
	assert_int_equal(
		dma_read(type1_iopt(t), &ctx, 3 * PAGE, buf, 2 * PAGE + 1),
		-EFAULT);
	assert_int_equal(dma_read(type1_iopt(t), &ctx, 5 * PAGE, buf, PAGE + 1),
			 -EFAULT);
	assert_memory_equal(buf, before, 4 * PAGE);
	assert_int_equal(dma_read(type1_iopt(t), &ctx, 3 * PAGE, buf, 2 * PAGE),
			 0);
	type1_put(t);
	ram_done(&ram);
}

static void dma_outlives_the_programs_mapping_and_fd(void **state)
{
	struct type1 *t = new_type1(TYPE1_V2, 4);
	struct dma_ctx ctx = {false};
	struct ram ram;
	char buf[4] = "abc";

	ram_init(&ram, PAGE);
	assert_int_equal(map(t, &ram, 0, PAGE, RW, 0), 0);
	ram_done(&ram);
	assert_int_equal(dma_write(type1_iopt(t), &ctx, 8, "xyz", 4), 0);
	assert_int_equal(dma_read(type1_iopt(t), &ctx, 8, buf, 4), 0);
	assert_string_equal(buf, "xyz");
	type1_put(t);
}

/* --- unmap against DMA in flight --- */

struct call {
	struct type1 *t;
	int result;
	bool after_copy; /* had the held copy left when we returned? */
};

static void *read_bar_area(void *arg)
{
	struct call *call = arg;
	struct dma_ctx ctx = {false};
	uint8_t byte;

	call->result = dma_read(type1_iopt(call->t), &ctx, 0, &byte, 1);
	return NULL;
}

static void *unmap_bar_area(void *arg)
{
	struct call *call = arg;
	uint64_t n;

	call->result = type1_unmap(call->t, false, 0, PAGE, &n);
	mutex_lock(&bar.lock);
	call->after_copy = bar.left == 1;
	mutex_unlock(&bar.lock);
	return NULL;
}

static void bar_wait_inside(void)
{
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	mutex_lock(&bar.lock);
	while (!bar.inside)
		assert_true(cond_wait_until(&bar.changed, &bar.lock, deadline));
	mutex_unlock(&bar.lock);
}

static void unmap_waits_for_its_own_range_only(void **state)
{
	struct type1 *t = new_type1(TYPE1_V2, 4);
	struct call reader = {t, -1, false}, unmapper = {t, -1, false};
	uint64_t deadline = clock_ns() + DEADLINE_NS;
	struct dma_ctx ctx = {false};
	pthread_t thread[2];
	uint8_t byte;

	map_bar(t, 0, PAGE, 0);
	map_bar(t, PAGE, PAGE, PAGE);
	bar.hold = true;
	pthread_create(&thread[0], NULL, read_bar_area, &reader);
	bar_wait_inside();

	assert_int_equal(unmap(t, PAGE, PAGE), PAGE);
	pthread_create(&thread[1], NULL, unmap_bar_area, &unmapper);
	while (type1_avail(t) != 4) { /* gone from the table */
		assert_true(clock_ns() < deadline);
		sched_yield();
	}
	assert_int_equal(dma_read(type1_iopt(t), &ctx, 0, &byte, 1), -EFAULT);
	/* and the table is free for others meanwhile */
	map_bar(t, 0, PAGE, 0);

	mutex_lock(&bar.lock);
	bar.hold = false;
	cond_broadcast(&bar.changed);
	mutex_unlock(&bar.lock);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	assert_int_equal(reader.result, 0);
	assert_int_equal(unmapper.result, 0);
	assert_true(unmapper.after_copy);
	type1_put(t);
}

struct writer {
	struct type1 *t;
	_Atomic bool stop;
	_Atomic unsigned int landed;
	_Atomic unsigned int missed;
};

static void *write_all_the_time(void *arg)
{
	struct writer *w = arg;
	struct dma_ctx ctx = {false};
	uint8_t buf[2 * PAGE];

	for (unsigned int i = 0; !atomic_load(&w->stop); i++) {
		memset(buf, (int)i, sizeof(buf));
		int r = dma_write(type1_iopt(w->t), &ctx, 0, buf, sizeof(buf));

		atomic_fetch_add(r ? &w->missed : &w->landed, 1);
	}
	return NULL;
}

/* Both pages or neither, and nothing any more once unmap has returned. */
static void write_and_unmap(uint64_t version)
{
	struct writer w = {.t = new_type1(version, 16)};
	uint64_t end = clock_ns() + 250000000;
	static uint8_t before[2 * PAGE];
	pthread_t t[2];
	struct ram ram;

	ram_init(&ram, 2 * PAGE);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, write_all_the_time, &w);
	while (clock_ns() < end || !w.landed || !w.missed) {
		assert_int_equal(map(w.t, &ram, 0, PAGE, RW, 0), 0);
		assert_int_equal(map(w.t, &ram, PAGE, PAGE, RW, PAGE), 0);
		sched_yield();
		unmap(w.t, 0, 2 * PAGE);
		memcpy(before, ram.bytes, sizeof(before));
		sched_yield();
		assert_memory_equal(before, ram.bytes, sizeof(before));
	}
	w.stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	type1_put(w.t);
	ram_done(&ram);
}

static void nothing_lands_after_unmap(void **state)
{
	write_and_unmap(TYPE1_V1);
	write_and_unmap(TYPE1_V2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(dma_runs_across_adjacent_mappings,
				       bar_setup),
		cmocka_unit_test(dma_finds_every_segment),
		cmocka_unit_test(dma_that_misses_copies_nothing),
		cmocka_unit_test(dma_outlives_the_programs_mapping_and_fd),
		cmocka_unit_test_setup(unmap_waits_for_its_own_range_only,
				       bar_setup),
		cmocka_unit_test(nothing_lands_after_unmap),
	};

	mem_guard_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

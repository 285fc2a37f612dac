/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rules of type1: its errno in its order, unmap's three tempers, and dirty
 * pages.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/common/share.h"
#include "lib/cleanup.h"
#include "lib/refuse.h"
#include "tests/unit/ram_rig.h"

static uint64_t unmap_all(struct type1 *t)
{
	uint64_t n = ~0ull;

	assert_int_equal(type1_unmap(t, true, 0, 0, &n), 0);
	return n;
}

static int unmap_error(struct type1 *t, bool all, uint64_t iova, uint64_t size)
{
	uint64_t n = 12345;
	int r = type1_unmap(t, all, iova, size, &n);

	assert_true(r < 0);
	assert_int_equal(n, 12345); /* output only on success */
	return r;
}

/* --- map --- */

static void map_refuses_in_type1_order(void **state)
{
	static const struct {
		uint64_t vaddr, iova, size;
		uint32_t prot;
		int err;
	} row[] = {
		/* each row is wrong in every later way too */
		{~0xfffull + 1, ~0ull, 0, 0, EINVAL},
		{1, ~0xfffull, 0x2001, 0, EOVERFLOW},
		{~0xfffull, 1, 0x2001, 0, EOVERFLOW},
		{1, 0x10001, 0x1001, 0, EINVAL},
		{1, 0x10001, 0x1001, 4, EINVAL},
		{0, 0x10000, 0x1001, RW, EINVAL},
		{0, 0x10001, 0x1000, RW, EINVAL},
		{1, 0x10000, 0x1000, RW, EINVAL},
		{0, 0x10000, 1ull << 60, RW, EEXIST}, /* full, out of range */
		{0, 0xf000, 0x2000, RW, EEXIST},
		{0, 0x11000, 0x1000, RW, EEXIST},
		{0, 1ull << 60, 0x1000, RW, ENOSPC}, /* out of range */
	};
	struct type1 *t = new_type1(TYPE1_V2, 1);
	char text[REFUSAL_MAX];
	struct ram ram;

	ram_init(&ram, 2 * PAGE);
	assert_int_equal(map(t, &ram, 0x10000, 2 * PAGE, RW, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		struct mem_seg seg = {ram.mem, 0, PAGE};
		const struct type1_map map = {row[i].vaddr, row[i].iova,
					      row[i].size, row[i].prot};

		assert_int_equal(type1_check_map(t, &map), -row[i].err);
		assert_int_equal(refusal_take(text), row[i].err);
		assert_int_equal(rig_map(t, &map, &seg, 1), -row[i].err);
	}
	assert_int_equal(type1_avail(t), 0);
	type1_put(t);
	ram_done(&ram);
}

static void map_keeps_to_valid_ranges(void **state)
{
	static const struct {
		uint64_t iova, size;
		int err;
	} row[] = {
		{0, PAGE, 0},
		{TYPE1_MSI_FIRST - PAGE, PAGE, 0},
		{TYPE1_MSI_FIRST - 2 * PAGE, PAGE * 3, EEXIST},
		{TYPE1_MSI_FIRST, PAGE, EINVAL},
		{TYPE1_MSI_LAST + 1 - PAGE, PAGE, EINVAL},
		{TYPE1_MSI_LAST + 1 - PAGE, 2 * PAGE, EINVAL},
		{TYPE1_MSI_FIRST - 2 * PAGE, PAGE, 0},
		{TYPE1_MSI_LAST + 1, PAGE, 0},
		{(1ull << 48) - PAGE, PAGE, 0},
		{(1ull << 48) - 2 * PAGE, 2 * PAGE, EEXIST},
		{1ull << 48, PAGE, EINVAL},
		{~0xfffull, PAGE, EINVAL}, /* ends at 2^64 - 1: no wrap */
	};
	struct type1 *t = new_type1(TYPE1_V2, TYPE1_ENTRY_LIMIT);
	struct ram ram;
	size_t n;

	ram_init(&ram, 4 * PAGE);
	for (size_t i = 0; i < ARRAY_SIZE(row); i++)
		assert_int_equal(map(t, &ram, row[i].iova, row[i].size, RW, 0),
				 -row[i].err);

	const struct iova_range *r = type1_ranges(t, &n);

	assert_int_equal(n, 2);
	assert_int_equal(r[0].first, 0);
	assert_int_equal(r[0].last, 0xfedfffff);
	assert_int_equal(r[1].first, 0xfef00000);
	assert_int_equal(r[1].last, 0xffffffffffff);
	type1_put(t);
	ram_done(&ram);
}

struct list {
	struct iopt_area area[4];
	size_t n;
	size_t max;
};

static bool list_one(void *opaque, const struct iopt_area *area)
{
	struct list *l = opaque;

	l->area[l->n++] = *area;
	return l->n < l->max;
}

static void limit_counts_mappings_and_comes_back(void **state)
{
	struct type1 *t = new_type1(TYPE1_V2, 3);
	struct list list = {.max = 4};
	struct ram ram;

	ram_init(&ram, PAGE);
	for (uint64_t i = 3; i-- > 0;)
		assert_int_equal(map(t, &ram, i * PAGE, PAGE, RW, 0), 0);
	assert_int_equal(type1_avail(t), 0);
	assert_int_equal(map(t, &ram, 3 * PAGE, PAGE, RW, 0), -ENOSPC);
	assert_int_equal(unmap(t, PAGE, PAGE), PAGE);
	assert_int_equal(type1_avail(t), 1);
	assert_int_equal(map(t, &ram, 3 * PAGE, PAGE, IOPT_READ, 0), 0);

	iopt_for_each(type1_iopt(t), IOPT_ALL, 0, list_one, &list);
	assert_int_equal(list.n, 3);
	assert_int_equal(list.area[0].range.first, 0);
	assert_int_equal(list.area[1].range.first, 2 * PAGE);
	assert_int_equal(list.area[2].range.first, 3 * PAGE);
	assert_int_equal(list.area[2].range.last, 4 * PAGE - 1);
	assert_int_equal(list.area[2].addr, 1ull << 30);
	assert_int_equal(list.area[2].prot, IOPT_READ);
	list = (struct list){.max = 1};
	iopt_for_each(type1_iopt(t), IOPT_ALL, 0, list_one, &list);
	assert_int_equal(list.n, 1);
	type1_put(t);
	ram_done(&ram);
}

/* --- unmap --- */

static void unmap_refuses_in_type1_order(void **state)
{
	static const struct {
		bool all;
		uint64_t iova, size;
		int err;
	} row[] = {
		{false, 1, 0, EINVAL},
		{true, 1, 0, EINVAL},
		{true, PAGE, 0, EINVAL},
		{true, 0, PAGE, EINVAL},
		{false, 0, 0, EINVAL},
		{false, 0, 1, EINVAL},
		{false, ~0xfffull, 0x2001, EINVAL},
		{false, ~0xfffull, 0x2000, EOVERFLOW},
	};

	for (uint64_t version = TYPE1_V1; version <= TYPE1_V2; version += 2) {
		struct type1 *t = new_type1(version, 8);

		for (size_t i = 0; i < ARRAY_SIZE(row); i++)
			assert_int_equal(unmap_error(t, row[i].all, row[i].iova,
						     row[i].size),
					 -row[i].err);
		type1_put(t);
	}
}

/* 16 KiB at 0x10000 and at 0x20000, a hole between. */
static struct type1 *two_areas(uint64_t version, struct ram *ram)
{
	struct type1 *t = new_type1(version, 8);

	assert_int_equal(map(t, ram, 0x10000, 4 * PAGE, RW, 0), 0);
	assert_int_equal(map(t, ram, 0x20000, 4 * PAGE, RW, 0), 0);
	return t;
}

static void unmap_v2_takes_whole_mappings_only(void **state)
{
	struct ram ram;

	ram_init(&ram, 4 * PAGE);
	struct type1 *t = two_areas(TYPE1_V2, &ram);

	assert_int_equal(unmap(t, 0x14000, 0xc000), 0);
	assert_int_equal(unmap_error(t, false, 0x10000, PAGE), -EINVAL);
	assert_int_equal(unmap_error(t, false, 0x11000, 3 * PAGE), -EINVAL);
	assert_int_equal(unmap_error(t, false, 0x11000, 0x20000), -EINVAL);
	assert_int_equal(unmap_error(t, false, 0x0, 0x21000), -EINVAL);
	assert_int_equal(type1_avail(t), 6);
	assert_int_equal(unmap(t, 0, 0x40000), 8 * PAGE);
	assert_int_equal(type1_avail(t), 8);
	assert_int_equal(unmap(t, 0, 0x40000), 0);
	type1_put(t);
	ram_done(&ram);
}

static void unmap_v1_tolerates_a_cut(void **state)
{
	struct ram ram;

	ram_init(&ram, 4 * PAGE);
	struct type1 *t = two_areas(TYPE1_V1, &ram);

	/* a cut at the start: nothing at all, although 0x20000 is inside */
	assert_int_equal(unmap(t, 0x11000, 0x20000), 0);
	/* a cut at the end: all of the mapping, more than was asked for */
	assert_int_equal(unmap(t, 0x10000, PAGE), 4 * PAGE);
	assert_int_equal(unmap(t, 0, 0x21000), 4 * PAGE);
	assert_int_equal(type1_avail(t), 8);
	type1_put(t);
	ram_done(&ram);
}

static void unmap_all_takes_everything(void **state)
{
	struct ram ram;

	ram_init(&ram, 4 * PAGE);
	struct type1 *t = two_areas(TYPE1_V2, &ram);

	assert_int_equal(map(t, &ram, (1ull << 48) - PAGE, PAGE, RW, 0), 0);
	assert_int_equal(unmap_all(t), 9 * PAGE);
	assert_int_equal(unmap_all(t), 0);
	type1_put(t);
	ram_done(&ram);
}

/* --- against a model: one word per page --- */

#define MODEL_PAGES 48

struct model_page {
	unsigned int id; /* of the mapping; 0 = none */
	uint32_t prot;
	unsigned int src;
};

static struct model_page model[MODEL_PAGES];

static int model_map(unsigned int id, unsigned int at, unsigned int n,
		     uint32_t prot, unsigned int src)
{
	for (unsigned int i = at; i < at + n; i++)
		if (model[i].id)
			return -EEXIST;
	for (unsigned int i = 0; i < n; i++)
		model[at + i] = (struct model_page){id, prot, src + i};
	return 0;
}

static bool model_cut(unsigned int at) /* is there no boundary before @at? */
{
	return at && at < MODEL_PAGES && model[at].id &&
	       model[at - 1].id == model[at].id;
}

static int model_unmap(uint64_t version, unsigned int at, unsigned int n)
{
	unsigned int end = at + n, count = 0;

	if (version == TYPE1_V2 && (model_cut(at) || model_cut(end)))
		return -EINVAL;
	if (model_cut(at))
		return 0;
	while (model_cut(end))
		end++;
	for (; at < end; at++) {
		count += model[at].id != 0;
		model[at].id = 0;
	}
	return (int)count;
}

static int model_access(unsigned int at, unsigned int n, uint32_t prot)
{
	for (unsigned int i = at; i < at + n; i++)
		if (!model[i].id || prot & ~model[i].prot)
			return -EFAULT;
	return 0;
}

static void check_access(struct type1 *t, struct ram *ram, unsigned int at,
			 unsigned int n, bool write)
{
	static uint8_t buf[MODEL_PAGES * PAGE];
	struct dma_ctx ctx = {false};
	/* half a page in, unless that leaves nothing */
	uint64_t skip = PAGE / 2, iova = at * PAGE + skip;
	size_t len = n * PAGE - 2 * skip + 1;
	uint8_t fill = (uint8_t)rand();

	memset(buf, fill, len);
	int r = write ? dma_write(type1_iopt(t), &ctx, iova, buf, len)
		      : dma_read(type1_iopt(t), &ctx, iova, buf, len);

	assert_int_equal(r,
			 model_access(at, n, write ? IOPT_WRITE : IOPT_READ));
	for (uint64_t i = 0; r == 0 && i < len; i += PAGE / 2) {
		uint64_t where = iova + i;
		unsigned int src = model[where / PAGE].src;

		uint8_t byte = ram->bytes[src * PAGE + where % PAGE];

		assert_int_equal(byte, write ? fill : buf[i]);
	}
}

static void agree_with_the_model(uint64_t version)
{
	struct type1 *t = new_type1(version, TYPE1_ENTRY_LIMIT);
	struct ram ram;

	ram_init(&ram, MODEL_PAGES * PAGE);
	memset(model, 0, sizeof(model));
	srand(7);
	for (unsigned int round = 1; round <= 20000; round++) {
		unsigned int at = (unsigned int)rand() % MODEL_PAGES;
		unsigned int n =
			1 + (unsigned int)rand() % (MODEL_PAGES - at) / 4;
		unsigned int src = (unsigned int)rand() % (MODEL_PAGES - n + 1);
		uint32_t prot = 1 + (uint32_t)rand() % 3;
		uint64_t got = 0;

		switch (rand() % 8) {
		case 0:
		case 1:
		case 2:
			assert_int_equal(map(t, &ram, at * PAGE, n * PAGE, prot,
					     src * PAGE),
					 model_map(round, at, n, prot, src));
			break;
		case 3:
		case 4: {
			int r = type1_unmap(t, false, at * PAGE, n * PAGE,
					    &got);

			assert_int_equal(r ? r : (int)(got / PAGE),
					 model_unmap(version, at, n));
			break;
		}
		case 5:
			if (rand() % 100)
				break;
			assert_int_equal(unmap_all(t) / PAGE,
					 model_unmap(TYPE1_V1, 0, MODEL_PAGES));
			break;
		default:
			check_access(t, &ram, at, n, rand() % 2);
		}
	}
	type1_put(t);
	ram_done(&ram);
}

static void random_operations_agree_with_the_model(void **state)
{
	agree_with_the_model(TYPE1_V1);
	agree_with_the_model(TYPE1_V2);
}

/* A quadratic unmap takes minutes here. */
static void many_mappings_go_in_one_pass(void **state)
{
	enum { N = 60000 };
	struct type1 *t = new_type1(TYPE1_V2, TYPE1_ENTRY_LIMIT);
	struct ram ram;

	ram_init(&ram, PAGE);
	for (uint64_t i = 0; i < N; i++)
		assert_int_equal(map(t, &ram, 2 * i * PAGE, PAGE, RW, 0), 0);
	uint64_t start = clock_ns();

	assert_int_equal(unmap(t, PAGE, (2 * N - 3) * PAGE), (N - 2) * PAGE);
	assert_true(clock_ns() - start < 2000000000ull);
	assert_int_equal(type1_avail(t), TYPE1_ENTRY_LIMIT - 2);
	type1_put(t);
	ram_done(&ram);
}

/* --- dirty pages --- */

static int dirty(struct type1 *t, uint64_t size, struct type1_dirty *d,
		 struct iova_range range[2], size_t *ret_n)
{
	d->size = size;
	return type1_dirty(t, d, range, 2, ret_n);
}

static void dirty_pages_are_all_that_is_mapped(void **state)
{
	struct type1 *t = new_type1(TYPE1_V2, 8);
	struct type1_dirty d = {0};
	struct iova_range range[2];
	struct ram ram;
	size_t n;

	ram_init(&ram, 4 * PAGE);
	for (uint64_t i = 0; i < 3; i++)
		map(t, &ram, 2 * i * PAGE, PAGE, IOPT_READ, 0);
	assert_int_equal(dirty(t, 8 * PAGE, &d, range, &n), -EINVAL);
	type1_track(t, true);
	assert_int_equal(dirty(t, 8 * PAGE, &d, range, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(range[1].first, 2 * PAGE);
	assert_int_equal(range[1].last, 3 * PAGE - 1);
	d.done = n;
	assert_int_equal(dirty(t, 8 * PAGE, &d, range, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(range[0].first, 4 * PAGE);
	type1_track(t, false);
	assert_int_equal(dirty(t, 8 * PAGE, &d, range, &n), -EINVAL);
	type1_put(t);
	ram_done(&ram);
}

static void a_changed_table_is_told_of_from_the_start(void **state)
{
	struct type1 *t = new_type1(TYPE1_V2, 8);
	struct type1_dirty d = {0};
	struct iova_range range[2];
	uint64_t unmapped = 1;
	struct ram ram;
	size_t n;

	ram_init(&ram, 4 * PAGE);
	type1_track(t, true);
	map(t, &ram, 0, PAGE, RW, 0);
	assert_int_equal(dirty(t, 8 * PAGE, &d, range, &n), 0);
	d.done = 1;
	map(t, &ram, 4 * PAGE, PAGE, RW, 0);
	assert_int_equal(type1_unmap_dirty(t, &d, &unmapped), -EAGAIN);
	assert_int_equal(unmapped, 0);
	assert_int_equal(dirty(t, 8 * PAGE, &d, range, &n), 0);
	assert_int_equal(d.done, 0);
	assert_int_equal(n, 2);
	d.done = n;
	assert_int_equal(type1_unmap_dirty(t, &d, &unmapped), 0);
	assert_int_equal(unmapped, 2 * PAGE);
	assert_int_equal(type1_mapped(t), 0);
	type1_put(t);
	ram_done(&ram);
}

/* What a program says it has been told of is not to be believed. */
static void no_more_is_done_than_there_is(void **state)
{
	struct type1 *t = new_type1(TYPE1_V2, 8);
	struct type1_dirty d = {0};
	struct iova_range range[2];
	struct ram ram;
	size_t n;

	ram_init(&ram, 4 * PAGE);
	type1_track(t, true);
	map(t, &ram, 0, PAGE, RW, 0);
	map(t, &ram, 4 * PAGE, PAGE, RW, 0);
	assert_int_equal(dirty(t, 2 * PAGE, &d, range, &n), 0);
	for (uint64_t done = 2; done; done <<= 1) {
		d.done = done;
		assert_int_equal(dirty(t, 2 * PAGE, &d, range, &n), 0);
		assert_int_equal(d.done, 0);
		assert_int_equal(n, 1);
	}
	type1_put(t);
	ram_done(&ram);
}

/* The row stays lowered. */
static void a_program_maps_within_its_share_of_segments(void **state)
{
	struct type1 *a = new_type1(TYPE1_V2, 8), *b = new_type1(TYPE1_V2, 8);
	struct ram ram;

	share_lower(SHARE_SEGMENTS, 4);
	ram_init(&ram, 4 * PAGE);
	assert_int_equal(map(a, &ram, 0, PAGE, RW, 0), 0);
	assert_int_equal(map(a, &ram, 0, PAGE, RW, 0), -EEXIST);
	assert_int_equal(map(b, &ram, 0, PAGE, RW, 0), 0);
	assert_int_equal(map(b, &ram, PAGE, PAGE, RW, 0), -ENOMEM);
	assert_int_equal(share_held(SHARE_SEGMENTS, getpid()), 2);
	assert_int_equal(unmap(a, 0, PAGE), PAGE);
	assert_int_equal(map(b, &ram, PAGE, PAGE, RW, 0), 0);
	type1_put(a);
	type1_put(b);
	assert_int_equal(share_held(SHARE_SEGMENTS, getpid()), 0);
	ram_done(&ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(map_refuses_in_type1_order),
		cmocka_unit_test(map_keeps_to_valid_ranges),
		cmocka_unit_test(limit_counts_mappings_and_comes_back),
		cmocka_unit_test(unmap_refuses_in_type1_order),
		cmocka_unit_test(unmap_v2_takes_whole_mappings_only),
		cmocka_unit_test(unmap_v1_tolerates_a_cut),
		cmocka_unit_test(unmap_all_takes_everything),
		cmocka_unit_test(random_operations_agree_with_the_model),
		cmocka_unit_test(many_mappings_go_in_one_pass),
		cmocka_unit_test(dirty_pages_are_all_that_is_mapped),
		cmocka_unit_test(a_changed_table_is_told_of_from_the_start),
		cmocka_unit_test(no_more_is_done_than_there_is),
		cmocka_unit_test(a_program_maps_within_its_share_of_segments),
	};

	mem_guard_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every limit that programs have in common, row by row: one program gets its
 * share and no more, the others theirs, and what is given back is there again.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "core/common/share.h"
#include "lib/refuse.h"

#define LIAR  4711
#define OTHER 4712

#define for_each_kind(k) for (enum share_kind k = 0; k < SHARE_KINDS; k = k + 1)

static uint64_t each(enum share_kind kind)
{
	return share_limit(kind)->each;
}

static int take_all_but(struct share *share, enum share_kind kind, pid_t pid,
			uint64_t n)
{
	return share_take(share, kind, pid, each(kind) - n);
}

static void every_limit_has_a_share_that_leaves_most_to_others(void **state)
{
	for_each_kind(kind)
	{
		const struct share_limit *l = share_limit(kind);

		assert_non_null(l->what);
		assert_true(l->each > 0 && l->each <= l->all / 4);
		assert_true(l->each_err > 0 && l->all_err > 0);
	}
}

static void a_program_beyond_its_share_hurts_nobody_else(void **state)
{
	for_each_kind(kind)
	{
		const struct share_limit *l = share_limit(kind);
		struct share most = {0}, last = {0}, more = {0}, other = {0};
		char why[REFUSAL_MAX];

		refusal_take(why);
		assert_int_equal(take_all_but(&most, kind, LIAR, 1), 0);
		assert_int_equal(share_take(&last, kind, LIAR, 1), 0);
		assert_int_equal(share_take(&more, kind, LIAR, 1),
				 -l->each_err);
		assert_int_equal(refusal_take(why), l->each_err);
		assert_null(more.program);
		assert_int_equal(take_all_but(&other, kind, OTHER, 0), 0);

		share_give(&last);
		assert_int_equal(share_take(&more, kind, LIAR, 1), 0);
		share_give(&more);
		share_give(&most);
		share_give(&other);
		assert_int_equal(share_held(kind, LIAR), 0);
	}
}

static void all_programs_together_have_a_limit_too(void **state)
{
	for_each_kind(kind)
	{
		const struct share_limit *l = share_limit(kind);
		size_t n = l->all / l->each;
		struct share more = {0};
		struct share *held = calloc(n, sizeof(*held));

		for (size_t i = 0; i < n; i++)
			assert_int_equal(take_all_but(&held[i], kind,
						      LIAR + (pid_t)i, 0),
					 0);
		if (l->all % l->each == 0)
			assert_int_equal(share_take(&more, kind, 1, 1),
					 -l->all_err);
		for (size_t i = 0; i < n; i++)
			share_give(&held[i]);
		assert_int_equal(share_take(&more, kind, 1, 1), 0);
		share_give(&more);
		free(held);
	}
}

static void nobody_gets_more_than_there_is_by_wrapping(void **state)
{
	struct share one = {0}, more = {0};

	assert_int_equal(share_take(&one, SHARE_MAPPED_BYTES, LIAR, 4096), 0);
	assert_int_equal(
		share_take(&more, SHARE_MAPPED_BYTES, LIAR, UINT64_MAX - 4095),
		-ENOSPC);
	share_give(&one);
}

static void what_costs_a_descriptor_counts_as_one(void **state)
{
	struct share file = {0}, door = {0}, bytes = {0};

	assert_int_equal(share_take(&file, SHARE_FILES, LIAR, 3), 0);
	assert_int_equal(share_take(&door, SHARE_DOORS, LIAR, 2), 0);
	assert_int_equal(share_take(&bytes, SHARE_MAPPED_BYTES, LIAR, 4096), 0);
	assert_int_equal(share_held(SHARE_FDS, LIAR), 5);
	share_give(&file);
	share_give(&door);
	assert_int_equal(share_held(SHARE_FDS, LIAR), 0);
	assert_int_equal(share_held(SHARE_MAPPED_BYTES, LIAR), 4096);
	share_give(&bytes);
}

static void giving_back_twice_counts_once(void **state)
{
	struct share a = {0}, b = {0};

	assert_int_equal(share_take(&a, SHARE_FILES, LIAR, 1), 0);
	assert_int_equal(share_take(&b, SHARE_FILES, LIAR, 1), 0);
	share_give(&a);
	share_give(&a);
	assert_int_equal(share_held(SHARE_FILES, LIAR), 1);
	share_give(&b);
}

static void a_share_grows_and_shrinks_for_whom_it_was_taken(void **state)
{
	struct share a = {0};

	assert_int_equal(share_take(&a, SHARE_EVENTFDS, LIAR, 2), 0);
	assert_int_equal(share_take(&a, SHARE_EVENTFDS, OTHER, 3), 0);
	assert_int_equal(share_held(SHARE_EVENTFDS, LIAR), 5);
	assert_int_equal(share_held(SHARE_EVENTFDS, OTHER), 0);
	share_less(&a, 4);
	assert_int_equal(share_held(SHARE_EVENTFDS, LIAR), 1);
	share_less(&a, 1);
	assert_null(a.program);
	assert_int_equal(share_take(&a, SHARE_EVENTFDS, OTHER, 1), 0);
	assert_int_equal(share_held(SHARE_EVENTFDS, OTHER), 1);
	share_give(&a);
}

/* The rows stay lowered, so these come last. */

static uint64_t max_map_count(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned long long n = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%llu", &n), 1);
	fclose(f);
	return n;
}

static void a_quarter_of_what_the_host_gives_is_nobodys_share(void **state)
{
	uint64_t maps = max_map_count(), all = 49152;
	struct rlimit limit;

	if (all > maps - maps / 4)
		all = maps - maps / 4;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 400;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	share_init();
	assert_int_equal(share_limit(SHARE_FDS)->all, 300);
	assert_int_equal(each(SHARE_FDS), 150);
	assert_int_equal(share_limit(SHARE_MAPPED_FILES)->all, all);
}

static void a_small_host_lowers_the_share_too(void **state)
{
	struct share most = {0}, more = {0}, other = {0};

	share_lower(SHARE_FDS, 1u << 30);
	assert_int_equal(each(SHARE_FDS), 150);
	share_lower(SHARE_FDS, 48);
	assert_int_equal(each(SHARE_FDS), 24);
	share_lower(SHARE_FDS, 1000000);
	assert_int_equal(share_limit(SHARE_FDS)->all, 48);

	assert_int_equal(share_take(&most, SHARE_FILES, LIAR, 24), 0);
	assert_int_equal(share_take(&more, SHARE_DOORS, LIAR, 1), -EMFILE);
	assert_int_equal(share_held(SHARE_DOORS, LIAR), 0);
	assert_int_equal(share_take(&other, SHARE_DOORS, OTHER, 1), 0);
	share_give(&most);
	share_give(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			every_limit_has_a_share_that_leaves_most_to_others),
		cmocka_unit_test(a_program_beyond_its_share_hurts_nobody_else),
		cmocka_unit_test(all_programs_together_have_a_limit_too),
		cmocka_unit_test(nobody_gets_more_than_there_is_by_wrapping),
		cmocka_unit_test(what_costs_a_descriptor_counts_as_one),
		cmocka_unit_test(giving_back_twice_counts_once),
		cmocka_unit_test(
			a_share_grows_and_shrinks_for_whom_it_was_taken),
		cmocka_unit_test(
			a_quarter_of_what_the_host_gives_is_nobodys_share),
		cmocka_unit_test(a_small_host_lowers_the_share_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

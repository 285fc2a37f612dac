/* SPDX-License-Identifier: BSD-3-Clause */
/* What `softvfio why` is told: the newest, of everybody. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "front/journal.h"

#define LIAR  4711
#define OTHER 4712

static struct journal_entry entries[JOURNAL_MAX];

static void add(struct journal *j, pid_t pid, unsigned int nr)
{
	char reason[16];

	snprintf(reason, sizeof(reason), "%u", nr);
	journal_add(j, pid, "call", EINVAL, reason);
}

static unsigned int nr(size_t i)
{
	unsigned int n = 0;

	sscanf(entries[i].reason, "%u", &n);
	return n;
}

static void entries_come_back_oldest_first(void **state)
{
	struct journal *j = journal_new();

	assert_int_equal(journal_copy(j, entries, JOURNAL_MAX), 0);
	for (unsigned int i = 1; i <= 5; i++)
		add(j, OTHER, i);
	assert_int_equal(journal_copy(j, entries, JOURNAL_MAX), 5);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(nr(i), i + 1);
	assert_int_equal(journal_copy(j, entries, 2), 2);
	assert_int_equal(nr(0), 4);
	assert_int_equal(nr(1), 5);
	assert_int_equal(journal_total(j), 5);
	journal_free(j);
}

/* Alone it may have it all. */
static void the_newest_are_kept(void **state)
{
	struct journal *j = journal_new();
	size_t n;

	for (unsigned int i = 1; i <= JOURNAL_MAX + 100; i++)
		add(j, OTHER, i);
	n = journal_copy(j, entries, JOURNAL_MAX);
	assert_int_equal(n, JOURNAL_MAX);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(nr(i), i + 101);
	assert_int_equal(journal_total(j), JOURNAL_MAX + 100);
	journal_free(j);
}

static void a_program_that_is_refused_all_day_leaves_others_theirs(void **state)
{
	struct journal *j = journal_new();
	size_t n, others = 0;

	for (unsigned int i = 1; i <= 10; i++)
		add(j, OTHER, i);
	for (unsigned int i = 1; i <= 10000; i++)
		add(j, LIAR, i);
	for (unsigned int i = 11; i <= 20; i++)
		add(j, OTHER, i);
	n = journal_copy(j, entries, JOURNAL_MAX);
	assert_int_equal(n, JOURNAL_MAX);
	for (size_t i = 0; i < n; i++)
		if (entries[i].pid == OTHER)
			assert_true(nr(i) > 10 || nr(i) == ++others);
	assert_int_equal(others, 10);
	assert_int_equal(nr(n - 1), 20);
	assert_int_equal(nr(n - 11), 10000);
	journal_free(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_come_back_oldest_first),
		cmocka_unit_test(the_newest_are_kept),
		cmocka_unit_test(
			a_program_that_is_refused_all_day_leaves_others_theirs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* A test of cmocka's that passes, and one that can't be done anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/skip.h"

static void passes(void **state)
{
	assert_null(*state);
}

static void cannot_be_done(void **state)
{
	skip_because("no %s here", "flux");
	assert_null(state); /* never reached */
}

static int keep_state(void **state)
{
	return *state ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes),
		cmocka_unit_test_setup_teardown(cannot_be_done, keep_state,
						keep_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Finding a BAR by the number of its memfd, in the largest machine there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/machine/machine.h"

#define FIRST_INO 4000000000u /* neighbours, as the host gives them */
#define N_BARS	  (MACHINE_DEVICES_MAX * SV_NUM_BARS)

static struct bar *bar_at(struct machine *m, unsigned int i)
{
	return &m->dev[i / SV_NUM_BARS].dev->bar[i % SV_NUM_BARS];
}

/* Half of them have the numbers of the other half, on another device. */
static void number(struct bar *bar, unsigned int i)
{
	bar->storage = &bar_memfd;
	bar->st_dev = 1 + i % 2;
	bar->st_ino = FIRST_INO + i / 2;
}

static int set_up(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	for (unsigned int i = 0; i < N_BARS; i++) {
		struct machine_dev *md = &m->dev[i / SV_NUM_BARS];

		if (i % SV_NUM_BARS == 0)
			md->dev = calloc(1, sizeof(*md->dev));
		assert_non_null(md->dev);
		number(bar_at(m, i), i);
		if (i % SV_NUM_BARS == SV_NUM_BARS - 1)
			machine_list_bars(m, i / SV_NUM_BARS);
	}
	*state = m;
	return 0;
}

static int tear_down(void **state)
{
	struct machine *m = *state;

	for (unsigned int i = 0; i < MACHINE_DEVICES_MAX; i++)
		free(m->dev[i].dev);
	free(m);
	return 0;
}

static void each_bar_is_found_by_its_number(void **state)
{
	struct machine *m = *state;

	for (unsigned int i = 0; i < N_BARS; i++) {
		const struct bar *bar = bar_at(m, i);
		unsigned int b = SV_NUM_BARS;

		assert_ptr_equal(machine_bar(m, bar->st_dev, bar->st_ino, &b),
				 m->dev[i / SV_NUM_BARS].dev);
		assert_int_equal(b, i % SV_NUM_BARS);
	}
}

static void no_other_number_is_a_bar(void **state)
{
	struct machine *m = *state;
	unsigned int b;

	for (unsigned int i = 0; i < N_BARS; i++) {
		uint64_t ino = FIRST_INO + i;

		assert_null(machine_bar(m, 1, ino + N_BARS / 2, &b));
		assert_null(machine_bar(m, 1, ino - N_BARS, &b));
		assert_null(machine_bar(m, 3, ino, &b));
		assert_null(machine_bar(m, 0, 0, &b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_bar_is_found_by_its_number),
		cmocka_unit_test(no_other_number_is_a_bar),
	};

	return cmocka_run_group_tests_name("machine", tests, set_up, tear_down);
}

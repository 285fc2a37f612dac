/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MSI and MSI-X: which vectors there are, what an error costs, and what
 * reaches the program's eventfds. An alarm ends the program if something
 * blocks.
 */
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/irq_rig.h"
#include "tests/unit/skip.h"

static void msi_reaches_its_vectors(void **state)
{
	struct fixture *f = *state;

	irq_raise(f->irq, 0); /* too early, nobody's business */
	assert_stats(f, 0, 0);
	enable_msis(f, IRQ_MSI, 3);
	assert_int_equal(irq_mode(f->irq), SV_IRQ_MSI);
	assert_int_equal(f->msi, 4); /* what the capability can say */
	assert_false(f->msix);
	irq_raise(f->irq, 0);
	irq_raise(f->irq, 2);
	irq_raise(f->irq, 2);
	assert_int_equal(got(f, 0), 1);
	assert_int_equal(got(f, 1), 0);
	assert_int_equal(got(f, 2), 2);
	irq_raise(f->irq, 3);
	irq_raise(f->irq, MSI_VECTORS);
	irq_raise(f->irq, UINT32_MAX);
	assert_stats(f, 3, 3);

	assert_int_equal(turn_off(f, IRQ_MSI), 0);
	assert_int_equal(f->msi, 0);
	assert_int_equal(irq_mode(f->irq), SV_IRQ_NONE);
	irq_raise(f->irq, 0);
	assert_int_equal(got(f, 0), 0);
	assert_stats(f, 3, 3);
}

static void messages_refuse_what_does_not_fit(void **state)
{
	struct fixture *f = *state;
	uint8_t yes = 1;

	for (uint32_t i = IRQ_MSI; i <= IRQ_MSIX; i++) {
		assert_int_equal(turn_off(f, i), -EINVAL);
		assert_int_equal(set_none(f, i, TRIGGER, 0, 1), -EINVAL);
		assert_int_equal(set_bool(f, i, TRIGGER, 0, 1), -EINVAL);
		assert_int_equal(set(f, i, BOOL | TRIGGER, 0, 0, &yes),
				 -EINVAL);
		assert_int_equal(set(f, i, EVENTFD | TRIGGER, 0, 0, f->efd),
				 -ERANGE);
		assert_int_equal(irq_mode(f->irq), SV_IRQ_NONE);
		/* vectors, but none of them with an eventfd */
		assert_int_equal(set(f, i, EVENTFD | TRIGGER, 2, 0, f->efd), 0);
		assert_int_equal(set(f, i, EVENTFD | TRIGGER, 0, 0, f->efd), 0);
		assert_int_equal(turn_off(f, i), 0);
	}
}

static void messages_are_not_enabled_in_d3hot(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = IRQ_MSI; i <= IRQ_MSIX; i++) {
		f->asleep = true;
		assert_int_equal(set_fd(f, i, TRIGGER, 0, f->efd[0]), -EINVAL);
		assert_int_equal(irq_mode(f->irq), SV_IRQ_NONE);
		f->asleep = false;
		assert_int_equal(set_fd(f, i, TRIGGER, 0, f->efd[0]), 0);
		f->asleep = true; /* what is enabled stays, and can be set */
		assert_int_equal(set_fd(f, i, TRIGGER, 0, f->efd[1]), 0);
		assert_int_equal(turn_off(f, i), 0);
	}
}

static void msi_has_the_vectors_it_was_enabled_with(void **state)
{
	struct fixture *f = *state;
	int none[2] = {-1, IRQ_FD_NEGATIVE};

	enable_msis(f, IRQ_MSI, 2);
	assert_int_equal(set_fd(f, IRQ_MSI, TRIGGER, 2, f->efd[2]), -EINVAL);
	/* one that was never there can be torn down and signalled */
	assert_int_equal(set(f, IRQ_MSI, EVENTFD | TRIGGER, 6, 2, none), 0);
	assert_int_equal(set_none(f, IRQ_MSI, TRIGGER, 7, 1), 0);
	irq_raise(f->irq, 0);
	irq_raise(f->irq, 1);
	assert_int_equal(got(f, 0), 1);
	assert_int_equal(got(f, 1), 1);
	assert_int_equal(f->msi, 2);
}

static void msix_grows_while_enabled(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(set_fd(f, IRQ_MSIX, TRIGGER, 5, f->efd[0]), 0);
	assert_true(f->msix);
	assert_true(f->device_masked);
	assert_int_equal(irq_mode(f->irq), SV_IRQ_MSIX);
	assert_int_equal(set_fd(f, IRQ_MSIX, TRIGGER, 2047, f->efd[1]), 0);
	assert_int_equal(set_fd(f, IRQ_MSIX, TRIGGER, 0, f->efd[2]), 0);
	irq_raise(f->irq, 5);
	irq_raise(f->irq, 2047);
	irq_raise(f->irq, 0);
	irq_raise(f->irq, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(got(f, i), 1);
	assert_stats(f, 3, 1);
	assert_int_equal(turn_off(f, IRQ_MSIX), 0);
	assert_false(f->msix);
	assert_false(f->device_masked);
}

static void vectors_are_reprogrammed_and_torn_down(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = IRQ_MSI; i <= IRQ_MSIX; i++) {
		enable_msis(f, i, 4);
		assert_int_equal(set_fd(f, i, TRIGGER, 1, f->efd[5]), 0);
		assert_int_equal(set_fd(f, i, TRIGGER, 2, -1), 0);
		for (unsigned int v = 0; v < 4; v++)
			irq_raise(f->irq, v);
		assert_int_equal(got(f, 0), 1);
		assert_int_equal(got(f, 1), 0);
		assert_int_equal(got(f, 2), 0);
		assert_int_equal(got(f, 3), 1);
		assert_int_equal(got(f, 5), 1);
		/* it stays allocated */
		assert_int_equal(set_fd(f, i, TRIGGER, 2, f->efd[2]), 0);
		irq_raise(f->irq, 2);
		assert_int_equal(got(f, 2), 1);
		assert_int_equal(turn_off(f, i), 0);
	}
}

static void loopback_signals_the_vectors_asked_for(void **state)
{
	static const uint8_t which[4] = {1, 0, 255, 1};
	struct fixture *f = *state;

	for (uint32_t i = IRQ_MSI; i <= IRQ_MSIX; i++) {
		enable_msis(f, i, 4);
		assert_int_equal(set_fd(f, i, TRIGGER, 3, -1), 0);
		assert_int_equal(set_none(f, i, TRIGGER, 1, 3), 0);
		assert_int_equal(got(f, 0), 0);
		assert_int_equal(got(f, 1), 1);
		assert_int_equal(got(f, 2), 1);
		assert_int_equal(got(f, 3), 0);
		assert_int_equal(set(f, i, BOOL | TRIGGER, 0, 4, which), 0);
		assert_int_equal(got(f, 0), 1);
		assert_int_equal(got(f, 1), 0);
		assert_int_equal(got(f, 2), 1);
		assert_int_equal(got(f, 3), 0);
		assert_int_equal(turn_off(f, i), 0);
	}
	assert_stats(f, 0, 0);
}

static void error_while_enabling_leaves_it_off(void **state)
{
	static const struct {
		int fd;
		int want;
	} bad[] = {{IRQ_FD_BAD, -EBADF}, {IRQ_FD_NOT_EVENTFD, -EINVAL}};
	struct fixture *f = *state;

	for (uint32_t i = IRQ_MSI; i <= IRQ_MSIX; i++) {
		for (int b = 0; b < 2; b++) {
			int fd[4] = {f->efd[0], f->efd[1], bad[b].fd,
				     f->efd[3]};

			assert_int_equal(set(f, i, EVENTFD | TRIGGER, 0, 4, fd),
					 bad[b].want);
			assert_int_equal(irq_mode(f->irq), SV_IRQ_NONE);
			assert_int_equal(f->msi, 0);
			assert_false(f->msix);
		}
		/* nothing of it is found by the next one */
		assert_int_equal(set_fd(f, i, TRIGGER, 3, f->efd[3]), 0);
		for (unsigned int v = 0; v < 4; v++)
			irq_raise(f->irq, v);
		assert_int_equal(got(f, 0), 0);
		assert_int_equal(got(f, 1), 0);
		assert_int_equal(got(f, 3), 1);
		assert_int_equal(turn_off(f, i), 0);
	}
}

static void error_while_enabled_costs_what_came_before_it(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = IRQ_MSI; i <= IRQ_MSIX; i++) {
		int fd[4] = {f->efd[5], f->efd[6], IRQ_FD_BAD, f->efd[7]};

		enable_msis(f, i, 6);
		assert_int_equal(set(f, i, EVENTFD | TRIGGER, 1, 4, fd),
				 -EBADF);
		assert_int_not_equal(irq_mode(f->irq), SV_IRQ_NONE);
		for (unsigned int v = 0; v < 6; v++)
			irq_raise(f->irq, v);
		/* 1 to 3 are gone; 0, and 4 that was not reached, are not */
		for (int e = 0; e < N_EFDS; e++)
			assert_int_equal(got(f, e), e == 0 || e == 4 || e == 5);
		assert_int_equal(turn_off(f, i), 0);
	}
}

static void msi_error_beyond_the_allocated_tears_down(void **state)
{
	struct fixture *f = *state;

	enable_msis(f, IRQ_MSI, 3);
	assert_int_equal(set(f, IRQ_MSI, EVENTFD | TRIGGER, 1, 3, f->efd),
			 -EINVAL);
	for (unsigned int v = 0; v < 3; v++)
		irq_raise(f->irq, v);
	assert_int_equal(got(f, 0), 1);
	assert_int_equal(got(f, 1), 0);
	assert_int_equal(got(f, 2), 0);
}

static void pin_is_quiet_while_messages_are_on(void **state)
{
	struct fixture *f = *state;

	enable_msis(f, IRQ_MSIX, 1);
	irq_level(f->irq, true);
	assert_true(f->status);
	assert_int_equal(got(f, 0), 0);
	assert_stats(f, 0, 0);
}

/* Room for this many more descriptors, or the test is skipped. */
static void need_fds(rlim_t n)
{
	struct rlimit rl;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &rl), 0);
	if (rl.rlim_max < n)
		skip_because("RLIMIT_NOFILE is %lu and not %lu", rl.rlim_max,
			     n);
	if (rl.rlim_cur < n) {
		rl.rlim_cur = n;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &rl), 0);
	}
}

static void all_2048_vectors_in_one_call(void **state)
{
	static int fd[MSIX_VECTORS];
	struct fixture *f = *state;

	need_fds(MSIX_VECTORS + 256);
	for (unsigned int i = 0; i < MSIX_VECTORS; i++)
		fd[i] = f->efd[i % N_EFDS];
	for (int round = 0; round < 2; round++) {
		assert_int_equal(set(f, IRQ_MSIX, EVENTFD | TRIGGER, 0,
				     MSIX_VECTORS, fd),
				 0);
		for (unsigned int i = 0; i < MSIX_VECTORS; i++)
			irq_raise(f->irq, i);
		for (int e = 0; e < N_EFDS; e++)
			assert_int_equal(got(f, e), MSIX_VECTORS / N_EFDS);
	}
	assert_int_equal(set_none(f, IRQ_MSIX, TRIGGER, 0, MSIX_VECTORS), 0);
	for (int e = 0; e < N_EFDS; e++)
		assert_int_equal(got(f, e), MSIX_VECTORS / N_EFDS);

	/* the last one fails: back to nothing */
	fd[MSIX_VECTORS - 1] = IRQ_FD_BAD;
	assert_int_equal(
		set(f, IRQ_MSIX, EVENTFD | TRIGGER, 0, MSIX_VECTORS, fd),
		-EBADF);
	assert_int_equal(set_none(f, IRQ_MSIX, TRIGGER, 0, MSIX_VECTORS), 0);
	for (int e = 0; e < N_EFDS; e++)
		assert_int_equal(got(f, e), 0);
}

static void running_out_of_descriptors_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct rlimit rl, tight;
	int top = dup(f->efd[0]);

	assert_true(top >= 0);
	close(top);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &rl), 0);
	tight = (struct rlimit){(rlim_t)top + 3, rl.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	assert_int_equal(set(f, IRQ_MSIX, EVENTFD | TRIGGER, 0, 8, f->efd),
			 -EMFILE);
	assert_int_equal(irq_mode(f->irq), SV_IRQ_NONE);
	/* the three that are left are still there */
	enable_msis(f, IRQ_MSIX, 3);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &rl), 0);
}

/* The row stays lowered. */
static void a_program_has_its_share_of_eventfds(void **state)
{
	struct share other = {0};
	struct fixture *f = *state;

	share_lower(SHARE_EVENTFDS, 8);
	assert_int_equal(set(f, IRQ_MSIX, EVENTFD | TRIGGER, 0, 5, f->efd),
			 -EMFILE);
	assert_int_equal(irq_mode(f->irq), SV_IRQ_NONE);
	assert_int_equal(share_held(SHARE_EVENTFDS, PROGRAM), 0);
	enable_msis(f, IRQ_MSIX, 3);
	assert_int_equal(set_fd(f, IRQ_REQ, TRIGGER, 0, f->efd[0]), 0);
	assert_int_equal(set_fd(f, IRQ_ERR, TRIGGER, 0, f->efd[0]), -EMFILE);
	assert_int_equal(share_take(&other, SHARE_EVENTFDS, PROGRAM + 1, 4), 0);
	share_give(&other);
	assert_int_equal(set_fd(f, IRQ_REQ, TRIGGER, 0, -1), 0);
	assert_int_equal(set_fd(f, IRQ_ERR, TRIGGER, 0, f->efd[0]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(msi_reaches_its_vectors),
		TEST(messages_refuse_what_does_not_fit),
		TEST(messages_are_not_enabled_in_d3hot),
		TEST(msi_has_the_vectors_it_was_enabled_with),
		TEST(msix_grows_while_enabled),
		TEST(vectors_are_reprogrammed_and_torn_down),
		TEST(loopback_signals_the_vectors_asked_for),
		TEST(error_while_enabling_leaves_it_off),
		TEST(error_while_enabled_costs_what_came_before_it),
		TEST(msi_error_beyond_the_allocated_tears_down),
		TEST(pin_is_quiet_while_messages_are_on),
		TEST(all_2048_vectors_in_one_call),
		TEST(running_out_of_descriptors_is_an_error),
		TEST(a_program_has_its_share_of_eventfds),
	};

	alarm(DEADLINE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

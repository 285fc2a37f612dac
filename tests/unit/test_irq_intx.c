/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * INTx: masking, virtual DisINTx, unmasking by eventfd. An alarm ends the
 * program if something blocks.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/irq_rig.h"

static void intx_enable_swap_and_disable(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(irq_mode(f->irq), SV_IRQ_NONE);
	enable_intx(f);
	assert_int_equal(irq_mode(f->irq), SV_IRQ_INTX);
	assert_int_equal(set_none(f, IRQ_INTX, TRIGGER, 0, 1), 0);
	assert_int_equal(got(f, 0), 1);

	assert_int_equal(set_fd(f, IRQ_INTX, TRIGGER, 0, f->efd[1]), 0);
	assert_int_equal(set_none(f, IRQ_INTX, TRIGGER, 0, 1), 0);
	assert_int_equal(got(f, 0), 0);
	assert_int_equal(got(f, 1), 1);

	assert_int_equal(turn_off(f, IRQ_INTX), 0);
	assert_int_equal(irq_mode(f->irq), SV_IRQ_NONE);
	assert_int_equal(turn_off(f, IRQ_INTX), -EINVAL);
}

static void intx_refuses_what_does_not_fit(void **state)
{
	struct fixture *f = *state;
	uint8_t yes = 1;

	/* off: no loopback, no masking */
	assert_int_equal(set_none(f, IRQ_INTX, TRIGGER, 0, 1), -EINVAL);
	assert_int_equal(set_bool(f, IRQ_INTX, TRIGGER, 0, 1), -EINVAL);
	assert_int_equal(set_none(f, IRQ_INTX, MASK, 0, 1), -EINVAL);
	assert_int_equal(set_none(f, IRQ_INTX, UNMASK, 0, 1), -EINVAL);
	assert_int_equal(set_fd(f, IRQ_INTX, MASK, 0, f->efd[0]), -EINVAL);
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, f->efd[0]), -EINVAL);
	assert_int_equal(set_fd(f, IRQ_INTX, TRIGGER, 0, IRQ_FD_BAD), -EBADF);
	assert_int_equal(set_fd(f, IRQ_INTX, TRIGGER, 0, IRQ_FD_NOT_EVENTFD),
			 -EINVAL);
	assert_int_equal(set(f, IRQ_INTX, EVENTFD | TRIGGER, 0, 0, f->efd),
			 -EINVAL);
	assert_int_equal(irq_mode(f->irq), SV_IRQ_NONE);

	/* on: count 0 is for DATA_NONE and TRIGGER only */
	enable_intx(f);
	assert_int_equal(set(f, IRQ_INTX, EVENTFD | TRIGGER, 0, 0, f->efd),
			 -EINVAL);
	assert_int_equal(set(f, IRQ_INTX, BOOL | TRIGGER, 0, 0, &yes), -EINVAL);
	assert_int_equal(set_none(f, IRQ_INTX, MASK, 0, 0), -EINVAL);
	assert_int_equal(set_none(f, IRQ_INTX, UNMASK, 0, 0), -EINVAL);
	assert_int_equal(set_fd(f, IRQ_INTX, MASK, 0, f->efd[0]), -ENOTTY);
	assert_int_equal(set_fd(f, IRQ_INTX, MASK, 0, -1), -ENOTTY);
	/* a bad descriptor leaves the old trigger */
	assert_int_equal(set_fd(f, IRQ_INTX, TRIGGER, 0, IRQ_FD_BAD), -EBADF);
	assert_int_equal(set_bool(f, IRQ_INTX, TRIGGER, 0, 1), 0);
	assert_int_equal(got(f, 0), 1);
}

static void intx_without_a_trigger_stays_enabled(void **state)
{
	struct fixture *f = *state;

	/* enabled without one; any negative number will do */
	assert_int_equal(set_fd(f, IRQ_INTX, TRIGGER, 0, IRQ_FD_NEGATIVE), 0);
	assert_int_equal(irq_mode(f->irq), SV_IRQ_INTX);
	irq_level(f->irq, true);
	assert_true(f->device_masked);
	assert_stats(f, 0, 1);

	/* the one that comes later is not told what it missed */
	assert_int_equal(set_fd(f, IRQ_INTX, TRIGGER, 0, f->efd[0]), 0);
	assert_int_equal(got(f, 0), 0);
	assert_int_equal(set_none(f, IRQ_INTX, UNMASK, 0, 1), 0);
	assert_int_equal(got(f, 0), 1);

	/* removed */
	assert_int_equal(set_fd(f, IRQ_INTX, TRIGGER, 0, -1), 0);
	assert_int_equal(set_none(f, IRQ_INTX, TRIGGER, 0, 1), 0);
	assert_int_equal(got(f, 0), 0);
	assert_int_equal(turn_off(f, IRQ_INTX), 0);
}

static void intx_loopback_by_bool(void **state)
{
	struct fixture *f = *state;

	enable_intx(f);
	assert_int_equal(set_bool(f, IRQ_INTX, TRIGGER, 0, 0), 0);
	assert_int_equal(got(f, 0), 0);
	assert_int_equal(set_bool(f, IRQ_INTX, TRIGGER, 0, 2), 0);
	assert_int_equal(got(f, 0), 1);
	/* it masks nothing and is no interrupt of the device */
	assert_false(f->device_masked);
	assert_stats(f, 0, 0);
}

static void intx_masks_itself_when_signalled(void **state)
{
	struct fixture *f = *state;

	enable_intx(f);
	irq_level(f->irq, true);
	assert_true(f->status);
	assert_true(f->device_masked);
	assert_int_equal(got(f, 0), 1);

	/* masked: neither the same level nor another edge signals */
	irq_level(f->irq, true);
	irq_level(f->irq, false);
	assert_false(f->status);
	irq_level(f->irq, true);
	assert_int_equal(got(f, 0), 0);

	/* unmasked with the pin down: quiet until it rises */
	irq_level(f->irq, false);
	assert_int_equal(set_none(f, IRQ_INTX, UNMASK, 0, 1), 0);
	assert_false(f->device_masked);
	assert_int_equal(got(f, 0), 0);
	irq_level(f->irq, true);
	assert_int_equal(got(f, 0), 1);
	assert_stats(f, 2, 0);
}

static void intx_unmasked_while_asserted_signals_again(void **state)
{
	struct fixture *f = *state;

	enable_intx(f);
	irq_level(f->irq, true);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(got(f, 0), 1);
		assert_int_equal(set_bool(f, IRQ_INTX, UNMASK, 0, 0), 0);
		assert_int_equal(got(f, 0), 0);
		assert_int_equal(set_bool(f, IRQ_INTX, UNMASK, 0, 1), 0);
		assert_true(f->device_masked);
	}
	assert_int_equal(got(f, 0), 1);
	assert_stats(f, 4, 0);
}

static void intx_masked_by_the_program(void **state)
{
	struct fixture *f = *state;

	enable_intx(f);
	assert_int_equal(set_bool(f, IRQ_INTX, MASK, 0, 0), 0);
	assert_false(f->device_masked);
	assert_int_equal(set_bool(f, IRQ_INTX, MASK, 0, 1), 0);
	assert_int_equal(set_none(f, IRQ_INTX, MASK, 0, 1), 0);
	assert_true(f->device_masked);
	irq_level(f->irq, true);
	assert_true(f->status);
	assert_int_equal(got(f, 0), 0);
	/* loopback does not care */
	assert_int_equal(set_none(f, IRQ_INTX, TRIGGER, 0, 1), 0);
	assert_int_equal(got(f, 0), 1);
	assert_int_equal(set_none(f, IRQ_INTX, UNMASK, 0, 1), 0);
	assert_int_equal(got(f, 0), 1);
	/* unmasking what is not masked does nothing */
	irq_level(f->irq, false);
	assert_int_equal(set_none(f, IRQ_INTX, UNMASK, 0, 1), 0);
	assert_int_equal(set_none(f, IRQ_INTX, UNMASK, 0, 1), 0);
	assert_int_equal(got(f, 0), 0);
}

static void intx_level_from_before_is_seen_on_enable(void **state)
{
	struct fixture *f = *state;

	irq_level(f->irq, true);
	assert_true(f->status);
	assert_false(f->device_masked);
	enable_intx(f);
	assert_int_equal(got(f, 0), 1);
	assert_true(f->device_masked);

	/* and again, each time it is enabled anew */
	assert_int_equal(turn_off(f, IRQ_INTX), 0);
	assert_true(f->device_masked);
	enable_intx(f);
	assert_int_equal(got(f, 0), 1);
}

/* Virtual DisINTx */

static void disintx_masks_and_silences(void **state)
{
	struct fixture *f = *state;

	enable_intx(f);
	irq_intx_disable(f->irq, true);
	assert_true(f->device_masked);
	irq_level(f->irq, true);
	assert_int_equal(set_none(f, IRQ_INTX, TRIGGER, 0, 1), 0);
	assert_int_equal(set_none(f, IRQ_INTX, UNMASK, 0, 1), 0);
	assert_true(f->device_masked);
	assert_int_equal(got(f, 0), 0);
	irq_intx_disable(f->irq, false);
	assert_int_equal(got(f, 0), 1);
	assert_true(f->device_masked);
}

static void disintx_cleared_with_the_pin_down_unmasks(void **state)
{
	struct fixture *f = *state;

	enable_intx(f);
	irq_intx_disable(f->irq, true);
	irq_level(f->irq, true);
	irq_level(f->irq, false);
	irq_intx_disable(f->irq, false);
	assert_false(f->device_masked);
	assert_int_equal(got(f, 0), 0);
	/* the same again is no change: what is masked stays so */
	assert_int_equal(set_none(f, IRQ_INTX, MASK, 0, 1), 0);
	irq_intx_disable(f->irq, false);
	assert_true(f->device_masked);
}

static void disintx_before_enable_starts_masked(void **state)
{
	struct fixture *f = *state;

	irq_level(f->irq, true);
	irq_intx_disable(f->irq, true);
	assert_true(f->device_masked);
	enable_intx(f);
	assert_true(f->device_masked);
	assert_int_equal(got(f, 0), 0);
	irq_intx_disable(f->irq, false);
	assert_int_equal(got(f, 0), 1);
}

static void disintx_reaches_the_device_in_every_mode(void **state)
{
	struct fixture *f = *state;

	irq_intx_disable(f->irq, true);
	assert_true(f->device_masked);
	irq_intx_disable(f->irq, false);
	assert_false(f->device_masked);

	/* MSI sets it, and clears it whatever the virtual one says */
	enable_msis(f, IRQ_MSI, 1);
	assert_true(f->device_masked);
	irq_intx_disable(f->irq, true);
	assert_int_equal(turn_off(f, IRQ_MSI), 0);
	assert_false(f->device_masked);
	enable_intx(f);
	assert_true(f->device_masked);
}

/* Unmasking by eventfd */

static void unmask_eventfd_unmasks(void **state)
{
	struct fixture *f = *state;

	enable_intx(f);
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, f->efd[1]), 0);
	assert_true(f->watched >= 0 && f->watched != f->efd[1]);
	assert_int_equal(fcntl(f->watched, F_GETFD), FD_CLOEXEC);
	irq_level(f->irq, true);
	assert_int_equal(got(f, 0), 1);

	/* signalled with the pin up, then with it down */
	eventfd_write(f->efd[1], 3);
	irq_unmask_event(f->irq);
	assert_int_equal(got(f, 1), 0);
	assert_int_equal(got(f, 0), 1);
	irq_level(f->irq, false);
	eventfd_write(f->efd[1], 1);
	irq_unmask_event(f->irq);
	assert_false(f->device_masked);
	assert_int_equal(got(f, 0), 0);
}

static void unmask_event_that_is_late_does_nothing(void **state)
{
	struct fixture *f = *state;

	irq_unmask_event(f->irq);
	enable_intx(f);
	irq_level(f->irq, true);
	assert_int_equal(got(f, 0), 1);
	irq_unmask_event(f->irq);
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, f->efd[1]), 0);
	irq_unmask_event(f->irq);
	assert_int_equal(got(f, 0), 0);
}

static void unmask_eventfd_signalled_before_counts(void **state)
{
	struct fixture *f = *state;

	enable_intx(f);
	irq_level(f->irq, true);
	assert_int_equal(got(f, 0), 1);
	eventfd_write(f->efd[1], 1);
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, f->efd[1]), 0);
	assert_int_equal(got(f, 0), 1);
	/* once, and as Linux does it: nobody has read it */
	irq_unmask_event(f->irq);
	assert_int_equal(got(f, 0), 0);
	assert_int_equal(got(f, 1), 1);
}

/* Whatever it leaves in there: a signal unmasks once, and takes one. */
static void unmask_by_semaphore_is_once_for_each_signal(void **state)
{
	struct fixture *f = *state;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	uint64_t n;

	enable_intx(f);
	irq_level(f->irq, true);
	assert_int_equal(got(f, 0), 1);
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, fd), 0);
	for (int i = 0; i < 2; i++) {
		eventfd_write(fd, i ? 1 : 3);
		for (int calls = 0; calls < 5; calls++)
			irq_unmask_event(f->irq);
		assert_int_equal(got(f, 0), 1);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(read(fd, &n, sizeof(n)), -1);
	assert_int_equal(turn_off(f, IRQ_INTX), 0);
	close(fd);
}

static void second_unmask_eventfd_is_busy(void **state)
{
	struct fixture *f = *state;

	enable_intx(f);
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, IRQ_FD_BAD), -EBADF);
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, IRQ_FD_NOT_EVENTFD),
			 -EINVAL);
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, f->efd[1]), 0);
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, f->efd[1]), -EBUSY);
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, f->efd[2]), -EBUSY);
	/* what is no eventfd is told so first */
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, IRQ_FD_BAD), -EBADF);

	/* removed, twice over, by any negative number; then there is room */
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, -1), 0);
	assert_int_equal(f->watched, -1);
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, IRQ_FD_NEGATIVE), 0);
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, f->efd[2]), 0);

	/* and it goes with INTx */
	assert_int_equal(turn_off(f, IRQ_INTX), 0);
	assert_int_equal(f->watched, -1);
	enable_intx(f);
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, f->efd[2]), 0);
}

static void unwatchable_unmask_eventfd_is_an_error(void **state)
{
	struct fixture *f = *state;

	enable_intx(f);
	f->watch_error = -ENOMEM;
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, f->efd[1]), -ENOMEM);
	f->watch_error = 0;
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, f->efd[1]), 0);
}

static void call_unmask_event(void *opaque)
{
	irq_unmask_event(((struct fixture *)opaque)->irq);
}

static void wait_for_signal(struct fixture *f, int i)
{
	struct pollfd pfd = {.fd = f->efd[i], .events = POLLIN};

	assert_int_equal(poll(&pfd, 1, 10000), 1);
	assert_int_equal(got(f, i), 1);
}

/* With the thread that watches for real: the program only writes. */
static void unmask_eventfd_written_by_the_program(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(watcher_new(&f->watcher), 0);
	f->watch = (struct watch){call_unmask_event, f};
	enable_intx(f);
	assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, f->efd[1]), 0);
	irq_level(f->irq, true);
	for (int i = 0; i < 200; i++) {
		wait_for_signal(f, 0);
		eventfd_write(f->efd[1], 1);
	}
	wait_for_signal(f, 0);
	for (int i = 0; i < 200; i++) {
		eventfd_write(f->efd[1], 1);
		assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, -1), 0);
		assert_int_equal(set_fd(f, IRQ_INTX, UNMASK, 0, f->efd[1]), 0);
	}
	assert_int_equal(turn_off(f, IRQ_INTX), 0);
	assert_null(watcher_free(f->watcher));
	f->watcher = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(intx_enable_swap_and_disable),
		TEST(intx_refuses_what_does_not_fit),
		TEST(intx_without_a_trigger_stays_enabled),
		TEST(intx_loopback_by_bool),
		TEST(intx_masks_itself_when_signalled),
		TEST(intx_unmasked_while_asserted_signals_again),
		TEST(intx_masked_by_the_program),
		TEST(intx_level_from_before_is_seen_on_enable),
		TEST(disintx_masks_and_silences),
		TEST(disintx_cleared_with_the_pin_down_unmasks),
		TEST(disintx_before_enable_starts_masked),
		TEST(disintx_reaches_the_device_in_every_mode),
		TEST(unmask_eventfd_unmasks),
		TEST(unmask_event_that_is_late_does_nothing),
		TEST(unmask_eventfd_signalled_before_counts),
		TEST(unmask_by_semaphore_is_once_for_each_signal),
		TEST(second_unmask_eventfd_is_busy),
		TEST(unwatchable_unmask_eventfd_is_an_error),
		TEST(unmask_eventfd_written_by_the_program),
	};

	alarm(DEADLINE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts: what SET_IRQS accepts and refuses, what reaches the program's
 * eventfds, and what the device is told. An alarm ends the program if
 * something blocks.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/irq.h"
#include "core/watch.h"
#include "lib/refuse.h"
#include "uapi/vfio.h"

#define NONE	IRQ_SET_DATA_NONE
#define BOOL	IRQ_SET_DATA_BOOL
#define EVENTFD IRQ_SET_DATA_EVENTFD
#define MASK	IRQ_SET_ACTION_MASK
#define UNMASK	IRQ_SET_ACTION_UNMASK
#define TRIGGER IRQ_SET_ACTION_TRIGGER

#define MSI_VECTORS  8
#define MSIX_VECTORS 2048
#define NEARLY_FULL  0xfffffffffffffffeull
#define N_EFDS	     8
#define DEADLINE     60 /* seconds, for everything */

static_assert(IRQ_SET_DATA_NONE == VFIO_IRQ_SET_DATA_NONE, "");
static_assert(IRQ_SET_DATA_BOOL == VFIO_IRQ_SET_DATA_BOOL, "");
static_assert(IRQ_SET_DATA_EVENTFD == VFIO_IRQ_SET_DATA_EVENTFD, "");
static_assert(IRQ_SET_ACTION_MASK == VFIO_IRQ_SET_ACTION_MASK, "");
static_assert(IRQ_SET_ACTION_UNMASK == VFIO_IRQ_SET_ACTION_UNMASK, "");
static_assert(IRQ_SET_ACTION_TRIGGER == VFIO_IRQ_SET_ACTION_TRIGGER, "");
static_assert(IRQ_INFO_EVENTFD == VFIO_IRQ_INFO_EVENTFD, "");
static_assert(IRQ_INFO_MASKABLE == VFIO_IRQ_INFO_MASKABLE, "");
static_assert(IRQ_INFO_AUTOMASKED == VFIO_IRQ_INFO_AUTOMASKED, "");
static_assert(IRQ_INFO_NORESIZE == VFIO_IRQ_INFO_NORESIZE, "");

/* The function around the interrupts, and a program with some eventfds. */
struct fixture {
	struct irq *irq;
	int fds_before;
	int efd[N_EFDS];
	unsigned int msi;
	bool msix;
	bool status;
	bool device_masked;
	int watched; /* or -1 */
	int watch_error;
	struct watcher *watcher; /* a real one, or NULL */
	struct watch watch;
};

static void host_msi(void *opaque, unsigned int vectors)
{
	((struct fixture *)opaque)->msi = vectors;
}

static void host_msix(void *opaque, bool enable)
{
	((struct fixture *)opaque)->msix = enable;
}

static void host_intx_status(void *opaque, bool pending)
{
	((struct fixture *)opaque)->status = pending;
}

static void host_intx_mask(void *opaque, bool masked)
{
	((struct fixture *)opaque)->device_masked = masked;
}

static int host_watch(void *opaque, int fd)
{
	struct fixture *f = opaque;

	if (f->watch_error)
		return f->watch_error;
	assert_int_equal(f->watched, -1);
	f->watched = fd;
	return f->watcher ? watcher_add(f->watcher, fd, &f->watch) : 0;
}

static void host_unwatch(void *opaque, int fd)
{
	struct fixture *f = opaque;

	assert_int_equal(f->watched, fd);
	f->watched = -1;
	if (f->watcher)
		watcher_del(f->watcher, fd);
}

static const struct irq_host host = {
	.msi = host_msi,
	.msix = host_msix,
	.intx_status = host_intx_status,
	.intx_mask = host_intx_mask,
	.watch = host_watch,
	.unwatch = host_unwatch,
};

static const struct irq_counts all_kinds = {
	.intx = true,
	.msi = MSI_VECTORS,
	.msix = MSIX_VECTORS,
	.pcie = true,
};

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int setup_with(void **state, const struct irq_counts *counts)
{
	static struct fixture f;

	f = (struct fixture){.fds_before = count_fds(), .watched = -1};
	for (int i = 0; i < N_EFDS; i++)
		f.efd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f.efd[N_EFDS - 1] < 0 || irq_new(counts, &host, &f, &f.irq) < 0)
		return -1;
	*state = &f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, &all_kinds);
}

static int setup_plain(void **state)
{
	static const struct irq_counts counts = {0};

	return setup_with(state, &counts);
}

/* Every test also shows that no descriptor and no watch is left behind. */
static int teardown(void **state)
{
	struct fixture *f = *state;

	if (irq_free(f->irq))
		return -1;
	for (int i = 0; i < N_EFDS; i++)
		close(f->efd[i]);
	return f->watched == -1 && count_fds() == f->fds_before ? 0 : -1;
}

/* As the front end does it: check, then act. */
static int set(struct fixture *f, uint32_t index, uint32_t flags,
	       uint32_t start, uint32_t count, const void *data)
{
	struct irq_request req = {
		.flags = flags,
		.index = index,
		.start = start,
		.count = count,
		.bools = flags & BOOL ? data : NULL,
		.fds = flags & EVENTFD ? data : NULL,
	};
	size_t bytes;
	char text[REFUSAL_MAX];
	int r = irq_check(f->irq, flags, index, start, count, SIZE_MAX, &bytes);

	if (r == 0)
		r = irq_set(f->irq, &req);
	/* what is refused says why, what is not says nothing */
	assert_int_equal(refusal_take(text), -r);
	return r;
}

static int set_fd(struct fixture *f, uint32_t index, uint32_t action,
		  uint32_t start, int fd)
{
	return set(f, index, EVENTFD | action, start, 1, &fd);
}

static int set_none(struct fixture *f, uint32_t index, uint32_t action,
		    uint32_t start, uint32_t count)
{
	return set(f, index, NONE | action, start, count, NULL);
}

static int set_bool(struct fixture *f, uint32_t index, uint32_t action,
		    uint32_t start, uint8_t val)
{
	return set(f, index, BOOL | action, start, 1, &val);
}

static int turn_off(struct fixture *f, uint32_t index)
{
	return set_none(f, index, TRIGGER, 0, 0);
}

/* Signals that arrived at one of the program's eventfds since last asked. */
static unsigned int got(struct fixture *f, int i)
{
	eventfd_t val = 0;

	eventfd_read(f->efd[i], &val);
	return (unsigned int)val;
}

static void enable_intx(struct fixture *f)
{
	assert_int_equal(set_fd(f, IRQ_INTX, TRIGGER, 0, f->efd[0]), 0);
}

/* The given vectors, with the program's eventfds from the first on. */
static void enable_msis(struct fixture *f, uint32_t index, uint32_t count)
{
	assert_int_equal(set(f, index, EVENTFD | TRIGGER, 0, count, f->efd), 0);
}

static void assert_stats(struct fixture *f, uint64_t raised, uint64_t untaken)
{
	struct irq_stats stats;

	irq_get_stats(f->irq, &stats);
	assert_int_equal(stats.raised, raised);
	assert_int_equal(stats.untaken, untaken);
}

/* GET_IRQ_INFO and validation */

static void info_of_every_index(void **state)
{
	static const struct irq_info want[] = {
		{IRQ_INFO_EVENTFD | IRQ_INFO_MASKABLE | IRQ_INFO_AUTOMASKED, 1},
		{IRQ_INFO_EVENTFD | IRQ_INFO_NORESIZE, MSI_VECTORS},
		{IRQ_INFO_EVENTFD, MSIX_VECTORS},
		{IRQ_INFO_EVENTFD | IRQ_INFO_NORESIZE, 1},
		{IRQ_INFO_EVENTFD | IRQ_INFO_NORESIZE, 1},
	};
	struct fixture *f = *state;
	struct irq_info info;

	for (uint32_t i = 0; i < IRQ_NUM; i++) {
		assert_int_equal(irq_get_info(f->irq, i, &info), 0);
		assert_int_equal(info.flags, want[i].flags);
		assert_int_equal(info.count, want[i].count);
	}
	assert_int_equal(irq_get_info(f->irq, IRQ_NUM, &info), -EINVAL);
	assert_int_equal(irq_get_info(f->irq, UINT32_MAX, &info), -EINVAL);
}

static void info_of_a_function_with_nothing(void **state)
{
	struct fixture *f = *state;
	struct irq_info info;

	for (uint32_t i = IRQ_INTX; i <= IRQ_MSIX; i++) {
		assert_int_equal(irq_get_info(f->irq, i, &info), 0);
		assert_int_equal(info.count, 0);
	}
	assert_int_equal(info.flags, IRQ_INFO_EVENTFD | IRQ_INFO_NORESIZE);
	assert_int_equal(irq_get_info(f->irq, IRQ_ERR, &info), -EINVAL);
	assert_int_equal(irq_get_info(f->irq, IRQ_REQ, &info), 0);
	assert_int_equal(info.count, 1);
}

static void a_function_with_nothing_accepts_nothing(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = IRQ_INTX; i <= IRQ_ERR; i++) {
		assert_int_equal(set_fd(f, i, TRIGGER, 0, f->efd[0]), -EINVAL);
		assert_int_equal(turn_off(f, i), -EINVAL);
	}
	assert_int_equal(set_fd(f, IRQ_REQ, TRIGGER, 0, f->efd[0]), 0);
	irq_level(f->irq, true);
	irq_raise(f->irq, 0);
	assert_false(f->status);
	assert_stats(f, 0, 0);
}

static void check_looks_at_everything(void **state)
{
	enum { MAX = 0xffffffff };
	static const struct {
		uint32_t flags, index, start, count;
		size_t data_size;
		int want;
		size_t bytes;
	} row[] = {
		{NONE | TRIGGER, IRQ_NUM, 0, 1, 0, -EINVAL, 0},
		{NONE | TRIGGER, MAX, 0, 1, 0, -EINVAL, 0},
		/* start and count */
		{NONE | TRIGGER, IRQ_MSI, 0, MAX, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_MSI, 2, MAX - 2, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_MSI, MAX, 0, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_MSI, MAX, 1, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_MSI, 8, 0, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_MSI, 7, 2, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_MSI, 0, 9, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_MSI, 7, 1, 0, 0, 0},
		{NONE | TRIGGER, IRQ_MSIX, 0, 2048, 0, 0, 0},
		{NONE | TRIGGER, IRQ_INTX, 1, 0, 0, -EINVAL, 0},
		{NONE | TRIGGER, IRQ_ERR, 0, 2, 0, -EINVAL, 0},
		/* flags */
		{NONE | TRIGGER | 64, IRQ_MSI, 0, 1, 0, -EINVAL, 0},
		{NONE | TRIGGER | 1u << 31, IRQ_MSI, 0, 1, 0, -EINVAL, 0},
		{TRIGGER, IRQ_MSI, 0, 1, 64, -EINVAL, 0},
		{NONE | BOOL | TRIGGER, IRQ_MSI, 0, 1, 64, -EINVAL, 0},
		{NONE | EVENTFD | TRIGGER, IRQ_MSI, 0, 1, 64, -EINVAL, 0},
		{BOOL | EVENTFD | TRIGGER, IRQ_MSI, 0, 1, 64, -EINVAL, 0},
		/* the action is looked at later: ENOTTY */
		{NONE, IRQ_MSI, 0, 1, 0, 0, 0},
		{NONE | MASK | UNMASK, IRQ_MSI, 0, 1, 0, 0, 0},
		/* data */
		{BOOL | TRIGGER, IRQ_MSI, 0, 8, 7, -EINVAL, 0},
		{BOOL | TRIGGER, IRQ_MSI, 0, 8, 8, 0, 8},
		{BOOL | TRIGGER, IRQ_MSI, 0, 8, 9, 0, 8},
		{EVENTFD | TRIGGER, IRQ_MSIX, 0, 2048, 8191, -EINVAL, 0},
		{EVENTFD | TRIGGER, IRQ_MSIX, 0, 2048, 8192, 0, 8192},
		{EVENTFD | TRIGGER, IRQ_MSIX, 0, 0, 0, 0, 0},
	};
	struct fixture *f = *state;
	char text[REFUSAL_MAX];

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		size_t bytes = 0;

		assert_int_equal(irq_check(f->irq, row[i].flags, row[i].index,
					   row[i].start, row[i].count,
					   row[i].data_size, &bytes),
				 row[i].want);
		assert_int_equal(bytes, row[i].bytes);
		assert_int_equal(refusal_take(text), -row[i].want);
	}
}

static void pairs_without_a_handler_are_enotty(void **state)
{
	struct fixture *f = *state;

	enable_msis(f, IRQ_MSI, 1);
	for (uint32_t i = IRQ_MSI; i < IRQ_NUM; i++) {
		assert_int_equal(set_none(f, i, MASK, 0, 1), -ENOTTY);
		assert_int_equal(set_none(f, i, UNMASK, 0, 1), -ENOTTY);
		assert_int_equal(set_fd(f, i, UNMASK, 0, -1), -ENOTTY);
	}
	for (uint32_t i = 0; i < IRQ_NUM; i++) {
		assert_int_equal(set_none(f, i, 0, 0, 1), -ENOTTY);
		assert_int_equal(set_none(f, i, MASK | TRIGGER, 0, 1), -ENOTTY);
	}
}

/* INTx */

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

/* MSI and MSI-X */

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

static void only_one_kind_at_a_time(void **state)
{
	struct fixture *f = *state;

	for (uint32_t on = IRQ_INTX; on <= IRQ_MSIX; on++) {
		enable_msis(f, on, 1);
		for (uint32_t i = IRQ_INTX; i <= IRQ_MSIX; i++) {
			if (i == on)
				continue;
			assert_int_equal(set_fd(f, i, TRIGGER, 0, f->efd[1]),
					 -EINVAL);
			assert_int_equal(set_fd(f, i, TRIGGER, 0, IRQ_FD_BAD),
					 -EINVAL);
			assert_int_equal(set_none(f, i, TRIGGER, 0, 1),
					 -EINVAL);
			assert_int_equal(turn_off(f, i), -EINVAL);
		}
		if (on != IRQ_INTX) {
			assert_int_equal(set_none(f, IRQ_INTX, MASK, 0, 1),
					 -EINVAL);
			assert_int_equal(set_none(f, IRQ_INTX, UNMASK, 0, 1),
					 -EINVAL);
		}
		assert_int_equal(set_none(f, on, TRIGGER, 0, 1), 0);
		assert_int_equal(got(f, 0), 1);
		assert_int_equal(turn_off(f, on), 0);
	}
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
		skip();
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

/* The program may close, fill and forget its eventfds. */

static void program_may_close_its_own(void **state)
{
	struct fixture *f = *state;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int mine = dup(fd);
	eventfd_t val = 0;

	assert_int_equal(set_fd(f, IRQ_MSI, TRIGGER, 0, fd), 0);
	close(fd);
	irq_raise(f->irq, 0);
	assert_int_equal(eventfd_read(mine, &val), 0);
	assert_int_equal(val, 1);
	close(mine);
}

static void full_counter_blocks_nobody(void **state)
{
	struct fixture *f = *state;
	int full = eventfd(0, EFD_CLOEXEC);
	int fd[2] = {full, f->efd[1]};
	eventfd_t val;

	assert_int_equal(eventfd_write(full, NEARLY_FULL), 0);
	assert_int_equal(set(f, IRQ_MSI, EVENTFD | TRIGGER, 0, 2, fd), 0);
	for (int i = 0; i < 1000; i++) {
		irq_raise(f->irq, 0);
		irq_raise(f->irq, 1);
	}
	assert_int_equal(got(f, 1), 1000);
	assert_int_equal(set_none(f, IRQ_MSI, TRIGGER, 0, 1), 0);
	assert_int_equal(turn_off(f, IRQ_MSI), 0);

	/* INTx, ERR and REQ the same */
	assert_int_equal(set_fd(f, IRQ_INTX, TRIGGER, 0, full), 0);
	irq_level(f->irq, true);
	assert_int_equal(set_none(f, IRQ_INTX, UNMASK, 0, 1), 0);
	assert_int_equal(set_none(f, IRQ_INTX, TRIGGER, 0, 1), 0);
	assert_int_equal(set_fd(f, IRQ_ERR, TRIGGER, 0, full), 0);
	assert_int_equal(set_none(f, IRQ_ERR, TRIGGER, 0, 1), 0);
	assert_int_equal(set_fd(f, IRQ_REQ, TRIGGER, 0, full), 0);
	irq_request_release(f->irq);
	assert_int_equal(eventfd_read(full, &val), 0);
	assert_true(val >= NEARLY_FULL);
	close(full);
}

/* ERR and REQ */

static void err_and_req_by_their_own_rules(void **state)
{
	struct fixture *f = *state;
	uint8_t yes = 1;

	for (uint32_t i = IRQ_ERR; i <= IRQ_REQ; i++) {
		/* nothing set */
		assert_int_equal(set_none(f, i, TRIGGER, 0, 1), -EINVAL);
		assert_int_equal(set_none(f, i, TRIGGER, 0, 0), -EINVAL);
		assert_int_equal(set_bool(f, i, TRIGGER, 0, 1), 0);
		assert_int_equal(set_fd(f, i, TRIGGER, 0, -1), 0);
		/* what is refused anyway */
		assert_int_equal(set(f, i, BOOL | TRIGGER, 0, 0, &yes),
				 -EINVAL);
		assert_int_equal(set(f, i, EVENTFD | TRIGGER, 0, 0, f->efd),
				 -EINVAL);
		assert_int_equal(set_none(f, i, TRIGGER, 1, 1), -EINVAL);
		assert_int_equal(set_none(f, i, TRIGGER, 0, 2), -EINVAL);
		assert_int_equal(set_fd(f, i, TRIGGER, 0, IRQ_FD_BAD), -EBADF);
		assert_int_equal(set_fd(f, i, TRIGGER, 0, IRQ_FD_NOT_EVENTFD),
				 -EINVAL);

		assert_int_equal(set_fd(f, i, TRIGGER, 0, f->efd[0]), 0);
		assert_int_equal(set_none(f, i, TRIGGER, 0, 1), 0);
		assert_int_equal(set_bool(f, i, TRIGGER, 0, 0), 0);
		assert_int_equal(set_bool(f, i, TRIGGER, 0, 1), 0);
		assert_int_equal(got(f, 0), 2);

		/* errors leave it, another one replaces it */
		assert_int_equal(set_fd(f, i, TRIGGER, 0, IRQ_FD_BAD), -EBADF);
		assert_int_equal(set_fd(f, i, TRIGGER, 0, IRQ_FD_NEGATIVE),
				 -EINVAL);
		assert_int_equal(set_none(f, i, TRIGGER, 0, 1), 0);
		assert_int_equal(got(f, 0), 1);
		assert_int_equal(set_fd(f, i, TRIGGER, 0, f->efd[1]), 0);
		assert_int_equal(set_none(f, i, TRIGGER, 0, 1), 0);
		assert_int_equal(got(f, 0), 0);
		assert_int_equal(got(f, 1), 1);

		/* removed by count 0, and by -1 */
		assert_int_equal(set_none(f, i, TRIGGER, 0, 0), 0);
		assert_int_equal(set_none(f, i, TRIGGER, 0, 1), -EINVAL);
		assert_int_equal(set_fd(f, i, TRIGGER, 0, f->efd[0]), 0);
		assert_int_equal(set_fd(f, i, TRIGGER, 0, -1), 0);
		assert_int_equal(set_none(f, i, TRIGGER, 0, 1), -EINVAL);
	}
}

static void err_and_req_live_beside_every_mode(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(set_fd(f, IRQ_ERR, TRIGGER, 0, f->efd[6]), 0);
	assert_int_equal(set_fd(f, IRQ_REQ, TRIGGER, 0, f->efd[7]), 0);
	enable_msis(f, IRQ_MSIX, 1);
	assert_int_equal(turn_off(f, IRQ_MSIX), 0);
	irq_request_release(f->irq);
	assert_int_equal(got(f, 7), 1);
	assert_int_equal(got(f, 6), 0);
	assert_int_equal(set_none(f, IRQ_ERR, TRIGGER, 0, 1), 0);
	assert_int_equal(got(f, 6), 1);
}

static void close_releases_everything(void **state)
{
	struct fixture *f = *state;
	int before = count_fds();

	for (uint32_t i = IRQ_INTX; i <= IRQ_MSIX; i++) {
		assert_int_equal(set_fd(f, IRQ_ERR, TRIGGER, 0, f->efd[6]), 0);
		assert_int_equal(set_fd(f, IRQ_REQ, TRIGGER, 0, f->efd[7]), 0);
		enable_msis(f, i, 1);
		if (i == IRQ_INTX)
			assert_int_equal(set_fd(f, i, UNMASK, 0, f->efd[1]), 0);
		irq_intx_disable(f->irq, true);
		irq_close(f->irq);
		assert_int_equal(count_fds(), before);
		assert_int_equal(irq_mode(f->irq), SV_IRQ_NONE);
		assert_int_equal(f->msi, 0);
		assert_false(f->msix);
		assert_int_equal(f->watched, -1);
		irq_request_release(f->irq);
		assert_int_equal(got(f, 7), 0);
	}
	irq_close(f->irq);

	/* virtual DisINTx is clear in the next life, the pin as it was */
	irq_level(f->irq, true);
	enable_intx(f);
	assert_int_equal(got(f, 0), 1);
}

/* Threads */

struct race {
	struct fixture *f;
	atomic_bool stop;
	unsigned int releases;
};

static void *raise_messages(void *arg)
{
	struct race *race = arg;

	for (unsigned int i = 0; !atomic_load(&race->stop); i++)
		irq_raise(race->f->irq, i % 12);
	return NULL;
}

static void *move_the_pin(void *arg)
{
	struct race *race = arg;

	for (unsigned int i = 0; !atomic_load(&race->stop); i++) {
		irq_level(race->f->irq, i & 1);
		if (irq_mode(race->f->irq) == SV_IRQ_NONE)
			continue;
		irq_request_release(race->f->irq);
		race->releases++;
	}
	return NULL;
}

static void *flip_disintx(void *arg)
{
	struct race *race = arg;

	for (unsigned int i = 0; !atomic_load(&race->stop); i++) {
		irq_intx_disable(race->f->irq, i & 1);
		irq_unmask_event(race->f->irq);
	}
	return NULL;
}

static void toggle_once(struct fixture *f, int round)
{
	uint32_t index = (uint32_t)round % 3;
	int one = f->efd[round % 4];

	enable_msis(f, index, index == IRQ_INTX ? 1 : 6);
	if (index == IRQ_INTX) {
		assert_int_equal(set_fd(f, index, UNMASK, 0, f->efd[6]), 0);
		for (int i = 0; i < 8; i++)
			assert_int_equal(set_none(f, index, UNMASK, 0, 1), 0);
	}
	assert_int_equal(set_fd(f, index, TRIGGER, 0, one), 0);
	assert_int_equal(set_fd(f, index, TRIGGER, 0, -1), 0);
	assert_int_equal(turn_off(f, index), 0);
}

static void *(*const racers[])(void *) = {raise_messages, raise_messages,
					  move_the_pin, flip_disintx};
#define N_RACERS (sizeof(racers) / sizeof(racers[0]))

/* Whatever the interleaving, each signal counted arrived, and no other. */
static void raising_races_with_setup(void **state)
{
	struct fixture *f = *state;
	struct race race = {.f = f};
	struct irq_stats stats;
	pthread_t thread[N_RACERS];
	uint64_t arrived = 0;

	assert_int_equal(set_fd(f, IRQ_REQ, TRIGGER, 0, f->efd[7]), 0);
	for (size_t i = 0; i < N_RACERS; i++)
		assert_int_equal(
			pthread_create(&thread[i], NULL, racers[i], &race), 0);
	for (int round = 0; round < 600; round++)
		toggle_once(f, round);
	atomic_store(&race.stop, true);
	for (size_t i = 0; i < N_RACERS; i++)
		pthread_join(thread[i], NULL);

	for (int i = 0; i < 6; i++)
		arrived += got(f, i);
	irq_get_stats(f->irq, &stats);
	assert_int_equal(arrived, stats.raised);
	assert_int_equal(got(f, 7), race.releases);
}

#define TEST(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, setup_plain, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(info_of_every_index),
		PLAIN(info_of_a_function_with_nothing),
		PLAIN(a_function_with_nothing_accepts_nothing),
		TEST(check_looks_at_everything),
		TEST(pairs_without_a_handler_are_enotty),
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
		TEST(second_unmask_eventfd_is_busy),
		TEST(unwatchable_unmask_eventfd_is_an_error),
		TEST(unmask_eventfd_written_by_the_program),
		TEST(msi_reaches_its_vectors),
		TEST(messages_refuse_what_does_not_fit),
		TEST(msi_has_the_vectors_it_was_enabled_with),
		TEST(msix_grows_while_enabled),
		TEST(vectors_are_reprogrammed_and_torn_down),
		TEST(loopback_signals_the_vectors_asked_for),
		TEST(error_while_enabling_leaves_it_off),
		TEST(error_while_enabled_costs_what_came_before_it),
		TEST(msi_error_beyond_the_allocated_tears_down),
		TEST(only_one_kind_at_a_time),
		TEST(pin_is_quiet_while_messages_are_on),
		TEST(all_2048_vectors_in_one_call),
		TEST(running_out_of_descriptors_is_an_error),
		TEST(program_may_close_its_own),
		TEST(full_counter_blocks_nobody),
		TEST(err_and_req_by_their_own_rules),
		TEST(err_and_req_live_beside_every_mode),
		TEST(close_releases_everything),
		TEST(raising_races_with_setup),
	};

	alarm(DEADLINE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

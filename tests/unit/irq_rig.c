/* SPDX-License-Identifier: BSD-3-Clause */
/* The function around the interrupts: tests/unit/irq_rig.h. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/refuse.h"
#include "tests/unit/fds.h"
#include "tests/unit/irq_rig.h"

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

static bool host_awake(void *opaque)
{
	return !((struct fixture *)opaque)->asleep;
}

static int host_watch(void *opaque, int set)
{
	struct fixture *f = opaque;

	if (f->watch_error)
		return f->watch_error;
	assert_int_equal(f->watched, -1);
	f->watched = set;
	return f->watcher ? watcher_add_set(f->watcher, set, &f->watch) : 0;
}

static void host_unwatch(void *opaque, int set)
{
	struct fixture *f = opaque;

	assert_int_equal(f->watched, set);
	f->watched = -1;
	if (f->watcher)
		watcher_del(f->watcher, set);
}

static const struct irq_host host = {
	.msi = host_msi,
	.msix = host_msix,
	.intx_status = host_intx_status,
	.intx_mask = host_intx_mask,
	.awake = host_awake,
	.watch = host_watch,
	.unwatch = host_unwatch,
};

static const struct irq_counts all_kinds = {
	.intx = true,
	.msi = MSI_VECTORS,
	.msix = MSIX_VECTORS,
	.pcie = true,
};

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

int setup(void **state)
{
	return setup_with(state, &all_kinds);
}

int setup_plain(void **state)
{
	static const struct irq_counts counts = {0};

	return setup_with(state, &counts);
}

int teardown(void **state)
{
	struct fixture *f = *state;

	if (irq_free(f->irq) || share_held(SHARE_EVENTFDS, PROGRAM))
		return -1;
	for (int i = 0; i < N_EFDS; i++)
		close(f->efd[i]);
	return f->watched == -1 && count_fds() == f->fds_before ? 0 : -1;
}

int set(struct fixture *f, uint32_t index, uint32_t flags, uint32_t start,
	uint32_t count, const void *data)
{
	struct irq_request req = {
		.flags = flags,
		.index = index,
		.start = start,
		.count = count,
		.pid = PROGRAM,
		.bools = flags & BOOL ? data : NULL,
		.fds = flags & EVENTFD ? data : NULL,
	};
	size_t bytes;
	char text[REFUSAL_MAX];
	int r = irq_check(f->irq, &req, SIZE_MAX, &bytes);

	if (r == 0)
		r = irq_set(f->irq, &req);
	/* what is refused says why, what is not says nothing */
	assert_int_equal(refusal_take(text), -r);
	return r;
}

int set_fd(struct fixture *f, uint32_t index, uint32_t action, uint32_t start,
	   int fd)
{
	return set(f, index, EVENTFD | action, start, 1, &fd);
}

int set_none(struct fixture *f, uint32_t index, uint32_t action, uint32_t start,
	     uint32_t count)
{
	return set(f, index, NONE | action, start, count, NULL);
}

int set_bool(struct fixture *f, uint32_t index, uint32_t action, uint32_t start,
	     uint8_t val)
{
	return set(f, index, BOOL | action, start, 1, &val);
}

int turn_off(struct fixture *f, uint32_t index)
{
	return set_none(f, index, TRIGGER, 0, 0);
}

unsigned int got(struct fixture *f, int i)
{
	eventfd_t val = 0;

	eventfd_read(f->efd[i], &val);
	return (unsigned int)val;
}

void enable_intx(struct fixture *f)
{
	assert_int_equal(set_fd(f, IRQ_INTX, TRIGGER, 0, f->efd[0]), 0);
}

void enable_msis(struct fixture *f, uint32_t index, uint32_t count)
{
	assert_int_equal(set(f, index, EVENTFD | TRIGGER, 0, count, f->efd), 0);
}

void assert_stats(struct fixture *f, uint64_t raised, uint64_t untaken)
{
	struct irq_stats stats;

	irq_get_stats(f->irq, &stats);
	assert_int_equal(stats.raised, raised);
	assert_int_equal(stats.untaken, untaken);
}

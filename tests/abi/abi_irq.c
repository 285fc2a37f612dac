/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * More vectors than a function of conformance's machine has: several by MSI, and
 * as many by MSI-X as there can be, which no message has room for.
 */
#include <stdlib.h>
#include <sys/resource.h>

#include "tests/abi/abi.h"

static long none(int d, uint32_t index, uint32_t start, uint32_t count)
{
	return R(set_irqs(d, IRQ_NONE | IRQ_TRIGGER, index, start, count, NULL,
			  0));
}

static long eventfds(int d, uint32_t index, uint32_t start, const int32_t *fds,
		     uint32_t n)
{
	return R(set_irqs(d, IRQ_EVENTFD | IRQ_TRIGGER, index, start, n, fds,
			  n * sizeof(*fds)));
}

static long irq_eventfd(int d, uint32_t index, uint32_t start, int fd)
{
	return R(irq_trigger(d, index, start, fd));
}

/* Those whose byte is not 0 */
static long trigger_some(int d, uint32_t index, const uint8_t *some, uint32_t n)
{
	return R(set_irqs(d, IRQ_BOOL | IRQ_TRIGGER, index, 0, n, some, n));
}

static int a_pipe(void)
{
	static int ends[2] = {-1, -1};

	if (ends[0] < 0 && pipe2(ends, O_CLOEXEC))
		return -1;
	return ends[0];
}

static void make_events(int32_t *fds, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		fds[i] = event_new();
}

static void close_all(int32_t *fds, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		close(fds[i]);
}

/* Who was signalled, as a bit mask. */
static long who(const int32_t *fds, uint32_t n)
{
	long bits = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t count = 0;

		if (read(fds[i], &count, 8) == 8)
			bits |= 1l << i;
	}
	return bits;
}

static void vectors_loopback(int d)
{
	static const uint8_t some[8] = {0, 1, 0, 1, 0, 0, 1, 0};
	int32_t fds[9];

	make_events(fds, 9);
	want(eventfds(d, MSI, 0, fds, 8), 0, "msi: enable 8");
	want(none(d, MSI, 3, 1), 0, "msi: NONE of vector 3");
	want(who(fds, 8), 1 << 3, "msi: signals it alone");
	want(none(d, MSI, 0, 8), 0, "msi: NONE of all");
	want(who(fds, 8), 0xff, "msi: signals all");
	want(trigger_some(d, MSI, some, 8), 0, "msi: BOOL of some");
	want(who(fds, 8), 0x4a, "msi: signals those");
	want(irq_eventfd(d, INTX, 0, fds[8]), -EINVAL,
	     "intx: while msi is on is EINVAL");
	want(irq_eventfd(d, MSI, 5, -1), 0, "msi: fd -1 for vector 5");
	want(none(d, MSI, 0, 8), 0, "msi: NONE of all");
	want(who(fds, 8), 0xdf, "msi: signals all but that");
	want(irq_eventfd(d, MSI, 5, fds[8]), 0,
	     "msi: another eventfd for vector 5");
	none(d, MSI, 5, 1);
	want(who(fds, 9), 1 << 8, "msi: which is signalled");
	want(none(d, MSI, 0, 0), 0, "msi: disable");
	want(none(d, MSI, 0, 1), -EINVAL, "msi: it is off");
	want(irq_eventfd(d, INTX, 0, fds[8]), 0, "intx: after msi");
	want(irq_eventfd(d, MSI, 0, fds[0]), -EINVAL,
	     "msi: while INTx is on is EINVAL");
	want(none(d, INTX, 0, 0), 0, "intx: disable before msi");
	close_all(fds, 9);
}

/* A start other than 0, and vectors beyond those allocated. */
static void vectors_start(int d)
{
	int32_t fds[8];

	make_events(fds, 8);
	want(eventfds(d, MSI, 2, fds, 2), 0, "msi: enable vectors 2 and 3");
	want(none(d, MSI, 2, 2), 0, "msi: NONE of both");
	want(who(fds, 8), 3, "msi: signals both");
	want(irq_eventfd(d, MSI, 0, fds[4]), 0,
	     "msi: vector 0, allocated along");
	want(none(d, MSI, 0, 2), 0, "msi: NONE of 0 and 1");
	want(who(fds, 8), 1 << 4, "msi: signals 0 alone");
	want(irq_eventfd(d, MSI, 6, fds[6]), -EINVAL,
	     "msi: vector 6, not allocated, is EINVAL");
	none(d, MSI, 0, 0);
	close_all(fds, 8);
}

/* What an error in the middle leaves behind. */
static void vectors_unwind(int d)
{
	int32_t fds[8];
	int32_t bad[4];

	make_events(fds, 8);
	memcpy(bad, fds, sizeof(bad));
	bad[2] = a_pipe();
	want(eventfds(d, MSI, 0, bad, 4), -EINVAL,
	     "msi: enable with a pipe among the eventfds is EINVAL");
	want(none(d, MSI, 0, 1), -EINVAL, "msi: leaves it off");
	eventfds(d, MSI, 0, fds, 8);
	bad[2] = 4000000;
	want(eventfds(d, MSI, 2, bad, 4), -EBADF,
	     "msi: vectors 2 to 5 with a bad fd for 4 is EBADF");
	want(none(d, MSI, 0, 8), 0, "msi: it is still on");
	want(who(fds, 8), 0xe3,
	     "msi: those up to the bad one are gone, others stay");
	none(d, MSI, 0, 0);
	close_all(fds, 8);
}

static void vectors_decode_off(int d)
{
	int32_t fds[2];

	make_events(fds, 2);
	command(d, 2, 0);
	want(eventfds(d, MSI, 0, fds, 2), 0,
	     "msi: enable with memory disabled");
	want(none(d, MSI, 0, 2), 0, "msi: NONE then");
	want(who(fds, 2), 3, "msi: signals");
	want(cfg(d, 4, 2) & 2, 0, "msi: memory is still disabled");
	want(none(d, MSI, 0, 0), 0, "msi: disable with memory disabled");
	command(d, 0, 2);
	close_all(fds, 2);
}

void test_msi(void)
{
	struct vfio v;

	device_all(&v, "edu", 1);
	vectors_loopback(v.device);
	vectors_start(v.device);
	vectors_unwind(v.device);
	vectors_decode_off(v.device);
	vfio_close(&v);
}

/* MSI-X */

static void all_signal(int d, const int32_t *fds, uint32_t n)
{
	uint8_t *bools = calloc(n, 1);
	uint32_t good = 0;

	want(eventfds(d, MSIX, 0, fds, n), 0, "msix: enable %u", n);
	want(none(d, MSIX, 0, n), 0, "msix: NONE of %u", n);
	for (uint32_t i = 0; i < n; i++)
		good += event_wait(fds[i]) == 1;
	want(good, n, "msix: signals each once");
	memset(bools + n / 2, 1, n - n / 2);
	want(trigger_some(d, MSIX, bools, n), 0, "msix: BOOL of %u", n);
	good = 0;
	for (uint32_t i = 0; i < n; i++)
		good += event_now(fds[i]) == bools[i];
	want(good, n, "msix: signals the upper half");
	free(bools);
}

/* What an error at the end of many leaves behind */
static void last_is_bad(int d, int32_t *fds, uint32_t n)
{
	int32_t last = fds[n - 1];

	fds[n - 1] = a_pipe();
	want(eventfds(d, MSIX, 1, fds + 1, n - 1), -EINVAL,
	     "msix: a pipe as the last of many is EINVAL");
	want(none(d, MSIX, 0, n), 0, "msix: NONE of all after it");
	want(event_wait(fds[0]), 1, "msix: vector 0 was not part of it");
	want(event_none(fds[1]), 0, "msix: vector 1 is gone");
	want(event_none(fds[n - 2]), 0, "msix: the last but one is gone");
	want(none(d, MSIX, 0, 0), 0, "msix: disable all");
	fds[n - 1] = last;
	want(eventfds(d, MSIX, 0, fds, n), 0, "msix: enable again");
}

void test_msix(void)
{
	struct rlimit limit;
	struct vfio v;

	device_all(&v, "edu", 1);
	uint32_t n = irq_count(v.device, MSIX);
	int32_t *fds = calloc(n, sizeof(*fds));

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < n + 64)
		skip("msix: an eventfd each for %u vectors: RLIMIT_NOFILE", n);
	make_events(fds, n);
	all_signal(v.device, fds, n);
	last_is_bad(v.device, fds, n);
	close_all(fds, n);
	free(fds);
	vfio_close(&v);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SET_IRQS: what it refuses whatever the interrupt, then INTx, MSI and MSI-X,
 * and the two that are no interrupts of the device's (ERR, REQ).
 */
#include <stdlib.h>
#include <sys/resource.h>

#include "tests/abi/abi.h"

enum { INTX, MSI, MSIX, ERR, REQ };

#define NONE	VFIO_IRQ_SET_DATA_NONE
#define BOOL	VFIO_IRQ_SET_DATA_BOOL
#define EVENTFD VFIO_IRQ_SET_DATA_EVENTFD
#define MASK	VFIO_IRQ_SET_ACTION_MASK
#define UNMASK	VFIO_IRQ_SET_ACTION_UNMASK
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER

static long none(int d, uint32_t action, uint32_t index, uint32_t start,
		 uint32_t count)
{
	return set_irqs(d, NONE | action, index, start, count, NULL, 0);
}

static long boolean(int d, uint32_t action, uint32_t index, uint32_t start,
		    uint8_t val)
{
	return set_irqs(d, BOOL | action, index, start, 1, &val, 1);
}

static long eventfds(int d, uint32_t action, uint32_t index, uint32_t start,
		     const int32_t *fds, uint32_t n)
{
	return set_irqs(d, EVENTFD | action, index, start, n, fds,
			n * sizeof(*fds));
}

static int a_pipe(void)
{
	static int ends[2] = {-1, -1};

	if (ends[0] < 0 && pipe2(ends, O_CLOEXEC))
		return -1;
	return ends[0];
}

#define CLOSED_FD 4000000

/* Every index */

static void check_argsz(int d)
{
	static const uint32_t bad[] = {0, 19};
	struct vfio_irq_set *s = edge(24);

	*s = (struct vfio_irq_set){
		.flags = NONE | TRIGGER,
		.index = MSI,
		.count = 1,
	};
	want(R(ioctl(d, VFIO_DEVICE_SET_IRQS, NULL)), -EFAULT,
	     "set_irqs: NULL is EFAULT");
	want(R(ioctl(d, VFIO_DEVICE_SET_IRQS, edge(19))), -EFAULT,
	     "set_irqs: memory that ends early is EFAULT");
	for (size_t i = 0; i < COUNT(bad); i++) {
		s->argsz = bad[i];
		want(R(ioctl(d, VFIO_DEVICE_SET_IRQS, s)), -EINVAL,
		     "set_irqs: argsz %u is EINVAL", bad[i]);
	}
	s->flags = EVENTFD | TRIGGER;
	s->argsz = 23;
	want(R(ioctl(d, VFIO_DEVICE_SET_IRQS, s)), -EINVAL,
	     "set_irqs: argsz without room for the eventfd is EINVAL");
	s->flags = BOOL | TRIGGER;
	s->argsz = 20;
	want(R(ioctl(d, VFIO_DEVICE_SET_IRQS, s)), -EINVAL,
	     "set_irqs: argsz without room for the bool is EINVAL");
	struct vfio_irq_set *cut = edge(20);

	*cut = *s;
	cut->flags = EVENTFD | TRIGGER;
	cut->argsz = 24;
	want(R(ioctl(d, VFIO_DEVICE_SET_IRQS, cut)), -EFAULT,
	     "set_irqs: memory that ends before the data is EFAULT");
}

static void check_head(int d)
{
	int32_t fds[2] = {-1, -1};

	want(none(d, TRIGGER, 5, 0, 1), -EINVAL, "set_irqs: irq 5 is EINVAL");
	want(none(d, TRIGGER, ~0u, 0, 1), -EINVAL,
	     "set_irqs: irq ~0 is EINVAL");
	want(none(d, TRIGGER, MSI, 1, ~0u - 1), -EINVAL,
	     "set_irqs: start and count that wrap are EINVAL");
	want(none(d, TRIGGER, MSI, 0, ~0u), -EINVAL,
	     "set_irqs: count ~0 is EINVAL");
	want(none(d, TRIGGER, MSI, 1, 1), -EINVAL,
	     "set_irqs: start of one too many is EINVAL");
	want(none(d, TRIGGER, MSI, 0, 2), -EINVAL,
	     "set_irqs: count of one too many is EINVAL");
	want(eventfds(d, TRIGGER, MSI, 0, fds, 2), -EINVAL,
	     "set_irqs: eventfds of one too many is EINVAL");
	want(none(d, TRIGGER, MSIX, 0, 0), -EINVAL,
	     "set_irqs: of an irq with no vectors is EINVAL");
	want(none(d, TRIGGER, ERR, 0, 1), -EINVAL,
	     "set_irqs: ERR without PCI Express is EINVAL");
	for (unsigned int bit = 6; bit < 32; bit++)
		want(set_irqs(d, NONE | TRIGGER | 1u << bit, MSI, 0, 1, NULL,
			      0),
		     -EINVAL, "set_irqs: unknown flag %#x is EINVAL",
		     1u << bit);
}

static void check_types(int d)
{
	static const uint8_t data[8];
	static const struct {
		uint32_t flags;
		long err;
		const char *name;
	} sets[] = {
		{TRIGGER, -EINVAL, "no data type"},
		{NONE | BOOL | TRIGGER, -EINVAL, "NONE and BOOL"},
		{NONE | EVENTFD | TRIGGER, -EINVAL, "NONE and EVENTFD"},
		{BOOL | EVENTFD | TRIGGER, -EINVAL, "BOOL and EVENTFD"},
		{NONE | BOOL | EVENTFD | TRIGGER, -EINVAL, "all data types"},
		{0, -EINVAL, "neither data type nor action"},
		{NONE, -ENOTTY, "no action"},
		{NONE | MASK | UNMASK, -ENOTTY, "MASK and UNMASK"},
		{NONE | MASK | TRIGGER, -ENOTTY, "MASK and TRIGGER"},
		{NONE | UNMASK | TRIGGER, -ENOTTY, "UNMASK and TRIGGER"},
		{NONE | MASK | UNMASK | TRIGGER, -ENOTTY, "all actions"},
	};

	for (size_t i = 0; i < COUNT(sets); i++)
		want(set_irqs(d, sets[i].flags, MSI, 0, 1, data, sizeof(data)),
		     sets[i].err, "set_irqs: %s", sets[i].name);
	want(none(d, MASK, MSI, 0, 1), -ENOTTY, "set_irqs: MSI MASK is ENOTTY");
	want(none(d, UNMASK, MSI, 0, 1), -ENOTTY,
	     "set_irqs: MSI UNMASK is ENOTTY");
	want(none(d, MASK, REQ, 0, 1), -ENOTTY, "set_irqs: REQ MASK is ENOTTY");
	want(none(d, UNMASK, REQ, 0, 1), -ENOTTY,
	     "set_irqs: REQ UNMASK is ENOTTY");
}

/* ERR and REQ: one eventfd, no interrupt behind it. */
static void check_single(int d, uint32_t index, const char *name)
{
	int32_t fds[] = {event_fd(), event_fd(), -2};

	want(none(d, TRIGGER, index, 0, 1), -EINVAL,
	     "%s: NONE without eventfd is EINVAL", name);
	want(none(d, TRIGGER, index, 0, 0), -EINVAL,
	     "%s: NONE of 0 without eventfd is EINVAL", name);
	want(boolean(d, TRIGGER, index, 0, 1), 0, "%s: BOOL without eventfd",
	     name);
	want(eventfds(d, TRIGGER, index, 0, fds, 0), -EINVAL,
	     "%s: EVENTFD of 0 is EINVAL", name);
	want(eventfds(d, TRIGGER, index, 0, &fds[2], 1), -EINVAL,
	     "%s: fd -2 is EINVAL", name);
	want(irq_eventfd(d, index, 0, CLOSED_FD), -EBADF,
	     "%s: an fd that is not open is EBADF", name);
	want(irq_eventfd(d, index, 0, a_pipe()), -EINVAL,
	     "%s: a pipe is EINVAL", name);
	want(irq_eventfd(d, index, 0, fds[0]), 0, "%s: an eventfd", name);
	want(none(d, TRIGGER, index, 0, 1), 0, "%s: NONE", name);
	want(boolean(d, TRIGGER, index, 0, 1), 0, "%s: BOOL 1", name);
	want(boolean(d, TRIGGER, index, 0, 0), 0, "%s: BOOL 0", name);
	want(events(fds[0]), 2, "%s: NONE and BOOL 1 signal it", name);
	want(set_irqs(d, BOOL | TRIGGER, index, 0, 0, NULL, 0), -EINVAL,
	     "%s: BOOL of 0 is EINVAL", name);
	want(irq_eventfd(d, index, 0, a_pipe()), -EINVAL,
	     "%s: a pipe in its place is EINVAL", name);
	want(none(d, TRIGGER, index, 0, 1), 0, "%s: NONE after that", name);
	want(events(fds[0]), 1, "%s: the old eventfd stayed", name);
	want(irq_eventfd(d, index, 0, fds[1]), 0, "%s: another eventfd", name);
	none(d, TRIGGER, index, 0, 1);
	want(events(fds[1]), 1, "%s: which is signalled", name);
	want(no_events(fds[0]), 0, "%s: the first is not", name);
	want(irq_eventfd(d, index, 0, -1), 0, "%s: fd -1", name);
	want(none(d, TRIGGER, index, 0, 1), -EINVAL, "%s: removes it", name);
	irq_eventfd(d, index, 0, fds[0]);
	want(none(d, TRIGGER, index, 0, 0), 0, "%s: NONE of 0", name);
	want(none(d, TRIGGER, index, 0, 1), -EINVAL, "%s: removes it too",
	     name);
	close(fds[0]);
	close(fds[1]);
}

void test_irq(void)
{
	struct vfio v;

	if (!have("edu"))
		return;
	vfio_open(&v, "edu");
	check_argsz(v.device);
	check_head(v.device);
	check_types(v.device);
	check_single(v.device, REQ, "req");
	vfio_close(&v);
	if (!have("nvme"))
		return;
	vfio_open(&v, "nvme");
	want(none(v.device, MASK, ERR, 0, 1), -ENOTTY,
	     "set_irqs: ERR MASK is ENOTTY");
	want(none(v.device, MASK, MSIX, 0, 1), -ENOTTY,
	     "set_irqs: MSI-X MASK is ENOTTY");
	want(none(v.device, UNMASK, MSIX, 0, 1), -ENOTTY,
	     "set_irqs: MSI-X UNMASK is ENOTTY");
	check_single(v.device, ERR, "err");
	vfio_close(&v);
}

/* INTx */

static void intx_off(int d)
{
	int32_t event = event_fd();

	want(none(d, TRIGGER, INTX, 0, 0), -EINVAL,
	     "intx: disable while off is EINVAL");
	want(none(d, TRIGGER, INTX, 0, 1), -EINVAL,
	     "intx: NONE while off is EINVAL");
	want(boolean(d, TRIGGER, INTX, 0, 1), -EINVAL,
	     "intx: BOOL 1 while off is EINVAL");
	want(boolean(d, TRIGGER, INTX, 0, 0), -EINVAL,
	     "intx: BOOL 0 while off is EINVAL");
	want(none(d, MASK, INTX, 0, 1), -EINVAL,
	     "intx: MASK while off is EINVAL");
	want(none(d, UNMASK, INTX, 0, 1), -EINVAL,
	     "intx: UNMASK while off is EINVAL");
	want(eventfds(d, UNMASK, INTX, 0, &event, 1), -EINVAL,
	     "intx: UNMASK by eventfd while off is EINVAL");
	want(eventfds(d, TRIGGER, INTX, 0, &event, 0), -EINVAL,
	     "intx: EVENTFD of 0 is EINVAL");
	want(irq_eventfd(d, INTX, 0, CLOSED_FD), -EBADF,
	     "intx: an fd that is not open is EBADF");
	want(irq_eventfd(d, INTX, 0, a_pipe()), -EINVAL,
	     "intx: a pipe is EINVAL");
	want(none(d, TRIGGER, INTX, 0, 1), -EINVAL,
	     "intx: it is still off after a bad fd");
	close(event);
}

static void intx_loopback(int d)
{
	int a = event_fd();
	int b = event_fd();

	want(irq_eventfd(d, INTX, 0, a), 0, "intx: enable");
	want(none(d, TRIGGER, INTX, 0, 1), 0, "intx: NONE");
	want(boolean(d, TRIGGER, INTX, 0, 1), 0, "intx: BOOL 1");
	want(boolean(d, TRIGGER, INTX, 0, 0), 0, "intx: BOOL 0");
	want(events(a), 2, "intx: NONE and BOOL 1 signal");
	want(irq_eventfd(d, MSI, 0, b), -EINVAL,
	     "msi: while INTx is on is EINVAL");
	want(irq_eventfd(d, INTX, 0, b), 0, "intx: another eventfd");
	none(d, TRIGGER, INTX, 0, 1);
	want(events(b), 1, "intx: which is signalled");
	want(no_events(a), 0, "intx: the first is not");
	want(irq_eventfd(d, INTX, 0, a_pipe()), -EINVAL,
	     "intx: a pipe in its place is EINVAL");
	want(irq_eventfd(d, INTX, 0, -1), 0, "intx: fd -1 while on");
	want(none(d, TRIGGER, INTX, 0, 1), 0, "intx: it is still on");
	want(no_events(b), 0, "intx: without a trigger");
	want(none(d, TRIGGER, INTX, 0, 0), 0, "intx: disable");
	want(none(d, TRIGGER, INTX, 0, 0), -EINVAL,
	     "intx: disable twice is EINVAL");
	want(irq_eventfd(d, INTX, 0, -1), 0, "intx: enable with fd -1");
	want(none(d, TRIGGER, INTX, 0, 1), 0, "intx: it is on");
	want(none(d, TRIGGER, INTX, 0, 0), 0, "intx: disable again");
	close(a);
	close(b);
}

static void intx_automask(int d)
{
	int event = event_fd();

	irq_eventfd(d, INTX, 0, event);
	wr32(d, BAR0 + EDU_RAISE, 1);
	want(events(event), 1, "intx: the device interrupts");
	wr32(d, BAR0 + EDU_RAISE, 2);
	want(no_events(event), 0, "intx: masked until it is unmasked");
	want(none(d, UNMASK, INTX, 0, 1), 0, "intx: UNMASK");
	want(events(event), 1, "intx: the line is up: again at once");
	wr32(d, BAR0 + EDU_ACK, 3);
	want(none(d, UNMASK, INTX, 0, 1), 0, "intx: UNMASK after ack");
	want(no_events(event), 0, "intx: the line is down: nothing");
	want(boolean(d, MASK, INTX, 0, 1), 0, "intx: MASK by BOOL 1");
	wr32(d, BAR0 + EDU_RAISE, 4);
	want(no_events(event), 0, "intx: masked");
	want(boolean(d, UNMASK, INTX, 0, 0), 0, "intx: UNMASK by BOOL 0");
	want(no_events(event), 0, "intx: which is none");
	want(boolean(d, UNMASK, INTX, 0, 1), 0, "intx: UNMASK by BOOL 1");
	want(events(event), 1, "intx: it comes after all");
	wr32(d, BAR0 + EDU_ACK, 4);
	none(d, UNMASK, INTX, 0, 1);
	want(none(d, MASK, INTX, 0, 1), 0, "intx: MASK by NONE");
	want(none(d, MASK, INTX, 0, 1), 0, "intx: MASK twice");
	want(none(d, UNMASK, INTX, 0, 1), 0, "intx: UNMASK by NONE");
	wr32(d, BAR0 + EDU_RAISE, 8);
	want(events(event), 1, "intx: works again");
	wr32(d, BAR0 + EDU_ACK, 8);
	want(none(d, TRIGGER, INTX, 0, 0), 0, "intx: disable");
	wr32(d, BAR0 + EDU_RAISE, 16);
	want(no_events(event), 0, "intx: off: nothing");
	irq_eventfd(d, INTX, 0, event);
	want(events(event), 1, "intx: enabled with the line up: at once");
	wr32(d, BAR0 + EDU_ACK, 16);
	none(d, TRIGGER, INTX, 0, 0);
	close(event);
}

static void intx_unmask_eventfd(int d)
{
	int32_t fds[] = {event_fd(), event_fd(), -1};
	int32_t closed = CLOSED_FD;
	int32_t pipe_end = a_pipe();
	uint64_t one = 1;
	int event = event_fd();

	irq_eventfd(d, INTX, 0, event);
	want(eventfds(d, MASK, INTX, 0, &fds[0], 1), -ENOTTY,
	     "intx: MASK by eventfd is ENOTTY");
	want(eventfds(d, UNMASK, INTX, 0, &closed, 1), -EBADF,
	     "intx: UNMASK by an fd that is not open is EBADF");
	want(eventfds(d, UNMASK, INTX, 0, &pipe_end, 1), -EINVAL,
	     "intx: UNMASK by a pipe is EINVAL");
	want(eventfds(d, UNMASK, INTX, 0, &fds[0], 1), 0,
	     "intx: UNMASK by eventfd");
	want(eventfds(d, UNMASK, INTX, 0, &fds[1], 1), -EBUSY,
	     "intx: a second one is EBUSY");
	wr32(d, BAR0 + EDU_RAISE, 1);
	want(events(event), 1, "intx: the device interrupts");
	want(R(write(fds[0], &one, 8)), 8, "intx: unmask by writing");
	want(events(event), 1, "intx: the line is up: again at once");
	wr32(d, BAR0 + EDU_ACK, 1);
	want(eventfds(d, UNMASK, INTX, 0, &fds[2], 1), 0,
	     "intx: UNMASK by fd -1 removes it");
	want(eventfds(d, UNMASK, INTX, 0, &fds[1], 1), 0,
	     "intx: then another one can be set");
	close(fds[1]); /* VFIO has it */
	none(d, UNMASK, INTX, 0, 1);
	none(d, TRIGGER, INTX, 0, 0);
	close(fds[0]);
	close(event);
}

/* COMMAND.INTX_DISABLE as the program sees it */
static void intx_disable_bit(int d)
{
	int event = event_fd();

	irq_eventfd(d, INTX, 0, event);
	set_command(d, 0, 0x400);
	want(none(d, TRIGGER, INTX, 0, 1), 0, "intx: NONE with DisINTx");
	want(no_events(event), 0, "intx: DisINTx keeps NONE back");
	wr32(d, BAR0 + EDU_RAISE, 1);
	want(no_events(event), 0, "intx: DisINTx keeps the device back");
	set_command(d, 0x400, 0);
	want(events(event), 1, "intx: it comes when DisINTx is cleared");
	wr32(d, BAR0 + EDU_ACK, 1);
	none(d, UNMASK, INTX, 0, 1);
	none(d, TRIGGER, INTX, 0, 0);
	set_command(d, 0, 0x400);
	irq_eventfd(d, INTX, 0, event);
	wr32(d, BAR0 + EDU_RAISE, 1);
	want(no_events(event), 0, "intx: enabled with DisINTx it is masked");
	set_command(d, 0x400, 0);
	want(events(event), 1, "intx: until that is cleared");
	wr32(d, BAR0 + EDU_ACK, 1);
	none(d, TRIGGER, INTX, 0, 0);
	close(event);
}

static void intx_closed_eventfd(int d)
{
	int event = event_fd();
	int copy = dup(event);

	irq_eventfd(d, INTX, 0, event);
	close(event);
	none(d, TRIGGER, INTX, 0, 1);
	want(events(copy), 1, "intx: VFIO keeps the eventfd when it is closed");
	none(d, TRIGGER, INTX, 0, 0);
	close(copy);
}

void test_intx(void)
{
	struct vfio v;

	if (!have("edu"))
		return;
	vfio_open(&v, "edu");
	set_command(v.device, 0, 4 | 2);
	intx_off(v.device);
	intx_loopback(v.device);
	intx_automask(v.device);
	intx_unmask_eventfd(v.device);
	intx_disable_bit(v.device);
	intx_closed_eventfd(v.device);
	vfio_close(&v);
	if (!have("ram"))
		return;
	vfio_open(&v, "ram");
	want(irq_eventfd(v.device, INTX, 0, -1), -EINVAL,
	     "intx: of a function without a pin is EINVAL");
	vfio_close(&v);
}

/* MSI and MSI-X */

static void make_events(int32_t *fds, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		fds[i] = event_fd();
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

static void vectors_off(int d, uint32_t index, const char *name)
{
	want(none(d, TRIGGER, index, 0, 0), -EINVAL,
	     "%s: disable while off is EINVAL", name);
	want(none(d, TRIGGER, index, 0, 1), -EINVAL,
	     "%s: NONE while off is EINVAL", name);
	want(boolean(d, TRIGGER, index, 0, 1), -EINVAL,
	     "%s: BOOL while off is EINVAL", name);
	want(irq_eventfd(d, index, 0, CLOSED_FD), -EBADF,
	     "%s: an fd that is not open is EBADF", name);
	want(irq_eventfd(d, index, 0, a_pipe()), -EINVAL,
	     "%s: a pipe is EINVAL", name);
	want(none(d, TRIGGER, index, 0, 1), -EINVAL,
	     "%s: it is still off after a bad fd", name);
}

static void vectors_loopback(int d, uint32_t index, const char *name)
{
	static const uint8_t some[8] = {0, 1, 0, 1, 0, 0, 1, 0};
	int32_t fds[9];

	make_events(fds, 9);
	want(eventfds(d, TRIGGER, index, 0, fds, 8), 0, "%s: enable 8", name);
	want(none(d, TRIGGER, index, 3, 1), 0, "%s: NONE of vector 3", name);
	want(who(fds, 8), 1 << 3, "%s: signals it alone", name);
	want(none(d, TRIGGER, index, 0, 8), 0, "%s: NONE of all", name);
	want(who(fds, 8), 0xff, "%s: signals all", name);
	want(set_irqs(d, BOOL | TRIGGER, index, 0, 8, some, 8), 0,
	     "%s: BOOL of some", name);
	want(who(fds, 8), 0x4a, "%s: signals those", name);
	want(irq_eventfd(d, INTX, 0, fds[8]), -EINVAL,
	     "intx: while %s is on is EINVAL", name);
	want(irq_eventfd(d, index, 5, -1), 0, "%s: fd -1 for vector 5", name);
	want(none(d, TRIGGER, index, 0, 8), 0, "%s: NONE of all", name);
	want(who(fds, 8), 0xdf, "%s: signals all but that", name);
	want(irq_eventfd(d, index, 5, fds[8]), 0,
	     "%s: another eventfd for vector 5", name);
	none(d, TRIGGER, index, 5, 1);
	want(who(fds, 9), 1 << 8, "%s: which is signalled", name);
	want(none(d, TRIGGER, index, 0, 0), 0, "%s: disable", name);
	want(none(d, TRIGGER, index, 0, 1), -EINVAL, "%s: it is off", name);
	want(irq_eventfd(d, INTX, 0, fds[8]), 0, "intx: after %s", name);
	want(irq_eventfd(d, index, 0, fds[0]), -EINVAL,
	     "%s: while INTx is on is EINVAL", name);
	want(none(d, TRIGGER, INTX, 0, 0), 0, "intx: disable before %s", name);
	close_all(fds, 9);
}

/* A start other than 0, and vectors beyond those allocated. */
static void vectors_start(int d, uint32_t index, const char *name)
{
	bool resize = !(irq_flags(d, index) & VFIO_IRQ_INFO_NORESIZE);
	int32_t fds[8];

	make_events(fds, 8);
	want(eventfds(d, TRIGGER, index, 2, fds, 2), 0,
	     "%s: enable vectors 2 and 3", name);
	want(none(d, TRIGGER, index, 2, 2), 0, "%s: NONE of both", name);
	want(who(fds, 8), 3, "%s: signals both", name);
	want(irq_eventfd(d, index, 0, fds[4]), 0,
	     "%s: vector 0, allocated along", name);
	want(none(d, TRIGGER, index, 0, 2), 0, "%s: NONE of 0 and 1", name);
	want(who(fds, 8), 1 << 4, "%s: signals 0 alone", name);
	want(irq_eventfd(d, index, 6, fds[6]), resize ? 0 : -EINVAL,
	     "%s: vector 6, %s", name,
	     resize ? "added" : "not allocated, is EINVAL");
	if (resize) {
		none(d, TRIGGER, index, 6, 1);
		want(who(fds, 8), 1 << 6, "%s: signals it", name);
	}
	none(d, TRIGGER, index, 0, 0);
	close_all(fds, 8);
}

/* What an error in the middle leaves behind. */
static void vectors_unwind(int d, uint32_t index, const char *name)
{
	int32_t fds[8];
	int32_t bad[4];

	make_events(fds, 8);
	memcpy(bad, fds, sizeof(bad));
	bad[2] = a_pipe();
	want(eventfds(d, TRIGGER, index, 0, bad, 4), -EINVAL,
	     "%s: enable with a pipe among the eventfds is EINVAL", name);
	want(none(d, TRIGGER, index, 0, 1), -EINVAL, "%s: leaves it off", name);
	eventfds(d, TRIGGER, index, 0, fds, 8);
	bad[2] = CLOSED_FD;
	want(eventfds(d, TRIGGER, index, 2, bad, 4), -EBADF,
	     "%s: vectors 2 to 5 with a bad fd for 4 is EBADF", name);
	want(none(d, TRIGGER, index, 0, 8), 0, "%s: it is still on", name);
	want(who(fds, 8), 0xe3,
	     "%s: those up to the bad one are gone, others stay", name);
	none(d, TRIGGER, index, 0, 0);
	close_all(fds, 8);
}

static void vectors_decode_off(int d, uint32_t index, const char *name)
{
	int32_t fds[2];

	make_events(fds, 2);
	set_command(d, 2, 0);
	want(eventfds(d, TRIGGER, index, 0, fds, 2), 0,
	     "%s: enable with memory disabled", name);
	want(none(d, TRIGGER, index, 0, 2), 0, "%s: NONE then", name);
	want(who(fds, 2), 3, "%s: signals", name);
	want(cfg(d, 4, 2) & 2, 0, "%s: memory is still disabled", name);
	want(none(d, TRIGGER, index, 0, 0), 0,
	     "%s: disable with memory disabled", name);
	set_command(d, 0, 2);
	close_all(fds, 2);
}

static void msi_device(int d, uint32_t index, const char *name)
{
	int event = event_fd();

	set_command(d, 0, 4 | 2);
	irq_eventfd(d, index, 0, event);
	wr32(d, BAR0 + EDU_RAISE, 1);
	want(events(event), 1, "%s: the device interrupts", name);
	wr32(d, BAR0 + EDU_RAISE, 2);
	want(events(event), 1, "%s: and again", name);
	set_command(d, 4, 0);
	wr32(d, BAR0 + EDU_RAISE, 4);
	want(no_events(event), 0, "%s: not with bus mastering off", name);
	set_command(d, 0, 4);
	wr32(d, BAR0 + EDU_ACK, 7);
	if (!R(ioctl(d, VFIO_DEVICE_RESET))) {
		want(none(d, TRIGGER, index, 0, 1), 0, "%s: is on after RESET",
		     name);
		want(events(event), 1, "%s: and has its eventfd", name);
	}
	none(d, TRIGGER, index, 0, 0);
	close(event);
}

/* As many as there can be, in one call. */
static void msix_all(int d)
{
	uint32_t n = irq_count(d, MSIX);
	int32_t *fds = malloc(n * sizeof(*fds));
	uint8_t *bools = calloc(n, 1);
	struct rlimit limit;
	uint32_t good = 0;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < n + 64) {
		skip("msix: an eventfd each for %u vectors: RLIMIT_NOFILE", n);
		return;
	}
	make_events(fds, n);
	want(eventfds(d, TRIGGER, MSIX, 0, fds, n), 0, "msix: enable %u", n);
	want(none(d, TRIGGER, MSIX, 0, n), 0, "msix: NONE of %u", n);
	for (uint32_t i = 0; i < n; i++)
		good += events(fds[i]) == 1;
	want(good, n, "msix: signals each once");
	memset(bools + n / 2, 1, n - n / 2);
	want(set_irqs(d, BOOL | TRIGGER, MSIX, 0, n, bools, n), 0,
	     "msix: BOOL of %u", n);
	good = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t count = 0;

		good += (read(fds[i], &count, 8) == 8) == bools[i];
	}
	want(good, n, "msix: signals the upper half");
	int32_t last = fds[n - 1];

	fds[n - 1] = a_pipe();
	want(eventfds(d, TRIGGER, MSIX, 1, fds + 1, n - 1), -EINVAL,
	     "msix: a pipe as the last of many is EINVAL");
	want(none(d, TRIGGER, MSIX, 0, n), 0, "msix: NONE of all after it");
	want(events(fds[0]), 1, "msix: vector 0 was not part of it");
	want(no_events(fds[1]), 0, "msix: vector 1 is gone");
	want(no_events(fds[n - 2]), 0, "msix: the last but one is gone");
	want(none(d, TRIGGER, MSIX, 0, 0), 0, "msix: disable all");
	fds[n - 1] = last;
	want(eventfds(d, TRIGGER, MSIX, 0, fds, n), 0, "msix: enable again");
	close_all(fds, n);
	free(fds);
	free(bools);
}

void test_msi(void)
{
	static const struct {
		uint32_t index;
		const char *name;
	} kinds[] = {{MSI, "msi"}, {MSIX, "msix"}};
	struct vfio v;

	if (have("edu")) {
		vfio_open(&v, "edu");
		vectors_off(v.device, MSI, "msi");
		msi_device(v.device, MSI, "msi");
		vfio_close(&v);
	}
	if (!have("edu2"))
		return;
	vfio_open(&v, "edu2");
	for (size_t i = 0; i < COUNT(kinds); i++) {
		vectors_off(v.device, kinds[i].index, kinds[i].name);
		vectors_loopback(v.device, kinds[i].index, kinds[i].name);
		vectors_start(v.device, kinds[i].index, kinds[i].name);
		vectors_unwind(v.device, kinds[i].index, kinds[i].name);
		vectors_decode_off(v.device, kinds[i].index, kinds[i].name);
	}
	msix_all(v.device);
	vfio_close(&v);
}

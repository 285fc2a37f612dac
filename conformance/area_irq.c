/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SET_IRQS: what it takes whatever the interrupt; a matrix of index, data,
 * action, start and count in each state that a function can be in; and the
 * sequences that a program goes through.
 */
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "conformance/device.h"

static struct vfio v;

/* The matrix */

/** struct call - One request; the fds that go with it are made for it */
struct call {
	int state; /* index of what is on before; -1: nothing */
	uint32_t index;
	uint32_t data;
	uint32_t action;
	uint32_t start;
	uint32_t count;
};

#define CALL_FDS 4

struct call_data {
	int32_t fds[CALL_FDS];
	uint8_t bools[CALL_FDS];
};

static struct call_data call_data_new(void)
{
	struct call_data data;

	for (size_t i = 0; i < CALL_FDS; i++) {
		data.fds[i] = event_new();
		data.bools[i] = 1;
	}
	return data;
}

static int call_make(const struct call *c, const struct call_data *data)
{
	uint32_t n = c->count < CALL_FDS ? c->count : CALL_FDS;

	if (c->data & IRQ_EVENTFD)
		return set_irqs(v.device, c->data | c->action, c->index,
				c->start, c->count, data->fds,
				n * sizeof(data->fds[0]));
	if (c->data & IRQ_BOOL)
		return set_irqs(v.device, c->data | c->action, c->index,
				c->start, c->count, data->bools, n);
	return set_irqs(v.device, c->data | c->action, c->index, c->start,
			c->count, NULL, 0);
}

/* Which of the three is on shows in what its trigger answers. */
static void say_state(void)
{
	static const char *const names[] = {"intx", "msi", "msix"};

	for (uint32_t index = INTX; index <= MSIX; index++)
		if (!set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER, index, 0, 0,
			      NULL, 0)) {
			say("state=%s", names[index]);
			return;
		}
	say("state=off");
}

static void call(const void *arg)
{
	const struct call *c = arg;
	struct call_data data = call_data_new();
	int before = event_new();

	if (c->state >= 0)
		need(irq_trigger(v.device, (uint32_t)c->state, 0, before),
		     "first interrupt");
	say_ret(call_make(c, &data));
	say("signalled=%ld", event_now(before));
	say_state();
}

static const struct {
	const char *name;
	uint32_t flags;
} data_types[] =
	{
		{"none", IRQ_NONE},
		{"bool", IRQ_BOOL},
		{"eventfd", IRQ_EVENTFD},
},
  actions[] = {
	  {"mask", IRQ_MASK},
	  {"unmask", IRQ_UNMASK},
	  {"trigger", IRQ_TRIGGER},
};

static const struct {
	uint32_t start;
	uint32_t count;
} ranges[] = {{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}};

static void each_range(const char *prefix, struct call *c, const char *data,
		       const char *action)
{
	static const char *const names[] = {"intx", "msi", "msix",
					    "err",  "req", "beyond"};

	for (size_t i = 0; i < COUNT(ranges); i++) {
		c->start = ranges[i].start;
		c->count = ranges[i].count;
		run(call, c, "%s.%s.%s.%s.%u_%u", prefix, names[c->index], data,
		    action, c->start, c->count);
	}
}

static void matrix(const char *prefix, int state)
{
	struct call c = {.state = state};

	for (c.index = INTX; c.index <= REQ + 1; c.index++)
		for (size_t data = 0; data < COUNT(data_types); data++)
			for (size_t act = 0; act < COUNT(actions); act++) {
				c.data = data_types[data].flags;
				c.action = actions[act].flags;
				each_range(prefix, &c, data_types[data].name,
					   actions[act].name);
			}
}

/* Flags: none, several, unknown */

struct flags {
	uint32_t index;
	uint32_t flags;
};

static void flags(const void *arg)
{
	const struct flags *f = arg;
	int32_t fds[2] = {event_new(), event_new()};

	say_ret(set_irqs(v.device, f->flags, f->index, 0, 1, fds, sizeof(fds)));
	say_state();
}

static void each_flags(void)
{
	struct flags f = {.index = MSI};

	for (f.flags = 0; f.flags < 64; f.flags++)
		run(flags, &f, "flags.%02u", f.flags);
	for (unsigned int bit = 6; bit < 32; bit++) {
		f.flags = IRQ_NONE | IRQ_TRIGGER | 1u << bit;
		run(flags, &f, "flags.bit_%02u", bit);
	}
}

/* argsz against count, and ranges that are too large or wrap */

struct raw {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
};

static void raw(const void *arg)
{
	const struct raw *r = arg;
	uint8_t buf[256] = {0};
	struct vfio_irq_set *set = (void *)buf;
	int32_t fd = event_new();

	*set = (struct vfio_irq_set){r->argsz, r->flags, r->index, r->start,
				     r->count};
	for (size_t i = 0; i < 8; i++)
		memcpy(set->data + 4 * i, &fd, sizeof(fd));
	say_ret(ioctl(v.device, VFIO_DEVICE_SET_IRQS, set));
	say("kept=%d", set->argsz == r->argsz && set->flags == r->flags &&
			       set->count == r->count);
	say_state();
}

static void each_argsz(void)
{
	static const uint32_t sizes[] = {0,  1,	  4,	     16,	19, 20,
					 21, 22,  23,	     24,	25, 27,
					 28, 200, INT32_MAX, UINT32_MAX};
	struct raw r = {.index = MSI, .count = 1};

	for (size_t data = 0; data < COUNT(data_types); data++) {
		r.flags = data_types[data].flags | IRQ_TRIGGER;
		for (size_t i = 0; i < COUNT(sizes); i++) {
			r.argsz = sizes[i];
			run(raw, &r, "argsz.%s.%u", data_types[data].name,
			    r.argsz);
		}
	}
}

static void each_extreme(void)
{
	static const struct {
		uint32_t start;
		uint32_t count;
	} extremes[] = {
		{0, 3},
		{0, 1000},
		{0, INT32_MAX},
		{0, UINT32_MAX},
		{1, UINT32_MAX},
		{1, UINT32_MAX - 1},
		{2, 0},
		{INT32_MAX, 1},
		{UINT32_MAX, 0},
		{UINT32_MAX, 1},
		{UINT32_MAX, UINT32_MAX},
	};
	static const uint32_t indices[] = {INTX, MSI,  ERR,	  REQ,
					   5,	 1000, UINT32_MAX};
	struct raw r = {.argsz = 52};

	for (size_t i = 0; i < COUNT(indices); i++)
		for (size_t e = 0; e < COUNT(extremes); e++) {
			r.index = indices[i];
			r.start = extremes[e].start;
			r.count = extremes[e].count;
			r.flags = IRQ_NONE | IRQ_TRIGGER;
			run(raw, &r, "extreme.index_%u.%u_%u", r.index, r.start,
			    r.count);
		}
}

/* Where the structure and its data are */

struct place {
	size_t room; /* bytes of it before memory ends */
	uint32_t data;
};

static void place(const void *arg)
{
	const struct place *p = arg;
	struct vfio_irq_set set = {24, p->data | IRQ_TRIGGER, MSI, 0, 1};
	int32_t fd = event_new();
	uint8_t whole[24];
	uint8_t *at = edge(p->room);

	memcpy(whole, &set, sizeof(set));
	memcpy(whole + 20, &fd, sizeof(fd));
	memcpy(at, whole, p->room);
	say_ret(ioctl(v.device, VFIO_DEVICE_SET_IRQS, at));
	say_state();
}

static void place_null(const void *arg)
{
	say_step("null", ioctl(v.device, VFIO_DEVICE_SET_IRQS, NULL));
	say_step("nowhere", ioctl(v.device, VFIO_DEVICE_SET_IRQS, nowhere()));
}

/* It is only read. */
static void place_read_only(const void *arg)
{
	struct vfio_irq_set *set = anon(PAGE);
	int32_t fd = event_new();

	*set = (struct vfio_irq_set){24, IRQ_EVENTFD | IRQ_TRIGGER, MSI, 0, 1};
	memcpy(set->data, &fd, sizeof(fd));
	need(mprotect(set, PAGE, PROT_READ), "mprotect");
	say_ret(ioctl(v.device, VFIO_DEVICE_SET_IRQS, set));
	say_state();
}

static void each_place(void)
{
	struct place p;

	run(place_null, NULL, "at.null");
	run(place_read_only, NULL, "at.read_only");
	for (size_t data = 0; data < COUNT(data_types); data++)
		for (p.room = 16; p.room <= 24; p.room++) {
			p.data = data_types[data].flags;
			run(place, &p, "cut.%s.%zu", data_types[data].name,
			    p.room);
		}
}

/* Descriptors in place of an eventfd */

static int fd_minus_two(void)
{
	return -2;
}

static int fd_closed(void)
{
	return 999;
}

static int fd_highest(void)
{
	return INT32_MAX;
}

static int fd_pipe(void)
{
	int fds[2];

	return pipe2(fds, O_CLOEXEC) ? -1 : fds[1];
}

static int fd_device(void)
{
	return v.device;
}

static int fd_semaphore(void)
{
	return eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
}

static int fd_blocking(void)
{
	return eventfd(0, EFD_CLOEXEC);
}

static const struct foreign_fd own_fds[] = {
	{"minus_two", fd_minus_two}, {"highest", fd_highest},
	{"device", fd_device},	     {"semaphore", fd_semaphore},
	{"blocking", fd_blocking},   {NULL, NULL},
};

struct with_fd {
	uint32_t index;
	uint32_t action;
	bool on; /* it is on before */
	const struct foreign_fd *kind;
};

static void with_fd(const void *arg)
{
	const struct with_fd *w = arg;
	int before = event_new();
	int32_t fd = w->kind->make(); /* last: it may be a number now free */

	if (w->on)
		need(irq_trigger(v.device, w->index, 0, before), "first");
	say_ret(set_irqs(v.device, IRQ_EVENTFD | w->action, w->index, 0, 1, &fd,
			 sizeof(fd)));
	say_step("loopback", set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER,
				      w->index, 0, 1, NULL, 0));
	say("before=%ld", event_now(before));
	say_state();
}

static void each_fd(const struct foreign_fd *kind)
{
	static const struct {
		const char *name;
		struct with_fd w;
	} sets[] = {
		{"intx_off", {INTX, IRQ_TRIGGER, false, NULL}},
		{"intx_on", {INTX, IRQ_TRIGGER, true, NULL}},
		{"intx_unmask", {INTX, IRQ_UNMASK, true, NULL}},
		{"msi_off", {MSI, IRQ_TRIGGER, false, NULL}},
		{"msi_on", {MSI, IRQ_TRIGGER, true, NULL}},
		{"req_off", {REQ, IRQ_TRIGGER, false, NULL}},
		{"req_on", {REQ, IRQ_TRIGGER, true, NULL}},
	};

	for (; kind->name; kind++)
		for (size_t i = 0; i < COUNT(sets); i++) {
			struct with_fd w = sets[i].w;

			w.kind = kind;
			run(with_fd, &w, "fd.%s.%s", sets[i].name, kind->name);
		}
}

/* Sequences. Each step says what it returned. */

static long none(const char *key, uint32_t action, uint32_t index,
		 uint32_t count)
{
	return say_step(key, set_irqs(v.device, IRQ_NONE | action, index, 0,
				      count, NULL, 0));
}

static long boolean(const char *key, uint32_t action, uint32_t index,
		    uint8_t val)
{
	return say_step(key, set_irqs(v.device, IRQ_BOOL | action, index, 0, 1,
				      &val, 1));
}

static long eventfds(const char *key, uint32_t action, uint32_t index,
		     uint32_t start, const int32_t *fds, uint32_t n)
{
	return say_step(key, set_irqs(v.device, IRQ_EVENTFD | action, index,
				      start, n, fds, n * sizeof(*fds)));
}

static void intx_loopback(const void *arg)
{
	int a = event_new();
	int b = event_new();

	say_step("on", irq_trigger(v.device, INTX, 0, a));
	none("none", IRQ_TRIGGER, INTX, 1);
	boolean("bool1", IRQ_TRIGGER, INTX, 1);
	boolean("bool0", IRQ_TRIGGER, INTX, 0);
	boolean("bool255", IRQ_TRIGGER, INTX, 255);
	say("a=%ld", event_now(a));
	say_step("swap", irq_trigger(v.device, INTX, 0, b));
	none("none", IRQ_TRIGGER, INTX, 1);
	say("a=%ld b=%ld", event_now(a), event_now(b));
	say_step("remove", irq_trigger(v.device, INTX, 0, -1));
	none("none", IRQ_TRIGGER, INTX, 1);
	say("b=%ld", event_now(b));
	none("off", IRQ_TRIGGER, INTX, 0);
	none("off", IRQ_TRIGGER, INTX, 0);
	none("none", IRQ_TRIGGER, INTX, 1);
}

static void intx_without_trigger(const void *arg)
{
	int a = event_new();

	say_step("on", irq_trigger(v.device, INTX, 0, -1));
	none("none", IRQ_TRIGGER, INTX, 1);
	none("mask", IRQ_MASK, INTX, 1);
	none("unmask", IRQ_UNMASK, INTX, 1);
	say_step("msi", irq_trigger(v.device, MSI, 0, a));
	say_step("set", irq_trigger(v.device, INTX, 0, a));
	none("none", IRQ_TRIGGER, INTX, 1);
	say("a=%ld", event_now(a));
	none("off", IRQ_TRIGGER, INTX, 0);
}

static void intx_masks(const void *arg)
{
	int a = event_new();

	say_step("on", irq_trigger(v.device, INTX, 0, a));
	none("mask", IRQ_MASK, INTX, 1);
	none("mask", IRQ_MASK, INTX, 1);
	none("loopback", IRQ_TRIGGER, INTX, 1);
	say("a=%ld", event_now(a));
	none("unmask", IRQ_UNMASK, INTX, 1);
	none("unmask", IRQ_UNMASK, INTX, 1);
	boolean("mask0", IRQ_MASK, INTX, 0);
	boolean("mask1", IRQ_MASK, INTX, 1);
	boolean("unmask0", IRQ_UNMASK, INTX, 0);
	boolean("unmask1", IRQ_UNMASK, INTX, 1);
	say("a=%ld", event_now(a));
}

static void intx_disable_bit(const void *arg)
{
	int a = event_new();

	say_step("on", irq_trigger(v.device, INTX, 0, a));
	command(v.device, 0, PCI_COMMAND_INTX_DISABLE);
	none("disabled", IRQ_TRIGGER, INTX, 1);
	say("a=%ld", event_now(a));
	command(v.device, PCI_COMMAND_INTX_DISABLE, 0);
	none("enabled", IRQ_TRIGGER, INTX, 1);
	say("a=%ld", event_now(a));
}

static void intx_unmask_fd(const void *arg)
{
	int32_t a = event_new();
	int32_t b = event_new();
	int32_t minus = -1;
	int trigger = event_new();

	eventfds("while_off", IRQ_UNMASK, INTX, 0, &a, 1);
	say_step("on", irq_trigger(v.device, INTX, 0, trigger));
	eventfds("mask_fd", IRQ_MASK, INTX, 0, &a, 1);
	eventfds("first", IRQ_UNMASK, INTX, 0, &a, 1);
	eventfds("second", IRQ_UNMASK, INTX, 0, &b, 1);
	eventfds("again", IRQ_UNMASK, INTX, 0, &a, 1);
	eventfds("remove", IRQ_UNMASK, INTX, 0, &minus, 1);
	eventfds("remove", IRQ_UNMASK, INTX, 0, &minus, 1);
	eventfds("after", IRQ_UNMASK, INTX, 0, &b, 1);
	none("off", IRQ_TRIGGER, INTX, 0);
	say_step("on", irq_trigger(v.device, INTX, 0, trigger));
	eventfds("fresh", IRQ_UNMASK, INTX, 0, &a, 1);
}

/* VFIO keeps the eventfd, not its number. */
static void closed_fd(const void *arg)
{
	const uint32_t *index = arg;
	int a = event_new();
	int copy = dup(a);

	if (!irq_count(v.device, *index))
		skip("no such interrupt");
	say_step("on", irq_trigger(v.device, *index, 0, a));
	close(a);
	none("none", IRQ_TRIGGER, *index, 1);
	say("copy=%ld", event_now(copy));
}

/* A counter that is full: the signal is lost or saturates, nobody waits. */
static void full_counter(const void *arg)
{
	const uint32_t *index = arg;
	int a = event_new();
	uint64_t nearly = UINT64_MAX - 1;

	if (!irq_count(v.device, *index))
		skip("no such interrupt");
	say_step("on", irq_trigger(v.device, *index, 0, a));
	need(write(a, &nearly, sizeof(nearly)), "write of an eventfd");
	none("none", IRQ_TRIGGER, *index, 1);
	uint64_t val = 0;

	say_step("read", read(a, &val, sizeof(val)));
	say("left=%#" PRIx64, UINT64_MAX - val);
}

static void exclusive(const void *arg)
{
	const uint32_t *pair = arg;
	int a = event_new();

	if (!irq_count(v.device, pair[0]) || !irq_count(v.device, pair[1]))
		skip("no such interrupt");
	say_step("first", irq_trigger(v.device, pair[0], 0, a));
	say_step("other", irq_trigger(v.device, pair[1], 0, a));
	none("other_off", IRQ_TRIGGER, pair[1], 0);
	none("other_none", IRQ_TRIGGER, pair[1], 1);
	none("first_none", IRQ_TRIGGER, pair[0], 1);
	say("a=%ld", event_now(a));
	none("first_off", IRQ_TRIGGER, pair[0], 0);
	say_step("other", irq_trigger(v.device, pair[1], 0, a));
	none("other_off", IRQ_TRIGGER, pair[1], 0);
}

/* ERR and REQ */

static void single(const void *arg)
{
	const uint32_t *index = arg;
	int a = event_new();
	int b = event_new();

	none("unset_none1", IRQ_TRIGGER, *index, 1);
	none("unset_none0", IRQ_TRIGGER, *index, 0);
	boolean("unset_bool1", IRQ_TRIGGER, *index, 1);
	boolean("unset_bool0", IRQ_TRIGGER, *index, 0);
	say_step("unset_remove", irq_trigger(v.device, *index, 0, -1));
	say_step("set", irq_trigger(v.device, *index, 0, a));
	none("none1", IRQ_TRIGGER, *index, 1);
	boolean("bool1", IRQ_TRIGGER, *index, 1);
	boolean("bool0", IRQ_TRIGGER, *index, 0);
	say("a=%ld", event_now(a));
	say_step("replace", irq_trigger(v.device, *index, 0, b));
	none("none1", IRQ_TRIGGER, *index, 1);
	say("a=%ld b=%ld", event_now(a), event_now(b));
	say_step("remove", irq_trigger(v.device, *index, 0, -1));
	none("none1", IRQ_TRIGGER, *index, 1);
	say_step("set", irq_trigger(v.device, *index, 0, a));
	none("none0", IRQ_TRIGGER, *index, 0);
	none("none1", IRQ_TRIGGER, *index, 1);
}

/* What is no eventfd, and none of them, with and without one that is set */
static void single_refused(const void *arg)
{
	const uint32_t *index = arg;
	int a = event_new();

	for (int set = 0; set <= 1; set++) {
		eventfds("no_fd", IRQ_TRIGGER, *index, 0, NULL, 0);
		say_step("no_bool", set_irqs(v.device, IRQ_BOOL | IRQ_TRIGGER,
					     *index, 0, 0, NULL, 0));
		say_step("minus_two", irq_trigger(v.device, *index, 0, -2));
		say_step("closed",
			 irq_trigger(v.device, *index, 0, fd_closed()));
		say_step("pipe", irq_trigger(v.device, *index, 0, fd_pipe()));
		none("mask", IRQ_MASK, *index, 1);
		none("unmask", IRQ_UNMASK, *index, 1);
		none("none", IRQ_TRIGGER, *index, 1);
		say("a=%ld", event_now(a));
		irq_trigger(v.device, *index, 0, a);
	}
}

/* Enabling what is not there */
static void absent(const void *arg)
{
	const uint32_t *index = arg;

	if (irq_count(v.device, *index))
		skip("it is there");
	say_step("minus_one", irq_trigger(v.device, *index, 0, -1));
	say_step("set", irq_trigger(v.device, *index, 0, event_new()));
	none("none", IRQ_TRIGGER, *index, 1);
	none("off", IRQ_TRIGGER, *index, 0);
}

/* Beside them the function's interrupts work as ever. */
static void single_beside(const void *arg)
{
	int a = event_new();
	int b = event_new();

	say_step("req", irq_trigger(v.device, REQ, 0, a));
	say_step("intx", irq_trigger(v.device, INTX, 0, b));
	none("req_none", IRQ_TRIGGER, REQ, 1);
	none("intx_none", IRQ_TRIGGER, INTX, 1);
	say("a=%ld b=%ld", event_now(a), event_now(b));
	none("intx_off", IRQ_TRIGGER, INTX, 0);
	none("req_none", IRQ_TRIGGER, REQ, 1);
	say("a=%ld", event_now(a));
}

/* Several vectors */

#define VECTORS 4

static void vectors_new(uint32_t index, int32_t *fds)
{
	if (irq_count(v.device, index) < VECTORS)
		skip("fewer than %d vectors", VECTORS);
	for (int i = 0; i < VECTORS; i++)
		fds[i] = event_new();
}

/* Who was signalled, as a number with a digit for each. */
static void say_who(const int32_t *fds)
{
	say("who=%ld%ld%ld%ld", event_now(fds[0]), event_now(fds[1]),
	    event_now(fds[2]), event_now(fds[3]));
}

static void vectors_some(const void *arg)
{
	const uint32_t *index = arg;
	static const uint8_t some[VECTORS] = {0, 1, 0, 1};
	int32_t fds[VECTORS];

	vectors_new(*index, fds);
	eventfds("on", IRQ_TRIGGER, *index, 0, fds, VECTORS);
	none("all", IRQ_TRIGGER, *index, VECTORS);
	say_who(fds);
	say_step("some", set_irqs(v.device, IRQ_BOOL | IRQ_TRIGGER, *index, 0,
				  VECTORS, some, sizeof(some)));
	say_who(fds);
	say_step("last", set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER, *index,
				  VECTORS - 1, 1, NULL, 0));
	say_who(fds);
	say_step("remove", irq_trigger(v.device, *index, 1, -1));
	none("all", IRQ_TRIGGER, *index, VECTORS);
	say_who(fds);
	say_step("set", irq_trigger(v.device, *index, 1, fds[1]));
	none("all", IRQ_TRIGGER, *index, VECTORS);
	say_who(fds);
	none("off", IRQ_TRIGGER, *index, 0);
	none("all", IRQ_TRIGGER, *index, VECTORS);
}

static void vectors_start(const void *arg)
{
	const uint32_t *index = arg;
	int32_t fds[VECTORS];

	vectors_new(*index, fds);
	eventfds("on", IRQ_TRIGGER, *index, 1, fds + 1, 2);
	none("all", IRQ_TRIGGER, *index, VECTORS);
	say_who(fds);
	say_step("before", irq_trigger(v.device, *index, 0, fds[0]));
	say_step("behind", irq_trigger(v.device, *index, 3, fds[3]));
	none("all", IRQ_TRIGGER, *index, VECTORS);
	say_who(fds);
}

/* Fewer at first, then more than were allocated */
static void vectors_grow(const void *arg)
{
	const uint32_t *index = arg;
	int32_t fds[VECTORS];

	vectors_new(*index, fds);
	eventfds("one", IRQ_TRIGGER, *index, 0, fds, 1);
	eventfds("all", IRQ_TRIGGER, *index, 0, fds, VECTORS);
	none("none", IRQ_TRIGGER, *index, VECTORS);
	say_who(fds);
}

static void vectors_none_given(const void *arg)
{
	const uint32_t *index = arg;
	int32_t fds[VECTORS];
	const int32_t minus[VECTORS] = {-1, -1, -1, -1};

	vectors_new(*index, fds);
	eventfds("on", IRQ_TRIGGER, *index, 0, minus, VECTORS);
	none("none", IRQ_TRIGGER, *index, VECTORS);
	eventfds("set", IRQ_TRIGGER, *index, 0, fds, VECTORS);
	none("none", IRQ_TRIGGER, *index, VECTORS);
	say_who(fds);
	eventfds("remove", IRQ_TRIGGER, *index, 0, minus, VECTORS);
	none("none", IRQ_TRIGGER, *index, VECTORS);
	none("off", IRQ_TRIGGER, *index, 0);
}

/* What an error in the middle leaves behind */

struct unwind {
	uint32_t index;
	bool on;
	bool closed; /* the bad one is not open; else it is a pipe */
	uint32_t start;
	uint32_t bad;
};

static void unwind(const void *arg)
{
	const struct unwind *u = arg;
	int32_t fds[VECTORS];
	int32_t given[VECTORS];

	vectors_new(u->index, fds);
	if (u->on)
		eventfds("on", IRQ_TRIGGER, u->index, 0, fds, VECTORS);
	memcpy(given, fds, sizeof(given));
	given[u->bad] = u->closed ? fd_closed() : fd_pipe();
	eventfds("bad", IRQ_TRIGGER, u->index, u->start, given + u->start,
		 VECTORS - u->start);
	none("none", IRQ_TRIGGER, u->index, VECTORS);
	say_who(fds);
	say_state();
}

static void each_unwind(const char *role, const char *name, uint32_t index)
{
	struct unwind u = {.index = index};

	for (int on = 0; on <= 1; on++)
		for (int closed = 0; closed <= 1; closed++)
			for (u.start = 0; u.start < 2; u.start++)
				for (u.bad = u.start; u.bad < VECTORS;
				     u.bad++) {
					u.on = on;
					u.closed = closed;
					run(unwind, &u,
					    "%s.%s.unwind.%s.%s.%u_%u", role,
					    name, on ? "on" : "off",
					    closed ? "closed" : "pipe", u.start,
					    u.bad);
				}
}

/* All there are, by one call */
static void vectors_all(const void *arg)
{
	const uint32_t *index = arg;
	uint32_t n = irq_count(v.device, *index);
	int32_t *fds = calloc(n + 1, sizeof(*fds));
	uint32_t good = 0;

	if (!n)
		skip("no such interrupt");
	for (uint32_t i = 0; i <= n; i++)
		fds[i] = event_new();
	eventfds("one_more", IRQ_TRIGGER, *index, 0, fds, n + 1);
	eventfds("all", IRQ_TRIGGER, *index, 0, fds, n);
	none("none", IRQ_TRIGGER, *index, n);
	for (uint32_t i = 0; i < n; i++)
		good += event_now(fds[i]) == 1;
	say("each=%d", good == n);
	none("none_more", IRQ_TRIGGER, *index, n + 1);
}

/* Memory need not be on for any of it, and is not turned on. */
static void decode_off(const void *arg)
{
	const uint32_t *index = arg;
	int a = event_new();

	if (!irq_count(v.device, *index))
		skip("no such interrupt");
	command(v.device, PCI_COMMAND_MEMORY, 0);
	say_step("on", irq_trigger(v.device, *index, 0, a));
	none("none", IRQ_TRIGGER, *index, 1);
	say("a=%ld", event_now(a));
	say("memory=%#x", cfg(v.device, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY);
	none("off", IRQ_TRIGGER, *index, 0);
}

/* What the device itself is told: COMMAND's own bit is the program's. */
static void command_bits(const void *arg)
{
	const uint32_t *index = arg;
	const uint16_t bits = PCI_COMMAND_INTX_DISABLE | PCI_COMMAND_MASTER;

	if (!irq_count(v.device, *index))
		skip("no such interrupt");
	say("before=%#x", cfg(v.device, PCI_COMMAND, 2) & bits);
	say_step("on", irq_trigger(v.device, *index, 0, event_new()));
	say("on=%#x", cfg(v.device, PCI_COMMAND, 2) & bits);
	none("off", IRQ_TRIGGER, *index, 0);
	say("off=%#x", cfg(v.device, PCI_COMMAND, 2) & bits);
}

static void after(void)
{
	if (v.device >= 0)
		device_quiet(v.device);
}

static const struct {
	const char *name;
	uint32_t index;
} vectored[] = {{"msi", MSI}, {"msix", MSIX}},
  three[] = {{"intx", INTX}, {"msi", MSI}, {"msix", MSIX}};

static const struct {
	const char *name;
	case_fn *fn;
} vector_cases[] =
	{
		{"some", vectors_some}, {"start", vectors_start},
		{"grow", vectors_grow}, {"none_given", vectors_none_given},
		{"all", vectors_all},
},
  index_cases[] = {
	  {"closed_fd", closed_fd},
	  {"full_counter", full_counter},
	  {"decode_off", decode_off},
	  {"command_bits", command_bits},
};

static void each_vector_case(const char *role)
{
	for (size_t i = 0; i < COUNT(vectored); i++) {
		for (size_t c = 0; c < COUNT(vector_cases); c++)
			run(vector_cases[c].fn, &vectored[i].index, "%s.%s.%s",
			    role, vectored[i].name, vector_cases[c].name);
		each_unwind(role, vectored[i].name, vectored[i].index);
	}
	for (size_t i = 0; i < COUNT(three); i++)
		for (size_t c = 0; c < COUNT(index_cases); c++)
			run(index_cases[c].fn, &three[i].index, "%s.%s.%s",
			    role, three[i].name, index_cases[c].name);
}

static void each_exclusive(const char *role)
{
	for (uint32_t a = INTX; a <= MSIX; a++)
		for (uint32_t b = INTX; b <= MSIX; b++) {
			const uint32_t pair[2] = {a, b};

			if (a != b)
				run(exclusive, pair, "%s.exclusive.%s_%s", role,
				    three[a].name, three[b].name);
		}
}

static void each_single(const char *role)
{
	static const uint32_t err = ERR;
	static const uint32_t req = REQ;

	run(single, &err, "%s.err", role);
	run(single, &req, "%s.req", role);
	run(single_refused, &err, "%s.err_refused", role);
	run(single_refused, &req, "%s.req_refused", role);
	for (size_t i = 0; i < COUNT(three); i++)
		run(absent, &three[i].index, "%s.absent.%s", role,
		    three[i].name);
}

static void each_intx(void)
{
	run(intx_loopback, NULL, "intx.loopback");
	run(intx_without_trigger, NULL, "intx.without_trigger");
	run(intx_masks, NULL, "intx.masks");
	run(intx_disable_bit, NULL, "intx.disable_bit");
	run(intx_unmask_fd, NULL, "intx.unmask_fd");
	run(single_beside, NULL, "intx.req_beside");
}

static void on_edu(void)
{
	matrix("off", -1);
	matrix("intx", INTX);
	matrix("msi", MSI);
	each_flags();
	each_argsz();
	each_extreme();
	each_place();
	each_fd(foreign_fds);
	each_fd(own_fds);
	each_intx();
}

void area_irq(void)
{
	run_after(after);
	fixture_open(&v, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	on_edu();
	fixture_close(&v);
	fixture_open(&v, "nvme", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	matrix("msix", MSIX);
	fixture_close(&v);
	for (size_t i = 0; i < ROLES; i++) {
		fixture_open(&v, roles_all[i].name, 0, DEVICE,
			     VFIO_TYPE1v2_IOMMU);
		each_vector_case(roles_all[i].name);
		each_exclusive(roles_all[i].name);
		each_single(roles_all[i].name);
		fixture_close(&v);
	}
}

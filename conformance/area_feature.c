/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO_DEVICE_FEATURE: each number with each operation and size, and the low
 * power states, which every device has.
 */
#include <linux/pci_regs.h>

#include "conformance/device.h"

#define GET    VFIO_DEVICE_FEATURE_GET
#define SET    VFIO_DEVICE_FEATURE_SET
#define PROBE  VFIO_DEVICE_FEATURE_PROBE
#define ENTRY  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY
#define WAKEUP VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP
#define EXIT   VFIO_DEVICE_FEATURE_LOW_POWER_EXIT

static struct vfio v;

static int feature(uint32_t flags, const void *data, size_t size)
{
	return device_feature(v.device, flags, data, size);
}

/* Each number with each operation */

struct op {
	uint32_t id;
	uint32_t op;
	uint32_t size; /* of the payload */
};

static void op(const void *arg)
{
	const struct op *o = arg;
	static const uint8_t zeroes[128];

	say_ret(feature(o->id | o->op, zeroes, o->size));
	feature(EXIT | SET, NULL, 0);
}

static void each_op(void)
{
	static const struct {
		const char *name;
		uint32_t op;
	} ops[] = {
		{"nothing", 0},
		{"get", GET},
		{"set", SET},
		{"get_set", GET | SET},
		{"probe", PROBE},
		{"probe_get", PROBE | GET},
		{"probe_set", PROBE | SET},
		{"probe_get_set", PROBE | GET | SET},
	};
	static const uint32_t ids[] = {0, 1,  2,  3,  4,  5,  6,   7,	8,
				       9, 10, 11, 12, 13, 20, 255, 999, 65535};
	struct op o;

	for (size_t id = 0; id < COUNT(ids); id++)
		for (size_t i = 0; i < COUNT(ops); i++) {
			o = (struct op){ids[id], ops[i].op, 0};
			run(op, &o, "id_%u.%s", o.id, ops[i].name);
			o.size = 64;
			run(op, &o, "id_%u.%s.payload", o.id, ops[i].name);
		}
}

/* Flags that nobody knows, with what is good and alone */
static void each_flag(void)
{
	for (unsigned int bit = 16; bit < 32; bit++) {
		struct op o = {EXIT, 1u << bit, 0};

		run(op, &o, "flag.%u", bit);
		o.op |= SET;
		run(op, &o, "flag.%u.set", bit);
		o.op |= PROBE;
		run(op, &o, "flag.%u.probe_set", bit);
	}
}

/* argsz and pointers */

static const struct vfio_device_feature exit_feature = {8, EXIT | SET};
static const struct vfio_device_feature probe_feature = {8,
							 ENTRY | SET | PROBE};
static const struct request requests[] = {
	{"exit", &v.device, VFIO_DEVICE_FEATURE, &exit_feature, 8, 8, NULL},
	{"probe", &v.device, VFIO_DEVICE_FEATURE, &probe_feature, 8, 8, NULL},
};

/* The payload of WITH_WAKEUP: too short, cut off, bad */

struct wakeup {
	uint32_t argsz;
	size_t room;
	int32_t fd; /* -2: an eventfd; -3: a pipe */
	uint32_t reserved;
};

static int32_t wakeup_fd(int32_t fd)
{
	int fds[2];

	if (fd == -3)
		return pipe2(fds, O_CLOEXEC) ? -1 : fds[0];
	return fd == -2 ? event_new() : fd;
}

static void wakeup(const void *arg)
{
	const struct wakeup *w = arg;
	const uint32_t words[4] = {w->argsz, WAKEUP | SET,
				   (uint32_t)wakeup_fd(w->fd), w->reserved};
	uint8_t *at = edge(w->room);

	memcpy(at, words, w->room < 16 ? w->room : 16);
	say_ret(ioctl(v.device, VFIO_DEVICE_FEATURE, at));
	say_step("exit", feature(EXIT | SET, NULL, 0));
}

static void each_wakeup(void)
{
	static const struct {
		const char *name;
		int32_t fd;
	} fds[] = {
		{"minus_one", -1}, {"eventfd", -2},	  {"pipe", -3},
		{"closed", 999},   {"lowest", INT32_MIN},
	};
	struct wakeup w = {16, 16, -2, 0};

	for (w.argsz = 8; w.argsz <= 20; w.argsz++)
		run(wakeup, &w, "wakeup.argsz.%u", w.argsz);
	w.argsz = 16;
	for (w.room = 8; w.room < 16; w.room++)
		run(wakeup, &w, "wakeup.cut.%zu", w.room);
	for (size_t i = 0; i < COUNT(fds); i++) {
		w.fd = fds[i].fd;
		run(wakeup, &w, "wakeup.fd.%s", fds[i].name);
	}
	w.fd = -2;
	w.reserved = 1;
	run(wakeup, &w, "wakeup.reserved");
}

/* Low power */

static long enter(const char *key)
{
	long ret = say_step(key, feature(ENTRY | SET, NULL, 0));

	if (!ret)
		wait_suspended(v.function);
	return ret;
}

static long leave(const char *key)
{
	return say_step(key, feature(EXIT | SET, NULL, 0));
}

static void low_power_sequence(const void *arg)
{
	leave("exit_first");
	enter("entry");
	say_step("entry_again", feature(ENTRY | SET, NULL, 0));
	leave("exit");
	leave("exit_again");
	enter("entry");
	leave("exit");
}

/* Everything but the mapping wakes the function for as long as it takes. */
static void low_power_access(const void *arg)
{
	const struct role *role = arg;
	uint8_t *m = bar_map(v.device, REGION(role->bar), PAGE);
	uint32_t val = 0;

	say_touch("before", m, false);
	enter("entry");
	say_touch("load", m, false);
	say_touch("store", m, true);
	say_step("pread", pread(v.device, &val, 4, (off_t)REGION(role->bar)));
	say_step("pwrite", pwrite(v.device, &val, 0, (off_t)REGION(role->bar)));
	say_step("config", pread(v.device, &val, 4, CONFIG));
	say("vendor=%#x", val & 0xffff);
	say_touch("load", m, false);
	leave("exit");
	say_touch("after", m, false);
}

static void low_power_calls(const void *arg)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};
	int event = event_new();

	enter("entry");
	say_step("info", ioctl(v.device, VFIO_DEVICE_GET_INFO, &info));
	say_step("req", irq_trigger(v.device, REQ, 0, event));
	say_step("trigger", set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER, REQ, 0,
				     1, NULL, 0));
	say("events=%ld", event_now(event));
	say_step("unknown", ioctl(v.device, VFIO_IO(30), NULL));
	say_step("entry", feature(ENTRY | SET, NULL, 0));
	leave("exit");
}

static void low_power_reset(const void *arg)
{
	const struct role *role = arg;
	uint8_t *m = bar_map(v.device, REGION(role->bar), PAGE);

	enter("entry");
	say_step("reset", ioctl(v.device, VFIO_DEVICE_RESET));
	say_touch("load", m, false);
	say_step("entry", feature(ENTRY | SET, NULL, 0));
	leave("exit");
	say_touch("load", m, false);
}

static void low_power_command(const void *arg)
{
	const struct role *role = arg;
	uint8_t *m = bar_map(v.device, REGION(role->bar), PAGE);

	command(v.device, PCI_COMMAND_MEMORY, 0);
	enter("entry");
	command(v.device, 0, PCI_COMMAND_MEMORY);
	say_touch("load", m, false);
	leave("exit");
	say_touch("load", m, false);
	say("command=%#x", cfg(v.device, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY);
}

static void low_power_map(const void *arg)
{
	const struct role *role = arg;

	enter("entry");
	uint8_t *m = bar_map(v.device, REGION(role->bar), PAGE);

	say_touch("load", m, false);
	leave("exit");
	say_touch("load", m, false);
}

/* The first access ends it, and tells by the eventfd. */
static void wakes(const void *arg)
{
	const struct role *role = arg;
	struct vfio_device_low_power_entry_with_wakeup w = {event_new(), 0};
	uint32_t val = 0;

	say_step("entry", feature(WAKEUP | SET, &w, sizeof(w)));
	wait_suspended(v.function);
	say("early=%ld", event_now(w.wakeup_eventfd));
	say_step("config", pread(v.device, &val, 4, CONFIG));
	say("events=%ld", event_wait(w.wakeup_eventfd));
	say_step("again", pread(v.device, &val, 4, CONFIG));
	say("events=%ld", event_now(w.wakeup_eventfd));
	uint8_t *m = bar_map(v.device, REGION(role->bar), PAGE);

	say_touch("load", m, false);
	enter("entry");
	leave("exit");
}

static void wakes_by_exit(const void *arg)
{
	struct vfio_device_low_power_entry_with_wakeup w = {event_new(), 0};

	say_step("entry", feature(WAKEUP | SET, &w, sizeof(w)));
	wait_suspended(v.function);
	leave("exit");
	say("events=%ld", event_now(w.wakeup_eventfd));
	leave("exit");
}

static void wakes_twice(const void *arg)
{
	struct vfio_device_low_power_entry_with_wakeup w = {event_new(), 0};

	enter("entry");
	say_step("with_wakeup", feature(WAKEUP | SET, &w, sizeof(w)));
	leave("exit");
	say_step("with_wakeup", feature(WAKEUP | SET, &w, sizeof(w)));
	wait_suspended(v.function);
	say_step("then", feature(ENTRY | SET, NULL, 0));
	say("events=%ld", event_wait(w.wakeup_eventfd));
	leave("exit");
}

/* A touch of a mapping is SIGBUS; whether it wakes, the eventfd tells. */
static void wakes_by_touch(const void *arg)
{
	const struct role *role = arg;
	struct vfio_device_low_power_entry_with_wakeup w = {event_new(), 0};
	uint8_t *m = bar_map(v.device, REGION(role->bar), PAGE);

	say_step("entry", feature(WAKEUP | SET, &w, sizeof(w)));
	wait_suspended(v.function);
	say_touch("load", m, false);
	say("events=%ld", event_now(w.wakeup_eventfd));
	leave("exit");
	say_touch("load", m, false);
}

/* Closing ends it: the next opener finds the function awake. */
static void low_power_close(const void *arg)
{
	const struct role *role = arg;

	vfio_open(&v, role->name, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	enter("entry");
	vfio_close(&v);
	vfio_open(&v, role->name, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	uint8_t *m = bar_map(v.device, REGION(role->bar), PAGE);

	say_touch("load", m, false);
	enter("entry");
}

static const struct {
	const char *name;
	case_fn *fn;
} low_power[] = {
	{"sequence", low_power_sequence},
	{"access", low_power_access},
	{"calls", low_power_calls},
	{"reset", low_power_reset},
	{"command", low_power_command},
	{"map", low_power_map},
	{"wakes", wakes},
	{"wakes_by_exit", wakes_by_exit},
	{"wakes_twice", wakes_twice},
	{"wakes_by_touch", wakes_by_touch},
};

static void after(void)
{
	if (v.device < 0)
		return;
	feature(EXIT | SET, NULL, 0);
	device_quiet(v.device);
}

void area_feature(void)
{
	run_after(after);
	fixture_open(&v, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	each_op();
	each_flag();
	for (size_t i = 0; i < COUNT(requests); i++) {
		sweep_argsz(&requests[i]);
		sweep_pointers(&requests[i]);
	}
	each_wakeup();
	fixture_close(&v);
	for (size_t i = 0; i < ROLES; i++) {
		const struct role *role = &roles_all[i];

		fixture_open(&v, role->name, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
		for (size_t c = 0; c < COUNT(low_power); c++)
			run(low_power[c].fn, role, "%s.low_power.%s",
			    role->name, low_power[c].name);
		fixture_close(&v);
		run(low_power_close, role, "%s.low_power.close", role->name);
	}
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * GET_PCI_HOT_RESET_INFO and PCI_HOT_RESET: arguments and what is written, who
 * has to be shown to be owned, and what a reset leaves of a function, of its
 * sibling in the slot, and of those who use them.
 *
 * edu 0 and 1 share a slot and a group; edu 2 and the others are alone.
 */
#include <linux/pci_regs.h>
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "conformance/gate.h"
#include "conformance/type1.h"

#define FDS 4

static struct vfio v;
static const struct role *role;

/* How both structures of linux/vfio.h begin, which end in an open array. */
struct counted {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
};

struct info {
	struct counted head;
	struct vfio_pci_dependent_device devices[FDS];
};
static_assert(offsetof(struct info, devices) ==
		      offsetof(struct vfio_pci_hot_reset_info, devices),
	      "vfio_pci_hot_reset_info");

struct reset {
	struct counted head;
	int32_t fds[FDS];
};
static_assert(offsetof(struct reset, fds) ==
		      offsetof(struct vfio_pci_hot_reset, group_fds),
	      "vfio_pci_hot_reset");

static uint64_t bar(void)
{
	return REGION(role->bar);
}

/* Machines number groups as they like: 1 is the function's own. */
static void plain_groups(void *arg, size_t size)
{
	uint8_t *p = arg;

	for (size_t at = sizeof(struct vfio_pci_hot_reset_info);
	     at + 4 <= size && at < sizeof(struct info); at += 8) {
		uint32_t group;

		memcpy(&group, p + at, sizeof(group));
		group = group == (uint32_t)v.function->group ? 1 : group;
		memcpy(p + at, &group, sizeof(group));
	}
}

/* INFO */

static void each_info(const char *name, uint32_t n)
{
	struct info good;
	struct request r = {
		.name = name,
		.fd = &v.device,
		.cmd = VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
		.arg = &good,
		.size = (uint32_t)(sizeof(good.head) +
				   n * sizeof(good.devices[0])),
		.min = sizeof(good.head),
	};

	memset(&good, FILL, sizeof(good));
	good.head.argsz = r.size;
	good.head.flags = 0;
	sweep_plain(plain_groups);
	sweep_all(&r);
	sweep_plain(NULL);
}

static void say_info(const void *arg)
{
	struct info i = {.head.argsz = sizeof(i)};

	say_ret(ioctl(v.device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &i));
	say("argsz=%u flags=%#x count=%u", i.head.argsz, i.head.flags,
	    i.head.count);
	for (uint32_t d = 0; d < i.head.count && d < FDS; d++)
		say("own=%d at=%x:%x:%x.%x",
		    i.devices[d].group_id == (uint32_t)v.function->group,
		    i.devices[d].segment, i.devices[d].bus,
		    i.devices[d].devfn >> 3, i.devices[d].devfn & 7);
}

/* The reset as it is made well, and its arguments one by one */

static long hot_reset_by(int device, const int32_t *fds, uint32_t n)
{
	struct reset r = {
		.head = {.argsz = (uint32_t)(sizeof(r.head) + n * 4),
			 .count = n},
	};

	if (n)
		memcpy(r.fds, fds, n * sizeof(fds[0]));
	return ioctl(device, VFIO_DEVICE_PCI_HOT_RESET, &r);
}

static long hot_reset(void)
{
	return hot_reset_by(v.device, &v.group, 1);
}

static void each_argument(const char *name)
{
	struct reset good = {
		.head = {.argsz = sizeof(good.head) + 4, .count = 1},
		.fds = {v.group},
	};
	const struct request r = {
		.name = name,
		.fd = &v.device,
		.cmd = VFIO_DEVICE_PCI_HOT_RESET,
		.arg = &good,
		.size = sizeof(good.head) + 4,
		.min = sizeof(good.head),
	};

	sweep_all(&r);
}

static void with_count(const void *arg)
{
	const uint32_t *count = arg;
	struct reset r = {
		.head = {.argsz = sizeof(r), .count = *count},
		.fds = {v.group, v.group, v.group, v.group},
	};

	say_ret(ioctl(v.device, VFIO_DEVICE_PCI_HOT_RESET, &r));
}

static void each_count(const char *name)
{
	static const uint32_t counts[] = {
		0,    1,	  2,	     3,		 4,	     5,
		1024, 0x40000000, INT32_MAX, 0x80000001, UINT32_MAX,
	};

	for (size_t i = 0; i < COUNT(counts); i++)
		run(with_count, &counts[i], "%s.count.%u", name, counts[i]);
}

/* Kinds of descriptors */

static int own(void)
{
	return v.group;
}

static int own_copy(void)
{
	return dup(v.group);
}

static int own_device(void)
{
	return v.device;
}

static int own_container(void)
{
	return v.container;
}

static int other_group(void)
{
	return group_open(function_elsewhere(v.function), O_RDWR);
}

/* Its device is open as well. */
static int other_in_use(void)
{
	static struct vfio o;
	const struct function *f = function_elsewhere(v.function);

	o = (struct vfio){.function = f, .container = container_open()};
	o.group = group_open(f, O_RDWR);
	need(group_join(o.group, o.container), "SET_CONTAINER");
	need(ioctl(o.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU),
	     "SET_IOMMU");
	o.device = (int)need(device_open(o.group, f), "GET_DEVICE_FD");
	return o.group;
}

static int number_closed(void)
{
	int fd = dup(v.group);

	close(fd);
	return fd;
}

static int number_minus_one(void)
{
	return -1;
}

static int number_zero(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return fd;
}

typedef int make_fn(void);

struct list {
	const char *name;
	make_fn *make[FDS]; /* up to the first NULL */
};

static uint32_t make_all(const struct list *l, int32_t fds[FDS])
{
	uint32_t n = 0;

	while (n < FDS && l->make[n]) {
		fds[n] = l->make[n]();
		n++;
	}
	return n;
}

static void with_list(const void *arg)
{
	int32_t fds[FDS];
	uint32_t n = make_all(arg, fds);

	say_ret(hot_reset_by(v.device, fds, n));
	say_touch("after", bar_map(v.device, bar(), PAGE), false);
}

static const struct list lists[] = {
	{"own", {own}},
	{"copy", {own_copy}},
	{"device", {own_device}},
	{"container", {own_container}},
	{"other", {other_group}},
	{"other_in_use", {other_in_use}},
	{"closed", {number_closed}},
	{"own_own", {own, own}},
	{"own_copy", {own, own_copy}},
	{"own_other", {own, other_group}},
	{"other_own", {other_group, own}},
	{"own_other_in_use", {own, other_in_use}},
	{"other_other", {other_group, own_device}},
	{"own_device", {own, own_device}},
	{"device_own", {own_device, own}},
	{"own_container", {own, own_container}},
	{"container_own", {own_container, own}},
	{"own_closed", {own, number_closed}},
	{"closed_own", {number_closed, own}},
	{"own_minus_one", {own, number_minus_one}},
	{"minus_one_own", {number_minus_one, own}},
	{"device_minus_one", {own_device, number_minus_one}},
	{"minus_one_device", {number_minus_one, own_device}},
	{"own_null", {own, number_zero}},
	{"null_own", {number_zero, own}},
	{"other_closed", {other_group, number_closed}},
	{"three", {own, own_copy, other_group}},
	{"three_bad", {number_minus_one, number_minus_one, number_minus_one}},
};

static void with_foreign(const void *arg)
{
	const struct foreign_fd *f = arg;
	int32_t fd = f->make();

	say_ret(hot_reset_by(v.device, &fd, 1));
}

static void each_list(const char *name)
{
	for (size_t i = 0; i < COUNT(lists); i++)
		run(with_list, &lists[i], "%s.fds.%s", name, lists[i].name);
	for (const struct foreign_fd *f = foreign_fds; f->name; f++)
		run(with_foreign, f, "%s.fd.%s", name, f->name);
}

/* Several things wrong: which is said */

struct wrong {
	const char *name;
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
	int32_t fd; /* 0: the own group's */
	bool cut;   /* no memory behind count */
};

static void wrong(const void *arg)
{
	const struct wrong *w = arg;
	struct reset r = {
		.head = {w->argsz, w->flags, w->count},
		.fds = {w->fd ? w->fd : v.group},
	};
	size_t size = w->cut ? sizeof(r.head) : sizeof(r);
	void *p = edge(size);

	memcpy(p, &r, size);
	say_ret(ioctl(v.device, VFIO_DEVICE_PCI_HOT_RESET, p));
}

static const struct wrong wrongs[] = {
	{"argsz_flags", 8, 1, 1, 0, false},
	{"argsz_zero", 0, 0, 1, 0, false},
	{"argsz_head", 12, 0, 1, 0, false},
	{"argsz_part", 14, 0, 1, 0, false},
	{"flags", 16, 1, 1, 0, false},
	{"flags_high", 16, 0x80000000, 1, 0, false},
	{"flags_count", 16, 1, 0, 0, false},
	{"count_none", 16, 0, 0, 0, false},
	{"count_none_cut", 12, 0, 0, 0, true},
	{"many_cut", 16, 0, 1000, 0, true},
	{"many_bad_fd", 16, 0, 1000, -1, false},
	{"cut", 16, 0, 1, 0, true},
	{"flags_cut", 16, 1, 1, 0, true},
	{"bad_fd", 16, 0, 1, -1, false},
	{"bad_fd_flags", 16, 4, 1, -1, false},
};

/* Whose call it is */

static void from_child(const void *arg)
{
	pid_t pid = fork();

	if (!pid) {
		say_step("child", hot_reset());
		_exit(0);
	}
	need(waitpid(pid, NULL, 0), "waitpid");
	say_step("parent", hot_reset());
}

static void second_file(const void *arg)
{
	uint8_t *m = bar_map(v.device, bar(), PAGE);
	int d = (int)need(device_open(v.group, v.function), "second open");

	say_step("second", hot_reset_by(d, &v.group, 1));
	say_touch("of_first", m, false);
	close_fd(&v.device);
	say_step("alone", hot_reset_by(d, &v.group, 1));
	say_touch("of_first", m, false);
}

static void container_closed(const void *arg)
{
	close_fd(&v.container);
	say_step("reset", hot_reset());
	say_touch("after", bar_map(v.device, bar(), PAGE), false);
}

/* The group is not to be had again, and its number is nothing. */
static void group_closed(const void *arg)
{
	int32_t number = v.group;
	int copy = dup(v.group);

	close_fd(&v.group);
	say_step("number", hot_reset_by(v.device, &number, 1));
	say_reopen("open", v.function);
	say_step("copy", hot_reset_by(v.device, &copy, 1));
}

static void several_times(const void *arg)
{
	uint8_t *m = bar_map(v.device, bar(), PAGE);

	for (int i = 0; i < 3; i++) {
		say_step("reset", hot_reset());
		say_touch("load", m, false);
	}
}

/* What a reset leaves */

/* Whether errors are reported is up to the firmware. */
static uint32_t command_of(int device)
{
	return cfg(device, PCI_COMMAND, 2) & ~(uint32_t)PCI_COMMAND_SERR;
}

static void left_mapping(const void *arg)
{
	uint8_t *m = bar_map(v.device, bar(), 2 * PAGE);

	say_touch("before", m, false);
	say_step("reset", hot_reset());
	say_touch("load", m, false);
	say_touch("second_page", m + PAGE, false);
	uint8_t *late = bar_map(v.device, bar(), PAGE);

	say_touch("late", late, false);
}

static void left_contents(const void *arg)
{
	wr32(v.device, kept_at(role), KEPT);
	say_step("reset", hot_reset());
	say_kept("read", role, rd32(v.device, kept_at(role)));
	wr32(v.device, kept_at(role), KEPT);
	say_kept("again", role, rd32(v.device, kept_at(role)));
}

static void left_config(const void *arg)
{
	uint32_t bar0 = cfg(v.device, PCI_BASE_ADDRESS_0, 4);

	command(v.device, 0, PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	cfg_set(v.device, PCI_INTERRUPT_LINE, 1, 0x5a);
	cfg_set(v.device, PCI_CACHE_LINE_SIZE, 1, 0x10);
	say_step("reset", hot_reset());
	say("command=%#x line=%#x cache_line=%#x bar_kept=%d",
	    command_of(v.device), cfg(v.device, PCI_INTERRUPT_LINE, 1),
	    cfg(v.device, PCI_CACHE_LINE_SIZE, 1),
	    cfg(v.device, PCI_BASE_ADDRESS_0, 4) == bar0);
}

static void left_closed(const void *arg)
{
	uint8_t *m = bar_map(v.device, bar(), PAGE);

	say_touch("before", m, false);
	command(v.device, PCI_COMMAND_MEMORY, 0);
	say_step("reset", hot_reset());
	say("memory=%d",
	    !!(cfg(v.device, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY));
	say_touch("closed", m, false);
	say_step("pread",
		 pread(v.device, &(uint32_t){0}, 4, (off_t)kept_at(role)));
	command(v.device, 0, PCI_COMMAND_MEMORY);
	say_touch("open", m, false);
}

static void left_d3hot(const void *arg)
{
	unsigned int pm = cap_need(v.device, PCI_CAP_ID_PM) + PCI_PM_CTRL;
	uint8_t *m = bar_map(v.device, bar(), PAGE);

	cfg_set(v.device, pm, 2, 3);
	say("state=%u", cfg(v.device, pm, 2) & 3);
	say_step("reset", hot_reset());
	say("state=%u", cfg(v.device, pm, 2) & 3);
	say_touch("load", m, false);
	cfg_set(v.device, pm, 2, 0);
	say_touch("awake", m, false);
}

static void left_low_power(const void *arg)
{
	const struct way *way = &ways_all[WAYS - 3];
	uint8_t *m = bar_map(v.device, bar(), PAGE);

	way->close(&v);
	say_step("reset", hot_reset());
	say_touch("load", m, false);
	way->open(&v);
	say_touch("open", m, false);
}

static void left_irq(uint32_t index)
{
	int event = event_new();

	if (!irq_count(v.device, index))
		skip("no such interrupt");
	say_step("set", irq_trigger(v.device, index, 0, event));
	say_step("reset", hot_reset());
	say_step("loopback", set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER, index,
				      0, 1, NULL, 0));
	say("events=%ld", event_now(event));
	say_step("off", set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER, index, 0, 0,
				 NULL, 0));
}

static void left_intx(const void *arg)
{
	left_irq(INTX);
}

static void left_msi(const void *arg)
{
	left_irq(MSI);
}

static void left_msix(const void *arg)
{
	left_irq(MSIX);
}

static void left_req(const void *arg)
{
	left_irq(REQ);
}

static void left_dma(const void *arg)
{
	uint64_t size = PAGE;
	uint8_t *m = bar_map(v.device, bar(), PAGE);

	need(dma_map(v.container, anon(PAGE), PAGE, PAGE, MAP_RW), "MAP_DMA");
	say_step("bar", dma_map(v.container, m, 2 * PAGE, PAGE, MAP_RW));
	say_step("reset", hot_reset());
	say_mappings(v.container);
	say_step("exists",
		 dma_map(v.container, anon(PAGE), PAGE, PAGE, MAP_RW));
	say_step("unmap", dma_unmap(v.container, PAGE, &size, 0));
	say("size=%#" PRIx64, size);
	dma_unmap_all(v.container);
}

static void left_ioeventfd(const void *arg)
{
	struct vfio_device_ioeventfd a = {
		.argsz = sizeof(a),
		.flags = VFIO_DEVICE_IOEVENTFD_32,
		.offset = kept_at(role),
		.fd = event_new(),
	};

	say_step("add", ioctl(v.device, VFIO_DEVICE_IOEVENTFD, &a));
	say_step("reset", hot_reset());
	say_step("again", ioctl(v.device, VFIO_DEVICE_IOEVENTFD, &a));
	a.fd = -1;
	say_step("remove", ioctl(v.device, VFIO_DEVICE_IOEVENTFD, &a));
}

static void left_child(const void *arg)
{
	uint8_t *m = bar_map(v.device, bar(), PAGE);
	int ends[2];

	say_touch("before", m, false);
	turns_new(ends);
	pid_t pid = fork();

	if (!pid) {
		vfio_close(&v);
		turn_take(ends[1]);
		say_touch("child", m, false);
		_exit(0);
	}
	say_step("reset", hot_reset());
	turn_pass(ends[0]);
	need(waitpid(pid, NULL, 0), "waitpid");
	say_touch("parent", m, false);
}

struct left {
	const char *name;
	case_fn *fn;
};

static const struct left lefts[] = {
	{"mapping", left_mapping},
	{"contents", left_contents},
	{"config", left_config},
	{"closed", left_closed},
	{"d3hot", left_d3hot},
	{"low_power", left_low_power},
	{"intx", left_intx},
	{"msi", left_msi},
	{"msix", left_msix},
	{"req", left_req},
	{"dma", left_dma},
	{"ioeventfd", left_ioeventfd},
	{"child", left_child},
	{"from_child", from_child},
	{"second_file", second_file},
	{"container_closed", container_closed},
	{"group_closed", group_closed},
	{"several_times", several_times},
};

/* Two functions of a slot: @s is the other one, of the same group. */

static struct vfio s;
static uint8_t *mine, *others;

static void sibling_open(void)
{
	s = v;
	s.function = function_need("edu", 1);
	s.device = (int)need(device_open(v.group, s.function),
			     "GET_DEVICE_FD of the sibling");
	mine = bar_map(v.device, bar(), PAGE);
	others = bar_map(s.device, bar(), PAGE);
}

static void say_both(void)
{
	say_touch("mine", mine, false);
	say_touch("others", others, false);
}

static void both_mapped(const void *arg)
{
	sibling_open();
	say_both();
	say_step("reset", hot_reset());
	say_both();
	say_step("by_other", hot_reset_by(s.device, &v.group, 1));
	say_both();
}

static void both_contents(const void *arg)
{
	sibling_open();
	wr32(v.device, kept_at(role), KEPT);
	wr32(s.device, kept_at(role), KEPT);
	say_step("reset", hot_reset());
	say_kept("mine", role, rd32(v.device, kept_at(role)));
	say_kept("others", role, rd32(s.device, kept_at(role)));
}

static void both_config(const void *arg)
{
	sibling_open();
	command(s.device, 0, PCI_COMMAND_MASTER);
	cfg_set(s.device, PCI_INTERRUPT_LINE, 1, 0x5a);
	say_step("reset", hot_reset());
	say("command=%#x line=%#x", command_of(s.device),
	    cfg(s.device, PCI_INTERRUPT_LINE, 1));
}

static void other_closed(const void *arg)
{
	sibling_open();
	command(s.device, PCI_COMMAND_MEMORY, 0);
	say_step("reset", hot_reset());
	say_both();
	command(s.device, 0, PCI_COMMAND_MEMORY);
	say_both();
	command(v.device, PCI_COMMAND_MEMORY, 0);
	say_step("reset", hot_reset());
	say_both();
	command(v.device, 0, PCI_COMMAND_MEMORY);
}

static void other_low_power(const void *arg)
{
	const struct way *way = &ways_all[WAYS - 3];

	sibling_open();
	way->close(&s);
	say_step("reset", hot_reset());
	say_both();
	way->open(&s);
	say_both();
}

/* Nobody has its file any more, but a mapping lives. */
static void other_mapping(const void *arg)
{
	sibling_open();
	close_fd(&s.device);
	say_step("reset", hot_reset());
	say_both();
}

static void other_msi(const void *arg)
{
	int event = event_new();

	sibling_open();
	say_step("set", irq_trigger(s.device, MSI, 0, event));
	say_step("reset", hot_reset());
	say_step("loopback", set_irqs(s.device, IRQ_NONE | IRQ_TRIGGER, MSI, 0,
				      1, NULL, 0));
	say("events=%ld", event_now(event));
}

/* It is another process's, which has got the group from this one. */
static void other_process(const void *arg)
{
	int ends[2];

	turns_new(ends);
	pid_t pid = fork();

	if (!pid) {
		sibling_open();
		say_touch("child", others, false);
		turn_pass(ends[1]);
		turn_take(ends[1]);
		say_touch("child", others, false);
		_exit(0);
	}
	turn_take(ends[0]);
	say_step("reset", hot_reset());
	turn_pass(ends[0]);
	need(waitpid(pid, NULL, 0), "waitpid");
	say_touch("after", bar_map(v.device, bar(), PAGE), false);
}

static void other_ioeventfd(const void *arg)
{
	struct vfio_device_ioeventfd a = {
		.argsz = sizeof(a),
		.flags = VFIO_DEVICE_IOEVENTFD_32,
		.offset = kept_at(role),
		.fd = event_new(),
	};

	sibling_open();
	say_step("add", ioctl(s.device, VFIO_DEVICE_IOEVENTFD, &a));
	say_step("reset", hot_reset());
	a.fd = -1;
	say_step("remove", ioctl(s.device, VFIO_DEVICE_IOEVENTFD, &a));
}

/* Its user does not see it. */
static void other_used(const void *arg)
{
	sibling_open();
	user_start(others);
	/* a sibling that is in the middle of something is EBUSY */
	for (int i = 0; i < 5; i++)
		while (hot_reset() && errno == EBUSY)
			;
	say("signals=%u", user_end());
}

static const struct left both_cases[] = {
	{"mapped", both_mapped},
	{"contents", both_contents},
	{"config", both_config},
	{"closed", other_closed},
	{"low_power", other_low_power},
	{"mapping", other_mapping},
	{"msi", other_msi},
	{"process", other_process},
	{"ioeventfd", other_ioeventfd},
	{"used", other_used},
};

/* Interrupts of a real device after it: edu raises one by itself. */
static void raises(uint32_t index)
{
	int event = event_new();

	need(irq_trigger(v.device, index, 0, event), "interrupt");
	command(v.device, 0, PCI_COMMAND_MASTER);
	wr32(v.device, REGION(0) + 0x60, 1);
	say("before=%ld", event_wait(event));
	wr32(v.device, REGION(0) + 0x64, 1);
	if (index == INTX)
		set_irqs(v.device, IRQ_NONE | IRQ_UNMASK, INTX, 0, 1, NULL, 0);
	say_step("reset", hot_reset());
	say("spurious=%ld", event_none(event));
	wr32(v.device, REGION(0) + 0x60, 1);
	say("after=%ld", event_wait(event));
	wr32(v.device, REGION(0) + 0x64, 1);
	irq_off(v.device, index);
}

static void raises_intx(const void *arg)
{
	raises(INTX);
}

static void raises_msi(const void *arg)
{
	raises(MSI);
}

static void after(void)
{
	gate_quiet(&v);
}

static void of_pair(void)
{
	fixture_open(&v, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	run(say_info, NULL, "pair.info");
	each_info("pair.info", 2);
	each_argument("pair.reset");
	each_count("pair");
	each_list("pair");
	for (size_t i = 0; i < COUNT(both_cases); i++)
		run(both_cases[i].fn, NULL, "pair.both.%s", both_cases[i].name);
	run(raises_intx, NULL, "pair.raises.intx");
	run(raises_msi, NULL, "pair.raises.msi");
	fixture_close(&v);
}

static void of_role(const char *name, unsigned int nth)
{
	fixture_open(&v, role->name, nth, DEVICE, VFIO_TYPE1v2_IOMMU);
	run(say_info, NULL, "%s.info", name);
	for (size_t i = 0; i < COUNT(lefts); i++)
		run(lefts[i].fn, NULL, "%s.left.%s", name, lefts[i].name);
	fixture_close(&v);
}

static void of_single(void)
{
	fixture_open(&v, "edu", 2, DEVICE, VFIO_TYPE1v2_IOMMU);
	each_info("single.info", 1);
	each_count("single");
	each_list("single");
	for (size_t i = 0; i < COUNT(wrongs); i++)
		run(wrong, &wrongs[i], "single.wrong.%s", wrongs[i].name);
	fixture_close(&v);
}

void area_hotreset(void)
{
	run_after(after);
	role = &roles_all[0];
	of_pair();
	of_single();
	of_role("single", 2);
	of_role("member", 0);
	for (size_t i = 1; i < ROLES; i++) {
		role = &roles_all[i];
		of_role(role->name, 0);
	}
}

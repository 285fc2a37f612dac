/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO_DEVICE_IOEVENTFD: where one may write and what, which are the same, how
 * many there are, what their signals do, and what ends them.
 *
 * They stay with the device when a case ends, so each case has it opened for
 * itself, or removes what it has added.
 */
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>

#include "conformance/gate.h"

#define LIMIT 1000u

static struct vfio v;

static long ask(uint32_t flags, uint64_t offset, uint64_t data, int fd)
{
	struct vfio_device_ioeventfd arg = {
		.argsz = sizeof(arg),
		.flags = flags,
		.offset = offset,
		.data = data,
		.fd = fd,
	};

	return ioctl(v.device, VFIO_DEVICE_IOEVENTFD, &arg);
}

/* Where, and how many bytes */

struct place {
	uint32_t size;
	uint64_t offset;
};

static void place(const void *arg)
{
	const struct place *p = arg;

	if (say_ret(ask(p->size, p->offset, 1, event_new())))
		return;
	say_step("remove", ask(p->size, p->offset, 1, -1));
}

static const uint32_t sizes[] = {1, 2, 4, 8};

static void each_region(const struct role *role)
{
	struct place p;

	for (uint32_t region = 0; region <= 10; region++) {
		p = (struct place){4, REGION(region) + 64};
		run(place, &p, "%s.region.%u", role->name, region);
	}
}

/* At the ends of a BAR */
struct edge {
	const struct role *role;
	uint32_t size;
	bool from_end;
	int64_t pos;
};

static void at_edge(const void *arg)
{
	const struct edge *e = arg;
	const struct place p = {
		e->size,
		REGION(e->role->bar) + (uint64_t)e->pos +
			(e->from_end ? region_size(v.device, e->role->bar)
				     : 0)};

	place(&p);
}

static void each_edge(const struct role *role)
{
	static const struct {
		const char *name;
		bool from_end;
		int64_t pos;
	} edges[] = {
		{"start", false, 0},	   {"odd_1", false, 1},
		{"odd_2", false, 2},	   {"odd_3", false, 3},
		{"odd_4", false, 4},	   {"across_page", false, 4095},
		{"last_8", true, -8},	   {"last_4", true, -4},
		{"last_2", true, -2},	   {"last_1", true, -1},
		{"end", true, 0},	   {"behind", true, 1},
		{"far", false, 1ll << 39}, {"farthest", false, (1ll << 40) - 1},
	};

	for (size_t i = 0; i < COUNT(edges); i++)
		for (size_t s = 0; s < COUNT(sizes); s++) {
			const struct edge e = {role, sizes[s],
					       edges[i].from_end, edges[i].pos};

			run(at_edge, &e, "%s.edge.%s.%u", role->name,
			    edges[i].name, sizes[s]);
		}
}

/* The MSI-X table is the kernel's; what is beside it is not. */
struct near_table {
	uint32_t size;
	bool from_end;
	int pos;
	bool pba;
};

static void near_table(const void *arg)
{
	const struct near_table *n = arg;
	unsigned int cap = cap_need(v.device, PCI_CAP_ID_MSIX);
	uint32_t where = cfg(v.device,
			     cap + (n->pba ? PCI_MSIX_PBA : PCI_MSIX_TABLE), 4);
	uint64_t size = n->pba ? 8
			       : 16 * ((cfg(v.device, cap + PCI_MSIX_FLAGS, 2) &
					PCI_MSIX_FLAGS_QSIZE) +
				       1);
	const struct place p = {n->size,
				REGION(where & PCI_MSIX_TABLE_BIR) +
					(where & PCI_MSIX_TABLE_OFFSET) +
					(n->from_end ? size : 0) +
					(uint64_t)(int64_t)n->pos};

	place(&p);
}

static void each_near_table(const struct role *role)
{
	static const struct {
		const char *name;
		bool from_end;
		int pos;
		bool pba;
	} places[] = {
		{"before", false, -8, false}, {"into", false, -1, false},
		{"first", false, 0, false},   {"inside", false, 20, false},
		{"last_1", true, -1, false},  {"last_8", true, -8, false},
		{"behind", true, 0, false},   {"behind_8", true, 8, false},
		{"pba", false, 0, true},
	};

	for (size_t i = 0; i < COUNT(places); i++)
		for (size_t s = 0; s < COUNT(sizes); s++) {
			const struct near_table n = {
				sizes[s], places[i].from_end, places[i].pos,
				places[i].pba};

			run(near_table, &n, "%s.table.%s.%u", role->name,
			    places[i].name, sizes[s]);
		}
}

/* Sizes and flags of the ioctl, its pointer, and descriptors */

static struct vfio_device_ioeventfd good;

static void say_removed(void)
{
	say_step("remove", ask(good.flags, good.offset, good.data, -1));
}

static void each_argument(void)
{
	struct request r = {
		.name = "arg",
		.fd = &v.device,
		.cmd = VFIO_DEVICE_IOEVENTFD,
		.arg = &good,
		.size = sizeof(good),
		.min = offsetof(struct vfio_device_ioeventfd, reserved),
		.then = say_removed,
	};

	good = (struct vfio_device_ioeventfd){
		.argsz = sizeof(good),
		.flags = VFIO_DEVICE_IOEVENTFD_32,
		.offset = REGION(2) + 64,
		.data = 5,
		.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.reserved = 0x77,
	};
	sweep_all(&r);
	close(good.fd);
}

static void flags_of(const void *arg)
{
	const uint32_t *flags = arg;

	say_ret(ask(*flags, REGION(2) + 64, 1, event_new()));
	for (size_t s = 0; s < COUNT(sizes); s++)
		ask(sizes[s], REGION(2) + 64, 1, -1);
}

static void each_flags(void)
{
	for (uint32_t flags = 0; flags <= 32; flags++)
		run(flags_of, &flags, "flags.%u", flags);
}

static void with_fd(const void *arg)
{
	const struct foreign_fd *f = arg;

	if (!say_ret(ask(4, REGION(2) + 64, 1, f->make())))
		say_step("remove", ask(4, REGION(2) + 64, 1, -1));
	say_step("add", ask(4, REGION(2) + 64, 1, event_new()));
	say_step("remove", ask(4, REGION(2) + 64, 1, -1));
}

static int make_two(void)
{
	return -2;
}

static int make_blocking(void)
{
	return eventfd(0, EFD_CLOEXEC);
}

static int make_group(void)
{
	return dup(v.group);
}

static int make_device(void)
{
	return dup(v.device);
}

static void each_fd(void)
{
	static const struct foreign_fd more[] = {
		{"minus_two", make_two},     {"semaphore", event_semaphore},
		{"blocking", make_blocking}, {"group", make_group},
		{"device", make_device},
	};

	for (const struct foreign_fd *f = foreign_fds; f->name; f++)
		run(with_fd, f, "fd.%s", f->name);
	for (size_t i = 0; i < COUNT(more); i++)
		run(with_fd, &more[i], "fd.%s", more[i].name);
}

/* Several things wrong: which is said */

struct wrong {
	const char *name;
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	int fd; /* -3: a pipe */
};

static void wrong(const void *arg)
{
	const struct wrong *w = arg;
	int ends[2];
	struct vfio_device_ioeventfd a = {
		.argsz = w->argsz,
		.flags = w->flags,
		.offset = w->offset,
		.data = 1,
		.fd = w->fd,
	};

	need(pipe2(ends, O_CLOEXEC), "pipe");
	if (w->fd == -3)
		a.fd = ends[0];
	say_ret(ioctl(v.device, VFIO_DEVICE_IOEVENTFD, &a));
}

static const struct wrong wrongs[] = {
	{"argsz_flags", 8, 0x30, REGION(2), 4000000},
	{"flags_fd", 32, 0x10, REGION(2), -2},
	{"sizes_fd", 32, 3, REGION(2), -2},
	{"fd_region", 32, 4, CONFIG, -2},
	{"fd_absent", 32, 4, REGION(1), -2},
	{"region_bad_fd", 32, 4, CONFIG, 4000000},
	{"absent_bad_fd", 32, 4, REGION(1), 4000000},
	{"absent_pipe", 32, 4, REGION(1), -3},
	{"absent_remove", 32, 4, REGION(1), -1},
	{"region_remove", 32, 4, CONFIG, -1},
	{"rom_remove", 32, 4, ROM_REGION, -1},
	{"behind_remove", 32, 4, REGION(2) + (1ull << 39), -1},
	{"unknown_remove", 32, 4, REGION(2), -1},
	{"unknown_remove_64", 32, 8, REGION(2), -1},
	{"bad_fd", 32, 4, REGION(2), 4000000},
	{"pipe", 32, 4, REGION(2), -3},
	{"bad_fd_64", 32, 8, REGION(2), 4000000},
};

/* Which are the same */

static long add(const char *key, uint32_t size, uint64_t at, uint64_t data)
{
	return say_step(key, ask(size, REGION(2) + at, data, event_new()));
}

static long drop(const char *key, uint32_t size, uint64_t at, uint64_t data)
{
	return say_step(key, ask(size, REGION(2) + at, data, -1));
}

static void same(const void *arg)
{
	int event = event_new();

	add("first", 4, 64, 1);
	add("again", 4, 64, 1);
	say_step("own", ask(4, REGION(2) + 64, 2, event));
	say_step("own_again", ask(4, REGION(2) + 64, 2, event));
	say_step("own_elsewhere", ask(4, REGION(2) + 68, 2, event));
	add("data", 4, 64, 3);
	add("upper_data", 4, 64, 1ull << 32 | 1);
	add("size_1", 1, 64, 1);
	add("size_2", 2, 64, 1);
	add("overlap", 4, 62, 1);
	add("other_bar", 4, (uint64_t) - (int64_t)REGION(2) + 64, 1);
	drop("drop", 4, 64, 1);
	drop("drop_again", 4, 64, 1);
	add("first", 4, 64, 1);
	say_step("bad_fd", ask(4, REGION(2) + 64, 1, 4000000));
	say_step("bad_fd_elsewhere", ask(4, REGION(2) + 72, 1, 4000000));
}

static void removal(const void *arg)
{
	add("add", 4, 64, 1);
	drop("offset", 4, 68, 1);
	drop("data", 4, 64, 2);
	drop("upper_data", 4, 64, 1ull << 32 | 1);
	drop("size", 2, 64, 1);
	drop("other_bar", 4, (uint64_t) - (int64_t)REGION(2) + 64, 1);
	say_step("minus_two", ask(4, REGION(2) + 64, 1, -2));
	drop("right", 4, 64, 1);
	drop("gone", 4, 64, 1);
}

static void other_file(const void *arg)
{
	struct vfio mine = v;

	add("add", 4, 64, 1);
	v.device = (int)need(device_open(v.group, v.function), "second open");
	add("second", 4, 64, 1);
	add("of_second", 4, 68, 1);
	close(v.device);
	v = mine;
	add("first", 4, 68, 1);
	drop("drop", 4, 68, 1);
	drop("drop", 4, 64, 1);
}

static void reopened(const void *arg)
{
	add("add", 4, 64, 1);
	close_fd(&v.device);
	v.device = (int)need(device_open(v.group, v.function), "open");
	drop("drop", 4, 64, 1);
	add("add", 4, 64, 1);
}

static void after_reset(const void *arg)
{
	add("add", 4, 64, 1);
	say_step("reset", ioctl(v.device, VFIO_DEVICE_RESET));
	add("again", 4, 64, 1);
	drop("drop", 4, 64, 1);
}

static void user_closed(const void *arg)
{
	int event = event_new();

	say_step("add", ask(4, REGION(2) + 64, 1, event));
	close(event);
	add("again", 4, 64, 1);
	drop("drop", 4, 64, 1);
	drop("drop", 4, 64, 1);
}

static void in_child(const void *arg)
{
	pid_t pid = fork();

	if (!pid) {
		add("child", 4, 64, 1);
		_exit(0);
	}
	need(waitpid(pid, NULL, 0), "waitpid");
	add("parent", 4, 64, 1);
	drop("drop", 4, 64, 1);
}

/* As many as there may be, all by one eventfd */

static uint32_t fill(int event)
{
	uint32_t n = 0;

	while (n <= LIMIT && !ask(4, REGION(2) + 4 * (uint64_t)n, 1, event))
		n++;
	return n;
}

static void limit(const void *arg)
{
	int event = event_new();

	say("added=%u", fill(event));
	add("another", 4, 8192, 1);
	add("same", 4, 0, 1);
	say_step("bad_fd", ask(4, REGION(2) + 8192, 1, 4000000));
	drop("unknown", 4, 8192, 1);
	drop("drop", 4, 0, 1);
	add("another", 4, 8192, 1);
	add("one_more", 4, 8196, 1);
}

static void limit_ends(const void *arg)
{
	say("added=%u", fill(event_new()));
	close_fd(&v.device);
	v.device = (int)need(device_open(v.group, v.function), "open");
	say("added=%u", fill(event_new()));
}

/* Signals. Softvfio's watcher takes them in its own time. */

static bool arrives(uint32_t pos, uint32_t val)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	for (time_t end = now.tv_sec + 5; now.tv_sec < end;) {
		if (rd32(v.device, REGION(2) + pos) == val)
			return true;
		clock_gettime(CLOCK_MONOTONIC, &now);
	}
	return false;
}

static void ring(int event, uint64_t n)
{
	need(write(event, &n, sizeof(n)), "write");
}

/* Until it is drained, or would have been: what is left of it. */
static long left_after(int event, int ms)
{
	struct pollfd p = {.fd = event, .events = POLLIN};

	for (int i = 0; i < ms && poll(&p, 1, 0) > 0; i++)
		poll(NULL, 0, 1);
	return event_now(event);
}

/* Somebody takes it. */
static long taken(int event)
{
	return left_after(event, 5000);
}

/* Nobody does. */
static long left(int event)
{
	return left_after(event, 40);
}

static void prepare(uint32_t pos)
{
	wr32(v.device, REGION(2) + pos, 0xffffffff);
	wr32(v.device, REGION(2) + pos + 4, 0xffffffff);
}

static int armed(uint32_t size, uint32_t pos, uint64_t data)
{
	int event = event_new();

	prepare(pos & ~7u);
	say_step("add", ask(size, REGION(2) + pos, data, event));
	return event;
}

static void say_words(uint32_t pos)
{
	say("low=%#x high=%#x", rd32(v.device, REGION(2) + pos),
	    rd32(v.device, REGION(2) + pos + 4));
}

struct effect {
	uint32_t size;
	uint32_t pos;
	uint32_t low; /* what tells that it is done: the words at 64 */
	uint32_t high;
};

#define DATA 0x8877665544332211ull

static void effect(const void *arg)
{
	const struct effect *e = arg;
	int event = armed(e->size, 64 + e->pos, DATA);

	ring(event, 1);
	say("left=%ld", taken(event));
	say("low=%d high=%d", arrives(64, e->low), arrives(68, e->high));
	say_words(64);
}

static void each_effect(void)
{
	static const struct effect effects[] = {
		{1, 0, 0xffffff11, 0xffffffff}, {1, 3, 0x11ffffff, 0xffffffff},
		{2, 0, 0xffff2211, 0xffffffff}, {2, 1, 0xff2211ff, 0xffffffff},
		{2, 3, 0x11ffffff, 0xffffff22}, {4, 0, 0x44332211, 0xffffffff},
		{4, 2, 0x2211ffff, 0xffff4433},
	};

	for (size_t i = 0; i < COUNT(effects); i++)
		run(effect, &effects[i], "effect.%u_at_%u", effects[i].size,
		    effects[i].pos);
}

/* A signal of more than one is one write. */
static void many(const void *arg)
{
	int event = armed(4, 64, 7);

	ring(event, 5);
	say("left=%ld", taken(event));
	say("arrives=%d", arrives(64, 7));
	prepare(64);
	ring(event, 1);
	say("left=%ld", taken(event));
	say("again=%d", arrives(64, 7));
}

static void shared(const void *arg)
{
	int event = armed(4, 64, 7);

	say_step("second", ask(4, REGION(2) + 68, 9, event));
	ring(event, 1);
	say("left=%ld", taken(event));
	say("first=%d second=%d", arrives(64, 7), arrives(68, 9));
	drop("drop", 4, 64, 7);
	prepare(64);
	ring(event, 1);
	say("second=%d", arrives(68, 9));
	say_words(64);
	drop("drop", 4, 68, 9);
	prepare(64);
	ring(event, 1);
	say("left=%ld", left(event));
	say_words(64);
}

static void dropped(const void *arg)
{
	int event = armed(4, 64, 7);

	drop("drop", 4, 64, 7);
	ring(event, 3);
	say("left=%ld", left(event));
	say_words(64);
}

/* Of two writes to one place, whose is the last */
static void shared_order(const void *arg)
{
	int event = armed(4, 64, 7);

	say_step("second", ask(4, REGION(2) + 64, 9, event));
	ring(event, 1);
	say("left=%ld", taken(event));
	say("low=%#x", rd32(v.device, REGION(2) + 64));
}

/* There is no time between a signal and its write. */
static void dropped_after(const void *arg)
{
	int event = armed(4, 64, 7);

	ring(event, 1);
	drop("drop", 4, 64, 7);
	say_words(64);
	say("left=%ld", left(event));
}

static void say_left(int event, uint64_t want)
{
	say("left=%#" PRIx64, event_left(event, want));
}

/* A signal from before is one write, and is not taken. */
static void signalled_before_by(int event)
{
	prepare(64);
	ring(event, 3);
	say_step("add", ask(4, REGION(2) + 64, 7, event));
	say("arrives=%d", arrives(64, 7));
	say_left(event, 3);
	prepare(64);
	ring(event, 1);
	say("arrives=%d", arrives(64, 7));
}

static void signalled_before(const void *arg)
{
	int event = event_new();

	signalled_before_by(event);
	say_left(event, 0);
}

static void semaphore_before(const void *arg)
{
	int event = event_semaphore();

	signalled_before_by(event);
	say_left(event, 3);
}

/* Of a semaphore a signal takes one, whatever the counter says. */
static void semaphore(const void *arg)
{
	int event = event_semaphore();

	prepare(64);
	say_step("add", ask(4, REGION(2) + 64, 7, event));
	ring(event, 3);
	say("arrives=%d", arrives(64, 7));
	say_left(event, 2);
	prepare(64);
	say_words(64);
	say_left(event, 2);
	ring(event, 1);
	say("arrives=%d", arrives(64, 7));
	say_left(event, 2);
}

static void semaphore_full(const void *arg)
{
	int event = event_semaphore();

	say_step("add", ask(4, REGION(2) + 64, 7, event));
	for (int i = 0; i < 3; i++) {
		prepare(64);
		ring(event, i ? 1 : UINT64_MAX - 1);
		say("arrives=%d", arrives(64, 7));
		say_left(event, UINT64_MAX - 2);
	}
}

/* Each of them takes one; one that comes later finds what is left. */
static void semaphore_shared(const void *arg)
{
	int event = event_semaphore();

	prepare(64);
	say_step("first", ask(4, REGION(2) + 64, 7, event));
	say_step("second", ask(4, REGION(2) + 68, 9, event));
	ring(event, 5);
	say("first=%d second=%d", arrives(64, 7), arrives(68, 9));
	say_left(event, 3);
	prepare(64);
	wr32(v.device, REGION(2) + 72, 0xffffffff);
	say_step("third", ask(4, REGION(2) + 72, 11, event));
	say("third=%d", arrives(72, 11));
	say_left(event, 3);
	say_words(64);
	ring(event, 1);
	say_left(event, 1);
}

static void semaphore_gate(const void *arg)
{
	int event = event_semaphore();

	prepare(64);
	say_step("add", ask(4, REGION(2) + 64, 7, event));
	command(v.device, PCI_COMMAND_MEMORY, 0);
	ring(event, 3);
	say_left(event, 2);
	command(v.device, 0, PCI_COMMAND_MEMORY);
	say_words(64);
}

static void child_signals(const void *arg)
{
	int event = armed(4, 64, 7);
	pid_t pid = fork();

	if (!pid) {
		vfio_close(&v);
		ring(event, 1);
		_exit(0);
	}
	need(waitpid(pid, NULL, 0), "waitpid");
	say("arrives=%d", arrives(64, 7));
}

static void last_file_closed(const void *arg)
{
	int event = armed(4, 64, 7);
	uint8_t *m = bar_map(v.device, REGION(2), PAGE);

	close_fd(&v.device);
	ring(event, 1);
	volatile uint32_t *word = (void *)(m + 64);

	say("left=%ld", taken(event));
	for (int i = 0; i < 5000 && *word != 7; i++)
		poll(NULL, 0, 1);
	say("mapping=%#x", *word);
}

/* With the last file and mapping it has gone: nobody takes a signal. */
static void all_closed(const void *arg)
{
	int event = armed(4, 64, 7);

	vfio_close(&v);
	vfio_open(&v, "ram", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	ring(event, 1);
	say("left=%ld", left(event));
}

/* The gate: dropped when it is closed, and not kept for later. */
static void gate(const void *arg)
{
	const struct way *way = arg;
	int event = armed(4, 64, 7);

	way->close(&v);
	ring(event, 1);
	say("left=%ld", taken(event));
	way->open(&v);
	say_words(64);
	ring(event, 1);
	say("open=%d", arrives(64, 7));
}

static void gate_adds(const void *arg)
{
	const struct way *way = arg;
	int event = event_new();

	prepare(64);
	way->close(&v);
	say_step("add", ask(4, REGION(2) + 64, 7, event));
	say_step("again", ask(4, REGION(2) + 64, 7, event));
	drop("drop", 4, 64, 7);
	say_step("add", ask(4, REGION(2) + 64, 7, event));
	ring(event, 1);
	say("left=%ld", taken(event));
	way->open(&v);
	say_words(64);
	ring(event, 1);
	say("open=%d", arrives(64, 7));
}

static void each_gate(void)
{
	for (size_t i = 0; i < WAYS; i++) {
		if (!way_suits(&ways_all[i], &roles_all[2]))
			continue;
		run(gate, &ways_all[i], "gate.%s.signal", ways_all[i].name);
		run(gate_adds, &ways_all[i], "gate.%s.add", ways_all[i].name);
	}
}

static void through_reset(const void *arg)
{
	int event = armed(4, 64, 7);

	say_step("reset", ioctl(v.device, VFIO_DEVICE_RESET));
	prepare(64);
	ring(event, 1);
	say("left=%ld", taken(event));
	say("arrives=%d", arrives(64, 7));
}

/* Registers of a device: edu's liveness, read back inverted */
static void register_of_edu(const void *arg)
{
	int event = event_new();
	struct timespec now;
	uint32_t val = 0;

	say_step("add", ask(4, REGION(0) + 4, KEPT, event));
	ring(event, 1);
	clock_gettime(CLOCK_MONOTONIC, &now);
	for (time_t end = now.tv_sec + 5; now.tv_sec < end && !val;) {
		val = rd32(v.device, REGION(0) + 4);
		clock_gettime(CLOCK_MONOTONIC, &now);
	}
	say("read=%#x left=%ld", val, taken(event));
	say_step("remove", ask(4, REGION(0) + 4, KEPT, -1));
}

/* Ports have no memory to be disabled. */
static void ports(const void *arg)
{
	int event = event_new();

	say_step("add", ask(4, REGION(2), 0x10, event));
	command(v.device, PCI_COMMAND_MEMORY, 0);
	ring(event, 1);
	say("left=%ld", taken(event));
	command(v.device, PCI_COMMAND_IO, PCI_COMMAND_MEMORY);
	ring(event, 1);
	say("left=%ld", taken(event));
	command(v.device, 0, PCI_COMMAND_IO);
	say_step("remove", ask(4, REGION(2), 0x10, -1));
}

struct alone {
	const char *name;
	case_fn *fn;
};

/* With ram, opened for the case alone */
static const struct alone alone[] = {
	{"same", same},
	{"removal", removal},
	{"other_file", other_file},
	{"reopened", reopened},
	{"after_reset", after_reset},
	{"user_closed", user_closed},
	{"in_child", in_child},
	{"limit", limit},
	{"limit_ends", limit_ends},
	{"effect.many", many},
	{"effect.shared", shared},
	{"effect.dropped", dropped},
	{"effect.signalled_before", signalled_before},
	{"effect.shared_order", shared_order},
	{"effect.dropped_after", dropped_after},
	{"effect.semaphore", semaphore},
	{"effect.semaphore_before", semaphore_before},
	{"effect.semaphore_full", semaphore_full},
	{"effect.semaphore_shared", semaphore_shared},
	{"effect.semaphore_gate", semaphore_gate},
	{"effect.child", child_signals},
	{"effect.file_closed", last_file_closed},
	{"effect.all_closed", all_closed},
	{"effect.reset", through_reset},
};

static void run_alone(const void *arg)
{
	const struct alone *a = arg;

	vfio_open(&v, "ram", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	a->fn(NULL);
}

static void clear(void)
{
	if (v.device < 0)
		return;
	for (size_t s = 0; s < COUNT(sizes); s++)
		for (uint32_t pos = 64; pos < 72; pos++) {
			ask(sizes[s], REGION(2) + pos, DATA, -1);
			ask(sizes[s], REGION(2) + pos, 7, -1);
		}
	gate_quiet(&v);
}

static void of_role(const struct role *role)
{
	fixture_open(&v, role->name, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	each_region(role);
	if (!strcmp(role->name, "edu") || !strcmp(role->name, "ram"))
		each_edge(role);
	if (!strcmp(role->name, "nvme") || !strcmp(role->name, "nic"))
		each_near_table(role);
	if (!strcmp(role->name, "edu"))
		run(register_of_edu, NULL, "edu.register");
	if (!strcmp(role->name, "nic"))
		run(ports, NULL, "nic.ports");
	fixture_close(&v);
}

void area_ioeventfd(void)
{
	run_after(clear);
	for (size_t i = 0; i < ROLES; i++)
		of_role(&roles_all[i]);
	fixture_open(&v, "ram", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	each_argument();
	each_flags();
	each_fd();
	for (size_t i = 0; i < COUNT(wrongs); i++)
		run(wrong, &wrongs[i], "wrong.%s", wrongs[i].name);
	each_effect();
	each_gate();
	fixture_close(&v);
	for (size_t i = 0; i < COUNT(alone); i++)
		run(run_alone, &alone[i], "%s", alone[i].name);
}

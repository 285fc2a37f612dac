/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory gate, from where the program sits: what its mappings do while
 * memory decode, resets and power states come and go. Tests are named by the
 * criterion they are about; the second argument is a number of rounds.
 *
 * The machine: gate_machine in test_gate.py.
 */
#include "tests/client/victim.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define MAIN	  "0000:01:00.0" /* ram with 64 MiB, and a sibling */
#define SIBLING	  "0000:01:00.1" /* in the slot and group of MAIN */
#define AF	  "0000:02:00.0" /* ram with FLR through AF, NoSoftRst */
#define EDU_A	  "0000:03:00.0"
#define EDU_B	  "0000:04:00.0"
#define PCIE	  "0000:05:00.0" /* nvme, with FLR through PCIe */
#define SIZE	  (64ul << 20)
#define PROCESSES 4
#define THREADS	  64
#define STORERS	  4	/* in each of two processes */
#define STOPPED	  3600u /* seconds until a hang is called one */

#define PM_CAP 0x40
#define PMCSR  (PM_CAP + 4)
#define AF_CTL (0xc0 + 4)
#define DEVCTL (0x80 + 8)

/* What all processes of a test see. */
static struct shared {
	pthread_barrier_t barrier;
	_Atomic unsigned int gate; /* odd: closed, by one that has returned */
	atomic_bool stop;
	_Atomic unsigned long stores, faults;
} * shared;

static struct vfio vfio;
static __thread sigjmp_buf on_bus;
static __thread siginfo_t bus;

static void caught(int sig, siginfo_t *info, void *context)
{
	(void)context;
	bus = *info;
	siglongjmp(on_bus, sig);
}

static void catch_faults(void)
{
	struct sigaction sa = {.sa_sigaction = caught,
			       .sa_flags = SA_SIGINFO | SA_NODEFER};

	CHECK(!sigaction(SIGBUS, &sa, NULL) && !sigaction(SIGSEGV, &sa, NULL));
}

static void start(const char *bdf)
{
	pthread_barrierattr_t attr;

	alarm(STOPPED);
	shared = mmap(NULL, sizeof(*shared), RW, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	CHECK(shared != MAP_FAILED);
	CHECK(!pthread_barrierattr_init(&attr));
	CHECK(!pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
	CHECK(!pthread_barrier_init(&shared->barrier, &attr,
				    PROCESSES * THREADS));
	catch_faults();
	vfio_open(&vfio, bdf);
	command_set(vfio.device, 2);
}

static unsigned long rounds_of(char **args)
{
	return args[0] ? strtoul(args[0], NULL, 0) : 100;
}

static void memory(bool on)
{
	command_set(vfio.device, on ? 2 : 0);
}

/* The signal a touch got, 0 = none. */
static int store(volatile uint64_t *at, uint64_t val)
{
	int sig = sigsetjmp(on_bus, 0);

	if (!sig)
		*at = val;
	return sig;
}

static int load(volatile uint64_t *at, uint64_t *ret_val)
{
	int sig = sigsetjmp(on_bus, 0);

	if (!sig)
		*ret_val = *at;
	return sig;
}

/* Closed: this byte, this reason. */
static void check_closed(void *at)
{
	uint64_t val;

	CHECK(store(at, 1) == SIGBUS && bus.si_code == BUS_ADRERR);
	CHECK(bus.si_addr == at);
	CHECK(load(at, &val) == SIGBUS && bus.si_code == BUS_ADRERR);
	CHECK(bus.si_addr == at);
}

static void check_open(void *at, uint64_t val)
{
	uint64_t got = 0;

	CHECK(store(at, val) == 0);
	CHECK(load(at, &got) == 0 && got == val);
}

static pid_t fork_into(void (*fn)(void *), void *arg)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		alarm(STOPPED);
		fn(arg);
		_exit(0);
	}
	return pid;
}

/* 1.0.1, 1.0.2, 1.2.2, 1.2.3: every mapping, through whichever descriptor */

static void all_closed(void *maps)
{
	for (int i = 0; i < 3; i++)
		check_closed((char *)((void **)maps)[i] + 8 * PAGE);
}

static void every_mapping_1_0_1(char **args)
{
	(void)args;
	start(MAIN);
	int again = ioctl(vfio.group, VFIO_GROUP_GET_DEVICE_FD, MAIN);
	int copy = dup(vfio.device);
	void *maps[] = {bar_map(vfio.device, 2, SIZE), bar_map(again, 2, SIZE),
			bar_map(copy, 2, SIZE)};

	for (uint64_t i = 0; i < 3; i++)
		check_open((char *)maps[i] + 8 * PAGE, i + 1);
	memory(false);
	all_closed(maps);
	check_child(fork_into(all_closed, maps));
	memory(true);
	for (uint64_t i = 0; i < 3; i++) {
		uint64_t got = 0;

		CHECK(load((void *)((char *)maps[i] + 8 * PAGE), &got) == 0);
		CHECK(got == 3);
	}
}

/* 1.1.1, 1.1.2: a crowd at one page, each at its own, through four mappings */

struct crowd {
	char *map[PROCESSES];
	unsigned int process;
	unsigned long rounds;
	bool one_page;
};

struct member {
	const struct crowd *crowd;
	unsigned int id;
};

static void *crowd_thread(void *arg)
{
	const struct member *m = arg;
	const struct crowd *c = m->crowd;

	for (unsigned long i = 0; i < c->rounds; i++) {
		unsigned long page = c->one_page ? i : i * 251 + m->id * 61;
		char *at =
			c->map[m->id % PROCESSES] + page % (SIZE / PAGE) * PAGE;
		uint64_t val = i << 16 | m->id, got = 0;

		pthread_barrier_wait(&shared->barrier);
		CHECK(store((void *)(at + 8 * m->id), val) == 0);
		CHECK(load((void *)(at + 8 * m->id), &got) == 0 && got == val);
	}
	return NULL;
}

static void crowd_process(void *arg)
{
	struct crowd *c = arg;
	struct member members[THREADS];
	pthread_t threads[THREADS];
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64ul << 10);
	for (unsigned int i = 0; i < THREADS; i++) {
		members[i] = (struct member){c, c->process * THREADS + i};
		CHECK(!pthread_create(&threads[i], &attr, crowd_thread,
				      &members[i]));
	}
	for (unsigned int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(threads[i], NULL));
}

static void crowd(char **args, bool one_page)
{
	struct crowd c = {.rounds = rounds_of(args), .one_page = one_page};
	pid_t pids[PROCESSES];

	start(MAIN);
	for (int i = 0; i < PROCESSES; i++)
		c.map[i] = bar_map(vfio.device, 2, SIZE);
	for (unsigned int i = 0; i < PROCESSES; i++) {
		c.process = i;
		pids[i] = fork_into(crowd_process, &c);
	}
	for (int i = 0; i < PROCESSES; i++)
		check_child(pids[i]);
}

static void same_page_1_1_1(char **args)
{
	crowd(args, true);
}

static void different_pages_1_1_2(char **args)
{
	crowd(args, false);
}

/*
 * 1.0.3, 1.0.4, 1.1.3: storers with a stamp each. The value that retired last
 * is what has to be there, and none retires between the return of a disable and
 * the next enable.
 */

struct storer {
	volatile uint64_t *at;
	bool may_fault;
};

static void *storing(void *arg)
{
	const struct storer *s = arg;
	uint64_t retired = 0, stamp = 0, got;
	unsigned long stores = 0, faults = 0;

	while (!atomic_load(&shared->stop)) {
		unsigned int before = atomic_load(&shared->gate);
		int sig = store(s->at, ++stamp);
		unsigned int after = atomic_load(&shared->gate);

		CHECK(!sig || (sig == SIGBUS && s->may_fault));
		CHECK(sig || before != after || !(before & 1));
		faults += sig != 0;
		stores += sig == 0;
		if (!sig)
			retired = stamp;
		sig = load(s->at, &got);
		CHECK(sig ? s->may_fault : got == retired);
	}
	atomic_fetch_add(&shared->stores, stores);
	atomic_fetch_add(&shared->faults, faults);
	return NULL;
}

struct storers {
	char *map;
	unsigned int first;
	bool may_fault;
};

static void storing_process(void *arg)
{
	const struct storers *all = arg;
	struct storer s[STORERS];
	pthread_t threads[STORERS];

	for (unsigned int i = 0; i < STORERS; i++) {
		/* two to a page, most of them far apart */
		unsigned int n = all->first + i;

		s[i].at = (void *)(all->map + n / 2 * 97 * PAGE + 64 * n);
		s[i].may_fault = all->may_fault;
		CHECK(!pthread_create(&threads[i], NULL, storing, &s[i]));
	}
	for (unsigned int i = 0; i < STORERS; i++)
		CHECK(!pthread_join(threads[i], NULL));
}

/* On one core nobody else would. */
static void let_them_run(unsigned long i)
{
	if (i % 16 == 0)
		sched_yield();
}

static void toggle(unsigned long i)
{
	memory(false);
	atomic_fetch_add(&shared->gate, 1);
	let_them_run(i);
	atomic_fetch_add(&shared->gate, 1);
	memory(true);
	let_them_run(i);
}

static void reset(unsigned long i)
{
	CHECK(!ioctl(vfio.device, VFIO_DEVICE_RESET));
	let_them_run(i);
}

static long hot_reset(void)
{
	uint32_t arg[] = {16, 0, 1, (uint32_t)vfio.group};

	return ioctl(vfio.device, VFIO_DEVICE_PCI_HOT_RESET, arg) ? -errno : 0;
}

static void hot(unsigned long i)
{
	long r;

	while ((r = hot_reset()) == -EBUSY)
		sched_yield();
	CHECK(r == 0);
	let_them_run(i);
}

static void under(void (*act)(unsigned long i), char **args, bool may_fault)
{
	unsigned long rounds = rounds_of(args);
	struct storers all = {.may_fault = may_fault};
	pid_t pids[2];

	start(MAIN);
	all.map = bar_map(vfio.device, 2, SIZE);
	for (unsigned int i = 0; i < 2; i++) {
		all.first = i * STORERS;
		pids[i] = fork_into(storing_process, &all);
	}
	for (unsigned long i = 0; i < rounds; i++)
		act(i);
	atomic_store(&shared->stop, true);
	for (int i = 0; i < 2; i++)
		check_child(pids[i]);
	CHECK(atomic_load(&shared->stores));
	CHECK(may_fault || !atomic_load(&shared->faults));
}

static void toggling_1_0_3(char **args)
{
	under(toggle, args, true);
}

static void resets_1_0_4(char **args)
{
	under(reset, args, false);
}

static void hot_resets_1_0_4(char **args)
{
	under(hot, args, false);
}

/* 1.0.5 and system calls: a closed BAR is EIO and EFAULT, mmap goes on */

static void closed_calls_1_0_5(char **args)
{
	uint64_t val = 1;
	int p[2];

	(void)args;
	start(MAIN);
	char *map = bar_map(vfio.device, 2, SIZE);

	check_open(map, 7);
	CHECK(!pipe(p) && write(p[1], &val, 8) == 8);
	memory(false);
	CHECK_ERRNO(pread(vfio.device, &val, 8, REGION(2)), EIO);
	CHECK_ERRNO(pwrite(vfio.device, &val, 8, REGION(2)), EIO);
	CHECK_ERRNO(read(p[0], map, 8), EFAULT);
	CHECK_ERRNO(write(p[1], map, 8), EFAULT);
	CHECK_ERRNO(dma_map(vfio.container, map, 0x100000, PAGE), EFAULT);
	char *late = bar_map(vfio.device, 2, SIZE); /* 1.2.7 */

	check_closed(late);
	memory(true);
	CHECK(load((void *)late, &val) == 0 && val == 7);
	CHECK(dma_map(vfio.container, map, 0x100000, PAGE) == 0);
}

/* 1.0.7: everything that resets or powers off closes, and opens again only if
 * the program's COMMAND.MEMORY is set */

static void config_write(unsigned int pos, uint32_t val, size_t size)
{
	CHECK(pwrite(vfio.device, &val, size, CONFIG + pos) == (ssize_t)size);
}

static void act_reset(void)
{
	CHECK(!ioctl(vfio.device, VFIO_DEVICE_RESET));
}

static void act_hot_reset(void)
{
	CHECK(hot_reset() == 0);
}

static void act_af_flr(void)
{
	config_write(AF_CTL, 1, 1);
}

static void act_pcie_flr(void)
{
	config_write(DEVCTL, 0x8000, 2);
}

static void d3hot_and_back(void *at)
{
	config_write(PMCSR, 3, 2);
	check_closed(at);
	CHECK_ERRNO(pread(vfio.device, &(uint64_t){0}, 8, REGION(2)), EIO);
	config_write(PMCSR, 0, 2);
}

static void feature(uint32_t n)
{
	uint32_t arg[] = {8, n | 1u << 17};

	CHECK(!ioctl(vfio.device, VFIO_DEVICE_FEATURE, arg));
}

static void low_power_and_back(void *at)
{
	feature(3);
	check_closed(at);
	feature(5);
}

static void closes_and_opens(const char *bdf, unsigned int bar, uint64_t off,
			     size_t len, void (*act)(void))
{
	vfio_close(&vfio);
	vfio_open(&vfio, bdf);
	memory(true);
	char *map = bar_map(vfio.device, bar, len);
	char *at = map + off;

	check_open(at, 5);
	act();
	check_open(at, 6);
	memory(false);
	check_closed(at);
	act();
	check_closed(at);
	memory(true);
	check_open(at, 7);
	munmap(map, len);
}

static void every_way_1_0_7(char **args)
{
	(void)args;
	start(AF);
	closes_and_opens(AF, 2, 0, PAGE, act_reset);
	closes_and_opens(AF, 2, 0, PAGE, act_af_flr);
	closes_and_opens(AF, 2, 0, PAGE, act_hot_reset);
	closes_and_opens(MAIN, 2, 0, PAGE, act_hot_reset);
	/* a doorbell of the queue that is not there */
	closes_and_opens(PCIE, 0, 0x3000, 0x4000, act_pcie_flr);
}

/* With NoSoftRst and without: contents of a board's RAM stay either way. */
static void power_1_0_7(char **args)
{
	static const char *const both[] = {AF, MAIN};
	uint64_t got;

	(void)args;
	start(AF);
	for (size_t i = 0; i < COUNT(both); i++) {
		vfio_close(&vfio);
		vfio_open(&vfio, both[i]);
		memory(true);
		char *map = bar_map(vfio.device, 2, PAGE);

		/* the trapped register tells a reset from none */
		reg_write(vfio.device, REGION(0), 0x55);
		check_open(map, 9);
		d3hot_and_back(map);
		CHECK(load((void *)map, &got) == 0 && got == 9);
		CHECK(reg_read(vfio.device, REGION(0)) == (i ? 0 : 0x55));
		low_power_and_back(map);
		CHECK(load((void *)map, &got) == 0 && got == 9);
		munmap(map, PAGE);
	}
}

/* 1.0.8: a sibling in mid-reset */

static void *sibling_resets(void *arg)
{
	int device = *(int *)arg;

	while (!atomic_load(&shared->stop))
		CHECK(!ioctl(device, VFIO_DEVICE_RESET));
	return NULL;
}

static void sibling_1_0_8(char **args)
{
	unsigned long rounds = rounds_of(args), done = 0, busy = 0;
	pthread_t thread;

	start(MAIN);
	int sibling = ioctl(vfio.group, VFIO_GROUP_GET_DEVICE_FD, SIBLING);

	CHECK(sibling >= 0);
	CHECK(!pthread_create(&thread, NULL, sibling_resets, &sibling));
	while (done + busy < rounds || !done || !busy) {
		reg_write(vfio.device, REGION(0), 0x55);
		long r = hot_reset();

		CHECK(r == 0 || r == -EBUSY);
		/* a reset clears the register: all or nothing */
		CHECK(reg_read(vfio.device, REGION(0)) == (r ? 0x55 : 0));
		done += r == 0;
		busy += r != 0;
	}
	atomic_store(&shared->stop, true);
	CHECK(!pthread_join(thread, NULL));
	CHECK(hot_reset() == 0);
}

/* 1.0.9: mappings that come, fork and die while the gate works */

static void *mapping_all_day(void *arg)
{
	(void)arg;
	while (!atomic_load(&shared->stop)) {
		char *map = bar_map(vfio.device, 2, 16 * PAGE);
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid) {
			uint64_t got;
			int sig = load((void *)(map + PAGE), &got);

			_exit(sig && sig != SIGBUS);
		}
		int sig = store((void *)map, 1);

		CHECK(!sig || sig == SIGBUS);
		CHECK(!munmap(map, 16 * PAGE));
		check_child(pid);
	}
	return NULL;
}

static void fork_and_unmap_1_0_9(char **args)
{
	unsigned long rounds = rounds_of(args);
	pthread_t threads[2];

	start(MAIN);
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_create(&threads[i], NULL, mapping_all_day,
				      NULL));
	for (unsigned long i = 0; i < rounds; i++) {
		toggle(i);
		CHECK(!ioctl(vfio.device, VFIO_DEVICE_RESET));
	}
	atomic_store(&shared->stop, true);
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_join(threads[i], NULL));
}

/* 1.2.3: no program can hold the gate up, whatever state it is in */

struct holder {
	char *map;
	int ready[2]; /* it writes */
	int go[2];    /* and reads */
	int pass[2];  /* a descriptor goes this way */
};

static void say_ready(const struct holder *h)
{
	CHECK(write(h->ready[1], "", 1) == 1);
}

static void wait_for(int fd)
{
	char c;

	CHECK(read(fd, &c, 1) == 1);
}

/* Closes every descriptor, keeps what is mapped. */
static void holds_mapping(void *arg)
{
	const struct holder *h = arg;

	vfio_close(&vfio);
	check_open(h->map, 3);
	say_ready(h);
	wait_for(h->go[0]);
	check_closed(h->map);
	say_ready(h);
	wait_for(h->go[0]);
}

static struct holder make_holder(void)
{
	struct holder h = {.map = bar_map(vfio.device, 2, PAGE)};

	CHECK(!pipe(h.ready) && !pipe(h.go));
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, h.pass));
	return h;
}

static void stopped_1_2_3(char **args)
{
	int status;

	(void)args;
	start(MAIN);
	struct holder h = make_holder();
	pid_t pid = fork_into(holds_mapping, &h);

	wait_for(h.ready[0]);
	CHECK(!kill(pid, SIGSTOP));
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	memory(false);
	check_closed(h.map);
	CHECK(!kill(pid, SIGCONT));
	CHECK(write(h.go[1], "", 1) == 1);
	wait_for(h.ready[0]);
	CHECK(!munmap(h.map, PAGE));
	vfio_close(&vfio);
	/* the child's mapping is the last thing that holds the group */
	CHECK(group_try(MAIN) == -EBUSY);
	CHECK(write(h.go[1], "", 1) == 1);
	check_child(pid);
	int group = group_try(MAIN);

	CHECK(group >= 0 && !close(group));
}

static void send_fd(int sock, int fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec iov = {"", 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	CHECK(sendmsg(sock, &msg, 0) == 1);
}

static int take_fd(int sock)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char c;
	struct iovec iov = {&c, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	int fd;

	CHECK(recvmsg(sock, &msg, 0) == 1 && msg.msg_controllen);
	memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
	return fd;
}

/* Has never opened anything, and is the last to have it. */
static void is_handed_it(void *arg)
{
	const struct holder *h = arg;
	int device = take_fd(h->pass[1]);
	char *map = bar_map(device, 2, PAGE);

	check_open(map, 4);
	CHECK(!close(device));
	say_ready(h);
	wait_for(h->go[0]);
	check_closed(map);
}

static void handed_over_1_2_2(char **args)
{
	(void)args;
	start(MAIN);
	struct holder h = make_holder();
	struct vfio mine = vfio;

	vfio.device = vfio.group = vfio.container = -1;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		close(mine.device);
		close(mine.group);
		close(mine.container);
		CHECK(!munmap(h.map, PAGE));
		is_handed_it(&h);
		_exit(0);
	}
	send_fd(h.pass[0], mine.device);
	vfio = mine;
	wait_for(h.ready[0]);
	memory(false);
	CHECK(write(h.go[1], "", 1) == 1);
	check_child(pid);
}

/* 1.1.5, 1.1.7: what cannot be populated can later; split and forked mappings */

static void touch_half(void *arg)
{
	check_open(arg, 12);
}

static void split_mappings_1_1_7(char **args)
{
	(void)args;
	start(MAIN);
	char *map = bar_map(vfio.device, 2, 8 * PAGE);
	char *room = mmap(NULL, 4 * PAGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	feature(3); /* in low power nothing is mapped in */
	check_closed(map);
	feature(5);
	check_open(map, 10);
	CHECK(mremap(map + 4 * PAGE, 4 * PAGE, 4 * PAGE,
		     MREMAP_MAYMOVE | MREMAP_FIXED, room) == room);
	check_open(room, 11);
	check_child(fork_into(touch_half, room));
	CHECK_ERRNO(mremap(room, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE), EFAULT);
	memory(false);
	check_closed(map);
	check_closed(room);
}

/* 1.2.1, 1.2.8, 1.2.9: attributes, laziness, protection */

static long smaps(const void *at, char flags[256])
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	long rss = -1;
	bool found = false;

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long first, last;

		if (sscanf(line, "%lx-%lx ", &first, &last) == 2)
			found = first == (unsigned long)at;
		if (found && !strncmp(line, "Rss:", 4))
			rss = atol(line + 4);
		if (found && !strncmp(line, "VmFlags:", 8)) {
			snprintf(flags, 256, "%.255s", line);
			break;
		}
	}
	fclose(f);
	return rss;
}

static void attributes_1_2_1(char **args)
{
	char before[256], after[256], closed[256];

	(void)args;
	start(MAIN);
	char *map = bar_map(vfio.device, 2, 4 * PAGE);
	char *read_only =
		mmap(NULL, PAGE, PROT_READ, MAP_SHARED, vfio.device, REGION(2));

	CHECK(read_only != MAP_FAILED);
	CHECK(smaps(map, before) == 0 && strstr(before, " dd"));
	check_open(map, 1);
	CHECK(smaps(map, after) > 0 && !strcmp(before, after));
	CHECK(store((void *)read_only, 1) == SIGSEGV);
	memory(false);
	CHECK(smaps(map, closed) == 0 && !strcmp(before, closed));
	CHECK(store((void *)read_only, 1) == SIGSEGV);
	memory(true);
	CHECK(smaps(map, after) == 0 && !strcmp(before, after));
	check_open(map, 2);
	CHECK_ERRNO(syscall(9 /* mmap */, 0, PAGE, PROT_READ, MAP_PRIVATE,
			    vfio.device, REGION(2)),
		    EINVAL);
}

/* Two devices that write to each other */

static struct vfio second;

struct pair {
	int from; /* the device whose DMA it is */
	uint64_t to;
	int gate; /* the one that is turned off and on */
	unsigned long rounds;
};

/* Its own decode may be off: then it does not start, or cannot be asked. */
static void *dma_all_day(void *arg)
{
	const struct pair *p = arg;
	uint64_t regs[] = {EDU_BUF, p->to, 64};
	uint64_t run = 1 | 2; /* out of the buffer */

	while (!atomic_load(&shared->stop)) {
		for (int i = 0; i < 3; i++)
			if (pwrite(p->from, &regs[i], 8,
				   REGION(0) + EDU_SRC + 8 * i) < 0)
				CHECK(errno == EIO);
		if (pwrite(p->from, &run, 8, REGION(0) + 0x98) < 0)
			CHECK(errno == EIO);
	}
	return NULL;
}

static void *gate_all_day(void *arg)
{
	const struct pair *p = arg;

	for (unsigned long i = 0; i < p->rounds; i++) {
		command_set(p->gate, 4);
		command_set(p->gate, 6);
	}
	return NULL;
}

static void each_other(char **args)
{
	unsigned long rounds = rounds_of(args);
	int container, group;
	pthread_t dma[2], gate[2];

	start(EDU_A);
	container = vfio.container;
	group = group_try(EDU_B);
	CHECK(group >= 0);
	CHECK(!ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
	second.device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, EDU_B);
	CHECK(second.device >= 0);
	command_set(vfio.device, 6);
	command_set(second.device, 6);

	char *a = bar_map(vfio.device, 0, 1ul << 20);
	char *b = bar_map(second.device, 0, 1ul << 20);

	CHECK(!dma_map(container, a, 0x1000000, 1ul << 20));
	CHECK(!dma_map(container, b, 0x2000000, 1ul << 20));
	struct pair pairs[] = {
		{vfio.device, 0x2000000 + EDU_BUF, vfio.device, rounds},
		{second.device, 0x1000000 + EDU_BUF, second.device, rounds},
	};

	for (int i = 0; i < 2; i++) {
		CHECK(!pthread_create(&dma[i], NULL, dma_all_day, &pairs[i]));
		CHECK(!pthread_create(&gate[i], NULL, gate_all_day, &pairs[i]));
	}
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_join(gate[i], NULL));
	atomic_store(&shared->stop, true);
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_join(dma[i], NULL));
	CHECK(is_edu(vfio.device) && is_edu(second.device));
}

/* Into a peer that is closed: aborted, and what is there stays. */
static void aborted_peer(char **args)
{
	uint64_t got;

	(void)args;
	start(EDU_A);
	int group = group_try(MAIN);

	CHECK(!ioctl(group, VFIO_GROUP_SET_CONTAINER, &vfio.container));
	int peer = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, MAIN);

	CHECK(peer >= 0);
	command_set(vfio.device, 6);
	command_set(peer, 2);
	char *map = bar_map(peer, 2, PAGE);

	check_open(map, 0x1234);
	CHECK(!dma_map(vfio.container, map, 0x1000000, PAGE));
	edu_fetch(vfio.device, 0x1000000, 8); /* the buffer holds 0x1234 */
	check_open(map, 0x5678);
	command_set(peer, 0);
	edu_store(vfio.device, 0x1000000, 8);
	command_set(peer, 2);
	CHECK(load((void *)map, &got) == 0 && got == 0x5678);
	edu_store(vfio.device, 0x1000000, 8);
	CHECK(load((void *)map, &got) == 0 && got == 0x1234);
}

int main(int argc, char **argv)
{
	static const struct victim_test tests[] = {
		{"every_mapping_1_0_1", every_mapping_1_0_1},
		{"toggling_1_0_3", toggling_1_0_3},
		{"resets_1_0_4", resets_1_0_4},
		{"hot_resets_1_0_4", hot_resets_1_0_4},
		{"closed_calls_1_0_5", closed_calls_1_0_5},
		{"every_way_1_0_7", every_way_1_0_7},
		{"power_1_0_7", power_1_0_7},
		{"sibling_1_0_8", sibling_1_0_8},
		{"fork_and_unmap_1_0_9", fork_and_unmap_1_0_9},
		{"same_page_1_1_1", same_page_1_1_1},
		{"different_pages_1_1_2", different_pages_1_1_2},
		{"split_mappings_1_1_7", split_mappings_1_1_7},
		{"attributes_1_2_1", attributes_1_2_1},
		{"handed_over_1_2_2", handed_over_1_2_2},
		{"stopped_1_2_3", stopped_1_2_3},
		{"each_other", each_other},
		{"aborted_peer", aborted_peer},
		{NULL, NULL},
	};

	return victim_main(argc, argv, tests);
}

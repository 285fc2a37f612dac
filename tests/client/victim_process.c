/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO descriptors closed, duplicated, polled, inherited and passed on. Built
 * twice, plainly and with _FORTIFY_SOURCE=2, where read, pread, readlink,
 * realpath and poll have other names.
 */
#include "tests/client/victim.h"

#include <dirent.h>
#include <limits.h>
#include <poll.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

extern char **environ;

static struct vfio edu;
static volatile uint32_t *regs;

static void open_all(void)
{
	vfio_open(&edu, EDU);
	command_set(edu.device, 6);
	regs = bar_map(edu.device, 0, PAGE);
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	CHECK(dir);
	while (readdir(dir))
		n++;
	CHECK(!closedir(dir));
	return n - 3; /* ".", ".." and the directory itself */
}

/* The whole driver: opened, used in every way, closed. */
static void whole_driver(const char *bdf)
{
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint8_t *mem = anon(2 * PAGE);
	struct vfio v;
	uint64_t n;

	vfio_open(&v, bdf);
	command_set(v.device, 6);
	volatile uint32_t *r = bar_map(v.device, 0, PAGE);

	CHECK(is_edu(v.device) && r[0] == EDU_ID);
	CHECK(!dma_map(v.container, mem, 0, 2 * PAGE));
	mem[0] = 42;
	edu_fetch(v.device, 0, 16);
	edu_store(v.device, PAGE, 16);
	CHECK(mem[PAGE] == 42);
	CHECK(!dma_unmap(v.container, 0, 2 * PAGE));
	CHECK(!msi_set(v.device, event));
	r[EDU_RAISE / 4] = 1;
	CHECK(read(event, &n, some(8)) == 8 && n == 1);
	r[EDU_ACK / 4] = 1;
	CHECK(!munmap((void *)r, PAGE) && !munmap(mem, 2 * PAGE));
	vfio_close(&v);
	close(event);
}

/* Closed */

static void close_everything(char **args)
{
	whole_driver(EDU);
	int before = count_fds();

	for (int i = 0; i < 5; i++) {
		open_all();
		CHECK(group_try(EDU) == -EBUSY);
		CHECK(!close_range(3, ~0u, 0));
		/* the mapping holds the group, and works */
		CHECK(group_try(EDU) == -EBUSY);
		CHECK(regs[0] == EDU_ID);
		CHECK(!munmap((void *)regs, PAGE));
		whole_driver(EDU);
		whole_driver(EDU2);
	}
	CHECK(count_fds() <= before);
}

static void closed_descriptors_are_ebadf(char **args)
{
	char byte;

	open_all();
	CHECK(!close_range(3, ~0u, 0));
	CHECK_ERRNO(ioctl(edu.device, VFIO_DEVICE_RESET), EBADF);
	CHECK_ERRNO(pread(edu.device, &byte, some(1), CONFIG), EBADF);
	CHECK_ERRNO(ioctl(edu.container, VFIO_GET_API_VERSION), EBADF);
	CHECK(mmap(NULL, PAGE, RW, MAP_SHARED, edu.device, 0) == MAP_FAILED);
	CHECK(errno == EBADF);
}

/* Nothing is left open by calls, whether they succeed or not. */
static void calls_leave_nothing_open(char **args)
{
	struct vfio_region_info bad = {.argsz = sizeof(bad), .index = 99};

	whole_driver(EDU);
	open_all();
	int before = count_fds();

	for (int i = 0; i < 50; i++) {
		whole_driver(EDU2);
		CHECK_ERRNO(
			ioctl(edu.device, VFIO_DEVICE_GET_REGION_INFO, &bad),
			EINVAL);
		CHECK_ERRNO(open("/dev/vfio/99", O_RDWR), ENOENT);
		CHECK(dma_map(edu.container, NULL, 0, PAGE) == -1);
		CHECK(mmap(NULL, PAGE, RW, MAP_PRIVATE, edu.device, 0) ==
		      MAP_FAILED);
	}
	CHECK(count_fds() == before);
}

/* Duplicated */

static void dup2_over_them(char **args)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char byte;

	open_all();
	int spare = dup(edu.device);

	CHECK(null >= 0 && spare >= 0);
	/* something else under the device's number */
	CHECK(dup2(null, edu.device) == edu.device);
	CHECK(pread(edu.device, &byte, some(1), CONFIG) == 0);
	CHECK_ERRNO(ioctl(edu.device, VFIO_DEVICE_RESET), ENOTTY);
	CHECK(write(edu.device, "x", 1) == 1);
	CHECK(is_edu(spare));
	/* the device under a number that was something else */
	CHECK(dup2(spare, null) == null && is_edu(null));
	CHECK(dup3(spare, edu.device, O_CLOEXEC) == edu.device);
	CHECK(is_edu(edu.device));
	CHECK(fcntl(spare, F_DUPFD_CLOEXEC, 100) == 100 && is_edu(100));
	/* the last copy lets go */
	CHECK(!munmap((void *)regs, PAGE) && !close(spare) && !close(null) &&
	      !close(100));
	CHECK(dup2(edu.container, edu.device) == edu.device);
	CHECK(!close(edu.group));
	int group = group_try(EDU);

	CHECK(group >= 0);
}

/* Polled */

static void check_poll(int fd)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN | POLLOUT}};
	struct timespec now = {0};
	fd_set in, out;

	CHECK(poll(p, some(1), 0) == 1 && p[0].revents == (POLLIN | POLLOUT));
	p[0].revents = 0;
	CHECK(ppoll(p, some(1), &now, NULL) == 1);
	CHECK(p[0].revents == (POLLIN | POLLOUT));
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(fd, &in);
	FD_SET(fd, &out);
	struct timeval none = {0};

	CHECK(select(fd + 1, &in, &out, NULL, &none) == 2);
	CHECK(FD_ISSET(fd, &in) && FD_ISSET(fd, &out));
}

static void polled(char **args)
{
	struct pollfd gone = {.fd = -1};

	open_all();
	for (int i = 0; i < 3; i++) {
		check_poll(edu.device);
		CHECK(is_edu(edu.device)); /* and also after use */
	}
	gone.fd = edu.device;
	CHECK(!close(edu.device));
	CHECK(poll(&gone, 1, 0) == 1 && gone.revents == POLLNVAL);
}

/* An event loop that has them in its set is not woken by anything else. */
static void in_an_epoll_set(char **args)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = {.events = EPOLLIN}, got;

	open_all();
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	CHECK(ep >= 0 && event >= 0 && !msi_set(edu.device, event));
	ev.data.fd = event;
	CHECK(!epoll_ctl(ep, EPOLL_CTL_ADD, event, &ev));
	CHECK(epoll_wait(ep, &got, 1, 0) == 0);
	regs[EDU_RAISE / 4] = 1;
	CHECK(epoll_wait(ep, &got, 1, -1) == 1 && got.data.fd == event);
}

/* Locked: memory beside a BAR is, the BAR is left alone. */

static long locked_kib(void)
{
	char line[128];
	FILE *f = fopen("/proc/self/status", "re");
	long kib = -1;

	CHECK(f);
	while (fgets(line, some(sizeof(line)), f))
		if (sscanf(line, "VmLck: %ld", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

static void locked(char **args)
{
	/* memory, a BAR, memory, and a BAR far away */
	uint8_t *room = anon(6 * PAGE);
	struct vfio ram;

	open_all();
	vfio_open(&ram, RAM);
	command_set(ram.device, 2);
	CHECK(mmap(room + 2 * PAGE, 2 * PAGE, RW, MAP_SHARED | MAP_FIXED,
		   ram.device, REGION(2)) == room + 2 * PAGE);
	CHECK(!mlock(room + 10, 100) && locked_kib() == 4);
	CHECK(!mlock(room, 6 * PAGE) && locked_kib() == 16);
	CHECK(!mlock(room + 2 * PAGE, PAGE) && locked_kib() == 16);
	CHECK(!mlock((void *)regs, PAGE) && locked_kib() == 16);
	CHECK(!munlock(room, 6 * PAGE) && locked_kib() == 0);
	CHECK(!munmap(room + 4 * PAGE, PAGE));
	CHECK_ERRNO(mlock(room, 6 * PAGE), ENOMEM);
}

/* Inherited */

/* A program of its own, with descriptors it was not told the meaning of. */
static void inherited(char **args)
{
	int device = atoi(args[0]);
	struct stat st;
	char link[64], path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", atoi(args[1]));
	ssize_t n = readlink(path, link, some(sizeof(link) - 1));

	CHECK(n > 0);
	link[n] = '\0';
	CHECK(!strcmp(link, "/dev/vfio/vfio"));
	CHECK(!fstat(atoi(args[1]), &st) && S_ISCHR(st.st_mode));
	CHECK(is_edu(device));
	volatile uint32_t *r = bar_map(device, 0, PAGE);

	CHECK(r[0] == EDU_ID);
	CHECK(!dma_map(atoi(args[1]), anon(PAGE), 1 << 20, PAGE));
	CHECK(!dma_unmap(atoi(args[1]), 1 << 20, PAGE));
}

struct child_args {
	char device[16];
	char container[16];
	char *argv[5];
};

static void name_fds(struct child_args *c, int device, int container)
{
	snprintf(c->device, sizeof(c->device), "%d", device);
	snprintf(c->container, sizeof(c->container), "%d", container);
	c->argv[0] = (char *)"victim";
	c->argv[1] = (char *)"inherited";
	c->argv[2] = c->device;
	c->argv[3] = c->container;
	c->argv[4] = NULL;
}

static void keep_over_exec(void)
{
	CHECK(!fcntl(edu.device, F_SETFD, 0));
	CHECK(!fcntl(edu.container, F_SETFD, 0));
}

static void fork_without_exec(char **args)
{
	uint8_t *mem = anon(2 * PAGE);

	open_all();
	CHECK(!dma_map(edu.container, mem, 0, 2 * PAGE));
	for (int i = 1; i < 20; i++) {
		mem[0] = (uint8_t)i;
		pid_t pid = fork();

		if (pid)
			check_child(pid);
		if (pid)
			continue;
		CHECK(is_edu(edu.device) && regs[0] == EDU_ID);
		mem[0] = 0; /* the child's: DMA is the parent's */
		edu_fetch(edu.device, 0, 8);
		edu_store(edu.device, PAGE, 8);
		CHECK(mem[PAGE] != i);
		whole_driver(EDU2);
		_exit(0);
	}
	CHECK(mem[PAGE] == 19);
	CHECK(regs[0] == EDU_ID && is_edu(edu.device));
}

static void vfork_and_exec(char **args)
{
	struct child_args c;

	open_all();
	keep_over_exec();
	name_fds(&c, edu.device, edu.container);
	for (int i = 0; i < 5; i++) {
		pid_t pid = vfork();

		if (!pid) {
			execv("/proc/self/exe", c.argv);
			_exit(9);
		}
		check_child(pid);
		CHECK(is_edu(edu.device) && regs[0] == EDU_ID);
	}
}

static void spawned(char **args)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	struct child_args c;
	sigset_t all;
	pid_t pid;

	open_all();
	name_fds(&c, 50, 51);
	sigfillset(&all);
	CHECK(!posix_spawnattr_init(&attr));
	CHECK(!posix_spawnattr_setsigmask(&attr, &all));
	CHECK(!posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK));
	CHECK(!posix_spawn_file_actions_init(&actions));
	CHECK(!posix_spawn_file_actions_adddup2(&actions, edu.device, 50));
	CHECK(!posix_spawn_file_actions_adddup2(&actions, edu.container, 51));
	CHECK(!posix_spawn(&pid, "/proc/self/exe", &actions, &attr, c.argv,
			   environ));
	check_child(pid);
	CHECK(is_edu(edu.device) && regs[0] == EDU_ID);
}

static void cloexec_is_kept(char **args)
{
	pid_t pid;

	open_all();
	CHECK(fcntl(edu.device, F_GETFD) == FD_CLOEXEC);
	pid = fork();
	if (!pid) {
		execl("/bin/sh", "sh", "-c", "test ! -e /proc/self/fd/\"$0\"",
		      "20", NULL);
		_exit(9);
	}
	check_child(pid);
}

/* Passed on: sender and receiver are programs of their own (test_victims.py) */

static int unix_socket(const char *path, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(addr->sun_path, sizeof(addr->sun_path), "%s", path);
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

union two_fds {
	struct cmsghdr head;
	char buf[CMSG_SPACE(2 * sizeof(int))];
};

static void send_them(char **args)
{
	int fds[2];
	struct sockaddr_un addr;
	int sock = unix_socket(args[0], &addr);
	struct iovec iov = {(void *)"x", 1};
	union two_fds control = {0};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	open_all();
	CHECK(!dma_map(edu.container, anon(PAGE), 0, PAGE));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	fds[0] = edu.device;
	fds[1] = edu.container;
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	CHECK(!connect(sock, (struct sockaddr *)&addr, sizeof(addr)));
	CHECK(sendmsg(sock, &msg, 0) == 1);
	kill(getpid(), SIGKILL);
}

static void take_message(int sock, int fds[2])
{
	char byte;
	struct iovec iov = {&byte, 1};
	union two_fds control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};

	CHECK(recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) == 1);
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	CHECK(c && c->cmsg_len == CMSG_LEN(2 * sizeof(int)));
	memcpy(fds, CMSG_DATA(c), 2 * sizeof(int));
	/* the sender is dead when its end is */
	CHECK(recv(sock, &byte, 1, 0) == 0);
}

/* Its own descriptors are closed by then. */
static void wait_for_end_of(int peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	CHECK(!getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &cred, &len));

	struct pollfd p = {
		.fd = (int)syscall(SYS_pidfd_open, cred.pid, 0),
		.events = POLLIN,
	};

	if (p.fd < 0) {
		CHECK(errno == ESRCH);
		return;
	}
	CHECK(poll(&p, 1, 30000) == 1);
	close(p.fd);
}

static void receive_them(char **args)
{
	struct sockaddr_un addr;
	int sock = unix_socket(args[0], &addr);
	uint8_t *mem = anon(2 * PAGE);
	int fds[2];

	CHECK(!bind(sock, (struct sockaddr *)&addr, sizeof(addr)));
	CHECK(!listen(sock, 1));
	dprintf(1, "ready\n");
	int peer = accept4(sock, NULL, NULL, SOCK_CLOEXEC);

	CHECK(peer >= 0);
	take_message(peer, fds);
	CHECK(is_edu(fds[0]));
	CHECK(command(fds[0]) & 4); /* no reset: the device was never closed */
	/* the dead program's memory: that DMA is lost, nothing else */
	edu_fetch(fds[0], 0, 64);
	CHECK_ERRNO(dma_map(fds[1], mem, 0, PAGE), EEXIST);
	CHECK(!dma_unmap(fds[1], 0, PAGE));
	CHECK(!dma_map(fds[1], mem, 0, 2 * PAGE));
	mem[0] = 7;
	edu_fetch(fds[0], 0, 64);
	edu_store(fds[0], PAGE, 64);
	CHECK(mem[PAGE] == 7);
	CHECK(group_try(EDU) == -EBUSY);
	wait_for_end_of(peer); /* it may still have the group */
	CHECK(!close(fds[0]) && !close(fds[1]));
	whole_driver(EDU);
}

static const struct victim_test tests[] = {
	{"close_everything", close_everything},
	{"closed_descriptors_are_ebadf", closed_descriptors_are_ebadf},
	{"calls_leave_nothing_open", calls_leave_nothing_open},
	{"dup2_over_them", dup2_over_them},
	{"polled", polled},
	{"in_an_epoll_set", in_an_epoll_set},
	{"locked", locked},
	{"fork_without_exec", fork_without_exec},
	{"vfork_and_exec", vfork_and_exec},
	{"spawned", spawned},
	{"cloexec_is_kept", cloexec_is_kept},
	{"inherited", inherited},
	{"send_them", send_them},
	{"receive_them", receive_them},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return victim_main(argc, argv, tests);
}

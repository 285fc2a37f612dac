/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO files across processes: fork, exec, being sent through a socket, and
 * the death of their owner.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/abi/abi.h"

/* fork */

static int child_uses(void *arg)
{
	const struct vfio *v = arg;
	void *mem = anon(PAGE);

	if (cfg(v->device, 4, 2) == UINT32_MAX)
		return 1;
	if (ioctl(v->container, VFIO_GET_API_VERSION) != 0)
		return 2;
	if (dma_map(v->container, mem, 8 * PAGE, PAGE, MAP_RW))
		return 3;
	if (dma_unmap(v->container, 8 * PAGE, PAGE))
		return 4;
	set_command(v->device, 0, 4);
	return rd32(v->device, BAR0) == EDU_ID_VALUE ? 0 : 5;
}

/* Only the parent's mapping is left: the child unmaps it all the same. */
static int child_unmaps(void *arg)
{
	const struct vfio *v = arg;

	return dma_unmap(v->container, PAGE, PAGE) ? 1 : 0;
}

static void check_fork(void)
{
	void *mem = anon(PAGE);
	struct vfio v;

	vfio_open(&v, "edu");
	want(run_child(child_uses, &v), 0, "fork: a child uses the files");
	want(cfg(v.device, 4, 2) & 4, 4, "fork: and the parent sees it");
	want(rd32(v.device, BAR0), EDU_ID_VALUE,
	     "fork: the parent's files work after the child's end");
	dma_map(v.container, mem, PAGE, PAGE, MAP_RW);
	want(run_child(child_unmaps, &v), 0,
	     "fork: a child can unmap what the parent mapped");
	want(dma_map(v.container, mem, PAGE, PAGE, MAP_RW), 0,
	     "fork: which is gone then");
	vfio_close(&v);
}

/* Both at once, with many calls each. */
static int hammer(void *arg)
{
	const struct vfio *v = arg;

	for (int i = 0; i < 500; i++)
		if (cfg(v->device, 0, 4) != 0x11e81234 ||
		    rd32(v->device, BAR0) != EDU_ID_VALUE)
			return 1;
	return 0;
}

static void check_parallel(void)
{
	struct vfio v;

	vfio_open(&v, "edu");
	pid_t pid = fork();

	if (!pid)
		_exit(hammer(&v));
	want(hammer(&v), 0, "fork: the parent's calls get their own answers");
	want(wait_child(pid), 0, "fork: and the child's get theirs");
	vfio_close(&v);
}

/* exec */

static int exec_checks(const struct vfio *v, bool whole)
{
	struct vfio_group_status st = {.argsz = sizeof(st)};
	void *mem = anon(PAGE);

	if (ioctl(v->container, VFIO_GET_API_VERSION) != 0)
		return 10;
	if (ioctl(v->group, VFIO_GROUP_GET_STATUS, &st) || st.flags != 3)
		return 11;
	if (cfg(v->device, 0, 4) != 0x11e81234)
		return 12;
	if (rd32(v->device, BAR0) != EDU_ID_VALUE)
		return 13;
	uint32_t *bar =
		mmap(NULL, PAGE, RW, MAP_SHARED, v->device, (off_t)BAR0);

	if (bar == MAP_FAILED || *(volatile uint32_t *)bar != EDU_ID_VALUE)
		return 14;
	/* the old program's memory is still mapped there */
	if (whole && dma_map(v->container, mem, PAGE, PAGE, MAP_RW) != -EEXIST)
		return 15;
	if (dma_map(v->container, mem, 2 * PAGE, PAGE, MAP_RW))
		return 16;
	return dma_unmap(v->container, 2 * PAGE, PAGE) ? 17 : 0;
}

int exec_main(char **argv)
{
	struct vfio v;

	if (!argv[0] || !argv[1] || !argv[2])
		return 9;
	v.container = atoi(argv[0]);
	v.group = atoi(argv[1]);
	v.device = atoi(argv[2]);
	return exec_checks(&v, true);
}

static int child_execs(void *arg)
{
	const struct vfio *v = arg;
	const int fds[] = {v->container, v->group, v->device};
	char text[3][16];

	for (size_t i = 0; i < COUNT(fds); i++) {
		snprintf(text[i], sizeof(text[i]), "%d", fds[i]);
		fcntl(fds[i], F_SETFD, 0);
	}
	execl("/proc/self/exe", self_path, "--exec", text[0], text[1], text[2],
	      NULL);
	return 8;
}

/* The child holds everything, the parent nothing. */
static void check_exec(void)
{
	uint8_t *mem = shared(PAGE);
	struct vfio v;

	vfio_open(&v, "edu");
	dma_map(v.container, mem, PAGE, PAGE, MAP_RW);
	want(run_child(child_execs, &v), 0,
	     "exec: inherited files work in the new program");
	vfio_close(&v);
}

static int child_execs_closed(void *arg)
{
	(void)arg;
	execl("/bin/true", "true", NULL);
	return 8;
}

/* CLOEXEC files end with the exec of their last holder. */
static int child_lets_go(void *arg)
{
	struct vfio v;

	vfio_open(&v, "edu");
	set_command(v.device, 0, 4);
	return child_execs_closed(arg);
}

static void check_cloexec(void)
{
	want(run_child(child_lets_go, NULL), 0, "exec: of another program");
	long g = group_try("edu");

	ok(g >= 0, "exec: closes what is CLOEXEC");
	if (g >= 0)
		close((int)g);
}

/* SCM_RIGHTS */

static bool send_fds(int sock, const int *fds, size_t n)
{
	char byte = 0;
	struct iovec iov = {&byte, 1};
	union {
		struct cmsghdr head;
		char buf[CMSG_SPACE(4 * sizeof(int))];
	} control = {0};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	return sendmsg(sock, &msg, 0) == 1;
}

static bool receive_fds(int sock, int *fds, size_t n)
{
	char byte;
	struct iovec iov = {&byte, 1};
	union {
		struct cmsghdr head;
		char buf[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1)
		return false;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (!c || c->cmsg_len != CMSG_LEN(n * sizeof(int)))
		return false;
	memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	return true;
}

static int receiver(int sock)
{
	struct vfio v;
	int fds[3];
	char byte;

	if (!receive_fds(sock, fds, 3))
		return 1;
	v.container = fds[0];
	v.group = fds[1];
	v.device = fds[2];
	int status = exec_checks(&v, false);

	/* the sender closes its own now */
	if (write(sock, &status, 1) != 1 || read(sock, &byte, 1) != 1)
		return 2;
	return status ? status : exec_checks(&v, false);
}

/* To a process that was there before any of the files. */
static void check_rights(void)
{
	int ends[2];
	struct vfio v;
	char byte = 1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return;
	pid_t pid = fork();

	if (!pid) {
		alarm(30);
		close(ends[0]);
		_exit(receiver(ends[1]));
	}
	close(ends[1]);
	vfio_open(&v, "edu");
	const int fds[] = {v.container, v.group, v.device};

	ok(send_fds(ends[0], fds, 3), "rights: files can be sent");
	want(R(read(ends[0], &byte, 1)), 1, "rights: the receiver has them");
	want(byte, 0, "rights: and they work");
	vfio_close(&v);
	want(group_try("edu"), -EBUSY, "rights: they keep the group");
	want(R(write(ends[0], &byte, 1)), 1, "rights: the receiver goes on");
	want(wait_child(pid), 0,
	     "rights: they work after the sender closed its own");
	long g = group_try("edu");

	ok(g >= 0, "rights: the group is free with the receiver's end");
	if (g >= 0)
		close((int)g);
	close(ends[0]);
}

static void check_in_flight(void)
{
	int ends[2];
	struct vfio v;
	int fd = -1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return;
	vfio_open(&v, "edu");
	send_fds(ends[0], &v.device, 1);
	vfio_close(&v);
	want(group_try("edu"), -EBUSY,
	     "rights: a device in a socket keeps the group");
	ok(receive_fds(ends[1], &fd, 1), "rights: it comes out");
	want(cfg(fd, 0, 4), 0x11e81234, "rights: and works");
	close(fd);
	long g = group_try("edu");

	ok(g >= 0, "rights: closed, the group is free");
	if (g >= 0)
		close((int)g);
	close(ends[0]);
	close(ends[1]);
}

/* Death */

/* Opens everything, starts everything and waits for the end. */
static int victim(int ready)
{
	struct vfio v;
	uint8_t *mem = anon(PAGE);

	vfio_open(&v, "edu");
	set_command(v.device, 0, 4 | 2);
	dma_map(v.container, mem, 0x100000, PAGE, MAP_RW);
	irq_eventfd(v.device, 1, 0, event_fd());
	volatile uint32_t *bar =
		mmap(NULL, PAGE, RW, MAP_SHARED, v.device, (off_t)BAR0);

	if (*bar != EDU_ID_VALUE || write(ready, "r", 1) != 1)
		return 1;
	for (;;) {
		edu_fetch(v.device, 0x100000, PAGE);
		edu_store(v.device, 0x100000, PAGE);
	}
}

static void check_death(int round)
{
	int ends[2];
	struct vfio v;
	char byte = 0;

	if (pipe2(ends, O_CLOEXEC))
		return;
	pid_t pid = fork();

	if (!pid) {
		alarm(30);
		close(ends[0]);
		_exit(victim(ends[1]));
	}
	close(ends[1]);
	want(R(read(ends[0], &byte, 1)), 1, "death %d: everything is open",
	     round);
	want(group_try("edu"), -EBUSY, "death %d: the group is busy", round);
	kill(pid, SIGKILL);
	want(wait_child(pid), -SIGKILL, "death %d: killed", round);
	vfio_open(&v, "edu");
	want(cfg(v.device, 4, 2) & 4, 0,
	     "death %d: the next opener finds MASTER off", round);
	want(dma_avail(v.container), 65535, "death %d: and no mappings", round);
	want(rd32(v.device, BAR0), EDU_ID_VALUE,
	     "death %d: and a device that works", round);
	vfio_close(&v);
	close(ends[0]);
}

/* The owner dies, a survivor has the device: nothing happens to it. */
static int owner(int sock)
{
	struct vfio v;

	vfio_open(&v, "edu");
	set_command(v.device, 0, 4 | 2);
	wr32(v.device, BAR0 + EDU_LIVENESS, 7);
	return send_fds(sock, &v.device, 1) ? 0 : 1;
}

static void check_survivor(void)
{
	int ends[2];
	int device = -1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return;
	pid_t pid = fork();

	if (!pid) {
		alarm(30);
		_exit(owner(ends[1]));
	}
	want(wait_child(pid), 0, "survivor: the owner sends and ends");
	ok(receive_fds(ends[0], &device, 1), "survivor: has the device");
	want(cfg(device, 4, 2) & 4, 4, "survivor: bus mastering is still on");
	want(rd32(device, BAR0 + EDU_LIVENESS), (long)(uint32_t)~7u,
	     "survivor: it was not reset");
	want(group_try("edu"), -EBUSY, "survivor: keeps the group");
	close(device);
	long g = group_try("edu");

	ok(g >= 0, "survivor: which is free when it is closed");
	if (g >= 0)
		close((int)g);
	close(ends[0]);
	close(ends[1]);
}

void test_process(void)
{
	if (!have("edu"))
		return;
	check_fork();
	check_parallel();
	check_exec();
	check_cloexec();
	check_rights();
	check_in_flight();
	for (int round = 1; round <= 3; round++)
		check_death(round);
	check_survivor();
}

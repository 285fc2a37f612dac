/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * 1.2.3: no program can hold the gate up, whatever state it is in, and none
 * that holds a mapping escapes it. The group is busy exactly as long.
 */
#include "tests/client/victim_gate.h"

#include <sys/socket.h>
#include <sys/wait.h>

struct holder {
	char *map;
	int ready[2]; /* it writes */
	int go[2];    /* and reads */
	int pass[2];  /* a descriptor goes this way */
};

static void wait_for(int fd)
{
	char c;

	CHECK(read(fd, &c, 1) == 1);
}

static void say(int fd)
{
	CHECK(write(fd, "", 1) == 1);
}

/* Has no descriptor any more, only what is mapped. */
static void hold(const struct holder *h)
{
	/* what is on its way is a descriptor too */
	CHECK(!close(h->pass[0]) && !close(h->pass[1]));
	check_open(h->map, 3);
	say(h->ready[1]);
	wait_for(h->go[0]);
	check_closed(h->map);
	say(h->ready[1]);
	wait_for(h->go[0]);
	check_holds(h->map, 4);
	say(h->ready[1]);
	wait_for(h->go[0]);
	CHECK(!munmap(h->map, PAGE));
	say(h->ready[1]);
	wait_for(h->go[0]);
}

static void closed_all(void *arg)
{
	vfio_close(&vfio);
	hold(arg);
}

/* The one that mapped it is not the one that has it. */
static void forked_again(void *arg)
{
	struct holder *h = arg;
	pid_t pid = fork_into(closed_all, h);

	vfio_close(&vfio);
	CHECK(!munmap(h->map, PAGE));
	CHECK(!close(h->pass[0]) && !close(h->pass[1]));
	check_child(pid);
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

/* Has nothing of its own; what it is handed it maps, and closes. */
static void is_handed_it(void *arg)
{
	struct holder *h = arg;

	vfio_close(&vfio);
	CHECK(!munmap(h->map, PAGE));
	int device = take_fd(h->pass[1]);

	h->map = bar_map(device, 2, PAGE);
	CHECK(!close(device));
	hold(h);
}

static struct holder make_holder(void)
{
	struct holder h = {.map = bar_map(vfio.device, 2, PAGE)};

	CHECK(!pipe(h.ready) && !pipe(h.go));
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, h.pass));
	return h;
}

static void go_on(const struct holder *h)
{
	say(h->go[1]);
	wait_for(h->ready[0]);
}

static void stop(pid_t pid)
{
	int status;

	CHECK(!kill(pid, SIGSTOP));
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
}

static void check_group(bool busy)
{
	int group = group_try(MAIN);

	CHECK(busy ? group == -EBUSY : group >= 0 && !close(group));
}

static void held_by(void (*holder)(void *arg), bool stopped)
{
	start(MAIN);
	struct holder h = make_holder();
	pid_t pid = fork_into(holder, &h);

	send_fd(h.pass[0], vfio.device);
	wait_for(h.ready[0]);
	if (stopped)
		stop(pid);
	memory(false);
	check_closed(h.map);
	if (stopped)
		CHECK(!kill(pid, SIGCONT));
	go_on(&h);
	memory(true);
	check_open(h.map, 4);
	go_on(&h);
	CHECK(!munmap(h.map, PAGE));
	CHECK(!close(h.pass[0]) && !close(h.pass[1]));
	vfio_close(&vfio);
	if (stopped)
		stop(pid);
	check_group(true);
	if (stopped)
		CHECK(!kill(pid, SIGCONT));
	go_on(&h);
	check_group(false);
	say(h.go[1]);
	check_child(pid);
}

static void stopped_1_2_3(char **args)
{
	(void)args;
	held_by(closed_all, true);
}

static void closed_all_1_2_3(char **args)
{
	(void)args;
	held_by(closed_all, false);
}

static void forked_1_2_3(char **args)
{
	(void)args;
	held_by(forked_again, false);
}

static void handed_over_1_2_3(char **args)
{
	(void)args;
	held_by(is_handed_it, false);
}

const struct victim_test gate_holder_tests[] = {
	{"stopped_1_2_3", stopped_1_2_3},
	{"closed_all_1_2_3", closed_all_1_2_3},
	{"forked_1_2_3", forked_1_2_3},
	{"handed_over_1_2_3", handed_over_1_2_3},
	{NULL, NULL},
};

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VFIO's files across processes: fork, exec, sent through a socket, and the
 * death of who opened them. Parent and child take turns, so that what both say
 * has an order.
 */
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "conformance/case.h"
#include "conformance/device.h"
#include "conformance/process.h"
#include "conformance/type1.h"

static void open_all(struct vfio *v)
{
	vfio_open(v, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	command(v->device, 0, 4 | 2);
}

/* One call of each file. */
static void say_use(const char *who, const struct vfio *v)
{
	struct vfio_group_status st = {.argsz = sizeof(st)};
	uint32_t id = 0;

	say("who=%s", who);
	say_step("version", ioctl(v->container, VFIO_GET_API_VERSION));
	say_step("status", ioctl(v->group, VFIO_GROUP_GET_STATUS, &st));
	say("flags=%#x", st.flags);
	say_step("config", pread(v->device, &id, sizeof(id), (off_t)CONFIG));
	say("id=%#x", id);
	say_step("register", pread(v->device, &id, sizeof(id), 0));
	say("value=%#x", id);
	volatile uint32_t *m = (void *)bar_map(v->device, REGION(0), PAGE);

	say("loaded=%#x", *m);
	munmap((void *)m, PAGE);
}

static void say_end(pid_t pid)
{
	int status = 0;

	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		say_signal("child", WTERMSIG(status));
	else
		say("child=%d", WEXITSTATUS(status));
}

/* fork */

static void fork_uses(const void *arg)
{
	struct vfio v;

	open_all(&v);
	pid_t pid = fork();

	if (!pid) {
		say_use("child", &v);
		command(v.device, 4, 0);
		_exit(0);
	}
	say_end(pid);
	say("command=%#x", cfg(v.device, 4, 2) & 7u);
	say_use("parent", &v);
}

static void fork_maps(const void *arg)
{
	struct vfio v;
	uint8_t *mem = anon(4 * PAGE);

	open_all(&v);
	say_step("parent", dma_map(v.container, mem, PAGE, PAGE, MAP_RW));
	pid_t pid = fork();

	if (!pid) {
		uint64_t size = PAGE;

		say_step("child",
			 dma_map(v.container, mem, 2 * PAGE, PAGE, MAP_RW));
		say_step("same", dma_map(v.container, mem, PAGE, PAGE, MAP_RW));
		say_step("unmap", dma_unmap(v.container, PAGE, &size, 0));
		say("size=%#" PRIx64, size);
		_exit(0);
	}
	say_end(pid);
	say_mappings(v.container);
	say_step("parent", dma_map(v.container, mem, PAGE, PAGE, MAP_RW));
	say_step("of_child", dma_map(v.container, mem, 2 * PAGE, PAGE, MAP_RW));
}

/* The child's copy of a BAR's mapping is a user like any. */
static void fork_keeps_mapping(const void *arg)
{
	const struct role *role = arg;
	struct vfio v;
	int ends[2];
	char byte = 0;

	vfio_open(&v, role->name, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	void *m = bar_map(v.device, REGION(role->bar), PAGE);

	need(pipe(ends), "pipe");
	pid_t pid = fork();

	if (!pid) {
		vfio_close(&v);
		close(ends[1]);
		_exit(read(ends[0], &byte, 1) != 0);
	}
	munmap(m, PAGE);
	vfio_close(&v);
	say_reopen("child_lives", v.function);
	close(ends[1]);
	say_end(pid);
	say_reopen("child_ended", v.function);
}

static void fork_touches(const void *arg)
{
	struct vfio v;

	open_all(&v);
	void *m = bar_map(v.device, REGION(0), PAGE);
	pid_t pid = fork();

	if (!pid) {
		say_touch("child", m, false);
		command(v.device, 2, 0);
		say_touch("child_off", m, false);
		_exit(0);
	}
	say_end(pid);
	say_touch("parent_off", m, false);
	command(v.device, 0, 2);
	say_touch("parent_on", m, false);
}

static void grandchild_uses(const void *arg)
{
	struct vfio v;

	open_all(&v);
	pid_t pid = fork();

	if (!pid) {
		pid_t inner = fork();

		if (!inner) {
			say_use("grandchild", &v);
			_exit(0);
		}
		say_end(inner);
		_exit(0);
	}
	say_end(pid);
	say_use("parent", &v);
}

/* Only the child opened it. */
static void child_opens(const void *arg)
{
	const struct function *f = function_need("edu", 0);

	pid_t pid = fork();

	if (!pid) {
		struct vfio v;

		open_all(&v);
		say_use("child", &v);
		_exit(0);
	}
	say_end(pid);
	say_reopen("open", f);
}

/* exec */

static void inherit(const struct vfio *v)
{
	const int fds[] = {v->container, v->group, v->device};

	for (size_t i = 0; i < COUNT(fds); i++)
		need(fcntl(fds[i], F_SETFD, 0), "fcntl");
}

/* This program again, which goes on in process_main() with the same line. */
struct command_line {
	char fds[EXEC_FILES][16];
	char *argv[EXEC_FILES + 3];
};

static void write_command(struct command_line *c, const struct vfio *v)
{
	const int fds[] = {case_line(), v->container, v->group, v->device};
	char **arg = c->argv;

	need(fcntl(case_line(), F_SETFD, 0), "fcntl");
	*arg++ = "softvfio-conformance";
	*arg++ = EXEC_OPTION;
	for (size_t i = 0; i < EXEC_FILES; i++) {
		snprintf(c->fds[i], sizeof(c->fds[i]), "%d", fds[i]);
		*arg++ = c->fds[i];
	}
	*arg = NULL;
}

static void exec_again(const struct vfio *v)
{
	struct command_line c;

	write_command(&c, v);
	execv("/proc/self/exe", c.argv);
	need(-1, "exec");
}

int process_main(char *const *argv)
{
	struct vfio v = {
		.container = atoi(argv[1]),
		.group = atoi(argv[2]),
		.device = atoi(argv[3]),
	};
	void *mem;

	if (!case_adopt_line(atoi(argv[0])))
		return 1;
	mem = anon(PAGE);
	say_use("exec", &v);
	say_step("old", dma_map(v.container, mem, PAGE, PAGE, MAP_RW));
	say_step("new", dma_map(v.container, mem, 2 * PAGE, PAGE, MAP_RW));
	say_mappings(v.container);
	return 0;
}

static void exec_inherits(const void *arg)
{
	struct vfio v;

	open_all(&v);
	inherit(&v);
	say_step("map", dma_map(v.container, anon(PAGE), PAGE, PAGE, MAP_RW));
	exec_again(&v);
}

static void exec_in_child(const void *arg)
{
	struct vfio v;

	open_all(&v);
	inherit(&v);
	say_step("map", dma_map(v.container, anon(PAGE), PAGE, PAGE, MAP_RW));
	pid_t pid = fork();

	if (!pid)
		exec_again(&v);
	say_end(pid);
	say_use("parent", &v);
	say_mappings(v.container);
}

static void exec_closes(const void *arg)
{
	const struct function *f = function_need("edu", 0);

	pid_t pid = fork();

	if (!pid) {
		struct vfio v;

		open_all(&v);
		exec_again(&v);
	}
	say_end(pid);
	say_reopen("open", f);
}

static void spawn_inherits(const void *arg)
{
	struct command_line c;
	struct vfio v;
	pid_t pid;

	open_all(&v);
	inherit(&v);
	write_command(&c, &v);
	errno = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, c.argv,
			    environ);
	need(errno ? -1 : 0, "posix_spawn");
	say_end(pid);
	say_mappings(v.container);
}

/* SCM_RIGHTS */

union control {
	struct cmsghdr head;
	char buf[CMSG_SPACE(3 * sizeof(int))];
};

static void send_files(int sock, const int *fds, size_t n)
{
	char byte = 0;
	struct iovec iov = {&byte, 1};
	union control control = {0};
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
	need(sendmsg(sock, &msg, 0), "sendmsg");
}

static void receive_files(int sock, int *fds, size_t n)
{
	char byte;
	struct iovec iov = {&byte, 1};
	union control control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};

	need(recvmsg(sock, &msg, MSG_CMSG_CLOEXEC), "recvmsg");
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&msg)), n * sizeof(int));
}

static void socket_pair(int ends[2])
{
	need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends),
	     "socketpair");
}

/* Turns: each waits for a byte of the other. */
static void pass(int sock)
{
	char byte = 0;

	need(write(sock, &byte, 1), "write");
}

static void await(int sock)
{
	char byte;

	need(read(sock, &byte, 1), "read");
}

static void receiver(int sock)
{
	int fds[3];

	receive_files(sock, fds, 3);
	const struct vfio v = {NULL, fds[0], fds[1], fds[2]};

	say_use("receiver", &v);
	say_step("map", dma_map(v.container, anon(PAGE), PAGE, PAGE, MAP_RW));
	pass(sock);
	await(sock);
	say_use("alone", &v);
	say_mappings(v.container);
	_exit(0);
}

/* To a process that is older than the files; then it alone has them. */
static void rights_sent(const void *arg)
{
	int ends[2];
	struct vfio v;

	socket_pair(ends);
	pid_t pid = fork();

	if (!pid)
		receiver(ends[1]);
	open_all(&v);
	send_files(ends[0], (const int[]){v.container, v.group, v.device}, 3);
	await(ends[0]);
	vfio_close(&v);
	say_reopen("sender_closed", v.function);
	pass(ends[0]);
	say_end(pid);
	say_reopen("receiver_ended", v.function);
}

/* A file that is only in a socket is open. */
static void rights_in_flight(const void *arg)
{
	int ends[2];
	struct vfio v;
	int fd;

	socket_pair(ends);
	open_all(&v);
	send_files(ends[0], &v.device, 1);
	vfio_close(&v);
	say_reopen("in_flight", v.function);
	receive_files(ends[1], &fd, 1);
	say("id=%#x", cfg(fd, 0, 4));
	close(fd);
	say_reopen("closed", v.function);
}

static void rights_dropped(const void *arg)
{
	int ends[2];
	struct vfio v;

	socket_pair(ends);
	open_all(&v);
	send_files(ends[0], &v.device, 1);
	vfio_close(&v);
	say_reopen("in_flight", v.function);
	close(ends[0]);
	close(ends[1]);
	say_reopen("dropped", v.function);
}

/* A container from one process, a group from another. */
static void rights_mixed(const void *arg)
{
	int ends[2];
	int container;
	struct vfio v;

	socket_pair(ends);
	pid_t pid = fork();

	if (!pid) {
		container = container_open();
		send_files(ends[1], &container, 1);
		_exit(0);
	}
	say_end(pid);
	receive_files(ends[0], &container, 1);
	vfio_open(&v, "edu", 0, GROUP, 0);
	say_step("join", group_join(v.group, container));
	say_step("set_iommu",
		 ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	say_step("map", dma_map(container, anon(PAGE), PAGE, PAGE, MAP_RW));
	v.device = device_open(v.group, v.function);
	say_step("device", v.device < 0 ? -1 : 0);
}

/* Death */

static void victim(int sock)
{
	struct vfio v;
	void *mem = anon(PAGE);

	open_all(&v);
	need(dma_map(v.container, mem, 0x100000, PAGE, MAP_RW), "map");
	need(irq_trigger(v.device, MSI, 0, event_new()), "msi");
	volatile uint32_t *m = (void *)bar_map(v.device, REGION(0), PAGE);

	say("register=%#x", *m);
	pass(sock);
	for (;;)
		pause();
}

static void killed(const void *arg)
{
	const int *sig = arg;
	const struct function *f = function_need("edu", 0);
	int ends[2];
	struct vfio v;

	socket_pair(ends);
	pid_t pid = fork();

	if (!pid)
		victim(ends[1]);
	await(ends[0]);
	say_reopen("alive", f);
	kill(pid, *sig);
	say_end(pid);
	vfio_open(&v, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	say("command=%#x register=%#x", cfg(v.device, 4, 2) & 7u,
	    rd32(v.device, 0));
	say_mappings(v.container);
	say_step("signal", set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER, MSI, 0, 1,
				    NULL, 0));
}

/* The owner ends, another has the device: nothing happens to it. */
static void survives(const void *arg)
{
	const struct function *f = function_need("edu", 0);
	int ends[2];
	int device;

	socket_pair(ends);
	pid_t pid = fork();

	if (!pid) {
		struct vfio v;

		open_all(&v);
		wr32(v.device, 4, 7);
		send_files(ends[1], &v.device, 1);
		_exit(0);
	}
	say_end(pid);
	receive_files(ends[0], &device, 1);
	say("command=%#x", cfg(device, 4, 2) & 7u);
	say("register=%#x", rd32(device, 4));
	say_reopen("open", f);
	close(device);
	say_reopen("closed", f);
}

/* The process that mapped memory ends; its mapping does not. */
static void mapper_ends(const void *arg)
{
	struct vfio v;

	open_all(&v);
	pid_t pid = fork();

	if (!pid) {
		say_step("map",
			 dma_map(v.container, anon(PAGE), PAGE, PAGE, MAP_RW));
		_exit(0);
	}
	say_end(pid);
	uint64_t size = PAGE;

	say_mappings(v.container);
	say_step("again", dma_map(v.container, anon(PAGE), PAGE, PAGE, MAP_RW));
	say_step("unmap", dma_unmap(v.container, PAGE, &size, 0));
	say("size=%#" PRIx64, size);
}

static const struct {
	const char *name;
	case_fn *fn;
} processes[] = {
	{"fork.uses", fork_uses},
	{"fork.maps", fork_maps},
	{"fork.touches", fork_touches},
	{"fork.grandchild", grandchild_uses},
	{"fork.child_opens", child_opens},
	{"exec.inherits", exec_inherits},
	{"exec.in_child", exec_in_child},
	{"exec.closes", exec_closes},
	{"exec.spawn", spawn_inherits},
	{"rights.sent", rights_sent},
	{"rights.in_flight", rights_in_flight},
	{"rights.dropped", rights_dropped},
	{"rights.mixed", rights_mixed},
	{"death.survives", survives},
	{"death.mapper", mapper_ends},
};

void area_process(void)
{
	static const int signals[] = {SIGKILL, SIGTERM, SIGSEGV, SIGABRT};

	for (size_t i = 0; i < COUNT(processes); i++)
		run(processes[i].fn, NULL, "%s", processes[i].name);
	run(fork_keeps_mapping, &roles_all[0], "fork.keeps_mapping");
	run(fork_keeps_mapping, &roles_all[2], "fork.keeps_mapping.ram");
	for (size_t i = 0; i < COUNT(signals); i++)
		run(killed, &signals[i], "death.%s", sigabbrev_np(signals[i]));
}

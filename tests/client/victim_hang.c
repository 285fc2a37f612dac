/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals that come while a trapped access waits for a model (hang.c) which
 * does not return. Arguments: the test, the device, the file while which exists
 * the model does not return.
 */
#include "tests/client/victim.h"

#include <setjmp.h>
#include <sys/time.h>
#include <sys/wait.h>

#define TICK_US 300000

static struct vfio dev;
static volatile uint32_t *regs;
static volatile uint64_t *wide;
static const char *file;
static volatile sig_atomic_t handled;
static sigjmp_buf out;

static void open_device(char **args)
{
	vfio_open(&dev, args[0]);
	command_set(dev.device, 2);
	regs = bar_map(dev.device, 0, PAGE);
	wide = (volatile uint64_t *)regs;
	file = args[1];
}

static void begin(void)
{
	puts("begins");
	fflush(stdout);
}

/* What lets the model go on. */
static void on_alarm(int sig)
{
	handled++;
	unlink(file);
}

static void on_alarm_jump(int sig)
{
	handled++;
	siglongjmp(out, 1);
}

static void alarm_with(void (*fn)(int), int flags)
{
	const struct itimerval once = {.it_value = {.tv_usec = TICK_US}};
	struct sigaction sa = {.sa_handler = fn, .sa_flags = flags};

	sigemptyset(&sa.sa_mask);
	CHECK(!sigaction(SIGALRM, &sa, NULL));
	CHECK(!setitimer(ITIMER_REAL, &once, NULL));
}

static void t_default(char **args)
{
	open_device(args);
	begin();
	regs[0] = 1;
	CHECK(!"the store has been waited for");
}

static void t_store(char **args)
{
	open_device(args);
	alarm_with(on_alarm, 0);
	begin();
	regs[0] = 7;
	CHECK(handled == 1);
	CHECK(regs[0] == 8);
}

/* The handler's stack is its own, as half of it may be ours. */
static void t_altstack(char **args)
{
	const stack_t stack = {.ss_sp = anon(8 * PAGE), .ss_size = 8 * PAGE};

	open_device(args);
	CHECK(!sigaltstack(&stack, NULL));
	alarm_with(on_alarm, SA_ONSTACK);
	begin();
	regs[0] = 7;
	CHECK(handled == 1 && regs[0] == 8);
}

static void t_load(char **args)
{
	open_device(args);
	alarm_with(on_alarm, 0);
	begin();
	CHECK(regs[0] == 1);
	CHECK(handled == 1);
	CHECK(regs[2] == 1); /* the model has been read once */
}

/* Left in its second access, the first is not made again. */
static void t_modify(char **args)
{
	open_device(args);
	alarm_with(on_alarm, 0);
	begin();
	__asm__ volatile("addl $5, (%0)" ::"r"(regs) : "memory", "cc");
	CHECK(handled == 1);
	CHECK(regs[2] == 1);
	CHECK(regs[0] == 7); /* 0 + 1 read, 5 added, 6 written, 1 read more */
}

static void t_both_halves(char **args)
{
	const uint64_t halves[2] = {3, 4};

	open_device(args);
	alarm_with(on_alarm, 0);
	begin();
	__asm__ volatile("movdqu %0, %%xmm0\n\t"
			 "movdqu %%xmm0, (%1)" ::"m"(halves),
			 "r"(regs)
			 : "memory", "xmm0");
	CHECK(handled == 1);
	CHECK(regs[0] == 8);
}

/* What is jumped out of counts as made, and the rest goes on. */
static void t_jump(char **args)
{
	open_device(args);
	alarm_with(on_alarm_jump, 0);
	begin();
	if (!sigsetjmp(out, 1))
		regs[0] = 7;
	CHECK(handled == 1);
	unlink(file);
	for (uint32_t i = 0; i < 20; i++) {
		CHECK(regs[0] == 8 + i);
		regs[0] = 1;
	}
	CHECK(command(dev.device) == 2);
}

/* A child that a handler makes stores what its parent was at for itself. */
static void on_alarm_fork(int sig)
{
	handled++;
	unlink(file);

	pid_t pid = fork();

	if (pid)
		check_child(pid);
	else
		handled = -1;
}

static void t_fork(char **args)
{
	open_device(args);
	alarm_with(on_alarm_fork, 0);
	begin();
	regs[0] = 7;
	if (handled < 0)
		_exit(0);
	CHECK(handled == 1);
	CHECK(regs[0] == 15);
}

/* A touch of memory waits for a reset, and is asked for anew. */
static void t_touch(char **args)
{
	volatile uint64_t *memory;

	open_device(args);
	memory = bar_map(dev.device, 2, PAGE);
	alarm_with(on_alarm, 0);
	begin();

	pid_t pid = fork();

	if (!pid) {
		ioctl(dev.device, VFIO_DEVICE_RESET);
		_exit(0);
	}
	while (handled < 1)
		memory[0] = 5;
	check_child(pid);
	memory[0] = 6;
	CHECK(memory[0] == 6);
}

/* Decode goes off while the model is in a burst, which keeps the gate open. */
static void t_burst(char **args)
{
	volatile uint64_t *memory;
	pid_t pid;
	int status;

	open_device(args);
	memory = bar_map(dev.device, 2, PAGE);
	begin();
	regs[0] = 1;
	command_set(dev.device, 0);
	unlink(file);
	do {
		pid = fork();
		if (!pid) {
			memory[0] = 1;
			_exit(0);
		}
		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	} while (!WIFSIGNALED(status));
	CHECK(WTERMSIG(status) == SIGBUS);
	command_set(dev.device, 2);
	memory[0] = 5;
	CHECK(memory[0] == 5);
}

int main(int argc, char **argv)
{
	static const struct victim_test tests[] = {
		{"default", t_default},
		{"store", t_store},
		{"altstack", t_altstack},
		{"load", t_load},
		{"modify", t_modify},
		{"both-halves", t_both_halves},
		{"jump", t_jump},
		{"fork", t_fork},
		{"touch", t_touch},
		{"burst", t_burst},
		{NULL, NULL},
	};

	return victim_main(argc, argv, tests);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a program is told when it touches a closed BAR: the signal in each
 * disposition, by each kind of access, and what calls say whose memory it is.
 */
#include <linux/pci_regs.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "conformance/gate.h"

static struct vfio v;
static const struct role *role;

static uint8_t *closed_bar(void)
{
	uint8_t *m = bar_map(v.device, REGION(role->bar), 2 * PAGE);

	command(v.device, PCI_COMMAND_MEMORY, 0);
	return m;
}

static void load(volatile void *at)
{
	(void)*(volatile uint32_t *)at;
}

/* Each disposition; a child dies of it, so the case can say so. */

static void say_child(pid_t pid)
{
	int status = 0;

	need(waitpid(pid, &status, 0), "waitpid");
	if (WIFSIGNALED(status))
		say_signal("child", WTERMSIG(status));
	else
		say("child=%d", WEXITSTATUS(status));
}

static void dies(void (*prepare)(void))
{
	uint8_t *m = closed_bar();
	pid_t pid = fork();

	if (!pid) {
		prepare();
		load(m);
		_exit(0);
	}
	say_child(pid);
}

static void by_default(void)
{
	signal(SIGBUS, SIG_DFL);
}

static void by_ignoring(void)
{
	signal(SIGBUS, SIG_IGN);
}

static void handler_exits(int sig)
{
	_exit(sig == SIGBUS ? 3 : 4);
}

static void by_blocking(void)
{
	sigset_t set;

	signal(SIGBUS, handler_exits);
	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void by_handling(void)
{
	signal(SIGBUS, handler_exits);
}

/* Of the other signal only: it is not SIGSEGV. */
static void by_other(void)
{
	signal(SIGSEGV, handler_exits);
}

static volatile uint8_t *touched;

static void handler_touches(int sig)
{
	load(touched);
	_exit(5);
}

static void by_touching_again(void)
{
	struct sigaction act = {.sa_handler = handler_touches};

	touched = bar_map(v.device, REGION(role->bar), PAGE);
	sigaction(SIGBUS, &act, NULL);
}

static void by_once(void)
{
	struct sigaction act = {
		.sa_handler = handler_touches,
		.sa_flags = SA_RESETHAND | SA_NODEFER,
	};

	touched = bar_map(v.device, REGION(role->bar), PAGE);
	sigaction(SIGBUS, &act, NULL);
}

static void disposition(const void *arg)
{
	void (*const *prepare)(void) = arg;

	dies(*prepare);
}

static void each_disposition(void)
{
	static const struct {
		const char *name;
		void (*prepare)(void);
	} all[] = {
		{"default", by_default},  {"ignored", by_ignoring},
		{"blocked", by_blocking}, {"handled", by_handling},
		{"other", by_other},	  {"touches_again", by_touching_again},
		{"once", by_once},
	};

	for (size_t i = 0; i < COUNT(all); i++)
		run(disposition, &all[i].prepare, "%s.signal.%s", role->name,
		    all[i].name);
}

/* Handlers that go on */

static volatile sig_atomic_t calls;

static void handler_opens(int sig)
{
	calls++;
	command(v.device, 0, PCI_COMMAND_MEMORY);
}

/* The access is made again when the handler returns. */
static void returns(const void *arg)
{
	volatile uint32_t *m = (void *)closed_bar();

	signal(SIGBUS, handler_opens);
	uint32_t val = *m;

	say("calls=%d", (int)calls);
	signal(SIGBUS, SIG_DFL);
	say("same=%d", val == rd32(v.device, REGION(role->bar)));
}

static void handler_maps(int sig)
{
	calls++;
	mmap((void *)(uintptr_t)touched, PAGE, RW,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* Or finds something else there. */
static void replaces(const void *arg)
{
	uint8_t *m = closed_bar();

	touched = m;
	signal(SIGBUS, handler_maps);
	*(volatile uint32_t *)m = 7;
	say("calls=%d stored=%u", (int)calls, *(uint32_t *)m);
}

static sigjmp_buf back;
static volatile uintptr_t stack_of_handler;
static siginfo_t told;

static void handler_jumps(int sig, siginfo_t *info, void *context)
{
	stack_of_handler = (uintptr_t)&sig;
	told = *info;
	siglongjmp(back, 1);
}

static void touch_with(int flags, void *at)
{
	struct sigaction act = {
		.sa_sigaction = handler_jumps,
		.sa_flags = SA_SIGINFO | flags,
	};

	sigaction(SIGBUS, &act, NULL);
	sigaction(SIGSEGV, &act, NULL);
	if (!sigsetjmp(back, 1))
		load(at);
}

static void on_stack(const void *arg)
{
	uint8_t *m = closed_bar();
	uint8_t *stack = anon(16 * PAGE);
	stack_t ss = {.ss_sp = stack, .ss_size = 16 * PAGE};

	need(sigaltstack(&ss, NULL), "sigaltstack");
	touch_with(SA_ONSTACK, m);
	say_signal("signal", told.si_signo);
	say("alternate=%d", stack_of_handler - (uintptr_t)stack < 16 * PAGE);
}

static void tells(const void *arg)
{
	uint8_t *m = closed_bar();

	touch_with(0, m + 0x123);
	say_signal("signal", told.si_signo);
	say("errno=%d code=%d at=%td", told.si_errno, told.si_code,
	    (uint8_t *)told.si_addr - m);
}

/* Threads, each with its own */

#define THREADS 8

static __thread sigjmp_buf thread_back;
static atomic_uint signals;
static uint8_t *of_threads;

static void handler_of_thread(int sig, siginfo_t *info, void *context)
{
	if (sig == SIGBUS && info->si_code == BUS_ADRERR)
		atomic_fetch_add(&signals, 1);
	siglongjmp(thread_back, 1);
}

static void *thread_touches(void *arg)
{
	size_t at = (size_t)(uintptr_t)arg;

	for (volatile int i = 0; i < 16; i++)
		if (!sigsetjmp(thread_back, 1))
			load(of_threads + at);
	return NULL;
}

static void threads(const void *arg)
{
	const size_t *stride = arg;
	struct sigaction act = {
		.sa_sigaction = handler_of_thread,
		.sa_flags = SA_SIGINFO,
	};
	pthread_t thread[THREADS];

	of_threads = closed_bar();
	sigaction(SIGBUS, &act, NULL);
	for (size_t i = 0; i < THREADS; i++) {
		errno = pthread_create(&thread[i], NULL, thread_touches,
				       (void *)(uintptr_t)(i * *stride));
		need(errno ? -1 : 0, "a thread");
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	say("signals=%u", atomic_load(&signals));
}

static void each_handler(void)
{
	static const size_t strides[] = {0, 64, 1024};

	run(returns, NULL, "%s.signal.returns", role->name);
	run(replaces, NULL, "%s.signal.replaces", role->name);
	run(on_stack, NULL, "%s.signal.on_stack", role->name);
	run(tells, NULL, "%s.signal.tells", role->name);
	for (size_t i = 0; i < COUNT(strides); i++)
		run(threads, &strides[i], "%s.signal.threads.%zu", role->name,
		    strides[i]);
}

/* Kinds of access: which byte is named */

typedef void access_fn(uint8_t *at);

static void load8(uint8_t *at)
{
	uint8_t val;

	__asm__ volatile("movb (%1), %0" : "=q"(val) : "r"(at) : "memory");
}

static void load16(uint8_t *at)
{
	uint16_t val;

	__asm__ volatile("movw (%1), %0" : "=r"(val) : "r"(at) : "memory");
}

static void load64(uint8_t *at)
{
	uint64_t val;

	__asm__ volatile("movq (%1), %0" : "=r"(val) : "r"(at) : "memory");
}

static void load128(uint8_t *at)
{
	__asm__ volatile("movdqu (%0), %%xmm0" : : "r"(at) : "xmm0", "memory");
}

static void store8(uint8_t *at)
{
	__asm__ volatile("movb $1, (%0)" : : "r"(at) : "memory");
}

static void store64(uint8_t *at)
{
	__asm__ volatile("movq $1, (%0)" : : "r"(at) : "memory");
}

static void store128(uint8_t *at)
{
	__asm__ volatile("movdqu %%xmm0, (%0)" : : "r"(at) : "memory");
}

static void adds(uint8_t *at)
{
	__asm__ volatile("lock addl $1, (%0)" : : "r"(at) : "memory", "cc");
}

static void swaps(uint8_t *at)
{
	uint32_t val = 1;

	__asm__ volatile("xchgl %0, (%1)" : "+r"(val) : "r"(at) : "memory");
}

static void compares(uint8_t *at)
{
	__asm__ volatile("cmpl $1, (%0)" : : "r"(at) : "memory", "cc");
}

static void copies_in(uint8_t *at)
{
	uint8_t from[64] = {0};
	uint8_t *src = from;
	size_t n = sizeof(from);

	__asm__ volatile("rep movsb"
			 : "+D"(at), "+S"(src), "+c"(n)
			 :
			 : "memory");
}

static void copies_out(uint8_t *at)
{
	uint8_t to[64];
	uint8_t *dst = to;
	size_t n = sizeof(to);

	__asm__ volatile("rep movsb"
			 : "+D"(dst), "+S"(at), "+c"(n)
			 :
			 : "memory");
}

static void fills(uint8_t *at)
{
	size_t n = 16;

	__asm__ volatile("rep stosl" : "+D"(at), "+c"(n) : "a"(0) : "memory");
}

static const struct access {
	const char *name;
	access_fn *fn;
} accesses[] = {
	{"load8", load8},	  {"load16", load16},
	{"load64", load64},	  {"load128", load128},
	{"store8", store8},	  {"store64", store64},
	{"store128", store128},	  {"adds", adds},
	{"swaps", swaps},	  {"compares", compares},
	{"copies_in", copies_in}, {"copies_out", copies_out},
	{"fills", fills},
};

static void access_at(const char *key, const struct access *a, uint8_t *m,
		      size_t at)
{
	struct sigaction act = {
		.sa_sigaction = handler_jumps,
		.sa_flags = SA_SIGINFO,
	};

	memset(&told, 0, sizeof(told));
	sigaction(SIGBUS, &act, NULL);
	sigaction(SIGSEGV, &act, NULL);
	if (!sigsetjmp(back, 1))
		a->fn(m + at);
	say_signal(key, told.si_signo);
	say("code=%d at=%td", told.si_code, (uint8_t *)told.si_addr - (m + at));
}

static void access_case(const void *arg)
{
	uint8_t *m = closed_bar();

	access_at("start", arg, m, 0);
	access_at("odd", arg, m, 0x33);
	access_at("page_end", arg, m, PAGE - 1);
	access_at("second_page", arg, m, PAGE + 0x40);
}

static void each_access(void)
{
	for (size_t i = 0; i < COUNT(accesses); i++)
		run(access_case, &accesses[i], "%s.access.%s", role->name,
		    accesses[i].name);
}

/* Calls that read or write the BAR for the program */

typedef long call_fn(uint8_t *m);

static int pipe_with(size_t n)
{
	static int ends[2];
	static const char bytes[64];

	need(pipe2(ends, O_CLOEXEC | O_NONBLOCK), "pipe");
	if (n)
		need(write(ends[1], bytes, n), "write");
	return n ? ends[0] : ends[1];
}

static long call_write(uint8_t *m)
{
	return write(pipe_with(0), m, 4);
}

static long call_read(uint8_t *m)
{
	return read(pipe_with(4), m, 4);
}

static long call_writev(uint8_t *m)
{
	uint8_t mine[4] = {0};
	struct iovec iov[] = {{mine, 4}, {m, 4}};

	return writev(pipe_with(0), iov, 2);
}

static long call_readv(uint8_t *m)
{
	uint8_t mine[4];
	struct iovec iov[] = {{mine, 4}, {m, 4}};

	return readv(pipe_with(8), iov, 2);
}

static long call_random(uint8_t *m)
{
	return getrandom(m, 4, 0);
}

static long call_send(uint8_t *m)
{
	int ends[2];

	turns_new(ends);
	return send(ends[0], m, 4, 0);
}

static long call_recv(uint8_t *m)
{
	int ends[2];

	turns_new(ends);
	turn_pass(ends[0]);
	return recv(ends[1], m, 1, 0);
}

static long call_config(uint8_t *m)
{
	return pread(v.device, m, 4, (off_t)CONFIG);
}

static long call_config_write(uint8_t *m)
{
	return pwrite(v.device, m, 1, (off_t)CONFIG + PCI_INTERRUPT_LINE);
}

static long call_ioctl(uint8_t *m)
{
	return ioctl(v.device, VFIO_DEVICE_GET_INFO, m);
}

static long call_path(uint8_t *m)
{
	return open((const char *)m, O_RDONLY | O_CLOEXEC);
}

static long call_to_local(uint8_t *m)
{
	uint8_t mine[4] = {1, 2, 3, 4};
	struct iovec local = {m, 4};
	struct iovec remote = {mine, 4};

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
}

static long call_from_remote(uint8_t *m)
{
	uint8_t mine[4];
	struct iovec local = {mine, 4};
	struct iovec remote = {m, 4};

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
}

static long call_to_remote(uint8_t *m)
{
	uint8_t mine[4] = {0};
	struct iovec local = {mine, 4};
	struct iovec remote = {m, 4};

	return process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
}

static const struct call {
	const char *name;
	call_fn *fn;
} calls_all[] = {
	{"write", call_write},
	{"read", call_read},
	{"writev", call_writev},
	{"readv", call_readv},
	{"getrandom", call_random},
	{"send", call_send},
	{"recv", call_recv},
	{"pread_config", call_config},
	{"pwrite_config", call_config_write},
	{"ioctl", call_ioctl},
	{"open", call_path},
	{"vm_readv_local", call_to_local},
	{"vm_readv_remote", call_from_remote},
	{"vm_writev_remote", call_to_remote},
};

static void call_closed(const void *arg)
{
	const struct call *c = arg;

	say_ret(c->fn(closed_bar() + 0x40));
	command(v.device, 0, PCI_COMMAND_MEMORY);
}

/* Where a BAR is memory, and so no register is in the way. */
static void call_open(const void *arg)
{
	const struct call *c = arg;
	uint8_t *m = bar_map(v.device, REGION(role->bar), PAGE);
	long ret;

	memset(m + 0x40, 0, 64);
	ret = c->fn(m + 0x40);
	say_step("open", ret);
	command(v.device, PCI_COMMAND_MEMORY, 0);
	command(v.device, 0, PCI_COMMAND_MEMORY);
	say_step("again", c->fn(m + 0x40));
}

static void each_call(void)
{
	for (size_t i = 0; i < COUNT(calls_all); i++) {
		run(call_closed, &calls_all[i], "%s.call.%s", role->name,
		    calls_all[i].name);
		if (!strcmp(role->name, "ram"))
			run(call_open, &calls_all[i], "%s.call_open.%s",
			    role->name, calls_all[i].name);
	}
}

static void after(void)
{
	if (v.device >= 0)
		device_quiet(v.device);
}

void gate_signals(void)
{
	/* a BAR of registers, and one of memory */
	static const size_t of[] = {0, 2};

	run_after(after);
	for (size_t i = 0; i < COUNT(of); i++) {
		role = &roles_all[of[i]];
		fixture_open(&v, role->name, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
		each_disposition();
		each_handler();
		each_access();
		each_call();
		fixture_close(&v);
	}
}

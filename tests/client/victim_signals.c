/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signal handlers that use VFIO while the thread they interrupt does too, and
 * programs that have plans of their own for SIGSEGV and SIGBUS.
 */
#include "tests/client/victim.h"

#include <pthread.h>
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/time.h>

#define TICK_US	   200
#define TICKS	   400
#define ALT_STACK  (16ul << 10)
#define MAX_ROUNDS 1000000

static struct vfio edu, ram;
static volatile uint32_t *regs;
static volatile uint64_t *memory;

static void open_all(void)
{
	vfio_open(&edu, EDU);
	command_set(edu.device, 6);
	vfio_open(&ram, RAM);
	command_set(ram.device, 2);
	regs = bar_map(edu.device, 0, PAGE);
	memory = bar_map(ram.device, 2, PAGE);
}

static void handle(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = {
		.sa_sigaction = fn,
		.sa_flags = SA_SIGINFO | flags,
	};

	sigemptyset(&sa.sa_mask);
	CHECK(!sigaction(sig, &sa, NULL));
}

/* The storm */

static volatile sig_atomic_t ticks;
static uint8_t page_of_handler[PAGE] __attribute__((aligned(PAGE)));

/* Each tick another call, so that all meet all in time. */
static void on_tick(int sig, siginfo_t *info, void *context)
{
	int saved = errno;
	uint64_t word = (uint64_t)ticks;

	switch (ticks % 5) {
	case 0:
		CHECK(is_edu(edu.device));
		break;
	case 1:
		CHECK(regs[0] == EDU_ID);
		break;
	case 2:
		CHECK(pwrite(ram.device, &word, 8, REGION(2) + 8) == 8);
		CHECK(memory[1] == word);
		break;
	case 3:
		CHECK(!ioctl(edu.container, VFIO_GET_API_VERSION));
		break;
	case 4:
		CHECK(!dma_map(edu.container, page_of_handler, 1ull << 32,
			       PAGE));
		CHECK(!dma_unmap(edu.container, 1ull << 32, PAGE));
		break;
	}
	ticks++;
	errno = saved;
}

static void storm_on(bool on)
{
	const struct itimerval timer = {
		.it_interval = {.tv_usec = on ? TICK_US : 0},
		.it_value = {.tv_usec = on ? TICK_US : 0},
	};

	CHECK(!setitimer(ITIMER_REAL, &timer, NULL));
}

static void round_of_calls(uint32_t i, char *mem, int event)
{
	errno = 4321;
	CHECK(is_edu(edu.device));
	CHECK(errno == 4321);
	CHECK(regs[0] == EDU_ID);
	regs[EDU_LIVE / 4] = i;
	CHECK(regs[EDU_LIVE / 4] == ~i);
	CHECK(!dma_map(edu.container, mem, 0, 4 * PAGE));
	mem[0] = (char)i;
	edu_fetch(edu.device, 0, 64);
	edu_store(edu.device, 2 * PAGE, 64);
	CHECK(mem[2 * PAGE] == (char)i);
	CHECK(!dma_unmap(edu.container, 0, 4 * PAGE));
	CHECK(!msi_set(edu.device, event));
	memory[0] = i;
	CHECK(reg_read(ram.device, REGION(2)) == i);

	int fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0 && !close(fd));
}

static void storm(int flags)
{
	int event = eventfd(0, EFD_CLOEXEC);
	char *mem = anon(4 * PAGE);

	open_all();
	handle(SIGALRM, on_tick, flags);
	storm_on(true);
	for (uint32_t i = 0; ticks < TICKS && i < MAX_ROUNDS; i++)
		round_of_calls(i, mem, event);
	storm_on(false);
	CHECK(ticks >= TICKS);
}

static void storm_restarting(char **args)
{
	storm(SA_RESTART);
}

static void storm_interrupting(char **args)
{
	storm(0);
}

static void alternate_stack(void)
{
	unsigned long frame = getauxval(AT_MINSIGSTKSZ);
	stack_t ss = {.ss_size = ALT_STACK + (frame ? frame : MINSIGSTKSZ)};

	ss.ss_sp = anon(ss.ss_size);
	CHECK(!sigaltstack(&ss, NULL));
}

static void storm_on_another_stack(char **args)
{
	alternate_stack();
	storm(SA_RESTART | SA_ONSTACK);
}

/* A handler that leaves by a jump, out of whatever it interrupted. */

static sigjmp_buf out;
static volatile sig_atomic_t armed;

static void on_tick_jump(int sig, siginfo_t *info, void *context)
{
	if (!armed)
		return;
	armed = 0;
	siglongjmp(out, 1);
}

static void jumps_out_of_calls(char **args)
{
	volatile int jumps = 0;

	open_all();
	handle(SIGALRM, on_tick_jump, 0);
	storm_on(true);
	while (jumps < TICKS / 2) {
		if (sigsetjmp(out, 1)) {
			jumps++;
			continue;
		}
		armed = 1;
		for (;;)
			(void)regs[0], is_edu(edu.device);
	}
	storm_on(false);
	CHECK(is_edu(edu.device) && regs[0] == EDU_ID);
}

/* Faults of the program's own */

static siginfo_t last;
static volatile sig_atomic_t faults;
static volatile uintptr_t fault_stack;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	char here;

	fault_stack = (uintptr_t)&here;
	last = *info;
	faults++;
	/* a handler that looks at the device, as a driver's might */
	CHECK(reg_read(edu.device, CONFIG) == EDU_IDS);
	siglongjmp(out, sig);
}

/* 0, or the signal that a store to @p raised. */
static int poke(volatile void *p)
{
	int sig = sigsetjmp(out, 1);

	if (!sig)
		*(volatile uint8_t *)p = 1;
	return sig;
}

static bool on_stack(const stack_t *ss)
{
	uintptr_t sp = (uintptr_t)ss->ss_sp;

	return fault_stack >= sp && fault_stack < sp + ss->ss_size;
}

static void check_poke(volatile void *p, int sig, int code)
{
	int before = faults;

	CHECK(poke(p) == sig);
	CHECK(faults == before + 1 && last.si_signo == sig);
	CHECK(last.si_code == code && last.si_addr == p);
	CHECK(regs[0] == EDU_ID);
}

static void own_handlers(char **args)
{
	char *nothing =
		mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = memory_file(PAGE);
	char *shrunk = file_map(fd, PAGE);
	stack_t ss;

	alternate_stack();
	CHECK(!sigaltstack(NULL, &ss));
	handle(SIGSEGV, on_fault, SA_ONSTACK);
	open_all();
	handle(SIGBUS, on_fault, SA_ONSTACK);
	CHECK(!ftruncate(fd, 0));
	for (int i = 0; i < 50; i++) {
		check_poke(nothing, SIGSEGV, SEGV_ACCERR);
		CHECK(on_stack(&ss));
		check_poke(shrunk + 5, SIGBUS, BUS_ADRERR);
		CHECK(on_stack(&ss));
	}
	munmap(nothing, PAGE);
	check_poke(nothing, SIGSEGV, SEGV_MAPERR);
}

/* Registers that trap are SIGBUS with decode off, and only then. */
static void own_handlers_and_decode(char **args)
{
	volatile uint8_t *live;

	open_all();
	live = (volatile uint8_t *)regs + EDU_LIVE;
	handle(SIGSEGV, on_fault, 0);
	handle(SIGBUS, on_fault, 0);
	for (int i = 0; i < 20; i++) {
		command_set(edu.device, 4);
		int sig = poke(live);

		CHECK(sig == SIGBUS && last.si_code == BUS_ADRERR);
		CHECK(last.si_addr == live);
		command_set(edu.device, 6);
		CHECK(!poke(live));
	}
}

/* Blocked in every thread: the program believes it, and registers work. */

static void *blocked_thread(void *arg)
{
	sigset_t now;

	CHECK(!pthread_sigmask(SIG_SETMASK, NULL, &now));
	CHECK(sigismember(&now, SIGBUS) && sigismember(&now, SIGSEGV));
	for (uint32_t i = 0; i < 200; i++) {
		CHECK(regs[0] == EDU_ID);
		memory[8 + (uintptr_t)arg] = i;
		CHECK(memory[8 + (uintptr_t)arg] == i);
		CHECK(is_edu(edu.device));
	}
	return NULL;
}

static void everything_blocked(char **args)
{
	pthread_t threads[4];
	sigset_t all;

	sigfillset(&all);
	CHECK(!sigprocmask(SIG_BLOCK, &all, NULL));
	open_all();
	for (uintptr_t i = 0; i < COUNT(threads); i++)
		CHECK(!pthread_create(&threads[i], NULL, blocked_thread,
				      (void *)i));
	for (size_t i = 0; i < COUNT(threads); i++)
		CHECK(!pthread_join(threads[i], NULL));
	blocked_thread((void *)16);
}

/* A blocked SIGBUS that is meant ends the program, as on Linux. */
static void blocked_fault_kills(char **args)
{
	sigset_t all;

	open_all();
	handle(SIGBUS, on_fault, 0);
	sigfillset(&all);
	CHECK(!sigprocmask(SIG_BLOCK, &all, NULL));
	command_set(ram.device, 0);
	memory[0] = 1;
}

static const struct victim_test tests[] = {
	{"storm_restarting", storm_restarting},
	{"storm_interrupting", storm_interrupting},
	{"storm_on_another_stack", storm_on_another_stack},
	{"jumps_out_of_calls", jumps_out_of_calls},
	{"own_handlers", own_handlers},
	{"own_handlers_and_decode", own_handlers_and_decode},
	{"everything_blocked", everything_blocked},
	{"blocked_fault_kills", blocked_fault_kills},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return victim_main(argc, argv, tests);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Touches BARs whose accesses trap, and BARs whose memory gate is closed, from
 * everywhere a program can: with all signals blocked, in handlers, on small
 * and alternate stacks; and faults by itself, in all the ways it may handle.
 */
#include "victim.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

/* Obsolete functions are interposed too, and have to be called. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#define RW	    (PROT_READ | PROT_WRITE)
#define IOC_GATE    0x3be0 /* what the memory gate of BAR 0 does */
#define IOC_TRACE   0x3be1 /* struct piece[]: what has reached registers */
#define TRACE_MAX   64
#define PAGE	    4096
#define THREADS	    8
#define SMALL_STACK (16 << 10)

enum { GATE_OPEN, GATE_CLOSED, GATE_REOPENS };

static volatile sig_atomic_t hits;
static siginfo_t last;
static sigset_t mask_in_handler;
static sigjmp_buf out;
static volatile uint32_t *reg; /* a trapped register */

static char *map_bar(int fd, long off, int prot)
{
	char *p = mmap(NULL, BAR_SIZE, prot, MAP_SHARED, fd, off);

	CHECK(p != MAP_FAILED);
	return p;
}

static void map_reg(int fd)
{
	reg = (volatile uint32_t *)map_bar(fd, BAR_TRAP, RW);
}

/* A store and a load, each of which has to reach the daemon. */
static void touch(uint32_t value)
{
	reg[4] = value;
	CHECK(reg[4] == value);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	hits++;
	last = *info;
	CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mask_in_handler) == 0);
	siglongjmp(out, sig);
}

static void handle(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = {.sa_sigaction = fn,
			       .sa_flags = SA_SIGINFO | flags};

	sigfillset(&sa.sa_mask);
	CHECK(sigaction(sig, &sa, NULL) == 0);
}

/* Below where the host lets anybody map. */
static void *nowhere(void)
{
	static volatile uintptr_t low = 2 * PAGE;

	return (void *)low;
}

/* Faults at @p; returns the signal that came of it. */
static int poke(volatile char *p)
{
	int sig = sigsetjmp(out, 1);

	if (!sig)
		*p = 1;
	return sig;
}

static int peek(volatile char *p)
{
	int sig = sigsetjmp(out, 1);

	if (!sig)
		(void)*p;
	return sig;
}

/* ------------------------------------------------------------------ */
/* Registers                                                          */

static void registers(int fd, char **args)
{
	volatile char *p = map_bar(fd, BAR_TRAP, RW);
	char there[300], back[300];

	CHECK(*(volatile uint8_t *)p == 4);
	*(volatile uint8_t *)(p + 1) = 0x12;
	*(volatile uint16_t *)(p + 2) = 0x3456;
	*(volatile uint32_t *)(p + 4) = 0x789abcde;
	*(volatile uint64_t *)(p + 8) = 0x1122334455667788;
	CHECK(*(volatile uint64_t *)p == 0x789abcde34561204);
	CHECK(*(volatile int16_t *)(p + 6) == 0x789a);
	*(volatile uint32_t *)(p + 4) |= 0x01000001;
	CHECK(*(volatile uint32_t *)(p + 4) == 0x799abcdf);
	CHECK(__atomic_fetch_add((volatile uint64_t *)(p + 8), 5,
				 __ATOMIC_SEQ_CST) == 0x1122334455667788);
	CHECK(*(volatile uint64_t *)(p + 8) == 0x112233445566778d);

	/* whatever libc's copy is made of on this machine */
	for (size_t i = 0; i < sizeof(there); i++)
		there[i] = (char)(i * 3);
	for (size_t n = 1; n < sizeof(there); n += 37) {
		memcpy((char *)p + PAGE, there, n);
		memset(back, 0, sizeof(back));
		memcpy(back, (char *)p + PAGE, n);
		CHECK(!memcmp(there, back, n));
	}
	memset((char *)p + PAGE, 0x77, 100);
	CHECK(p[PAGE + 99] == 0x77 && p[PAGE + 100] != 0x77);
}

/* What reached the daemon: naturally aligned, 8 bytes at most. */
struct piece {
	uint16_t off;
	uint8_t size;
	uint8_t write;
};

static int trace(int fd, struct piece *pieces)
{
	int n = ioctl(fd, IOC_TRACE, pieces);

	CHECK(n >= 0);
	return n;
}

/* Exactly [off, end), ascending, in as few pieces as alignment allows. */
static void check_pieces(int fd, bool write, unsigned int off, unsigned int end)
{
	struct piece got[TRACE_MAX];
	int n = trace(fd, got);

	for (int i = 0; i < n; i++) {
		unsigned int size = 8;

		while (off % size || size > end - off)
			size /= 2;
		CHECK(got[i].off == off && got[i].size == size);
		CHECK(got[i].write == write);
		off += size;
	}
	CHECK(off == end);
}

#define UNALIGNED(type, p, off)                                                \
	do {                                                                   \
		struct __attribute__((packed)) {                               \
			type is;                                               \
		} volatile *at = (void *)((p) + (off));                        \
		type value = (type)0x8877665544332211;                         \
                                                                               \
		at->is = value;                                                \
		check_pieces(fd, true, off, (off) + sizeof(type));             \
		CHECK(at->is == value);                                        \
		check_pieces(fd, false, off, (off) + sizeof(type));            \
	} while (0)

static void unaligned(int fd, char **args)
{
	char *p = map_bar(fd, BAR_TRAP, RW);
	struct piece drop[TRACE_MAX];

	trace(fd, drop);
	for (unsigned int off = 0x100; off < 0x110; off++) {
		UNALIGNED(uint8_t, p, off);
		UNALIGNED(uint16_t, p, off);
		UNALIGNED(uint32_t, p, off);
		UNALIGNED(uint64_t, p, off);
	}
	/* from one trapped page to the next */
	for (unsigned int off = PAGE - 8; off < PAGE; off++) {
		UNALIGNED(uint16_t, p, off);
		UNALIGNED(uint32_t, p, off);
		UNALIGNED(uint64_t, p, off);
	}
}

/* Vectors of 8-byte lanes, each of which is split. */
static void check_vector(int fd, const char *p, unsigned int off,
			 unsigned int len, const char *is)
{
	struct piece got[TRACE_MAX];
	unsigned int at = off;
	int n = trace(fd, got);

	for (int i = 0; i < n; at += got[i++].size)
		CHECK(got[i].off == at && at % got[i].size == 0 &&
		      got[i].write);
	CHECK(at == off + len);
	for (unsigned int i = 0; i < len; i++)
		CHECK(p[off + i] == is[i]);
	trace(fd, got);
}

typedef char v16 __attribute__((vector_size(16), aligned(1)));
typedef char v32 __attribute__((vector_size(32), aligned(1)));
typedef char v64 __attribute__((vector_size(64), aligned(1)));

#define VECTOR(type, isa)                                                      \
	__attribute__((target(isa), noinline)) static void store_##type(       \
		char *to, const char *from)                                    \
	{                                                                      \
		type v = *(const volatile type *)from;                         \
                                                                               \
		__asm__ volatile("" : "+x"(v));                                \
		*(volatile type *)to = v;                                      \
	}                                                                      \
	__attribute__((target(isa), noinline)) static void vector_##type(      \
		int fd, char *p, unsigned int off, const char *bytes)          \
	{                                                                      \
		char back[sizeof(type)];                                       \
		struct piece drop[TRACE_MAX];                                  \
                                                                               \
		store_##type(p + off, bytes);                                  \
		check_vector(fd, p, off, sizeof(type), bytes);                 \
		store_##type(back, p + off);                                   \
		CHECK(!memcmp(back, bytes, sizeof(type)));                     \
		trace(fd, drop);                                               \
	}                                                                      \
	struct piece

VECTOR(v16, "sse2");
VECTOR(v32, "avx");
VECTOR(v64, "avx512f");

static void vectors(int fd, char **args)
{
	char *p = map_bar(fd, BAR_TRAP, RW), bytes[64];
	struct piece drop[TRACE_MAX];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 5 + 1);
	trace(fd, drop);
	for (unsigned int off = PAGE - 64; off < PAGE; off += 3) {
		vector_v16(fd, p, off, bytes);
		if (__builtin_cpu_supports("avx"))
			vector_v32(fd, p, off, bytes);
		if (__builtin_cpu_supports("avx512f"))
			vector_v64(fd, p, off, bytes);
	}
}

/* A register file, and what gcc makes of clearing and copying it. */
struct file {
	char odd;
	uint32_t regs[37];
} __attribute__((packed));

static void page_crossings(int fd, char **args)
{
	char *p = map_bar(fd, BAR_MIXED, RW);
	char bytes[300], back[300];
	struct piece drop[TRACE_MAX];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + 1);
	/* from memory to registers, and from registers to memory */
	for (int edge = 1; edge <= 2; edge++)
		for (int off = edge * PAGE - 9; off <= edge * PAGE; off++) {
			uint64_t there;

			memcpy(&there, bytes, sizeof(there));
			*(volatile uint64_t *)(p + off) = there;
			CHECK(*(volatile uint64_t *)(p + off) == there);
			CHECK(*(volatile uint16_t *)(p + off) ==
			      (uint16_t)there);
			memcpy(p + off, bytes, sizeof(bytes));
			memcpy(back, p + off, sizeof(back));
			CHECK(!memcmp(bytes, back, sizeof(back)));

			struct file *f = (struct file *)(p + off - 100);

			memset(f, 0x5a, sizeof(*f));
			*f = (struct file){.odd = 1};
			for (int i = 0; i < 37; i++)
				CHECK(f->regs[i] == 0);

			char *to = p + off, *from = bytes;
			size_t n = 5;

			__asm__ volatile("rep movsq"
					 : "+S"(from), "+D"(to), "+c"(n)
					 :
					 : "memory");
			/* libc compares with instructions of AVX-512 */
			memcpy(back, p + off, 40);
			CHECK(!memcmp(back, bytes, 40) && !n);
		}
	trace(fd, drop);
}

/* Nothing behind the mapping: a fault there, and not half a store before it. */
static void crossings_into_nothing(int fd, char **args)
{
	char *p = map_bar(fd, BAR_TRAP, RW), *ro, *end = p + 2 * PAGE;
	struct piece drop[TRACE_MAX];

	CHECK(munmap(end, PAGE) == 0);
	handle(SIGSEGV, on_fault, 0);
	trace(fd, drop);
	for (unsigned int at = 1; at < 16; at++) {
		v16 v = {0};

		hits = 0;
		if (!sigsetjmp(out, 1)) {
			*(volatile v16 *)(end - at) = v;
			CHECK(!"a store into nothing");
		}
		CHECK(hits == 1 && last.si_addr == end);
		CHECK(last.si_code == SEGV_MAPERR && trace(fd, drop) == 0);
	}
	/* nor where the second page may only be read */
	ro = p + PAGE;
	CHECK(mprotect(ro, PAGE, PROT_READ) == 0);
	hits = 0;
	if (!sigsetjmp(out, 1)) {
		*(volatile uint32_t *)(ro - 1) = 1;
		CHECK(!"a store to what may be read");
	}
	CHECK(hits == 1 && last.si_addr == ro);
	CHECK(last.si_code == SEGV_ACCERR && trace(fd, drop) == 0);
	CHECK(*(volatile uint32_t *)(ro - 1) == 0x04040404 && hits == 1);
}

/* No bus can lock a register: one read, then one write, each in pieces. */
static void locked(int fd, char **args)
{
	char *p = map_bar(fd, BAR_TRAP, RW);
	struct piece got[TRACE_MAX];
	uint32_t was = 5;

	*(volatile uint32_t *)(p + 6) = 0x10203040;
	trace(fd, got);
	__asm__ volatile("lock xaddl %0, %1"
			 : "+r"(was), "+m"(*(volatile uint32_t *)(p + 6))
			 :
			 : "memory", "cc");
	CHECK(was == 0x10203040 && trace(fd, got) == 4);
	for (int i = 0; i < 4; i++)
		CHECK(got[i].off == 6 + i % 2 * 2 && got[i].size == 2 &&
		      got[i].write == i / 2);
	CHECK(*(volatile uint32_t *)(p + 6) == 0x10203045);
}

/* From register to register and to memory, by the string instructions. */
static void strings(int fd, char **args)
{
	char *p = map_bar(fd, BAR_TRAP, RW), *direct = map_bar(fd, 0, RW);
	char buf[32] = "from memory to registers", *s = buf, *d = p;
	size_t n = sizeof(buf);

	__asm__ volatile("rep movsb" : "+S"(s), "+D"(d), "+c"(n) : : "memory");
	CHECK(s == buf + 32 && d == p + 32 && n == 0);
	s = p;
	d = direct;
	n = 8;
	__asm__ volatile("rep movsl" : "+S"(s), "+D"(d), "+c"(n) : : "memory");
	CHECK(!memcmp(direct, buf, 32));

	/* the memory it copies to is bad: the program's own fault */
	handle(SIGSEGV, on_fault, 0);
	d = nowhere();
	if (!sigsetjmp(out, 1)) {
		s = p;
		n = 1;
		__asm__ volatile("rep movsb"
				 : "+S"(s), "+D"(d), "+c"(n)
				 :
				 : "memory");
	}
	CHECK(hits == 1 && last.si_addr == d && last.si_code == SEGV_MAPERR);
}

/* What the mapping does not permit is a fault as on any other memory. */
static void protection(int fd, char **args)
{
	char *ro = map_bar(fd, BAR_TRAP, PROT_READ);
	char *none = map_bar(fd, BAR_TRAP, PROT_NONE);

	handle(SIGSEGV, on_fault, 0);
	CHECK(peek(ro + 3) == 0 && hits == 0);
	CHECK(poke(ro + 3) == SIGSEGV && last.si_addr == ro + 3);
	CHECK(last.si_code == SEGV_ACCERR);
	CHECK(peek(none + 5) == SIGSEGV && last.si_addr == none + 5);
	CHECK(mprotect(none, PAGE, PROT_READ) == 0);
	CHECK(peek(none + 5) == 0 && hits == 2);
}

/* An instruction that cannot be carried out is SIGBUS, with a word. */
static void undecodable(int fd, char **args)
{
	char *p = map_bar(fd, BAR_TRAP, RW);

	handle(SIGBUS, on_fault, 0);
	if (!sigsetjmp(out, 1))
		__asm__ volatile("flds (%0)" : : "r"(p + 8));
	CHECK(hits == 1 && last.si_signo == SIGBUS);
	CHECK(last.si_code == BUS_ADRERR && last.si_addr == p + 8);
}

/* ------------------------------------------------------------------ */
/* The memory gate                                                    */

static void gate_reopens(int fd, char **args)
{
	volatile char *p = map_bar(fd, 0, RW);

	for (int i = 0; i < 20; i++) {
		p[i * PAGE % BAR_SIZE] = (char)i;
		CHECK(ioctl(fd, IOC_GATE, GATE_REOPENS) == 0);
		CHECK(p[i * PAGE % BAR_SIZE] == (char)i);
	}
}

static void gate_closed(int fd, char **args)
{
	char *p = map_bar(fd, 0, RW);

	handle(SIGBUS, on_fault, 0);
	CHECK(ioctl(fd, IOC_GATE, GATE_CLOSED) == 0);
	for (int i = 1; i <= 3; i++) {
		CHECK(poke(p + 4097 + i) == SIGBUS && hits == 2 * i - 1);
		CHECK(last.si_code == BUS_ADRERR);
		CHECK(last.si_addr == p + 4097 + i);
		CHECK(peek(p + 17) == SIGBUS && last.si_addr == p + 17);
	}
	CHECK(ioctl(fd, IOC_GATE, GATE_OPEN) == 0);
	CHECK(poke(p) == 0);
}

static void gate_closed_kills(int fd, char **args)
{
	volatile char *p = map_bar(fd, 0, RW);

	CHECK(ioctl(fd, IOC_GATE, GATE_CLOSED) == 0);
	*p = 1;
}

/* Somebody else's SIGBUS: the end of a file. */
static void other_sigbus(int fd, char **args)
{
	char *p;
	int file = memfd_create("short", 0);

	(void)map_bar(fd, 0, RW);
	p = mmap(NULL, PAGE, RW, MAP_SHARED, file, 0);
	handle(SIGBUS, on_fault, 0);
	CHECK(poke(p + 9) == SIGBUS && last.si_addr == p + 9 && hits == 1);
}

/* ------------------------------------------------------------------ */
/* Masks                                                              */

static bool both_in(const sigset_t *set)
{
	return sigismember(set, SIGSEGV) && sigismember(set, SIGBUS);
}

static bool neither_in(const sigset_t *set)
{
	return !sigismember(set, SIGSEGV) && !sigismember(set, SIGBUS);
}

static void *inheriting_thread(void *arg)
{
	sigset_t now;

	CHECK(pthread_sigmask(SIG_BLOCK, NULL, &now) == 0);
	CHECK(both_in(&now) && sigismember(&now, SIGUSR1));
	touch(0x7ead);
	return NULL;
}

static void masks(int fd, char **args)
{
	sigset_t all, old;
	pthread_t thread;

	sigfillset(&all);
	map_reg(fd);
	CHECK(sigprocmask(SIG_BLOCK, &all, &old) == 0 && neither_in(&old));
	CHECK(sigprocmask(SIG_BLOCK, NULL, &old) == 0 && both_in(&old));
	touch(1);
	CHECK(pthread_create(&thread, NULL, inheriting_thread, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	sigemptyset(&old);
	sigaddset(&old, SIGBUS);
	CHECK(pthread_sigmask(SIG_UNBLOCK, &old, &all) == 0 && both_in(&all));
	CHECK(pthread_sigmask(SIG_SETMASK, &old, &all) == 0);
	CHECK(sigismember(&all, SIGSEGV) && !sigismember(&all, SIGBUS));
	CHECK(pthread_sigmask(SIG_SETMASK, &old, &all) == 0);
	CHECK(sigismember(&all, SIGBUS) && !sigismember(&all, SIGSEGV));
	touch(2);
	CHECK(sighold(SIGSEGV) == 0);
	touch(3);
	CHECK(sigprocmask(SIG_BLOCK, NULL, &old) == 0 && both_in(&old));
	CHECK(sigrelse(SIGSEGV) == 0 && sigrelse(SIGBUS) == 0);
	CHECK(sigprocmask(SIG_BLOCK, NULL, &old) == 0 && neither_in(&old));
}

/* Called in the middle of a call that blocks everything but this. */
static void on_alarm(int sig)
{
	touch(0xa1a);
	hits++;
}

static void in_handlers(int fd, char **args)
{
	struct itimerval soon = {.it_value = {0, 1000}};
	struct timespec long_time = {20, 0};
	struct sigaction sa = {.sa_handler = on_alarm}, was;
	struct epoll_event event;
	sigset_t all_but, block;
	int epoll = epoll_create1(0);

	map_reg(fd);
	sigfillset(&sa.sa_mask);
	CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
	CHECK(sigaction(SIGALRM, NULL, &was) == 0 && both_in(&was.sa_mask));
	sigfillset(&block);
	CHECK(sigprocmask(SIG_SETMASK, &block, NULL) == 0);
	sigfillset(&all_but);
	sigdelset(&all_but, SIGALRM);

	CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	CHECK_ERRNO(sigsuspend(&all_but), EINTR);
	CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	CHECK_ERRNO(ppoll(NULL, 0, &long_time, &all_but), EINTR);
	CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	CHECK_ERRNO(pselect(0, NULL, NULL, NULL, &long_time, &all_but), EINTR);
	CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	CHECK_ERRNO(epoll_pwait(epoll, &event, 1, 20000, &all_but), EINTR);
	CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	CHECK_ERRNO(epoll_pwait2(epoll, &event, 1, &long_time, &all_but),
		    EINTR);
	CHECK(hits == 5);
}

/* ------------------------------------------------------------------ */
/* The program's own handlers                                         */

static void handlers(int fd, char **args)
{
	struct sigaction was;
	sigset_t now;
	char *bad = nowhere();

	handle(SIGSEGV, on_fault, SA_RESTART);
	map_reg(fd);
	CHECK(sigaction(SIGSEGV, NULL, &was) == 0);
	CHECK(was.sa_sigaction == on_fault && both_in(&was.sa_mask));
	CHECK((was.sa_flags & ~0x04000000) == (SA_SIGINFO | SA_RESTART));
	for (int i = 1; i <= 3; i++) {
		touch(1);
		CHECK(poke(bad + i) == SIGSEGV && hits == i);
		CHECK(last.si_addr == bad + i && last.si_code == SEGV_MAPERR);
		CHECK(both_in(&mask_in_handler));
		CHECK(sigismember(&mask_in_handler, SIGUSR2));
		CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0);
		CHECK(neither_in(&now) && !sigismember(&now, SIGUSR2));
	}
	CHECK(signal(SIGSEGV, SIG_DFL) == was.sa_handler);
	CHECK(signal(SIGSEGV, SIG_IGN) == SIG_DFL);
	touch(2);
}

/* Repairs the fault and returns; touches a register while at it. */
static char *repaired;

static void on_repair(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	touch(0x4e57ed);
	CHECK(!sigismember(&uc->uc_sigmask, sig));
	CHECK(sigismember(&uc->uc_sigmask, SIGUSR1));
	sigaddset(&uc->uc_sigmask, SIGBUS);
	CHECK(mprotect(repaired, PAGE, RW) == 0);
	hits++;
}

static void handler_returns(int fd, char **args)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	map_reg(fd);
	handle(SIGSEGV, on_repair, 0);
	repaired =
		mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*(volatile char *)repaired = 1;
	CHECK(hits == 1);
	/* what the handler put into its context is the mask from then on */
	CHECK(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
	CHECK(sigismember(&set, SIGBUS) && !sigismember(&set, SIGSEGV));
	touch(5);
}

static void reset_hand(int fd, char **args)
{
	struct sigaction was;

	map_reg(fd);
	handle(SIGSEGV, on_fault, SA_RESETHAND);
	CHECK(poke(nowhere()) == SIGSEGV && hits == 1);
	CHECK(sigaction(SIGSEGV, NULL, &was) == 0);
	CHECK(was.sa_handler == SIG_DFL);
	touch(1);
	*(volatile char *)nowhere() = 1; /* ends it */
}

static void default_kills(int fd, char **args)
{
	map_reg(fd);
	touch(1);
	*(volatile char *)nowhere() = 1;
}

static void ignored_kills(int fd, char **args)
{
	map_reg(fd);
	CHECK(signal(SIGSEGV, SIG_IGN) != SIG_ERR);
	touch(1);
	CHECK(raise(SIGSEGV) == 0); /* this one is ignored */
	*(volatile char *)nowhere() = 1;
}

static void blocked_kills(int fd, char **args)
{
	sigset_t all;

	map_reg(fd);
	handle(SIGSEGV, on_fault, 0);
	sigfillset(&all);
	CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
	touch(1);
	(void)poke(nowhere());
}

/* The same in a program that maps no BAR. */
static void blocked_kills_without_bars(int fd, char **args)
{
	sigset_t all;

	handle(SIGSEGV, on_fault, 0);
	sigfillset(&all);
	CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
	(void)poke(nowhere());
}

static void on_fault_again(int sig, siginfo_t *info, void *context)
{
	*(volatile char *)nowhere() = 1;
}

static void fault_in_handler_kills(int fd, char **args)
{
	map_reg(fd);
	handle(SIGSEGV, on_fault_again, 0);
	*(volatile char *)nowhere() = 1;
}

static void sent_kills(int fd, char **args)
{
	map_reg(fd);
	kill(getpid(), SIGBUS);
}

static void sent_is_handled(int fd, char **args)
{
	map_reg(fd);
	handle(SIGBUS, on_fault, 0);
	if (!sigsetjmp(out, 1))
		kill(getpid(), SIGBUS);
	CHECK(hits == 1 && last.si_code == SI_USER);
	CHECK(last.si_pid == getpid());
}

/* ------------------------------------------------------------------ */
/* Stacks                                                             */

/* @len bytes that end where nobody may write. */
static char *guarded(size_t len)
{
	char *p =
		mmap(NULL, PAGE + len, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED && mprotect(p, PAGE, PROT_NONE) == 0);
	return p + PAGE;
}

static volatile bool endless = true;

static int recurse(int depth)
{
	volatile char room[1000];

	room[depth % 1000] = 1;
	return endless ? recurse(depth + 1) + room[0] : 0;
}

static void alternate_stack(int fd, char **args)
{
	stack_t ss = {.ss_sp = guarded(8192), .ss_size = 8192};

	CHECK(sigaltstack(&ss, NULL) == 0);
	map_reg(fd);
	volatile char *p = map_bar(fd, 0, RW);

	touch(1);
	CHECK(ioctl(fd, IOC_GATE, GATE_REOPENS) == 0);
	*p = 1;

	/* the program's handler runs there too, after an overflow */
	handle(SIGSEGV, on_fault, SA_ONSTACK);
	for (int i = 1; i <= 2; i++) {
		if (!sigsetjmp(out, 1))
			(void)recurse(0);
		CHECK(hits == i);
	}
	touch(2);
}

static void *small_thread(void *arg)
{
	volatile char *p = arg;
	volatile uint32_t *mine = (volatile uint32_t *)(p + BAR_SIZE);
	sigset_t all;

	sigfillset(&all);
	CHECK(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
	for (uint32_t i = 0; i < 50; i++) {
		*mine = i;
		CHECK(*mine == i);
		(void)*p;
	}
	return NULL;
}

/* Both faults at once from many threads with little stack, gate swinging. */
static void small_stacks(int fd, char **args)
{
	char *p = mmap(NULL, 2 * BAR_SIZE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t threads[THREADS];
	pthread_attr_t attr;

	CHECK(mmap(p, BAR_SIZE, RW, MAP_SHARED | MAP_FIXED, fd, 0) == p);
	CHECK(mmap(p + BAR_SIZE, BAR_SIZE, RW, MAP_SHARED | MAP_FIXED, fd,
		   BAR_TRAP) == p + BAR_SIZE);
	for (long i = 0; i < THREADS; i++) {
		pthread_attr_init(&attr);
		CHECK(pthread_attr_setstack(&attr, guarded(SMALL_STACK),
					    SMALL_STACK) == 0);
		CHECK(pthread_create(&threads[i], &attr, small_thread,
				     p + i * 64) == 0);
	}
	for (int i = 0; i < 50; i++)
		CHECK(ioctl(fd, IOC_GATE, GATE_REOPENS) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
}

static void after_fork(int fd, char **args)
{
	int status;

	map_reg(fd);
	touch(1);
	if (fork() == 0) {
		touch(2);
		_exit(0);
	}
	CHECK(wait(&status) > 0 && status == 0);
	CHECK(reg[4] == 2);
}

static void dead_daemon(int fd, char **args)
{
	map_reg(fd);
	handle(SIGBUS, on_fault, 0);
	CHECK_ERRNO(ioctl(fd, IOC_DIE), ENODEV);
	CHECK(poke((char *)reg) == SIGBUS);
}

static const struct victim_test tests[] = {
	{"registers", registers},
	{"unaligned", unaligned},
	{"vectors", vectors},
	{"page_crossings", page_crossings},
	{"crossings_into_nothing", crossings_into_nothing},
	{"locked", locked},
	{"strings", strings},
	{"protection", protection},
	{"undecodable", undecodable},
	{"gate_reopens", gate_reopens},
	{"gate_closed", gate_closed},
	{"gate_closed_kills", gate_closed_kills},
	{"other_sigbus", other_sigbus},
	{"masks", masks},
	{"in_handlers", in_handlers},
	{"handlers", handlers},
	{"handler_returns", handler_returns},
	{"reset_hand", reset_hand},
	{"default_kills", default_kills},
	{"ignored_kills", ignored_kills},
	{"blocked_kills", blocked_kills},
	{"blocked_kills_without_bars", blocked_kills_without_bars},
	{"fault_in_handler_kills", fault_in_handler_kills},
	{"sent_kills", sent_kills},
	{"sent_is_handled", sent_is_handled},
	{"alternate_stack", alternate_stack},
	{"small_stacks", small_stacks},
	{"after_fork", after_fork},
	{"dead_daemon", dead_daemon},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return victim_main(argc, argv, tests);
}

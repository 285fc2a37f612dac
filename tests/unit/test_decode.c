/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shim/fault/decode.c and shim/fault/emulate.c against the only oracle that counts: every
 * instruction form below is assembled at build time and executed twice from
 * the same registers and memory, once by the CPU on an accessible page, once
 * trapped on the same page and emulated. Registers, flags, vector registers
 * and memory must be the same afterwards.
 */
#include <cpuid.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "shim/fault/decode.h"
#include "shim/fault/emulate.h"
#include "shim/fault/xstate.h"
#include "tests/unit/skip.h"

#define PAGE   4096
#define ROUNDS 6

/* Flags an instruction leaves undefined are not compared. */
#define ALL_FLAGS 0x8d5
#define NO_AF	  0x8c5
#define ONLY_CF	  0x001
#define AVX	  0x10000
#define AVX2	  0x20000
#define AVX512	  0x40000
#define MOVBE	  0x80000
#define CLFLUSH	  0x100000

struct test_case {
	const uint8_t *code;
	const char *text;
	uint64_t flags;
};
extern const struct test_case __start_insn_cases[], __stop_insn_cases[];

#define STR_(x) #x
#define STR(x)	STR_(x)
#define CASE(insn, flags)                                                      \
	__asm__(".pushsection .text\n1: " insn "\n ret\n.popsection\n"         \
		".pushsection .rodata\n2: .asciz \"" insn "\"\n.popsection\n"  \
		".pushsection insn_cases,\"aw\"\n.quad 1b, 2b, " STR(          \
			flags) "\n.popsection\n");
#define FOUR(op, flags)                                                        \
	CASE(op "b %dl, (%rdi)", flags)                                        \
	CASE(op "w %dx, 2(%rdi)", flags)                                       \
	CASE(op "l %edx, 4(%rdi)", flags)                                      \
	CASE(op "q %rdx, 8(%rdi)", flags)
#define BINARY(op, flags)                                                      \
	FOUR(op, flags)                                                        \
	CASE(op "b %ah, (%rdi)", flags)                                        \
	CASE(op "b (%rdi), %bh", flags)                                        \
	CASE(op "b (%rdi), %sil", flags)                                       \
	CASE(op "w (%rdi), %r9w", flags)                                       \
	CASE(op "l (%rdi), %r10d", flags)                                      \
	CASE(op "q (%rdi,%rcx,8), %r11", flags)                                \
	CASE(op "b $0x85, (%rdi)", flags)                                      \
	CASE(op "w $0x8234, (%rdi)", flags)                                    \
	CASE(op "l $-3, (%rdi)", flags)                                        \
	CASE(op "q $-0x12345678, (%rdi)", flags)                               \
	CASE(op "q $127, 16(%rdi,%rcx,4)", flags)
#define UNARY(op, flags)                                                       \
	CASE(op "b (%rdi)", flags)                                             \
	CASE(op "w (%rdi)", flags)                                             \
	CASE(op "l (%rdi)", flags)                                             \
	CASE(op "q (%rdi)", flags)
#define BITS(op)                                                               \
	CASE(op "w %cx, (%rdi)", ONLY_CF)                                      \
	CASE(op "l %r13d, 256(%rdi)", ONLY_CF)                                 \
	CASE(op "q %r13, 256(%rdi)", ONLY_CF)                                  \
	CASE(op "w $13, (%rdi)", ONLY_CF)                                      \
	CASE(op "l $61, (%rdi)", ONLY_CF)                                      \
	CASE(op "q $61, (%rdi)", ONLY_CF)
#define STRINGS(op)                                                            \
	CASE(op "b", ALL_FLAGS)                                                \
	CASE(op "w", ALL_FLAGS)                                                \
	CASE(op "l", ALL_FLAGS)                                                \
	CASE(op "q", ALL_FLAGS)                                                \
	CASE("rep " op "b", ALL_FLAGS)                                         \
	CASE("rep " op "w", ALL_FLAGS)                                         \
	CASE("rep " op "l", ALL_FLAGS)                                         \
	CASE("rep " op "q", ALL_FLAGS)                                         \
	CASE("std; rep " op "l; cld", ALL_FLAGS)
#define MOVE(op, reg, flags)                                                   \
	CASE(op " 64(%rdi), %" reg, flags)                                     \
	CASE(op " %" reg ", 128(%rdi)", flags)
#define MOVE3(op, flags)                                                       \
	CASE(op " 64(%rdi), %xmm3, %xmm4", flags)                              \
	CASE(op " %xmm3, 128(%rdi)", flags)

CASE("movb (%rdi), %al", ALL_FLAGS)
CASE("movb (%rdi), %ch", ALL_FLAGS)
CASE("movb %dh, (%rdi)", ALL_FLAGS)
CASE("movb %sil, (%rdi)", ALL_FLAGS)
CASE("movw (%rdi), %r12w", ALL_FLAGS)
CASE("movl (%rdi), %eax", ALL_FLAGS)
CASE("movl 0x40(%rdi), %r15d", ALL_FLAGS)
CASE("movq -8(%rdi), %rbp", ALL_FLAGS)
CASE("movq trap_page+16(%rip), %rbx", ALL_FLAGS)
CASE("movl %edx, trap_page+20(%rip)", ALL_FLAGS)
CASE("movl $0x12345678, trap_page+24(%rip)", ALL_FLAGS)
FOUR("mov", ALL_FLAGS)
CASE("movb $0x9c, (%rdi)", ALL_FLAGS)
CASE("movw $0x9c3d, (%rdi)", ALL_FLAGS)
CASE("movl $0x9c3d1122, (%rdi)", ALL_FLAGS)
CASE("movq $-0x63c2eede, (%rdi,%rcx,2)", ALL_FLAGS)
CASE("movzbw (%rdi), %ax", ALL_FLAGS)
CASE("movzbl (%rdi), %eax", ALL_FLAGS)
CASE("movzbq (%rdi), %rax", ALL_FLAGS)
CASE("movzwl (%rdi), %ebp", ALL_FLAGS)
CASE("movzwq (%rdi), %r8", ALL_FLAGS)
CASE("movsbw (%rdi), %ax", ALL_FLAGS)
CASE("movsbl (%rdi), %eax", ALL_FLAGS)
CASE("movsbq (%rdi), %r14", ALL_FLAGS)
CASE("movswl (%rdi), %eax", ALL_FLAGS)
CASE("movswq (%rdi), %rax", ALL_FLAGS)
CASE("movslq (%rdi), %rax", ALL_FLAGS)
CASE("movnti %edx, (%rdi)", ALL_FLAGS)
CASE("movnti %rdx, (%rdi)", ALL_FLAGS)
CASE("movbe (%rdi), %dx", ALL_FLAGS | MOVBE)
CASE("movbe (%rdi), %edx", ALL_FLAGS | MOVBE)
CASE("movbe (%rdi), %rdx", ALL_FLAGS | MOVBE)
CASE("movbe %dx, (%rdi)", ALL_FLAGS | MOVBE)
CASE("movbe %edx, (%rdi)", ALL_FLAGS | MOVBE)
CASE("movbe %rdx, (%rdi)", ALL_FLAGS | MOVBE)
BINARY("add", ALL_FLAGS)
BINARY("adc", ALL_FLAGS)
BINARY("sub", ALL_FLAGS)
BINARY("sbb", ALL_FLAGS)
BINARY("cmp", ALL_FLAGS)
BINARY("and", NO_AF)
BINARY("or", NO_AF)
BINARY("xor", NO_AF)
FOUR("test", NO_AF)
CASE("testb $0x81, (%rdi)", NO_AF)
CASE("testl $0x80000001, (%rdi)", NO_AF)
CASE("testq $-2, (%rdi)", NO_AF)
UNARY("inc", ALL_FLAGS)
UNARY("dec", ALL_FLAGS)
UNARY("neg", ALL_FLAGS)
UNARY("not", ALL_FLAGS)
UNARY("lock inc", ALL_FLAGS)
BITS("bt")
BITS("bts")
BITS("btr")
BITS("btc")
FOUR("xchg", ALL_FLAGS)
CASE("xchgb %ah, (%rdi)", ALL_FLAGS)
FOUR("xadd", ALL_FLAGS)
FOUR("lock xadd", ALL_FLAGS)
FOUR("lock or", NO_AF)
FOUR("cmpxchg", ALL_FLAGS)
FOUR("lock cmpxchg", ALL_FLAGS)
CASE("mov %rax, (%rdi); cmpxchg %rdx, (%rdi)", ALL_FLAGS)
CASE("mov %eax, (%rdi); lock cmpxchg %edx, (%rdi)", ALL_FLAGS)
CASE("cmovol (%rdi), %eax", ALL_FLAGS)
CASE("cmovnol (%rdi), %eax", ALL_FLAGS)
CASE("cmovcq (%rdi), %rax", ALL_FLAGS)
CASE("cmovncw (%rdi), %ax", ALL_FLAGS)
CASE("cmovzl (%rdi), %r9d", ALL_FLAGS)
CASE("cmovnzl (%rdi), %r9d", ALL_FLAGS)
CASE("cmovbel (%rdi), %eax", ALL_FLAGS)
CASE("cmoval (%rdi), %eax", ALL_FLAGS)
CASE("cmovsl (%rdi), %eax", ALL_FLAGS)
CASE("cmovnsl (%rdi), %eax", ALL_FLAGS)
CASE("cmovpl (%rdi), %eax", ALL_FLAGS)
CASE("cmovnpl (%rdi), %eax", ALL_FLAGS)
CASE("cmovll (%rdi), %eax", ALL_FLAGS)
CASE("cmovgel (%rdi), %eax", ALL_FLAGS)
CASE("cmovlel (%rdi), %eax", ALL_FLAGS)
CASE("cmovgl (%rdi), %eax", ALL_FLAGS)
CASE("setc (%rdi)", ALL_FLAGS)
CASE("setle (%rdi)", ALL_FLAGS)
CASE("setnp (%rdi)", ALL_FLAGS)
STRINGS("movs")
STRINGS("stos")
STRINGS("lods")
CASE("clflush (%rdi)", ALL_FLAGS | CLFLUSH)
MOVE("movups", "xmm1", ALL_FLAGS)
MOVE("movupd", "xmm9", ALL_FLAGS)
MOVE("movaps", "xmm2", ALL_FLAGS)
MOVE("movapd", "xmm2", ALL_FLAGS)
MOVE("movdqu", "xmm3", ALL_FLAGS)
MOVE("movdqa", "xmm15", ALL_FLAGS)
MOVE("movd", "xmm4", ALL_FLAGS)
MOVE("movq", "xmm5", ALL_FLAGS)
MOVE("movss", "xmm6", ALL_FLAGS)
MOVE("movsd", "xmm7", ALL_FLAGS)
MOVE("movlps", "xmm6", ALL_FLAGS)
MOVE("movhps", "xmm6", ALL_FLAGS)
MOVE("movlpd", "xmm6", ALL_FLAGS)
MOVE("movhpd", "xmm6", ALL_FLAGS)
CASE("lddqu (%rdi), %xmm3", ALL_FLAGS)
CASE("movntdqa (%rdi), %xmm3", ALL_FLAGS)
CASE("movntdq %xmm3, (%rdi)", ALL_FLAGS)
CASE("movntps %xmm3, (%rdi)", ALL_FLAGS)
CASE("movntpd %xmm3, (%rdi)", ALL_FLAGS)
MOVE("vmovups", "xmm1", ALL_FLAGS | AVX)
MOVE("vmovups", "ymm1", ALL_FLAGS | AVX)
MOVE("vmovaps", "ymm12", ALL_FLAGS | AVX)
MOVE("vmovdqu", "ymm13", ALL_FLAGS | AVX)
MOVE("vmovdqa", "ymm14", ALL_FLAGS | AVX)
MOVE("vmovdqa", "xmm14", ALL_FLAGS | AVX)
MOVE("vmovd", "xmm4", ALL_FLAGS | AVX)
MOVE("vmovq", "xmm5", ALL_FLAGS | AVX)
MOVE("vmovss", "xmm6", ALL_FLAGS | AVX)
MOVE("vmovsd", "xmm7", ALL_FLAGS | AVX)
MOVE3("vmovlps", ALL_FLAGS | AVX)
MOVE3("vmovhps", ALL_FLAGS | AVX)
MOVE3("vmovhpd", ALL_FLAGS | AVX)
CASE("vlddqu (%rdi), %ymm3", ALL_FLAGS | AVX)
CASE("vmovntdq %ymm3, (%rdi)", ALL_FLAGS | AVX)
CASE("vmovntdqa (%rdi), %ymm3", ALL_FLAGS | AVX2)
MOVE("vmovdqu8", "zmm1", ALL_FLAGS | AVX512)
MOVE("vmovdqu16", "zmm17", ALL_FLAGS | AVX512)
MOVE("vmovdqu32", "ymm18", ALL_FLAGS | AVX512)
MOVE("vmovdqu64", "ymm16", ALL_FLAGS | AVX512)
MOVE("vmovdqu64", "xmm31", ALL_FLAGS | AVX512)
MOVE("vmovdqa32", "zmm20", ALL_FLAGS | AVX512)
MOVE("vmovdqa64", "zmm2", ALL_FLAGS | AVX512)
MOVE("vmovups", "zmm30", ALL_FLAGS | AVX512)
CASE("vmovntdq %zmm3, (%rdi)", ALL_FLAGS | AVX512)

/* ------------------------------------------------------------------ */
/* Running a case: load every register, call it, store every register. */
/* Of XSAVE's components 0xe7 are x87, SSE, AVX and the three of AVX-512. */

struct cpu {
	uint64_t gpr[16]; /* rax rcx rdx rbx (rsp) rbp rsi rdi r8-r15 */
	uint64_t flags;
};

__attribute__((aligned(PAGE))) uint8_t trap_page[2 * PAGE];
struct cpu run_cpu;
const uint8_t *run_code;
bool has_xsave; /* else the vector registers are xmm0-15 */
__attribute__((aligned(64))) uint8_t run_xsave[PAGE];
static uint8_t *alias; /* the same memory, always accessible */
static uint8_t plain[PAGE];

void run_case(void);
void run_xstore(void);
__asm__(".pushsection .text\n"
	".globl run_case\n"
	"run_case:\n"
	"push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"sub $8, %rsp\n"
	"mov $0xe7, %eax; xor %edx, %edx\n"
	"cmpb $0, has_xsave(%rip); je 1f\n"
	"xrstor64 run_xsave(%rip); jmp 2f\n"
	"1: fxrstor64 run_xsave(%rip)\n"
	"2: lea run_cpu(%rip), %rax\n"
	"push 128(%rax); popfq\n"
	"mov 8(%rax), %rcx; mov 16(%rax), %rdx; mov 24(%rax), %rbx\n"
	"mov 40(%rax), %rbp; mov 48(%rax), %rsi; mov 56(%rax), %rdi\n"
	"mov 64(%rax), %r8; mov 72(%rax), %r9; mov 80(%rax), %r10\n"
	"mov 88(%rax), %r11; mov 96(%rax), %r12; mov 104(%rax), %r13\n"
	"mov 112(%rax), %r14; mov 120(%rax), %r15; mov (%rax), %rax\n"
	"call *run_code(%rip)\n"
	"pushfq\n"
	"push %rax\n"
	"lea run_cpu(%rip), %rax\n"
	"mov %rcx, 8(%rax); mov %rdx, 16(%rax); mov %rbx, 24(%rax)\n"
	"mov %rbp, 40(%rax); mov %rsi, 48(%rax); mov %rdi, 56(%rax)\n"
	"mov %r8, 64(%rax); mov %r9, 72(%rax); mov %r10, 80(%rax)\n"
	"mov %r11, 88(%rax); mov %r12, 96(%rax); mov %r13, 104(%rax)\n"
	"mov %r14, 112(%rax); mov %r15, 120(%rax)\n"
	"pop (%rax)\n"
	"pop 128(%rax)\n"
	"call run_xstore\n"
	"cld\n"
	"add $8, %rsp\n"
	"pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"ret\n"
	"run_xstore:\n"
	"mov $0xe7, %eax; xor %edx, %edx\n"
	"cmpb $0, has_xsave(%rip); je 1f\n"
	"xsave64 run_xsave(%rip); ret\n"
	"1: fxsave64 run_xsave(%rip); ret\n"
	".popsection\n");

static uint64_t random_state = 88172645463325252ull;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void fill_random(void *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)p)[i] = (uint8_t)next_random();
}

/* Addresses for the instruction to use: the page, or ordinary memory. */
static void prepare(int round)
{
	fill_random(alias, 2 * PAGE);
	fill_random(plain, sizeof(plain));
	fill_random(&run_cpu, sizeof(run_cpu));
	run_cpu.flags = (run_cpu.flags & ALL_FLAGS) | 2;
	run_cpu.gpr[1] = (uint64_t)round % 5 + 1;
	run_cpu.gpr[7] = (uintptr_t)trap_page + 512;
	run_cpu.gpr[6] = (uintptr_t)(round & 1 ? trap_page : plain) + 1024;
	run_cpu.gpr[13] = next_random() % 2048 - 1024;

	fill_random(run_xsave + 160, 256); /* xmm0-15 */
	uint64_t bv;

	memcpy(&bv, run_xsave + 512, sizeof(bv));
	if (round & 2)
		bv &= ~UINT64_C(0xc4); /* upper halves in initial state: zero */
	memcpy(run_xsave + 512, &bv, sizeof(bv));
}

struct outcome {
	struct cpu cpu;
	uint8_t xsave[PAGE];
	uint8_t mem[2 * PAGE];
	uint8_t plain[PAGE];
};

static struct outcome before, by_cpu, by_emulation;

static void snapshot(struct outcome *o)
{
	o->cpu = run_cpu;
	memcpy(o->xsave, run_xsave, sizeof(o->xsave));
	memcpy(o->mem, alias, sizeof(o->mem));
	memcpy(o->plain, plain, sizeof(o->plain));
}

static void restore(const struct outcome *o)
{
	run_cpu = o->cpu;
	memcpy(run_xsave, o->xsave, sizeof(o->xsave));
	memcpy(alias, o->mem, sizeof(o->mem));
	memcpy(plain, o->plain, sizeof(o->plain));
}

static uint8_t *memory_at(uint64_t addr)
{
	uint64_t off = addr - (uintptr_t)trap_page;

	return off < sizeof(trap_page) ? alias + off
				       : (uint8_t *)(uintptr_t)addr;
}

static int load(void *arg, uint64_t addr, unsigned int size, uint64_t *ret)
{
	(void)arg;
	*ret = 0;
	memcpy(ret, memory_at(addr), size);
	return 0;
}

static int store(void *arg, uint64_t addr, unsigned int size, uint64_t value)
{
	(void)arg;
	memcpy(memory_at(addr), &value, size);
	return 0;
}

static unsigned int traps;
static int trap_error;

/*
 * Linux aligns a handler's stack and clears the direction flag; qemu-x86_64 7.2,
 * which plays older CPUs, does neither.
 */
__attribute__((force_align_arg_pointer)) static void on_trap(int sig,
							     siginfo_t *info,
							     void *context)
{
	__asm__ volatile("cld");
	const struct emu_bus bus = {load, store, NULL};
	ucontext_t *uc = context;
	struct insn insn;

	(void)sig;
	(void)info;
	traps++;
	trap_error = insn_decode((void *)uc->uc_mcontext.gregs[REG_RIP],
				 INSN_LEN_MAX, uc->uc_mcontext.gregs, &insn);
	if (trap_error == 0)
		trap_error = emulate(&insn, &uc->uc_mcontext, &bus);
	if (trap_error) /* let it run natively, the test fails by itself */
		mprotect(trap_page, sizeof(trap_page), PROT_READ | PROT_WRITE);
}

/* In every test: cmocka puts its own handlers in before each. */
static void take_traps(void)
{
	struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

	assert_int_equal(sigaction(SIGSEGV, &sa, NULL), 0);
}

static bool has_base(void)
{
	return true;
}

static bool has_avx(void)
{
	return __builtin_cpu_supports("avx");
}

static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}

static bool has_avx512(void)
{
	return __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512vl");
}

static bool has_movbe(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && c & bit_MOVBE;
}

static sigjmp_buf flush_faults;

static void leave_flush(int sig)
{
	siglongjmp(flush_faults, sig);
}

/* An emulated CPU has no cache, and may not look at the page. */
static bool has_clflush(void)
{
	const struct sigaction leave = {.sa_handler = leave_flush};
	struct sigaction was;
	bool faults = true;

	sigaction(SIGSEGV, &leave, &was);
	mprotect(trap_page, sizeof(trap_page), PROT_NONE);
	if (!sigsetjmp(flush_faults, 1)) {
		__asm__ volatile("clflush %0" : : "m"(*trap_page));
		faults = false;
	}
	mprotect(trap_page, sizeof(trap_page), PROT_READ | PROT_WRITE);
	sigaction(SIGSEGV, &was, NULL);
	return faults;
}

#define FEATURES (AVX | AVX2 | AVX512 | MOVBE | CLFLUSH)

struct feature {
	uint64_t flag;
	const char *name;
	bool (*has)(void);
	unsigned int cases; /* at least */
};

static void need(const struct feature *f)
{
	if (!f->has())
		skip_because("this CPU has no %s", f->name);
}

static void run_once(const struct test_case *c, int prot, struct outcome *o)
{
	assert_int_equal(mprotect(trap_page, sizeof(trap_page), prot), 0);
	run_code = c->code;
	run_case();
	mprotect(trap_page, sizeof(trap_page), PROT_READ | PROT_WRITE);
	snapshot(o);
}

static void check_vectors(const struct test_case *c)
{
	struct _libc_fpstate *a = (void *)by_cpu.xsave;
	struct _libc_fpstate *b = (void *)by_emulation.xsave;

	/* xstate_get() wants the signal frame's own marks */
	uint32_t magic[12] = {0x46505853, 0, 0xe7, 0, PAGE};

	memcpy(by_cpu.xsave + 464, magic, sizeof(magic));
	memcpy(by_emulation.xsave + 464, magic, sizeof(magic));
	for (unsigned int reg = 0; reg < XSTATE_REGS; reg++) {
		for (unsigned int lane = 0; lane < XSTATE_LANES; lane++) {
			if (xstate_get(a, reg, lane) ==
			    xstate_get(b, reg, lane))
				continue;
			fail_msg("%s: vector register %u lane %u: cpu %#lx, "
				 "emulated %#lx",
				 c->text, reg, lane, xstate_get(a, reg, lane),
				 xstate_get(b, reg, lane));
		}
	}
}

static void check_same(const struct test_case *c)
{
	uint64_t mask = c->flags & ALL_FLAGS;

	for (int i = 0; i < 16; i++) {
		if (i != 4 && by_cpu.cpu.gpr[i] != by_emulation.cpu.gpr[i])
			fail_msg("%s: register %d: cpu %#lx, emulated %#lx",
				 c->text, i, by_cpu.cpu.gpr[i],
				 by_emulation.cpu.gpr[i]);
	}
	if ((by_cpu.cpu.flags ^ by_emulation.cpu.flags) & mask)
		fail_msg("%s: flags: cpu %#lx, emulated %#lx", c->text,
			 by_cpu.cpu.flags & mask,
			 by_emulation.cpu.flags & mask);
	if (memcmp(by_cpu.mem, by_emulation.mem, sizeof(by_cpu.mem)) ||
	    memcmp(by_cpu.plain, by_emulation.plain, sizeof(by_cpu.plain)))
		fail_msg("%s: memory differs", c->text);
	check_vectors(c);
}

static void check_case(const struct test_case *c, int round)
{
	/* in even rounds rsi points to plain memory */
	bool traps_expected = round & 1 || !strstr(c->text, "lods");

	prepare(round);
	snapshot(&before);
	run_once(c, PROT_READ | PROT_WRITE, &by_cpu);
	restore(&before);
	traps = 0;
	run_once(c, PROT_NONE, &by_emulation);
	if (trap_error || !traps == traps_expected)
		fail_msg("%s: error %d after %u traps", c->text, trap_error,
			 traps);
	check_same(c);
}

static void emulation_equals_the_cpu(void **state)
{
	const struct feature *f = *state;
	unsigned int n = 0;

	need(f);
	take_traps();
	for (const struct test_case *c = __start_insn_cases;
	     c < __stop_insn_cases; c++) {
		if ((c->flags & FEATURES) != f->flag)
			continue;
		for (int round = 0; round < ROUNDS; round++)
			check_case(c, round);
		n++;
	}
	assert_true(n >= f->cases);
}

/* Wide registers with all their bits in play, once the frame has them. */
static void wide_registers_keep_what_is_not_loaded(void **state)
{
	uint8_t ones[PAGE];

	need(*state);
	take_traps();
	__asm__ volatile("vpternlogd $0xff, %%zmm1, %%zmm1, %%zmm1\n"
			 "vpternlogd $0xff, %%zmm17, %%zmm17, %%zmm17\n"
			 "mov $0xe7, %%eax; xor %%edx, %%edx\n"
			 "xsave64 %0\n"
			 "vzeroupper\n"
			 : "=m"(run_xsave)
			 :
			 : "rax", "rdx", "xmm1", "memory");
	memcpy(ones, run_xsave, sizeof(ones));
	for (const struct test_case *c = __start_insn_cases;
	     c < __stop_insn_cases; c++) {
		if (!strstr(c->text, "mm1"))
			continue;
		prepare(0);
		memcpy(run_xsave, ones, sizeof(ones));
		snapshot(&before);
		run_once(c, PROT_READ | PROT_WRITE, &by_cpu);
		restore(&before);
		run_once(c, PROT_NONE, &by_emulation);
		check_same(c);
	}
}

/* ------------------------------------------------------------------ */

static int decode(const char *code, size_t len, struct insn *insn)
{
	static const gregset_t gregs = {[REG_RDI] = 0x1000, [REG_RCX] = 3};

	return insn_decode((const uint8_t *)code, len, gregs, insn);
}
#define DECODE(code, insn) decode(code, sizeof(code) - 1, insn)

static int note_load(void *arg, uint64_t addr, unsigned int size,
		     uint64_t *ret_value)
{
	*(bool *)arg = true;
	*ret_value = 0;
	return 0;
}

static int drop_store(void *arg, uint64_t addr, unsigned int size,
		      uint64_t value)
{
	return 0;
}

/* Does carrying it out read memory? */
static bool reads(const struct insn *insn)
{
	bool read = false;
	const struct emu_bus bus = {note_load, drop_store, &read};
	ucontext_t uc = {0};

	assert_int_equal(emulate(insn, &uc.uc_mcontext, &bus), 0);
	return read;
}

static void decode_describes_an_access(void **state)
{
	struct insn insn;

	(void)state;
	/* mov dword [rdi + rcx*4 + 0x10], 0x55aa */
	assert_int_equal(DECODE("\xc7\x44\x8f\x10\xaa\x55\x00\x00", &insn), 0);
	assert_int_equal(insn.op, INSN_MOV);
	assert_int_equal(insn.addr, 0x101c);
	assert_int_equal(insn.size, 4);
	assert_int_equal(insn.len, 8);
	assert_int_equal(insn.imm, 0x55aa);
	assert_true(emu_writes(&insn) && !reads(&insn));

	/* lock or byte [edi], 1: the address is cut to 32 bits */
	assert_int_equal(DECODE("\xf0\x67\x80\x0f\x01", &insn), 0);
	assert_int_equal(insn.addr, 0x1000);
	assert_true(emu_writes(&insn) && reads(&insn));
}

static void decode_refuses_what_it_cannot_carry_out(void **state)
{
	struct insn insn = {.len = 77};

	(void)state;
	assert_int_equal(DECODE("\x90", &insn), -EINVAL);     /* nop */
	assert_int_equal(DECODE("\x8b", &insn), -EINVAL);     /* cut short */
	assert_int_equal(DECODE("\xff\x37", &insn), -EINVAL); /* push */
	assert_int_equal(DECODE("\xff\x17", &insn), -EINVAL); /* call */
	assert_int_equal(DECODE("\x8d\x07", &insn), -EINVAL); /* lea */
	assert_int_equal(DECODE("\x64\x8b\x07", &insn), -EINVAL);     /* fs: */
	assert_int_equal(DECODE("\x0f\x6f\x07", &insn), -EINVAL);     /* mm0 */
	assert_int_equal(DECODE("\xd9\x07", &insn), -EINVAL);	      /* fld */
	assert_int_equal(DECODE("\x66\x0f\xef\x07", &insn), -EINVAL); /* pxor */
	/* vmovdqu32 zmm0{k1}, [rdi] */
	assert_int_equal(DECODE("\x62\xf1\x7e\x49\x6f\x07", &insn), -EINVAL);
	assert_int_equal(DECODE("\x89\xc0", &insn), -EINVAL); /* registers */
	assert_int_equal(DECODE("", &insn), -EINVAL);
	assert_int_equal(insn.len, 77);
}

static int fail_load(void *arg, uint64_t addr, unsigned int size, uint64_t *ret)
{
	return -EIO;
}

static int fail_store(void *arg, uint64_t addr, unsigned int size, uint64_t v)
{
	return -EIO;
}

static void failure_changes_no_register(void **state)
{
	const struct emu_bus bus = {fail_load, fail_store, NULL};

	(void)state;
	for (const struct test_case *c = __start_insn_cases;
	     c < __stop_insn_cases; c++) {
		ucontext_t uc, was;
		struct insn insn;

		memset(&uc, 0, sizeof(uc));
		uc.uc_mcontext.fpregs = &uc.__fpregs_mem;
		fill_random(uc.uc_mcontext.gregs, sizeof(gregset_t));
		was = uc;
		if (insn_decode(c->code, INSN_LEN_MAX, uc.uc_mcontext.gregs,
				&insn) ||
		    insn.op == INSN_NOTHING)
			continue;
		assert_int_equal(emulate(&insn, &uc.uc_mcontext, &bus), -EIO);
		assert_memory_equal(&uc, &was, sizeof(uc));
	}
}

static int setup(void **state)
{
	int fd = memfd_create("decode", MFD_CLOEXEC);

	(void)state;
	unsigned int a, b, features, d;

	has_xsave =
		__get_cpuid(1, &a, &b, &features, &d) && features & bit_OSXSAVE;
	xstate_init();
	if (fd < 0 || ftruncate(fd, sizeof(trap_page)) ||
	    mmap(trap_page, sizeof(trap_page), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		return -1;
	alias = mmap(NULL, sizeof(trap_page), PROT_READ | PROT_WRITE,
		     MAP_SHARED, fd, 0);
	close(fd);
	run_xstore();
	return alias == MAP_FAILED ? -1 : 0;
}

#define EMULATION(f)                                                           \
	{                                                                      \
		.name = "emulation_equals_the_cpu: " #f,                       \
		.test_func = emulation_equals_the_cpu, .initial_state = &f,    \
	}

int main(void)
{
	static struct feature base = {0, "x86-64", has_base, 200};
	static struct feature avx = {AVX, "AVX", has_avx, 20};
	static struct feature avx2 = {AVX2, "AVX2", has_avx2, 1};
	static struct feature avx512 = {AVX512, "AVX-512", has_avx512, 10};
	static struct feature movbe = {MOVBE, "MOVBE", has_movbe, 6};
	static struct feature clflush = {CLFLUSH, "CLFLUSH that faults",
					 has_clflush, 1};
	const struct CMUnitTest tests[] = {
		EMULATION(base),
		EMULATION(avx),
		EMULATION(avx2),
		EMULATION(avx512),
		EMULATION(movbe),
		EMULATION(clflush),
		cmocka_unit_test_prestate(
			wide_registers_keep_what_is_not_loaded, &avx512),
		cmocka_unit_test(decode_describes_an_access),
		cmocka_unit_test(decode_refuses_what_it_cannot_carry_out),
		cmocka_unit_test(failure_changes_no_register),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}

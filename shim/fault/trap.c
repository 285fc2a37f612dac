/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * SIGBUS in a BAR: the memory gate is closed, or was when the access came. The
 * daemon says whether to try again. SIGSEGV on pages mapped without
 * permissions: a register that must see every access. The instruction is
 * carried out by request and stepped over. All else is the program's.
 *
 * As in a page fault, no signal is handled meanwhile, unless the answer is long
 * in coming (struct left). The stack may be a
 * program's alternate one, of which the signal frame already took half, so
 * all of this happens on a stack made for it; only the program's own handler
 * runs where it would without us.
 */
#include "shim/fault/decode.h"
#include "shim/fault/emulate.h"
#include "shim/call/line.h"
#include "shim/fault/signal.h"
#include "shim/base/wiped.h"
#include "shim/fault/xstate.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE	   4096
#define STACK_SIZE (64u << 10)
#define RETRIES	   1000 /* closed and opened again, each time */
#define ACCESSES   32	/* of one instruction that may be left */
#define LEFT	   2	/* instructions of a thread: a handler's and its own */
#define ERR_WRITE  2	/* of a page fault's error code: it was a store */

/* One access of a register by an instruction. */
struct access {
	uint64_t addr;
	uint64_t value;
	unsigned int size;
	bool write;
};

/*
 * The daemon takes long and a signal is pending: the handler returns to the
 * instruction as if it had not begun, and the host delivers the signal there.
 * When the same instruction traps again, what it has done is not done again,
 * and the wait goes on. If the program jumps away instead, the next to need the
 * place drops it: its store counts as made.
 */
struct left {
	greg_t where[5];
	struct access done[ACCESSES];
	unsigned int n_done;
	struct access due;
	struct shim_wait wait; /* wait.left: it is in use */
};

static __thread struct left lefts[LEFT];
static __thread unsigned int next_left;

/* One fault, from entry to verdict. */
struct trap {
	int sig;
	siginfo_t *info;
	ucontext_t *uc;
	bool forward; /* to the program, as @info says */
	struct insn insn;
	struct shim_vma vma; /* where it trapped, or the last one asked for */
	struct left *left;   /* the instruction has been here before */
	struct access done[ACCESSES];
	unsigned int n_done;
	bool leaves;
};

/* What the program is to get instead of what the host said. */
static int blame(struct trap *t, int sig, int code, uint64_t addr)
{
	t->sig = sig;
	t->info->si_signo = sig;
	t->info->si_code = code;
	t->info->si_addr = (void *)(uintptr_t)addr;
	t->forward = true;
	return -EFAULT;
}

/* ------------------------------------------------------------------ */
/* Memory as the instruction sees it                                  */

static bool within(const struct shim_vma *vma, uint64_t addr, unsigned int size)
{
	return addr >= vma->start && addr < vma->end && size <= vma->end - addr;
}

/*
 * Ordinary memory, or a BAR's that is mapped directly: the other operand of a
 * string instruction. What the host refuses is the program's fault, unless a
 * closed BAR has opened.
 */
static int copy_plain(struct trap *t, uint64_t addr, void *buf,
		      unsigned int size, bool write)
{
	void *at = (void *)(uintptr_t)addr;

	for (int i = 0; i < RETRIES; i++) {
		bool done = write ? shim_copy_out(at, buf, size) == 0
				  : shim_copy_in(buf, at, size) == size;
		if (done)
			return 0;
		if (shim_vma_touched(addr, &t->vma))
			return blame(t, SIGSEGV, SEGV_MAPERR, addr);
		unsigned int need = write ? PROT_WRITE : PROT_READ;

		if (!(t->vma.prot & need))
			return blame(t, SIGSEGV, SEGV_ACCERR, addr);
		if (!t->vma.bar || shim_rpc_fault(&t->vma, addr, write, NULL))
			break;
	}
	return blame(t, SIGBUS, BUS_ADRERR, addr);
}

/* x86 cannot take reading away from what may be written. */
static bool permitted(const struct shim_vma *vma, bool write)
{
	return write ? vma->prot & PROT_WRITE
		     : vma->prot & (PROT_READ | PROT_WRITE);
}

/* What tells one execution of an instruction from another. */
static void get_where(const struct trap *t, greg_t where[5])
{
	static const int regs[5] = {REG_RIP, REG_RSP, REG_RCX, REG_RSI,
				    REG_RDI};

	for (int i = 0; i < 5; i++)
		where[i] = t->uc->uc_mcontext.gregs[regs[i]];
}

static struct left *find_left(const struct trap *t)
{
	greg_t where[5];

	get_where(t, where);
	for (int i = 0; i < LEFT; i++)
		if (lefts[i].wait.left &&
		    !memcmp(lefts[i].where, where, sizeof(where)))
			return &lefts[i];
	return NULL;
}

/* Is there a signal that the instruction would be interrupted by? */
static bool signal_waits(void *arg)
{
	const struct trap *t = arg;
	uint64_t pending = 0, blocked;

	memcpy(&blocked, &t->uc->uc_sigmask, sizeof(blocked));
	SYS(rt_sigpending, &pending, sizeof(pending));
	return pending & ~blocked;
}

static void leave(struct trap *t, const struct access *a,
		  const struct shim_wait *w)
{
	struct left *left = t->left;

	if (!left) {
		left = &lefts[next_left++ % LEFT];
		wait_drop(&left->wait);
	}
	get_where(t, left->where);
	memcpy(left->done, t->done, sizeof(left->done));
	left->n_done = t->n_done;
	left->due = *a;
	left->wait = *w;
	t->leaves = true;
}

static bool same_access(const struct access *a, const struct access *b)
{
	return a->addr == b->addr && a->size == b->size &&
	       a->write == b->write && (!a->write || a->value == b->value);
}

/* Was it made before the instruction was left? Then it has its value. */
static bool done_before(const struct trap *t, struct access *a)
{
	const struct left *left = t->left;

	if (!left || t->n_done >= left->n_done ||
	    !same_access(&left->done[t->n_done], a))
		return false;
	a->value = left->done[t->n_done].value;
	return true;
}

/* The one that it was left in: to be waited for, unless we are a child. */
static bool is_due(const struct trap *t, const struct access *a)
{
	return t->left && t->n_done == t->left->n_done &&
	       same_access(&t->left->due, a) && wait_is_ours(&t->left->wait);
}

static int access_daemon(struct trap *t, struct access *a)
{
	struct shim_wait w = {.leave = signal_waits, .arg = t};

	if (is_due(t, a)) {
		w = t->left->wait;
		w.arg = t;
		t->left->wait.left = false;
	}

	int r = shim_rpc_access(&t->vma, a->addr, a->size, a->write, &a->value,
				t->n_done < ACCESSES ? &w : NULL);

	if (r == -EINTR && w.left)
		leave(t, a, &w);
	return r;
}

static int access_trapped(struct trap *t, uint64_t addr, unsigned int size,
			  bool write, uint64_t *value)
{
	struct access a = {addr, write ? *value : 0, size, write};

	if (!permitted(&t->vma, write))
		return blame(t, SIGSEGV, SEGV_ACCERR, addr);

	int r = done_before(t, &a) ? 0 : access_daemon(t, &a);

	if (t->leaves)
		return r;
	if (r < 0)
		return blame(t, SIGBUS, BUS_ADRERR, addr);
	if (t->n_done < ACCESSES)
		t->done[t->n_done++] = a;
	if (!write)
		*value = a.value;
	return 0;
}

static int touch_piece(struct trap *t, uint64_t addr, unsigned int size,
		       bool write, uint64_t *value)
{
	if (!within(&t->vma, addr, size))
		(void)shim_vma_touched(addr, &t->vma);
	if (within(&t->vma, addr, size) && t->vma.trap)
		return access_trapped(t, addr, size, write, value);
	return copy_plain(t, addr, value, size, write);
}

/* As a root complex splits an access: each piece is naturally aligned. */
static unsigned int piece_at(uint64_t addr, unsigned int left)
{
	unsigned int size = sizeof(uint64_t);

	while (size > left || addr & (size - 1))
		size /= 2;
	return size;
}

static int touch(struct trap *t, uint64_t addr, unsigned int size, bool write,
		 uint64_t *value)
{
	unsigned int n;
	int r = 0;

	if (!shim_in_bars(addr, size))
		return copy_plain(t, addr, value, size, write);
	for (unsigned int at = 0; at < size && r == 0; at += n) {
		uint64_t part = write ? *value >> 8 * at : 0;

		n = piece_at(addr + at, size - at);
		if (n < sizeof(part))
			part &= (UINT64_C(1) << 8 * n) - 1;
		r = touch_piece(t, addr + at, n, write, &part);
		if (!write)
			*value |= part << 8 * at;
	}
	return r;
}

/*
 * A CPU looks at both pages of an access that crosses into one before it
 * touches the first.
 */
static int check_second(struct trap *t, uint64_t addr, unsigned int size,
			bool write)
{
	uint64_t second = (addr + size - 1) & ~(uint64_t)(PAGE - 1);
	struct shim_vma vma;

	if (!size || second <= addr)
		return 0;
	if (shim_vma_touched(second, &vma))
		return blame(t, SIGSEGV, SEGV_MAPERR, second);
	if (!permitted(&vma, write))
		return blame(t, SIGSEGV, SEGV_ACCERR, second);
	if (vma.bar && !vma.trap && shim_rpc_fault(&vma, second, write, NULL))
		return blame(t, SIGBUS, BUS_ADRERR, second);
	return 0;
}

static int check_reach(struct trap *t)
{
	const struct insn *insn = &t->insn;
	int r = 0;

	if (insn->op == INSN_MOVS)
		r = check_second(t, insn->addr2, insn->size, false);
	if (r == 0 && insn->op != INSN_NOTHING)
		r = check_second(t, insn->addr, insn->size, emu_writes(insn));
	return r;
}

static int bus_load(void *arg, uint64_t addr, unsigned int size,
		    uint64_t *ret_value)
{
	uint64_t value = 0;
	int r = touch(arg, addr, size, false, &value);

	if (r == 0)
		*ret_value = value;
	return r;
}

static int bus_store(void *arg, uint64_t addr, unsigned int size,
		     uint64_t value)
{
	return touch(arg, addr, size, true, &value);
}

/* ------------------------------------------------------------------ */
/* The two faults                                                     */

static char *put_hex(char *p, uint64_t value, int digits)
{
	while (digits--)
		*p++ = "0123456789abcdef"[value >> 4 * digits & 15];
	return p;
}

static char *put_text(char *p, const char *text)
{
	size_t n = strlen(text);

	memcpy(p, text, n);
	return p + n;
}

/* The shim's only words, since nothing else could explain the SIGBUS. */
static void complain(const uint8_t *code, size_t n, uint64_t rip)
{
	char line[160], *p = line;

	p = put_text(p, "softvfio: instruction at 0x");
	p = put_hex(p, rip, 16);
	p = put_text(p, " cannot be carried out on a device register:");
	for (size_t i = 0; i < n; i++) {
		*p++ = ' ';
		p = put_hex(p, code[i], 2);
	}
	*p++ = '\n';
	SYS(write, 2, line, p - line);
}

static bool is_bar(uint64_t addr, struct shim_vma *vma)
{
	return shim_in_bars(addr, 1) && shim_vma_touched(addr, vma) == 0 &&
	       vma->bar;
}

static void on_trapped_page(struct trap *t)
{
	const struct emu_bus bus = {bus_load, bus_store, t};
	uint64_t addr = (uint64_t)(uintptr_t)t->info->si_addr;
	uint64_t rip = (uint64_t)t->uc->uc_mcontext.gregs[REG_RIP];
	uint8_t code[INSN_LEN_MAX];

	t->forward = true;
	if (t->info->si_code != SEGV_ACCERR || !is_bar(addr, &t->vma) ||
	    !t->vma.trap)
		return;

	size_t n = shim_copy_in(code, (const void *)rip, sizeof(code));
	const greg_t *gregs = t->uc->uc_mcontext.gregs;
	int r = insn_decode(code, n, gregs, &t->insn);

	t->forward = false;
	t->left = find_left(t);
	if (r == 0)
		r = check_reach(t);
	if (r == 0)
		r = emulate(&t->insn, &t->uc->uc_mcontext, &bus);
	if (t->leaves)
		return;
	if (t->left)
		wait_drop(&t->left->wait);
	if (r < 0 && !t->forward) {
		complain(code, n, rip);
		blame(t, SIGBUS, BUS_ADRERR, addr);
	}
}

/* Left to a signal it is asked anew: the question changes nothing. */
static void on_closed_bar(struct trap *t)
{
	uint64_t addr = (uint64_t)(uintptr_t)t->info->si_addr;
	bool write = t->uc->uc_mcontext.gregs[REG_ERR] & ERR_WRITE;
	struct shim_wait w = {.leave = signal_waits, .arg = t};

	t->forward = true;
	if (t->info->si_code != BUS_ADRERR || !is_bar(addr, &t->vma))
		return;

	int r = shim_rpc_fault(&t->vma, addr, write, &w);

	t->forward = r != 0 && !w.left;
	wait_drop(&w);
}

__attribute__((used)) static void trap_body(struct trap *t)
{
	if (t->sig == SIGSEGV)
		on_trapped_page(t);
	else
		on_closed_bar(t);
}

/* ------------------------------------------------------------------ */

/* Calls trap_body(@t) with the stack ending at @top. */
static void call_on(void *top, struct trap *t)
{
	__asm__ volatile("movq %%rsp, %%rbx\n\t"
			 "movq %0, %%rsp\n\t"
			 "call *%2\n\t"
			 "movq %%rbx, %%rsp"
			 : "+r"(top), "+D"(t)
			 : "r"(trap_body)
			 : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10",
			   "r11", "memory", "cc", "xmm0", "xmm1", "xmm2",
			   "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
			   "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
			   "xmm15");
}

/*
 * Stacks that stay: mapping one and making its pages takes longer than all the
 * rest of a fault. Who finds none free has one mapped.
 */
static char stacks[WIPED_STACKS][STACK_SIZE] __attribute__((aligned(64)));

static char *stack_get(void)
{
	struct wiped *w = wiped_page();

	for (int i = 0; w && i < WIPED_STACKS; i++)
		if (!atomic_exchange(&w->stack[i], true))
			return stacks[i];
	return shim_scratch(STACK_SIZE);
}

static void stack_put(char *stack)
{
	for (int i = 0; i < WIPED_STACKS; i++) {
		if (stack != stacks[i])
			continue;
		atomic_store(&wiped_page()->stack[i], false);
		return;
	}
	shim_scratch_free(stack, STACK_SIZE);
}

/* Could it be ours: not knowing costs a stack, so two compares come first. */
static bool concerns_us(const siginfo_t *info)
{
	return info->si_code > 0 && shim_in_bars((uintptr_t)info->si_addr, 1);
}

/* False: the fault is dealt with. */
static __attribute__((noinline)) bool is_programs(int *sig, siginfo_t *info,
						  ucontext_t *uc)
{
	char *stack = stack_get();

	if (!stack)
		return true;

	/* at the stack's top, below which the calls begin */
	uintptr_t top = (uintptr_t)stack + STACK_SIZE - sizeof(struct trap);
	struct trap *t = (struct trap *)(top & ~(uintptr_t)63);

	*t = (struct trap){.sig = *sig, .info = info, .uc = uc};
	call_on(t, t);

	bool forward = t->forward;

	*sig = t->sig;
	stack_put(stack);
	return forward;
}

/* A path that was no pointer: the host is to say so. */
static bool was_path(const siginfo_t *info, ucontext_t *uc)
{
	greg_t *rip = &uc->uc_mcontext.gregs[REG_RIP];

	if (info->si_code <= 0 || *rip != (greg_t)(uintptr_t)peek_load)
		return false;
	*rip = (greg_t)(uintptr_t)peek_failed;
	return true;
}

void trap_handler(int sig, siginfo_t *info, void *context)
{
	if (was_path(info, context))
		return;
	if (concerns_us(info) && !is_programs(&sig, info, context))
		return;
	signal_forward(sig, info, context);
}

void trap_init(void)
{
	xstate_init();
}

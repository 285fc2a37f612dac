/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * Masks. Both signals are stripped from every mask on its way to the kernel.
 * A thread's belief has two parts: what it set (base), and what the kernel
 * would have blocked for the duration of a handler (added), which ends with
 * the handler, by return or by longjmp().
 *
 * Actions. Until the first BAR is mapped the kernel keeps the program's
 * actions. Then the shim's handler takes their place (arming), and the
 * program's live in a ring of slots: a writer fills a slot nobody uses and
 * publishes its number with one exchange, a reader copies the slot and looks
 * whether the ring has come round meanwhile. No lock: a signal handler may
 * interrupt a writer and read, or write itself.
 *
 * A program may set an action while another thread arms: whoever comes second
 * takes the program's action out of the kernel again (arm_one()).
 *
 * Known differences: a SIGSEGV or SIGBUS sent by kill() is delivered although
 * the program believes it blocked; sets changed inside a handler outlive it.
 */
#include "shim/fault/signal.h"

#include <stdatomic.h>
#include <string.h>

DEFINE_NEXT(sigaction);

#define SLOTS		32
#define SIGNALS		64
#define KERNEL_RESTORER 0x04000000 /* SA_RESTORER, which libc sets */
#define KERNEL_SET	8 /* bytes of a signal set, the kernel's idea */

/* A program's action for one of the two, and those it had before. */
struct actions {
	atomic_uint issued;
	atomic_uint current;
	struct sigaction slots[SLOTS];
};

static struct actions actions[2];
static void (*restorer)(void);

/* Which of the two are in the sa_mask of an action the kernel keeps. */
static atomic_uchar action_faults[SIGNALS + 1];

static atomic_bool ever_blocked;
static atomic_bool ever_handled;

static __thread struct {
	uint8_t base;
	uint8_t added;
} belief;

unsigned int signal_fault(int sig)
{
	return sig == SIGSEGV ? FAULT_SEGV : sig == SIGBUS ? FAULT_BUS : 0;
}

unsigned int signal_strip(sigset_t *set)
{
	unsigned int faults = (sigismember(set, SIGSEGV) ? FAULT_SEGV : 0) |
			      (sigismember(set, SIGBUS) ? FAULT_BUS : 0);

	sigdelset(set, SIGSEGV);
	sigdelset(set, SIGBUS);
	return faults;
}

void signal_show(sigset_t *set, unsigned int faults)
{
	if (faults & FAULT_SEGV)
		sigaddset(set, SIGSEGV);
	if (faults & FAULT_BUS)
		sigaddset(set, SIGBUS);
}

/* ------------------------------------------------------------------ */
/* What a thread believes                                             */

unsigned int signal_believed(void)
{
	return belief.base | belief.added;
}

/* A genuine fault while it is blocked must not reach the program's handler. */
static void arm_when_needed(void)
{
	if (atomic_load_explicit(&ever_blocked, memory_order_relaxed) &&
	    atomic_load_explicit(&ever_handled, memory_order_relaxed))
		shim_arm_faults();
}

void signal_believe(int how, unsigned int faults)
{
	if (how == SIG_BLOCK) {
		belief.base |= (uint8_t)faults;
	} else if (how == SIG_UNBLOCK) {
		belief.base &= (uint8_t)~faults;
		belief.added &= (uint8_t)~faults;
	} else {
		belief.base = (uint8_t)faults;
		belief.added = 0;
	}
	if (!belief.base ||
	    atomic_load_explicit(&ever_blocked, memory_order_relaxed))
		return;
	atomic_store(&ever_blocked, true);
	arm_when_needed();
}

void signal_left_handlers(void)
{
	belief.added = 0;
}

/* ------------------------------------------------------------------ */
/* The program's actions                                              */

static unsigned int put_action(struct actions *a, const struct sigaction *sa)
{
	unsigned int ticket = atomic_fetch_add(&a->issued, 1) + 1;

	a->slots[ticket % SLOTS] = *sa;
	return ticket;
}

static void publish(struct actions *a, const struct sigaction *sa,
		    struct sigaction *ret_old)
{
	unsigned int ticket = put_action(a, sa);
	unsigned int was = atomic_exchange(&a->current, ticket);

	if (ret_old)
		*ret_old = a->slots[was % SLOTS];
}

/* Returns its ticket, for reset_action(). */
static unsigned int current_action(struct actions *a, struct sigaction *ret_sa)
{
	for (;;) {
		unsigned int ticket = atomic_load(&a->current);

		*ret_sa = a->slots[ticket % SLOTS];
		if (atomic_load(&a->issued) - ticket < SLOTS)
			return ticket;
	}
}

/* SA_RESETHAND, unless the program has set another one meanwhile. */
static void reset_action(struct actions *a, unsigned int ticket)
{
	struct sigaction sa = a->slots[ticket % SLOTS];

	sa.sa_handler = SIG_DFL;
	atomic_compare_exchange_strong(&a->current, &ticket,
				       put_action(a, &sa));
}

static struct actions *actions_of(int sig)
{
	return &actions[sig == SIGBUS];
}

static bool is_ours(const struct sigaction *sa)
{
	return sa->sa_sigaction == trap_handler;
}

static void keep(int sig, struct sigaction *sa)
{
	restorer = sa->sa_restorer ? sa->sa_restorer : restorer;
	signal_show(&sa->sa_mask, atomic_load(&action_faults[sig]));
	publish(actions_of(sig), sa, NULL);
}

/*
 * Puts our handler in and keeps what came out. What is there is kept first:
 * a fault may come the moment ours is in.
 */
static void arm_one(int sig)
{
	struct sigaction ours, was, came;

	memset(&ours, 0, sizeof(ours));
	ours.sa_sigaction = trap_handler;
	ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	sigfillset(&ours.sa_mask);

	if (NEXT(sigaction)(sig, NULL, &was) == 0 && !is_ours(&was))
		keep(sig, &was);
	if (NEXT(sigaction)(sig, &ours, &came) == 0 && !is_ours(&came) &&
	    came.sa_sigaction != was.sa_sigaction)
		keep(sig, &came);
}

void shim_arm_faults(void)
{
	int saved = errno;

	if (faults_armed())
		return;
	trap_init();
	arm_one(SIGSEGV);
	arm_one(SIGBUS);
	faults_set_armed();
	/* an action set between the two steps above is in the kernel */
	arm_one(SIGSEGV);
	arm_one(SIGBUS);
	errno = saved;
}

/* One of the two, its action being with us. */
static int own_action(int sig, const struct sigaction *act,
		      struct sigaction *old)
{
	struct sigaction sa;

	if (!act) {
		current_action(actions_of(sig), old ? old : &sa);
		return 0;
	}
	sa = *act;
	sigdelset(&sa.sa_mask, SIGKILL);
	sigdelset(&sa.sa_mask, SIGSTOP);
	sa.sa_flags |= KERNEL_RESTORER;
	sa.sa_restorer = restorer;
	publish(actions_of(sig), &sa, old);
	return 0;
}

static void handles(const struct sigaction *act)
{
	if (act->sa_handler == SIG_DFL || act->sa_handler == SIG_IGN)
		return;
	atomic_store(&ever_handled, true);
	arm_when_needed();
}

int signal_action(int sig, const struct sigaction *act, struct sigaction *old)
{
	unsigned int faults = 0, was, fault = signal_fault(sig);
	struct sigaction stripped;

	if (!shim_active() || sig < 1 || sig > SIGNALS)
		return NEXT(sigaction)(sig, act, old);
	if (fault && act)
		handles(act);
	if (fault && faults_armed())
		return own_action(sig, act, old);

	was = atomic_load(&action_faults[sig]);
	if (act) {
		stripped = *act;
		faults = signal_strip(&stripped.sa_mask);
	}
	if (NEXT(sigaction)(sig, act ? &stripped : NULL, old))
		return -1;
	if (old)
		signal_show(&old->sa_mask, was);
	if (act)
		atomic_store(&action_faults[sig], (unsigned char)faults);
	if (act && fault && faults_armed())
		arm_one(sig); /* another thread armed meanwhile */
	return 0;
}

void signal_mask_cleared(int sig)
{
	if (sig >= 1 && sig <= SIGNALS)
		atomic_store(&action_faults[sig], 0);
}

/* ------------------------------------------------------------------ */
/* The program's faults                                               */

/* The signal set of an interrupted context, as wide as the kernel's. */
static uint64_t get_set(const sigset_t *set)
{
	uint64_t word;

	memcpy(&word, set, sizeof(word));
	return word;
}

static void put_set(sigset_t *set, uint64_t word)
{
	memcpy(set, &word, sizeof(word));
}

static uint64_t set_bit(int sig)
{
	return UINT64_C(1) << (sig - 1);
}

static uint64_t fault_bits(unsigned int faults)
{
	return (faults & FAULT_SEGV ? set_bit(SIGSEGV) : 0) |
	       (faults & FAULT_BUS ? set_bit(SIGBUS) : 0);
}

static unsigned int bits_fault(uint64_t word)
{
	return (word & set_bit(SIGSEGV) ? FAULT_SEGV : 0) |
	       (word & set_bit(SIGBUS) ? FAULT_BUS : 0);
}

/*
 * The signal is sent again, blocked until the handler returns, so that the
 * process ends of it with the registers of the fault and the right siginfo,
 * whatever the instruction would do if it were tried again.
 */
static void die(int sig, siginfo_t *info, ucontext_t *uc)
{
	long pid = SYS(getpid), tid = SYS(gettid);
	struct sigaction dfl;

	memset(&dfl, 0, sizeof(dfl));
	dfl.sa_handler = SIG_DFL;
	NEXT(sigaction)(sig, &dfl, NULL);
	SYS(rt_tgsigqueueinfo, pid, tid, sig, info);
	put_set(&uc->uc_sigmask, get_set(&uc->uc_sigmask) & ~set_bit(sig));
}

/* As the kernel calls a handler: same arguments, same mask. */
static void call_handler(int sig, siginfo_t *info, ucontext_t *uc,
			 const struct sigaction *sa)
{
	const uint64_t both = fault_bits(FAULT_SEGV | FAULT_BUS);
	uint64_t mask = get_set(&sa->sa_mask);
	__typeof__(belief) before = belief;
	unsigned int shown = signal_believed(), now;

	if (!(sa->sa_flags & SA_NODEFER))
		mask |= set_bit(sig);
	belief.added |= (uint8_t)bits_fault(mask);
	mask = (mask | get_set(&uc->uc_sigmask)) & ~both;
	put_set(&uc->uc_sigmask, get_set(&uc->uc_sigmask) | fault_bits(shown));
	SYS(rt_sigprocmask, SIG_SETMASK, &mask, NULL, KERNEL_SET);

	sa->sa_sigaction(sig, info, uc);

	/* it may have changed what it returns to */
	now = bits_fault(get_set(&uc->uc_sigmask));
	put_set(&uc->uc_sigmask, get_set(&uc->uc_sigmask) & ~both);
	belief = before;
	if (now != shown)
		signal_believe(SIG_SETMASK, now);
}

void signal_forward(int sig, siginfo_t *info, ucontext_t *uc)
{
	struct actions *a = actions_of(sig);
	bool by_cpu = info->si_code > 0;
	struct sigaction sa;
	unsigned int ticket = current_action(a, &sa);
	bool blocked = by_cpu && signal_believed() & signal_fault(sig);

	if (sa.sa_handler == SIG_IGN && !by_cpu)
		return;
	if (sa.sa_handler == SIG_DFL || sa.sa_handler == SIG_IGN || blocked) {
		die(sig, info, uc);
		return;
	}
	if (sa.sa_flags & (int)SA_RESETHAND)
		reset_action(a, ticket);
	call_handler(sig, info, uc, &sa);
}

/* ------------------------------------------------------------------ */

void shim_signal_init(void)
{
	uint64_t both = fault_bits(FAULT_SEGV | FAULT_BUS), was = 0;

	SYS(rt_sigprocmask, SIG_UNBLOCK, &both, &was, KERNEL_SET);
	signal_believe(SIG_SETMASK, bits_fault(was));
}

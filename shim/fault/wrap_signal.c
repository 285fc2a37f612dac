/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The exported functions that set masks and actions of signals, jump out of
 * handlers, or make a thread that inherits a mask. Functions that only block
 * for the length of a call have nothing to show back.
 */
#include "shim/fault/signal.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>

/* Half of these are marked as obsolete; programs call them all the same. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* Names the headers hide or give to something else. */
int __sigaction(int sig, const struct sigaction *act, struct sigaction *old);
int __sigsuspend(const sigset_t *set);
int __sigpause(int sig_or_mask, int is_sig);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		const sigset_t *set, size_t room);
int sigpause_bsd(int mask) __asm__("sigpause");
sighandler_t bsd_signal(int sig, sighandler_t handler);
sighandler_t __sysv_signal(int sig, sighandler_t handler);
_Noreturn void __longjmp_chk(struct __jmp_buf_tag env[1], int val);

DEFINE_NEXT(signal);
DEFINE_NEXT(sysv_signal);
DEFINE_NEXT(sigset);
DEFINE_NEXT(sigignore);
DEFINE_NEXT(sighold);
DEFINE_NEXT(sigrelse);
DEFINE_NEXT(siginterrupt);
DEFINE_NEXT(sigprocmask);
DEFINE_NEXT(pthread_sigmask);
DEFINE_NEXT(sigblock);
DEFINE_NEXT(sigsetmask);
DEFINE_NEXT(sigsuspend);
DEFINE_NEXT(__sigpause);
DEFINE_NEXT(ppoll);
DEFINE_NEXT(__ppoll_chk);
DEFINE_NEXT(pselect);
DEFINE_NEXT(epoll_pwait);
DEFINE_NEXT(epoll_pwait2);
DEFINE_NEXT(signalfd);
DEFINE_NEXT(posix_spawnattr_setsigmask);
DEFINE_NEXT(pthread_attr_setsigmask_np);
DEFINE_NEXT(pthread_create);
DEFINE_NEXT(longjmp);
DEFINE_NEXT(_longjmp);
DEFINE_NEXT(siglongjmp);
DEFINE_NEXT(__longjmp_chk);
DEFINE_NEXT(setcontext);

#define STARTS 64 /* threads being started at the same moment */

/* ------------------------------------------------------------------ */
/* Actions                                                            */

EXPORT int sigaction(int sig, const struct sigaction *act,
		     struct sigaction *old)
{
	return signal_action(sig, act, old);
}

EXPORT int __sigaction(int sig, const struct sigaction *act,
		       struct sigaction *old)
{
	return signal_action(sig, act, old);
}

static bool ours(int sig)
{
	return signal_fault(sig) && shim_active();
}

/* signal() in its variants, for one of the two signals. */
static sighandler_t set_handler(int sig, sighandler_t handler, int flags,
				bool mask_itself)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = flags}, old;

	sigemptyset(&sa.sa_mask);
	if (mask_itself)
		sigaddset(&sa.sa_mask, sig);
	return signal_action(sig, &sa, &old) ? SIG_ERR : old.sa_handler;
}

static sighandler_t bsd(int sig, sighandler_t handler)
{
	if (ours(sig))
		return set_handler(sig, handler, SA_RESTART, true);
	signal_mask_cleared(sig);
	return NEXT(signal)(sig, handler);
}

static sighandler_t sysv(int sig, sighandler_t handler)
{
	if (ours(sig))
		return set_handler(sig, handler,
				   (int)(SA_RESETHAND | SA_NODEFER), false);
	signal_mask_cleared(sig);
	return NEXT(sysv_signal)(sig, handler);
}

EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
	return bsd(sig, handler);
}

EXPORT sighandler_t bsd_signal(int sig, sighandler_t handler)
{
	return bsd(sig, handler);
}

EXPORT sighandler_t ssignal(int sig, sighandler_t handler)
{
	return bsd(sig, handler);
}

EXPORT sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	return sysv(sig, handler);
}

EXPORT sighandler_t __sysv_signal(int sig, sighandler_t handler)
{
	return sysv(sig, handler);
}

EXPORT sighandler_t sigset(int sig, sighandler_t handler)
{
	unsigned int fault = signal_fault(sig);

	if (!ours(sig)) {
		if (handler != SIG_HOLD)
			signal_mask_cleared(sig);
		return NEXT(sigset)(sig, handler);
	}

	bool held = signal_believed() & fault;
	struct sigaction was;
	sighandler_t old;

	if (handler == SIG_HOLD) {
		if (signal_action(sig, NULL, &was))
			return SIG_ERR;
		old = was.sa_handler;
	} else {
		old = set_handler(sig, handler, 0, false);
	}
	if (old != SIG_ERR)
		signal_believe(handler == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK,
			       fault);
	return held && old != SIG_ERR ? SIG_HOLD : old;
}

EXPORT int sigignore(int sig)
{
	if (ours(sig))
		return set_handler(sig, SIG_IGN, 0, false) == SIG_ERR ? -1 : 0;
	signal_mask_cleared(sig);
	return NEXT(sigignore)(sig);
}

EXPORT int siginterrupt(int sig, int interrupt)
{
	struct sigaction sa;

	if (!ours(sig) || !faults_armed())
		return NEXT(siginterrupt)(sig, interrupt);
	if (signal_action(sig, NULL, &sa))
		return -1;
	sa.sa_flags &= ~SA_RESTART;
	sa.sa_flags |= interrupt ? 0 : SA_RESTART;
	return signal_action(sig, &sa, NULL);
}

/* ------------------------------------------------------------------ */
/* Masks that stay                                                    */

typedef int mask_fn(int how, const sigset_t *set, sigset_t *old);

static int change_mask(mask_fn *next, int how, const sigset_t *set,
		       sigset_t *old)
{
	unsigned int faults = 0, believed = signal_believed();
	sigset_t stripped;

	if (!shim_active())
		return next(how, set, old);
	if (set) {
		stripped = *set;
		faults = signal_strip(&stripped);
	}

	int r = next(how, set ? &stripped : NULL, old);
	if (r)
		return r;
	if (old)
		signal_show(old, believed);
	if (set)
		signal_believe(how, faults);
	return 0;
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	return change_mask(NEXT(sigprocmask), how, set, old);
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	return change_mask(NEXT(pthread_sigmask), how, set, old);
}

/* 4.2BSD's sets are the lower 32 signals in an int. */
static unsigned int strip_int(int *mask)
{
	unsigned int segv = 1u << (SIGSEGV - 1), bus = 1u << (SIGBUS - 1);
	unsigned int word = (unsigned int)*mask;

	*mask = (int)(word & ~(segv | bus));
	return (word & segv ? FAULT_SEGV : 0) | (word & bus ? FAULT_BUS : 0);
}

static int show_int(int mask, unsigned int faults)
{
	return mask | (faults & FAULT_SEGV ? 1 << (SIGSEGV - 1) : 0) |
	       (faults & FAULT_BUS ? 1 << (SIGBUS - 1) : 0);
}

EXPORT int sigblock(int mask)
{
	unsigned int believed = signal_believed();

	if (!shim_active())
		return NEXT(sigblock)(mask);
	signal_believe(SIG_BLOCK, strip_int(&mask));
	return show_int(NEXT(sigblock)(mask), believed);
}

EXPORT int sigsetmask(int mask)
{
	unsigned int believed = signal_believed();

	if (!shim_active())
		return NEXT(sigsetmask)(mask);
	signal_believe(SIG_SETMASK, strip_int(&mask));
	return show_int(NEXT(sigsetmask)(mask), believed);
}

EXPORT int siggetmask(void)
{
	return show_int(NEXT(sigblock)(0), signal_believed());
}

EXPORT int sighold(int sig)
{
	if (!ours(sig))
		return NEXT(sighold)(sig);
	signal_believe(SIG_BLOCK, signal_fault(sig));
	return 0;
}

EXPORT int sigrelse(int sig)
{
	if (!ours(sig))
		return NEXT(sigrelse)(sig);
	signal_believe(SIG_UNBLOCK, signal_fault(sig));
	return 0;
}

/* ------------------------------------------------------------------ */
/* Masks for the length of a call, or of somebody else                */

/* @set without the two, in @room; or as it is. */
static const sigset_t *without(const sigset_t *set, sigset_t *room)
{
	if (!set || !shim_active())
		return set;
	*room = *set;
	signal_strip(room);
	return room;
}

EXPORT int sigsuspend(const sigset_t *set)
{
	sigset_t room;

	return NEXT(sigsuspend)(without(set, &room));
}

EXPORT int __sigsuspend(const sigset_t *set)
{
	sigset_t room;

	return NEXT(sigsuspend)(without(set, &room));
}

EXPORT int __sigpause(int sig_or_mask, int is_sig)
{
	if (!is_sig && shim_active())
		strip_int(&sig_or_mask);
	return NEXT(__sigpause)(sig_or_mask, is_sig);
}

EXPORT int sigpause_bsd(int mask)
{
	if (shim_active())
		strip_int(&mask);
	return NEXT(__sigpause)(mask, 0);
}

EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		 const sigset_t *set)
{
	sigset_t room;

	return NEXT(ppoll)(fds, n, timeout, without(set, &room));
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n,
		       const struct timespec *timeout, const sigset_t *set,
		       size_t fds_room)
{
	sigset_t room;

	return NEXT(__ppoll_chk)(fds, n, timeout, without(set, &room),
				 fds_room);
}

EXPORT int pselect(int n, fd_set *in, fd_set *out, fd_set *except,
		   const struct timespec *timeout, const sigset_t *set)
{
	sigset_t room;

	return NEXT(pselect)(n, in, out, except, timeout, without(set, &room));
}

EXPORT int epoll_pwait(int fd, struct epoll_event *events, int n, int timeout,
		       const sigset_t *set)
{
	sigset_t room;

	return NEXT(epoll_pwait)(fd, events, n, timeout, without(set, &room));
}

EXPORT int epoll_pwait2(int fd, struct epoll_event *events, int n,
			const struct timespec *timeout, const sigset_t *set)
{
	sigset_t room;

	return NEXT(epoll_pwait2)(fd, events, n, timeout, without(set, &room));
}

EXPORT int signalfd(int fd, const sigset_t *set, int flags)
{
	sigset_t room;

	return NEXT(signalfd)(fd, without(set, &room), flags);
}

EXPORT int posix_spawnattr_setsigmask(posix_spawnattr_t *attr,
				      const sigset_t *set)
{
	sigset_t room;

	return NEXT(posix_spawnattr_setsigmask)(attr, without(set, &room));
}

EXPORT int pthread_attr_setsigmask_np(pthread_attr_t *attr, const sigset_t *set)
{
	sigset_t room;

	return NEXT(pthread_attr_setsigmask_np)(attr, without(set, &room));
}

/* ------------------------------------------------------------------ */
/* Threads inherit what their creator believes                        */

struct start {
	atomic_bool taken;
	void *(*fn)(void *);
	void *arg;
	unsigned int faults;
};

static struct start starts[STARTS];

static void *begin_thread(void *arg)
{
	struct start *slot = arg;
	void *(*fn)(void *) = slot->fn;

	signal_believe(SIG_SETMASK, slot->faults);
	arg = slot->arg;
	atomic_store(&slot->taken, false);
	return fn(arg);
}

static struct start *take_start(void)
{
	for (int i = 0; i < STARTS; i++) {
		if (!atomic_exchange(&starts[i].taken, true))
			return &starts[i];
	}
	return NULL;
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
			  void *(*fn)(void *), void *arg)
{
	struct start *slot = signal_believed() ? take_start() : NULL;

	if (!slot)
		return NEXT(pthread_create)(thread, attr, fn, arg);
	slot->fn = fn;
	slot->arg = arg;
	slot->faults = signal_believed();

	int r = NEXT(pthread_create)(thread, attr, begin_thread, slot);
	if (r)
		atomic_store(&slot->taken, false);
	return r;
}

/* ------------------------------------------------------------------ */
/* Leaving a handler by a jump                                        */

/* A mask that was saved empty blocked neither of the two. */
static void jump(const struct __jmp_buf_tag *env)
{
	if (!env->__mask_was_saved)
		return;
	signal_left_handlers();
	if (sigisemptyset(&env->__saved_mask))
		signal_believe(SIG_SETMASK, 0);
}

EXPORT void longjmp(struct __jmp_buf_tag env[1], int val)
{
	jump(env);
	NEXT(longjmp)(env, val);
	__builtin_unreachable();
}

EXPORT void _longjmp(struct __jmp_buf_tag env[1], int val)
{
	jump(env);
	NEXT(_longjmp)(env, val);
	__builtin_unreachable();
}

EXPORT void siglongjmp(sigjmp_buf env, int val)
{
	jump(env);
	NEXT(siglongjmp)(env, val);
	__builtin_unreachable();
}

EXPORT void __longjmp_chk(struct __jmp_buf_tag env[1], int val)
{
	jump(env);
	NEXT(__longjmp_chk)(env, val);
	__builtin_unreachable();
}

/* A handler's own context shows what the program believed. */
EXPORT int setcontext(const ucontext_t *uc)
{
	unsigned int faults;
	ucontext_t stripped;

	if (!shim_active())
		return NEXT(setcontext)(uc);
	stripped = *uc;
	faults = signal_strip(&stripped.uc_sigmask);
	signal_left_handlers();
	if (faults)
		signal_believe(SIG_SETMASK, faults);
	return NEXT(setcontext)(&stripped);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SIGSEGV and SIGBUS belong to two: a touch of a trapped or closed BAR page
 * is the shim's, every other one the program's. So neither may ever be blocked
 * for the host kernel, and the program's handlers are called by the shim's.
 *
 * What the program believes it set, masks and actions, is kept here and shown
 * back to it.
 */
#ifndef SOFTVFIO_SHIM_FAULT_SIGNAL_H
#define SOFTVFIO_SHIM_FAULT_SIGNAL_H

#include <signal.h>
#include <ucontext.h>

#include "shim/base/peek.h"
#include "shim/shim.h"

/* The two signals, as a set of two bits. */
enum {
	FAULT_SEGV = 1,
	FAULT_BUS = 2,
};

/** signal_fault() - FAULT_SEGV, FAULT_BUS, or 0 for any other signal */
unsigned int signal_fault(int sig);

/** signal_strip() - Take both signals out of a set; returns which were in it */
unsigned int signal_strip(sigset_t *set);

/** signal_show() - Put signals back into a set */
void signal_show(sigset_t *set, unsigned int faults);

/** signal_believed() - Which of them this thread believes it blocks */
unsigned int signal_believed(void);

/**
 * signal_believe() - The thread changed its mask
 * @how:    SIG_BLOCK, SIG_UNBLOCK or SIG_SETMASK
 * @faults: which of the two the set named
 */
void signal_believe(int how, unsigned int faults);

/** signal_left_handlers() - It jumped out of them, restoring a mask */
void signal_left_handlers(void);

/**
 * signal_action() - sigaction() as the program sees it
 *
 * Return: 0, or -1 with errno, as libc's.
 */
int signal_action(int sig, const struct sigaction *act, struct sigaction *old);

/** signal_mask_cleared() - libc set an action whose mask has neither */
void signal_mask_cleared(int sig);

/**
 * signal_forward() - The program's own fault: do what Linux would have done
 *
 * To be the last thing a handler does, on the stack the handler was entered
 * on: the program's handler may never return.
 */
void signal_forward(int sig, siginfo_t *info, ucontext_t *uc);

/**
 * trap_handler() - What shim_arm_faults() installs (trap.c)
 *
 * Entered with every signal blocked.
 */
void trap_handler(int sig, siginfo_t *info, void *context);

/** trap_init() - Before the first trap_handler() */
void trap_init(void);

#endif

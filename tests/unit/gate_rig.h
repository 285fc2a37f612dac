/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two functions in one slot, a mapping of a BAR of the first, and threads that
 * are sent on errands: what the tests of the gate share. Their names end with
 * the number of what they are about (docs/gate.md).
 */
#ifndef SOFTVFIO_TESTS_GATE_RIG_H
#define SOFTVFIO_TESTS_GATE_RIG_H

#include <errno.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/machine/machine.h"
#include "tests/unit/map_rig.h"

#define DEADLINE_NS 20000000000ull
#define BAR_LEN	    (64u * PAGE) /* of BAR 1 */

#define REGS  3 /* BAR whose accesses the model sees */
#define PORTS 4 /* I/O BAR */

extern atomic_uint resets;
extern atomic_uint asked; /* calls of the model that were no reset */
extern atomic_bool off;	  /* a write that turned decode off has returned */
extern atomic_uint late;  /* asked although it is off */

struct fixture {
	struct machine *m;
	struct sv_dev *dev[2]; /* in one slot, in groups of their own */
	struct type1 *type1;
	uint8_t *map;
	atomic_bool stop;
	atomic_uint wrong;
};

int set_up(void **state);
int tear_down(void **state);

/* A region's position, and a write of COMMAND. */
uint64_t region(unsigned int index);
void command(struct sv_dev *dev, uint16_t value);

/** struct errand - What another thread is asked to do, and what came of it */
struct errand {
	struct sv_dev *dev;
	struct fixture *f;
	pthread_t thread;
	atomic_bool done;
	int result;
};

void run_errand(struct errand *e, void *(*fn)(void *));

/** is_done() - It ends, and before long */
bool is_done(struct errand *e);

/** store() - As a program without a shim would; false: SIGBUS */
bool store(volatile uint64_t *at, uint64_t val);

/** catch_sigbus() - For store(); the action that was before */
struct sigaction catch_sigbus(void);

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

#endif

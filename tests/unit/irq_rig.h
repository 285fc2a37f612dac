/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts of a function, and a program with some eventfds: what the tests
 * of core/pci/irq*.c share. teardown() also shows that no descriptor and no watch
 * is left behind.
 */
#ifndef SOFTVFIO_TESTS_IRQ_RIG_H
#define SOFTVFIO_TESTS_IRQ_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/pci/irq.h"
#include "core/common/share.h"
#include "core/common/watch.h"

#define NONE	IRQ_SET_DATA_NONE
#define BOOL	IRQ_SET_DATA_BOOL
#define EVENTFD IRQ_SET_DATA_EVENTFD
#define MASK	IRQ_SET_ACTION_MASK
#define UNMASK	IRQ_SET_ACTION_UNMASK
#define TRIGGER IRQ_SET_ACTION_TRIGGER

#define MSI_VECTORS  8
#define MSIX_VECTORS 2048
#define N_EFDS	     8
#define PROGRAM	     4711 /* its pid */
#define DEADLINE     60	  /* seconds, for everything */

/* The function around the interrupts, and a program with some eventfds. */
struct fixture {
	struct irq *irq;
	int fds_before;
	int efd[N_EFDS];
	unsigned int msi;
	bool msix;
	bool status;
	bool device_masked;
	bool asleep; /* in D3hot */
	int watched; /* or -1 */
	int watch_error;
	struct watcher *watcher; /* a real one, or NULL */
	struct watch watch;
};

/* For cmocka: a function with all kinds; with REQ only; and the end of it */
int setup(void **state);
int setup_plain(void **state);
int teardown(void **state);

/** set() - SET_IRQS as the front end does it: check, then act; and that what
 * is refused says why */
int set(struct fixture *f, uint32_t index, uint32_t flags, uint32_t start,
	uint32_t count, const void *data);
/* The same for one vector, or for many with no data */
int set_fd(struct fixture *f, uint32_t index, uint32_t action, uint32_t start,
	   int fd);
int set_bool(struct fixture *f, uint32_t index, uint32_t action, uint32_t start,
	     uint8_t val);
int set_none(struct fixture *f, uint32_t index, uint32_t action, uint32_t start,
	     uint32_t count);
int turn_off(struct fixture *f, uint32_t index);

/** enable_intx() - With the program's first eventfd */
void enable_intx(struct fixture *f);
/** enable_msis() - These vectors, with the program's eventfds from the first */
void enable_msis(struct fixture *f, uint32_t index, uint32_t count);

/** got() - Signals that arrived at one of the program's eventfds since last
 * asked */
unsigned int got(struct fixture *f, int i);
void assert_stats(struct fixture *f, uint64_t raised, uint64_t untaken);

#define TEST(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, setup_plain, teardown)

#endif

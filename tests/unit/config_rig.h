/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A configuration space that writes down its events: what the tests of
 * core/pci/config*.c share.
 */
#ifndef SOFTVFIO_TESTS_CONFIG_RIG_H
#define SOFTVFIO_TESTS_CONFIG_RIG_H

#include <linux/pci_regs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/pci/config.h"

#define PM     0x40
#define MSI    0x50
#define MSIX   0x70
#define EXP    0x80
#define PMCSR  (PM + PCI_PM_CTRL)
#define DEVCTL (EXP + PCI_EXP_DEVCTL)
#define MSICTL (MSI + PCI_MSI_FLAGS)

enum what { MEMORY, POWER, RESET, INTX };

/* One event, and what the space looked like from inside it. */
struct event {
	enum what what;
	unsigned int arg;  /* enable, disable or from */
	unsigned int arg2; /* to */
	bool memory;
	uint16_t command; /* the hardware's */
	uint16_t pmcsr;
};

struct fixture {
	struct config *c;
	struct event event[16];
	unsigned int n_events;
	/* for the test with threads */
	bool racing;
	atomic_int inside; /* events under way */
	atomic_bool overlap;
	atomic_bool stop;
};

/** nvme_like - The shape setup() makes; a 64-bit BAR, I/O, a ROM, all kinds of
 * interrupts */
extern const struct sv_shape nvme_like;

/* For cmocka: an nvme_like, open; and the end of it */
int setup(void **state);
int teardown(void **state);
/** shape_is() - Start again with another shape */
void shape_is(struct fixture *f, const struct sv_shape *shape);

/* The hardware's view, and the program's */
uint32_t raw(struct fixture *f, unsigned int pos, unsigned int size);
void raw_set(struct fixture *f, unsigned int pos, unsigned int size,
	     uint32_t val);
uint32_t get(struct fixture *f, unsigned int pos, unsigned int size);
void set(struct fixture *f, unsigned int pos, unsigned int size, uint32_t val);

/** one_event() - The one event since the last look is this one; hands it out */
struct event one_event(struct fixture *f, enum what what);
void no_event(struct fixture *f);

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the gate's tests share: one device, touches that say which signal they
 * got, and a gate whose state all processes of a test can see. Tests are named
 * by the criterion they are about (docs/gate.md).
 *
 * The machine: MACHINE in test_gate.py.
 */
#ifndef SOFTVFIO_TESTS_CLIENT_VICTIM_GATE_H
#define SOFTVFIO_TESTS_CLIENT_VICTIM_GATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/client/victim.h"

#define MAIN	"0000:01:00.0" /* ram with 64 MiB, and a sibling */
#define SIBLING "0000:01:00.1" /* in the slot and group of MAIN */
#define AF	"0000:02:00.0" /* ram with FLR through AF, NoSoftRst */
#define EDU_A	"0000:03:00.0" /* with an I/O BAR */
#define EDU_B	"0000:04:00.0"
#define PCIE	"0000:05:00.0" /* nvme, with FLR through PCIe */
#define SIZE	(64ul << 20)   /* of MAIN's BAR 2 */

/* What is known of the gate. Only whoever changes it counts on. */
enum phase { OPEN, CLOSING, CLOSED, OPENING, PHASES };

/* What all processes of a test see. */
struct shared {
	pthread_barrier_t barrier;
	_Atomic unsigned int gate; /* changes so far; modulo PHASES a phase */
	atomic_bool stop;
	_Atomic unsigned long stores, faults;
};

extern struct shared *shared;
extern struct vfio vfio;

extern const struct victim_test gate_map_tests[], gate_vma_tests[],
	gate_way_tests[], gate_storm_tests[], gate_crowd_tests[],
	gate_holder_tests[], gate_peer_tests[];

/** start() - Open @bdf with memory on, catch faults, share what is shared */
void start(const char *bdf);

/** reopen() - Another device instead, with memory on */
void reopen(const char *bdf);

/** rounds_of() - The argument, a number of rounds */
unsigned long rounds_of(char **args);

/* COMMAND.MEMORY; with the phase known to all; the ways to reset. */
void memory(bool on);
void gate_close(void);
void gate_open(void);
void device_reset(void);
long hot_reset(void);	  /* 0 or -errno */
void feature(uint32_t n); /* set it */

/** fault - What the last touch of this thread got */
extern __thread siginfo_t fault;

/* The signal a touch got, 0 = none. */
int store(volatile void *at, uint64_t val);
int load(const volatile void *at, uint64_t *ret_val);

/* The same, and the signal agrees with what is known of the gate. */
int store_in_phase(volatile void *at, uint64_t val);
int load_in_phase(const volatile void *at, uint64_t *ret_val);

/* Closed: this byte, this reason. Open: it keeps @val. Holds @val already. */
void check_closed(void *at);
void check_open(void *at, uint64_t val);
void check_holds(const void *at, uint64_t val);

pid_t fork_into(void (*fn)(void *), void *arg);

/** let_them_run() - On one core nobody else would */
void let_them_run(unsigned long i);

/** map_at() - mmap() of the device; @at 0 = anywhere */
void *map_at(uintptr_t at, size_t len, int prot, int flags, off_t pos);

/* Reserved addresses, and a mapping that moves there. */
void *room_for(size_t len);
void move_to(void *from, size_t len, void *to);

/** smaps_line() - What /proc says of the mapping that begins at @at */
#define SMAPS_LINE 512
void smaps_line(const void *at, const char *key, char line[SMAPS_LINE]);

/** mapped_kb() - How much of the mapping that begins at @at is mapped in */
long mapped_kb(const void *at);

#endif

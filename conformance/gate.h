/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What closes a function's memory gate and opens it again; a register that
 * tells whether an access got through; and two processes that take turns.
 */
#ifndef SOFTVFIO_CONFORMANCE_GATE_H
#define SOFTVFIO_CONFORMANCE_GATE_H

#include "conformance/device.h"

/** struct way - To make a function's memory inaccessible, and accessible */
struct way {
	const char *name;
	bool power; /* takes a function with power management */
	void (*close)(const struct vfio *v);
	void (*open)(const struct vfio *v);
};
#define WAYS 10
extern const struct way ways_all[WAYS];

/** way_suits() - Whether functions of the role have what @way takes */
bool way_suits(const struct way *way, const struct role *role);

/* A register of a role that keeps what is written, and nothing else. */
#define KEPT 0x00050005u

/** kept_at() - Where it is */
uint64_t kept_at(const struct role *role);
/** kept_map() - By a mapping of its own; a failure ends the case */
volatile uint32_t *kept_map(int device, const struct role *role);
/** say_kept() - key=kept, zero or another word for what it holds */
void say_kept(const char *key, const struct role *role, uint32_t val);

/* Turns: the parent has end 0, its child end 1. */

void turns_new(int ends[2]);
void turn_pass(int end);
void turn_take(int end);

/** gate_quiet() - After a case: awake, gate open, nothing mapped for DMA */
void gate_quiet(struct vfio *v);

/**
 * user_start() - A thread that loads from @m all the time
 * user_end() - Stop it; how many times it was told SIGBUS or SIGSEGV
 */
void user_start(volatile uint8_t *m);
unsigned int user_end(void);

/* gate_passes.c, gate_signals.c: parts of area_gate() */
void gate_passes(void);
void gate_signals(void);

#endif

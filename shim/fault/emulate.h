/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Carrying out one decoded instruction on interrupted code: memory is reached
 * through callbacks, registers and flags are the ucontext's.
 */
#ifndef SOFTVFIO_SHIM_FAULT_EMULATE_H
#define SOFTVFIO_SHIM_FAULT_EMULATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/ucontext.h>

#include "shim/fault/decode.h"

/**
 * struct emu_bus - Memory as the instruction sees it
 * @load:  @size is 1, 2, 4 or 8; the value is zero-extended. 0 or -errno
 * @store: 0 or -errno
 */
struct emu_bus {
	int (*load)(void *arg, uint64_t addr, unsigned int size,
		    uint64_t *ret_value);
	int (*store)(void *arg, uint64_t addr, unsigned int size,
		     uint64_t value);
	void *arg;
};

/** emu_writes() - Does it write at insn->addr */
bool emu_writes(const struct insn *insn);

/**
 * emulate() - Do what the CPU would have done
 *
 * A repeated string instruction advances by one element; it traps again for
 * the next, so signals get their turn as between the iterations of a CPU.
 *
 * Return: 0 and the instruction pointer is where it belongs; -EINVAL not
 * possible with these registers; what a callback said. On failure no register
 * has changed.
 */
int emulate(const struct insn *insn, mcontext_t *mc, const struct emu_bus *bus);

#endif

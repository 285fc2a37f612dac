/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Vector registers of interrupted code, as the kernel left them in the signal
 * frame: 16 bytes of each in the FXSAVE area, the rest in components of the
 * XSAVE area behind it (Intel SDM 1, 13.4), where there is one.
 */
#ifndef SOFTVFIO_SHIM_FAULT_XSTATE_H
#define SOFTVFIO_SHIM_FAULT_XSTATE_H

#include <stdint.h>
#include <sys/ucontext.h>

#define XSTATE_REGS  32 /* zmm0 to zmm31 */
#define XSTATE_LANES 8	/* of 8 bytes, in a register */

/** xstate_init() - Ask the CPU where the components are; before all else */
void xstate_init(void);

/** xstate_get() - 8 bytes of a register; 0 where the frame has none */
uint64_t xstate_get(const struct _libc_fpstate *fp, unsigned int reg,
		    unsigned int lane);

/**
 * xstate_set() - Change 8 bytes of a register
 *
 * Return: 0; -EINVAL the frame has no room for them.
 */
int xstate_set(struct _libc_fpstate *fp, unsigned int reg, unsigned int lane,
	       uint64_t value);

#endif

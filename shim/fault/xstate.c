/* SPDX-License-Identifier: BSD-3-Clause */
/* Vector registers in a signal frame: xstate.h. */
#include <asm/sigcontext.h>
#undef sigcontext
#include <cpuid.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "shim/fault/xstate.h"

#define LANE	      8
#define XMM_LANES     2
#define YMM_LANES     4
#define SW_BYTES_OFF  464 /* of the FXSAVE area: left to software */
#define XSTATE_BV_OFF 512
#define CPUID_XSTATE  0xd

enum component {
	COMP_YMM_HI = 2, /* upper halves of ymm0-15 */
	COMP_ZMM_HI = 6, /* upper halves of zmm0-15 */
	COMP_HI16 = 7,	 /* zmm16-31 */
	COMP_END,
};

struct place {
	uint32_t size;
	uint32_t off;
};

/* Written once, before the first handler is installed. */
static struct place places[COMP_END];

void xstate_init(void)
{
	static const uint8_t wanted[] = {COMP_YMM_HI, COMP_ZMM_HI, COMP_HI16};
	unsigned int b, c, d, size, off;

	if (!__get_cpuid(1, &b, &c, &size, &d) || !(size & bit_OSXSAVE))
		return;
	for (size_t i = 0; i < sizeof(wanted); i++) {
		if (!__get_cpuid_count(CPUID_XSTATE, wanted[i], &size, &off, &c,
				       &d))
			return;
		places[wanted[i]] = (struct place){size, off};
	}
}

/* Which component holds a lane, and where in it. */
static enum component locate(unsigned int reg, unsigned int lane,
			     uint32_t *ret_off)
{
	if (reg >= 16) {
		*ret_off = ((reg - 16) * XSTATE_LANES + lane) * LANE;
		return COMP_HI16;
	}
	if (lane < YMM_LANES) {
		*ret_off = (reg * 2 + lane - XMM_LANES) * LANE;
		return COMP_YMM_HI;
	}
	*ret_off = (reg * 4 + lane - YMM_LANES) * LANE;
	return COMP_ZMM_HI;
}

/* The frame's place for a lane, or NULL when it has none. */
static uint8_t *in_xsave(const struct _libc_fpstate *fp, unsigned int reg,
			 unsigned int lane, enum component *ret_comp)
{
	uint8_t *base = (uint8_t *)fp;
	struct _fpx_sw_bytes sw;
	uint32_t off;
	enum component comp = locate(reg, lane, &off);
	const struct place *p = &places[comp];

	memcpy(&sw, base + SW_BYTES_OFF, sizeof(sw));
	if (sw.magic1 != FP_XSTATE_MAGIC1 || !(sw.xfeatures & 1u << comp) ||
	    !p->size || p->off + p->size > sw.xstate_size)
		return NULL;
	*ret_comp = comp;
	return base + p->off + off;
}

static bool legacy(unsigned int reg, unsigned int lane)
{
	return reg < 16 && lane < XMM_LANES;
}

uint64_t xstate_get(const struct _libc_fpstate *fp, unsigned int reg,
		    unsigned int lane)
{
	const uint8_t *from =
		(const uint8_t *)&fp->_xmm[reg & 15] + lane * LANE;
	uint64_t value, bv;

	if (!legacy(reg, lane)) {
		enum component comp;

		from = in_xsave(fp, reg, lane, &comp);
		if (!from)
			return 0;
		memcpy(&bv, (const uint8_t *)fp + XSTATE_BV_OFF, sizeof(bv));
		if (!(bv & 1u << comp))
			return 0; /* in its initial state: not stored */
	}
	memcpy(&value, from, sizeof(value));
	return value;
}

/* A component in its initial state becomes a stored one. */
static void materialise(struct _libc_fpstate *fp, enum component comp)
{
	uint8_t *base = (uint8_t *)fp;
	uint64_t bv;

	memcpy(&bv, base + XSTATE_BV_OFF, sizeof(bv));
	if (bv & 1u << comp)
		return;
	memset(base + places[comp].off, 0, places[comp].size);
	bv |= 1u << comp;
	memcpy(base + XSTATE_BV_OFF, &bv, sizeof(bv));
}

int xstate_set(struct _libc_fpstate *fp, unsigned int reg, unsigned int lane,
	       uint64_t value)
{
	uint8_t *to = (uint8_t *)&fp->_xmm[reg & 15] + lane * LANE;

	if (!legacy(reg, lane)) {
		enum component comp;

		to = in_xsave(fp, reg, lane, &comp);
		if (!to)
			return value ? -EINVAL : 0;
		if (!value && !xstate_get(fp, reg, lane))
			return 0;
		materialise(fp, comp);
	}
	memcpy(to, &value, sizeof(value));
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Carrying out one instruction: emulate.h. Order matters for a device: a
 * read-modify-write is one read, then one write, also with a lock prefix, which
 * a PCI bus doesn't know; wide registers move in pieces of 8 bytes, ascending,
 * and what is not aligned in smaller ones (trap.c). Registers change last, when
 * nothing can fail.
 */
#include <errno.h>

#include "shim/fault/emulate.h"
#include "shim/fault/xstate.h"

#define FLAG_CF	    0x001u
#define FLAG_PF	    0x004u
#define FLAG_AF	    0x010u
#define FLAG_ZF	    0x040u
#define FLAG_SF	    0x080u
#define FLAG_DF	    0x400u
#define FLAG_OF	    0x800u
#define FLAGS_ARITH (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

#define LANE 8

static uint64_t cut(uint64_t value, unsigned int size)
{
	return size >= 8 ? value : value & ((UINT64_C(1) << 8 * size) - 1);
}

static uint64_t sign_extend(uint64_t value, unsigned int size)
{
	unsigned int shift = 64 - 8 * size;

	return (uint64_t)((int64_t)(value << shift) >> shift);
}

static bool top_bit(uint64_t value, unsigned int size)
{
	return value >> (8 * size - 1) & 1;
}

static uint64_t get_reg(const mcontext_t *mc, unsigned int reg, bool high,
			unsigned int size)
{
	uint64_t value = (uint64_t)mc->gregs[insn_greg(reg)];

	return high ? value >> 8 & 0xff : cut(value, size);
}

/* Writing 4 bytes clears the upper ones, writing 1 or 2 keeps them. */
static void set_reg(mcontext_t *mc, unsigned int reg, bool high,
		    unsigned int size, uint64_t value)
{
	greg_t *slot = &mc->gregs[insn_greg(reg)];
	uint64_t old = (uint64_t)*slot;

	if (high)
		value = (old & ~UINT64_C(0xff00)) | (value & 0xff) << 8;
	else if (size < 4)
		value = (old & ~cut(UINT64_MAX, size)) | cut(value, size);
	*slot = (greg_t)(size == 4 ? cut(value, 4) : value);
}

/* The operand that is not memory. */
static uint64_t other(const struct insn *insn, const mcontext_t *mc)
{
	if (insn->has_imm)
		return cut(insn->imm, insn->size);
	return get_reg(mc, insn->reg, insn->high, insn->size);
}

/* ------------------------------------------------------------------ */
/* Arithmetic and its flags                                           */

static unsigned int result_flags(uint64_t r, unsigned int size)
{
	return (r ? 0 : FLAG_ZF) | (top_bit(r, size) ? FLAG_SF : 0) |
	       (__builtin_parity(r & 0xff) ? 0 : FLAG_PF);
}

static uint64_t add(uint64_t a, uint64_t b, unsigned int carry,
		    unsigned int size, unsigned int *ret_flags)
{
	uint64_t r = cut(a + b + carry, size);
	unsigned int f = result_flags(r, size);

	f |= (r < a || (carry && r == a)) ? FLAG_CF : 0;
	f |= (unsigned int)(a ^ b ^ r) & FLAG_AF;
	f |= top_bit((a ^ r) & (b ^ r), size) ? FLAG_OF : 0;
	*ret_flags = f;
	return r;
}

static uint64_t sub(uint64_t a, uint64_t b, unsigned int borrow,
		    unsigned int size, unsigned int *ret_flags)
{
	uint64_t r = cut(a - b - borrow, size);
	unsigned int f = result_flags(r, size);

	f |= (a < b || (borrow && a == b)) ? FLAG_CF : 0;
	f |= (unsigned int)(a ^ b ^ r) & FLAG_AF;
	f |= top_bit((a ^ b) & (a ^ r), size) ? FLAG_OF : 0;
	*ret_flags = f;
	return r;
}

static uint64_t flip_bit(const struct insn *insn, uint64_t a,
			 unsigned int *flags)
{
	uint64_t bit = UINT64_C(1) << insn->bit;

	*flags = (*flags & ~FLAG_CF) | (a & bit ? FLAG_CF : 0);
	switch (insn->op) {
	case INSN_BTS:
		return a | bit;
	case INSN_BTR:
		return a & ~bit;
	case INSN_BTC:
		return a ^ bit;
	default:
		return a;
	}
}

static uint64_t logic(enum insn_op op, uint64_t a, uint64_t b,
		      unsigned int size, unsigned int *ret_flags)
{
	uint64_t r = op == INSN_OR ? a | b : op == INSN_XOR ? a ^ b : a & b;

	*ret_flags = result_flags(r, size);
	return r;
}

/*
 * What @op makes of @a, its left operand. @flags holds the arithmetic flags
 * before and after.
 */
static uint64_t compute(const struct insn *insn, uint64_t a, uint64_t b,
			unsigned int *flags)
{
	unsigned int size = insn->size, carry = *flags & FLAG_CF;
	uint64_t r;

	switch (insn->op) {
	case INSN_ADD:
	case INSN_XADD:
		return add(a, b, 0, size, flags);
	case INSN_ADC:
		return add(a, b, carry, size, flags);
	case INSN_SUB:
	case INSN_CMP:
		return sub(a, b, 0, size, flags);
	case INSN_SBB:
		return sub(a, b, carry, size, flags);
	case INSN_NEG:
		return sub(0, a, 0, size, flags);
	case INSN_INC:
	case INSN_DEC:
		r = insn->op == INSN_INC ? add(a, 1, 0, size, flags)
					 : sub(a, 1, 0, size, flags);
		*flags = (*flags & ~FLAG_CF) | carry;
		return r;
	case INSN_AND:
	case INSN_OR:
	case INSN_XOR:
	case INSN_TEST:
		return logic(insn->op, a, b, size, flags);
	case INSN_NOT:
		return cut(~a, size);
	default: /* INSN_BT ... INSN_BTC */
		return flip_bit(insn, a, flags);
	}
}

static void set_flags(mcontext_t *mc, unsigned int flags)
{
	mc->gregs[REG_EFL] =
		(mc->gregs[REG_EFL] & ~(greg_t)FLAGS_ARITH) | flags;
}

static unsigned int get_flags(const mcontext_t *mc)
{
	return (unsigned int)mc->gregs[REG_EFL] & FLAGS_ARITH;
}

/* Condition codes come in pairs, the odd one being the negation. */
static bool condition(const mcontext_t *mc, unsigned int cond)
{
	unsigned int f = get_flags(mc);
	bool less = !(f & FLAG_SF) != !(f & FLAG_OF);
	const bool met[] = {
		f & FLAG_OF, f & FLAG_CF, f & FLAG_ZF, f & (FLAG_CF | FLAG_ZF),
		f & FLAG_SF, f & FLAG_PF, less,	       less || f & FLAG_ZF,
	};

	return met[cond >> 1] != (cond & 1);
}

/* ------------------------------------------------------------------ */
/* By kind of instruction                                             */

static uint64_t swapped(uint64_t value, unsigned int size)
{
	return __builtin_bswap64(value) >> (64 - 8 * size);
}

static int do_mov(const struct insn *insn, mcontext_t *mc,
		  const struct emu_bus *bus)
{
	uint64_t value;

	if (insn->to_mem) {
		value = other(insn, mc);
		if (insn->swap)
			value = swapped(value, insn->size);
		return bus->store(bus->arg, insn->addr, insn->size, value);
	}

	int r = bus->load(bus->arg, insn->addr, insn->size, &value);
	if (r < 0)
		return r;
	if (insn->swap)
		value = swapped(value, insn->size);
	if (insn->sign)
		value = cut(sign_extend(value, insn->size), insn->reg_size);
	set_reg(mc, insn->reg, insn->high, insn->reg_size, value);
	return 0;
}

/* The load happens whether the condition is met or not. */
static int do_cmov(const struct insn *insn, mcontext_t *mc,
		   const struct emu_bus *bus)
{
	uint64_t value;
	int r = bus->load(bus->arg, insn->addr, insn->size, &value);

	if (r < 0)
		return r;
	if (!condition(mc, insn->cond))
		value = get_reg(mc, insn->reg, false, insn->reg_size);
	set_reg(mc, insn->reg, false, insn->reg_size, value);
	return 0;
}

static int do_alu(const struct insn *insn, mcontext_t *mc,
		  const struct emu_bus *bus)
{
	unsigned int flags = get_flags(mc);
	bool binary = insn->has_imm || insn->has_reg;
	uint64_t mem, a, b = binary ? other(insn, mc) : 0;
	int r = bus->load(bus->arg, insn->addr, insn->size, &mem);

	if (r < 0)
		return r;
	a = mem;
	if (!insn->to_mem) {
		a = b;
		b = mem;
	}

	uint64_t result = compute(insn, a, b, &flags);

	if (emu_writes(insn))
		r = bus->store(bus->arg, insn->addr, insn->size, result);
	if (r < 0)
		return r;
	if (!insn->to_mem && insn->op != INSN_CMP && insn->op != INSN_TEST)
		set_reg(mc, insn->reg, insn->high, insn->reg_size, result);
	set_flags(mc, flags);
	return 0;
}

static int do_exchange(const struct insn *insn, mcontext_t *mc,
		       const struct emu_bus *bus)
{
	unsigned int flags = get_flags(mc);
	uint64_t old, new = other(insn, mc);
	int r = bus->load(bus->arg, insn->addr, insn->size, &old);

	if (r < 0)
		return r;
	if (insn->op == INSN_XADD)
		new = compute(insn, old, new, &flags);
	r = bus->store(bus->arg, insn->addr, insn->size, new);
	if (r < 0)
		return r;
	set_reg(mc, insn->reg, insn->high, insn->size, old);
	set_flags(mc, flags);
	return 0;
}

/* It writes in any case: what was there when the comparison fails. */
static int do_cmpxchg(const struct insn *insn, mcontext_t *mc,
		      const struct emu_bus *bus)
{
	const struct insn compare = {.op = INSN_CMP, .size = insn->size};
	unsigned int flags = get_flags(mc);
	uint64_t acc = get_reg(mc, 0, false, insn->size), old;
	int r = bus->load(bus->arg, insn->addr, insn->size, &old);

	if (r < 0)
		return r;
	compute(&compare, acc, old, &flags);
	r = bus->store(bus->arg, insn->addr, insn->size,
		       acc == old ? other(insn, mc) : old);
	if (r < 0)
		return r;
	if (acc != old)
		set_reg(mc, 0, false, insn->size, old);
	set_flags(mc, flags);
	return 0;
}

static void advance(const struct insn *insn, mcontext_t *mc, int reg)
{
	uint64_t step = insn->size, value = (uint64_t)mc->gregs[reg];

	value += mc->gregs[REG_EFL] & FLAG_DF ? -step : step;
	mc->gregs[reg] = (greg_t)(insn->addr32 ? (uint32_t)value : value);
}

/* Counts one element down. Returns whether the instruction is done. */
static bool count_down(const struct insn *insn, mcontext_t *mc)
{
	uint64_t left = (uint64_t)mc->gregs[REG_RCX] - 1;

	if (!insn->rep)
		return true;
	if (insn->addr32)
		left = (uint32_t)left;
	mc->gregs[REG_RCX] = (greg_t)left;
	return left == 0;
}

static int do_string(const struct insn *insn, mcontext_t *mc,
		     const struct emu_bus *bus)
{
	uint64_t value = get_reg(mc, 0, false, insn->size);
	int r = 0;

	if (insn->op == INSN_MOVS)
		r = bus->load(bus->arg, insn->addr2, insn->size, &value);
	if (insn->op == INSN_LODS)
		r = bus->load(bus->arg, insn->addr, insn->size, &value);
	else if (r == 0)
		r = bus->store(bus->arg, insn->addr, insn->size, value);
	if (r < 0)
		return r;

	if (insn->op == INSN_LODS)
		set_reg(mc, 0, false, insn->size, value);
	if (insn->op != INSN_STOS)
		advance(insn, mc, REG_RSI);
	if (insn->op != INSN_LODS)
		advance(insn, mc, REG_RDI);
	if (!count_down(insn, mc))
		mc->gregs[REG_RIP] -= insn->len; /* once more */
	return 0;
}

static unsigned int piece(const struct insn *insn)
{
	return insn->size < LANE ? insn->size : LANE;
}

static int vec_store(const struct insn *insn, mcontext_t *mc,
		     const struct emu_bus *bus)
{
	unsigned int first = insn->op == INSN_VEC_HIGH;
	int r = 0;

	for (unsigned int at = 0; at < insn->size && r == 0; at += LANE) {
		uint64_t v =
			xstate_get(mc->fpregs, insn->reg, first + at / LANE);

		r = bus->store(bus->arg, insn->addr + at, piece(insn),
			       cut(v, piece(insn)));
	}
	return r;
}

/* All of the register as it will be, 64 bytes. */
static void vec_result(const struct insn *insn, const mcontext_t *mc,
		       const uint64_t *loaded, uint64_t *ret_lanes)
{
	unsigned int keep = insn->vex ? XSTATE_LANES : 2;

	for (unsigned int i = 0; i < XSTATE_LANES; i++)
		ret_lanes[i] = i < keep ? loaded[i]
					: xstate_get(mc->fpregs, insn->reg, i);
	if (insn->op == INSN_VEC_LOW)
		ret_lanes[1] = xstate_get(mc->fpregs, insn->reg2, 1);
	if (insn->op == INSN_VEC_HIGH) {
		ret_lanes[1] = loaded[0];
		ret_lanes[0] = xstate_get(mc->fpregs, insn->reg2, 0);
	}
}

static int vec_load(const struct insn *insn, mcontext_t *mc,
		    const struct emu_bus *bus)
{
	uint64_t loaded[XSTATE_LANES] = {0}, lanes[XSTATE_LANES];
	int r = 0;

	for (unsigned int at = 0; at < insn->size && r == 0; at += LANE)
		r = bus->load(bus->arg, insn->addr + at, piece(insn),
			      &loaded[at / LANE]);
	if (r < 0)
		return r;
	vec_result(insn, mc, loaded, lanes);
	for (unsigned int i = 0; i < XSTATE_LANES && r == 0; i++)
		r = xstate_set(mc->fpregs, insn->reg, i, lanes[i]);
	return r;
}

static int do_vec(const struct insn *insn, mcontext_t *mc,
		  const struct emu_bus *bus)
{
	if (!mc->fpregs)
		return -EINVAL;
	return insn->to_mem ? vec_store(insn, mc, bus)
			    : vec_load(insn, mc, bus);
}

bool emu_writes(const struct insn *insn)
{
	switch (insn->op) {
	case INSN_CMP:
	case INSN_TEST:
	case INSN_BT:
	case INSN_NOTHING:
		return false;
	case INSN_XCHG:
	case INSN_XADD:
	case INSN_CMPXCHG:
		return true;
	default:
		return insn->to_mem;
	}
}

static int dispatch(const struct insn *insn, mcontext_t *mc,
		    const struct emu_bus *bus)
{
	switch (insn->op) {
	case INSN_NOTHING:
		return 0;
	case INSN_MOV:
		return do_mov(insn, mc, bus);
	case INSN_CMOV:
		return do_cmov(insn, mc, bus);
	case INSN_SETCC:
		return bus->store(bus->arg, insn->addr, 1,
				  condition(mc, insn->cond));
	case INSN_XCHG:
	case INSN_XADD:
		return do_exchange(insn, mc, bus);
	case INSN_CMPXCHG:
		return do_cmpxchg(insn, mc, bus);
	case INSN_MOVS:
	case INSN_STOS:
	case INSN_LODS:
		return do_string(insn, mc, bus);
	case INSN_VEC:
	case INSN_VEC_LOW:
	case INSN_VEC_HIGH:
		return do_vec(insn, mc, bus);
	default:
		return do_alu(insn, mc, bus);
	}
}

int emulate(const struct insn *insn, mcontext_t *mc, const struct emu_bus *bus)
{
	int r = dispatch(insn, mc, bus);

	if (r == 0)
		mc->gregs[REG_RIP] += insn->len;
	return r;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one instruction does to memory. Pages of a BAR whose every access the
 * device must see are mapped without permissions; the instruction that
 * trapped there is taken apart here and carried out by emulate.c.
 *
 * Pure: bytes and register values in, description out. Zydis appears in
 * decode.c only.
 */
#ifndef SOFTVFIO_SHIM_FAULT_DECODE_H
#define SOFTVFIO_SHIM_FAULT_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ucontext.h>

#define INSN_LEN_MAX 15 /* bytes, Intel SDM 2.3.11 */

enum insn_op {
	INSN_MOV, /* and movzx, movsx, movsxd, movnti, movbe */
	INSN_CMOV,
	INSN_SETCC,
	INSN_ADD,
	INSN_ADC,
	INSN_SUB,
	INSN_SBB,
	INSN_AND,
	INSN_OR,
	INSN_XOR,
	INSN_CMP,
	INSN_TEST,
	INSN_INC,
	INSN_DEC,
	INSN_NEG,
	INSN_NOT,
	INSN_BT,
	INSN_BTS,
	INSN_BTR,
	INSN_BTC,
	INSN_XCHG,
	INSN_XADD,
	INSN_CMPXCHG,
	INSN_MOVS,
	INSN_STOS,
	INSN_LODS,
	INSN_VEC,      /* a move of an SSE or AVX register, or part of it */
	INSN_VEC_LOW,  /* its lower 8 bytes, the others stay */
	INSN_VEC_HIGH, /* its bytes 8 to 15, the others stay */
	INSN_NOTHING,  /* cache control */
};

/**
 * struct insn - One instruction with a memory operand
 * @op:	      what it does
 * @len:      bytes of code
 * @size:     bytes of memory touched (strings: by one element)
 * @to_mem:   memory is the first operand: the destination of moves, the left
 *	      hand side of arithmetic
 * @rep:      a repeated string instruction
 * @sign:     sign-extend what is loaded
 * @swap:     reverse its bytes
 * @vex:      clears the register above what it loads
 * @has_imm:  the other operand is @imm
 * @has_reg:  the other operand is @reg
 * @high:     it is bits 15 to 8 of @reg
 * @reg:      0 to 15 in the order of encoding (rax rcx rdx rbx rsp ...), or
 *	      a vector register 0 to 31
 * @reg2:     INSN_VEC_LOW and INSN_VEC_HIGH: where the bytes come from that
 *	      are not loaded
 * @reg_size: bytes of a general register that are used
 * @addr32:   addresses are cut to 32 bits
 * @cond:     condition code as encoded, of INSN_CMOV and INSN_SETCC
 * @bit:      of INSN_BT...: which bit of the @size bytes
 * @imm:      sign-extended
 * @addr:     of the memory operand. MOVS: the destination
 * @addr2:    of MOVS: the source
 */
struct insn {
	enum insn_op op;
	uint8_t len;
	uint8_t size;
	bool to_mem;
	bool rep;
	bool sign;
	bool swap;
	bool vex;
	bool has_imm;
	bool has_reg;
	bool high;
	uint8_t reg;
	uint8_t reg2;
	uint8_t reg_size;
	bool addr32;
	uint8_t cond;
	uint8_t bit;
	uint64_t imm;
	uint64_t addr;
	uint64_t addr2;
};

/** insn_greg() - Where the general register encoded as @n is in a gregset_t */
unsigned int insn_greg(unsigned int n);

/**
 * insn_decode() - Take apart the instruction that trapped
 * @code:  its first bytes
 * @len:   how many there are, at most INSN_LEN_MAX matter
 * @gregs: registers before the instruction
 *
 * Context: anywhere; about 2 KiB of stack.
 * Return: 0; -EINVAL it is none of those described above, or does not touch
 * memory.
 */
int insn_decode(const uint8_t *code, size_t len, const greg_t *gregs,
		struct insn *ret_insn);

#endif

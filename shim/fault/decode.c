/* SPDX-License-Identifier: BSD-3-Clause */
/* From code bytes to struct insn: decode.h. */
#include <errno.h>

#include <Zydis/Zydis.h>

#include "shim/fault/decode.h"

#define BITS_PER_BYTE 8

/* What a mnemonic does; VEX and EVEX forms share the entry's kind. */
struct row {
	uint16_t mnemonic; /* ZydisMnemonic */
	uint8_t op;	   /* enum insn_op */
	uint8_t how;
};

enum {
	HOW_SIGN = 1,
	HOW_SWAP = 2,
};

#define ROW(name, what)                                                        \
	{                                                                      \
		ZYDIS_MNEMONIC_##name, INSN_##what, 0                          \
	}
#define ROW_H(name, what, how)                                                 \
	{                                                                      \
		ZYDIS_MNEMONIC_##name, INSN_##what, how                        \
	}
#define ROW_V(name, what) ROW(name, what), ROW(V##name, what)

static const struct row rows[] = {
	ROW(MOV, MOV),
	ROW(MOVZX, MOV),
	ROW_H(MOVSX, MOV, HOW_SIGN),
	ROW_H(MOVSXD, MOV, HOW_SIGN),
	ROW(MOVNTI, MOV),
	ROW_H(MOVBE, MOV, HOW_SWAP),
	ROW(ADD, ADD),
	ROW(ADC, ADC),
	ROW(SUB, SUB),
	ROW(SBB, SBB),
	ROW(AND, AND),
	ROW(OR, OR),
	ROW(XOR, XOR),
	ROW(CMP, CMP),
	ROW(TEST, TEST),
	ROW(INC, INC),
	ROW(DEC, DEC),
	ROW(NEG, NEG),
	ROW(NOT, NOT),
	ROW(BT, BT),
	ROW(BTS, BTS),
	ROW(BTR, BTR),
	ROW(BTC, BTC),
	ROW(XCHG, XCHG),
	ROW(XADD, XADD),
	ROW(CMPXCHG, CMPXCHG),
	ROW(MOVSB, MOVS),
	ROW(MOVSW, MOVS),
	ROW(MOVSQ, MOVS),
	ROW(STOSB, STOS),
	ROW(STOSW, STOS),
	ROW(STOSD, STOS),
	ROW(STOSQ, STOS),
	ROW(LODSB, LODS),
	ROW(LODSW, LODS),
	ROW(LODSD, LODS),
	ROW(LODSQ, LODS),
	ROW_V(MOVD, VEC),
	ROW_V(MOVQ, VEC),
	ROW_V(MOVSS, VEC),
	ROW_V(MOVSD, VEC), /* or the string instruction: see find_row() */
	ROW_V(MOVUPS, VEC),
	ROW_V(MOVUPD, VEC),
	ROW_V(MOVAPS, VEC),
	ROW_V(MOVAPD, VEC),
	ROW_V(MOVDQU, VEC),
	ROW_V(MOVDQA, VEC),
	ROW_V(LDDQU, VEC),
	ROW_V(MOVNTDQ, VEC),
	ROW_V(MOVNTDQA, VEC),
	ROW_V(MOVNTPS, VEC),
	ROW_V(MOVNTPD, VEC),
	ROW_V(MOVLPS, VEC_LOW),
	ROW_V(MOVLPD, VEC_LOW),
	ROW_V(MOVHPS, VEC_HIGH),
	ROW_V(MOVHPD, VEC_HIGH),
	ROW(VMOVDQU8, VEC),
	ROW(VMOVDQU16, VEC),
	ROW(VMOVDQU32, VEC),
	ROW(VMOVDQU64, VEC),
	ROW(VMOVDQA32, VEC),
	ROW(VMOVDQA64, VEC),
	ROW(CLFLUSH, NOTHING),
	ROW(CLFLUSHOPT, NOTHING),
	ROW(CLWB, NOTHING),
};

static const struct row movs_row = ROW(MOVSD, MOVS);
static const struct row cmov_row = {0, INSN_CMOV, 0};
static const struct row setcc_row = {0, INSN_SETCC, 0};

unsigned int insn_greg(unsigned int n)
{
	static const uint8_t order[] = {
		REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
		REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
		REG_R12, REG_R13, REG_R14, REG_R15,
	};

	return order[n & 15];
}

static const struct row *find_row(const ZydisDecodedInstruction *in)
{
	/* cmovcc is 0f 40 to 0f 4f, setcc 0f 90 to 0f 9f */
	if (in->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	    in->opcode_map == ZYDIS_OPCODE_MAP_0F) {
		if ((in->opcode & 0xf0) == 0x40)
			return &cmov_row;
		if ((in->opcode & 0xf0) == 0x90)
			return &setcc_row;
	}
	if (in->mnemonic == ZYDIS_MNEMONIC_MOVSD &&
	    in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT)
		return &movs_row;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].mnemonic == in->mnemonic)
			return &rows[i];
	return NULL;
}

/* A general register's number in the order of encoding, or -1. */
static int gpr_number(ZydisRegister reg)
{
	ZydisRegister full = ZydisRegisterGetLargestEnclosing(
		ZYDIS_MACHINE_MODE_LONG_64, reg);

	if (full < ZYDIS_REGISTER_RAX || full > ZYDIS_REGISTER_R15)
		return -1;
	return full - ZYDIS_REGISTER_RAX;
}

/* A vector register's number, or -1. */
static int vec_number(ZydisRegister reg)
{
	if (reg >= ZYDIS_REGISTER_XMM0 && reg <= ZYDIS_REGISTER_XMM31)
		return reg - ZYDIS_REGISTER_XMM0;
	if (reg >= ZYDIS_REGISTER_YMM0 && reg <= ZYDIS_REGISTER_YMM31)
		return reg - ZYDIS_REGISTER_YMM0;
	if (reg >= ZYDIS_REGISTER_ZMM0 && reg <= ZYDIS_REGISTER_ZMM31)
		return reg - ZYDIS_REGISTER_ZMM0;
	return -1;
}

static uint64_t reg_value(const greg_t *gregs, ZydisRegister reg)
{
	int n = gpr_number(reg);

	return n < 0 ? 0 : (uint64_t)gregs[insn_greg(n)];
}

static int mem_address(const ZydisDecodedInstruction *in,
		       const ZydisDecodedOperand *op, const greg_t *gregs,
		       uint64_t *ret_addr)
{
	uint64_t addr = (uint64_t)op->mem.disp.value;

	/* thread-local storage is no BAR, and its base not in @gregs */
	if (op->mem.segment == ZYDIS_REGISTER_FS ||
	    op->mem.segment == ZYDIS_REGISTER_GS)
		return -EINVAL;
	if (op->mem.type != ZYDIS_MEMOP_TYPE_MEM)
		return -EINVAL;
	if (op->mem.base == ZYDIS_REGISTER_RIP ||
	    op->mem.base == ZYDIS_REGISTER_EIP)
		addr += (uint64_t)gregs[REG_RIP] + in->length;
	else
		addr += reg_value(gregs, op->mem.base);
	addr += reg_value(gregs, op->mem.index) * op->mem.scale;
	if (in->address_width == 32)
		addr = (uint32_t)addr;
	*ret_addr = addr;
	return 0;
}

/* Everything but the memory operand. */
static int take_other(const ZydisDecodedOperand *op, struct insn *insn)
{
	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		insn->has_imm = true;
		insn->imm = op->imm.value.u;
		return 0;
	}
	if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return -EINVAL;
	if (op->reg.value == ZYDIS_REGISTER_K0)
		return 0; /* EVEX: no mask */

	ZydisRegister reg = op->reg.value;
	bool vec = insn->op == INSN_VEC || insn->op == INSN_VEC_LOW ||
		   insn->op == INSN_VEC_HIGH;
	int n = vec ? vec_number(reg) : gpr_number(reg);
	if (n < 0)
		return -EINVAL;
	if (insn->has_reg) {
		insn->reg2 = (uint8_t)n;
		return 0;
	}
	insn->has_reg = true;
	insn->reg = (uint8_t)n;
	insn->reg2 = (uint8_t)n;
	insn->reg_size = (uint8_t)(op->size / BITS_PER_BYTE);
	insn->high = reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH;
	return 0;
}

/* A bit number in a register may reach any word around the operand. */
static void place_bit(const greg_t *gregs, struct insn *insn)
{
	unsigned int bits = insn->size * BITS_PER_BYTE;

	if (insn->has_imm) {
		insn->bit = (uint8_t)(insn->imm & (bits - 1));
		return;
	}

	int64_t n = gregs[insn_greg(insn->reg)];
	if (insn->size == 2)
		n = (int16_t)n;
	else if (insn->size == 4)
		n = (int32_t)n;
	insn->bit = (uint8_t)(n & (bits - 1));
	insn->addr += (uint64_t)((n - insn->bit) / BITS_PER_BYTE);
	if (insn->addr32)
		insn->addr = (uint32_t)insn->addr;
}

static int take_operands(const ZydisDecodedInstruction *in,
			 const ZydisDecodedOperand *ops, const greg_t *gregs,
			 struct insn *insn)
{
	bool have_mem = false;
	int r = 0;

	for (unsigned int i = 0; i < in->operand_count_visible && r == 0; i++) {
		if (ops[i].type != ZYDIS_OPERAND_TYPE_MEMORY) {
			r = take_other(&ops[i], insn);
			continue;
		}
		have_mem = true;
		insn->to_mem = i == 0;
		insn->size = (uint8_t)(ops[i].size / BITS_PER_BYTE);
		r = mem_address(in, &ops[i], gregs, &insn->addr);
	}
	if (r == 0 && !have_mem)
		r = -EINVAL;
	return r;
}

/* Their operands are implied: (e)rdi, (e)rsi and the accumulator. */
static int take_string(const ZydisDecodedInstruction *in,
		       const ZydisDecodedOperand *ops, const greg_t *gregs,
		       struct insn *insn)
{
	uint64_t mask = insn->addr32 ? UINT32_MAX : UINT64_MAX;
	uint64_t rsi = (uint64_t)gregs[REG_RSI] & mask;
	uint64_t rdi = (uint64_t)gregs[REG_RDI] & mask;

	for (unsigned int i = 0; i < in->operand_count; i++) {
		if (ops[i].type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		if (ops[i].mem.segment == ZYDIS_REGISTER_FS ||
		    ops[i].mem.segment == ZYDIS_REGISTER_GS)
			return -EINVAL;
	}
	insn->rep =
		in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
				  ZYDIS_ATTRIB_HAS_REPNE);
	insn->size = (uint8_t)(ops[0].size / BITS_PER_BYTE);
	insn->to_mem = insn->op != INSN_LODS;
	insn->addr = insn->op == INSN_LODS ? rsi : rdi;
	insn->addr2 = rsi;
	return 0;
}

static bool masked(const ZydisDecodedInstruction *in)
{
	return in->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX &&
	       in->avx.mask.reg != ZYDIS_REGISTER_K0 &&
	       in->avx.mask.reg != ZYDIS_REGISTER_NONE;
}

static int describe(const ZydisDecodedInstruction *in,
		    const ZydisDecodedOperand *ops, const greg_t *gregs,
		    struct insn *insn)
{
	const struct row *row = find_row(in);

	if (!row || masked(in))
		return -EINVAL;
	*insn = (struct insn){
		.op = row->op,
		.len = in->length,
		.sign = row->how & HOW_SIGN,
		.swap = row->how & HOW_SWAP,
		.vex = in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY,
		.addr32 = in->address_width == 32,
		.cond = in->opcode & 0xf,
	};
	if (insn->op == INSN_MOVS || insn->op == INSN_STOS ||
	    insn->op == INSN_LODS)
		return take_string(in, ops, gregs, insn);

	int r = take_operands(in, ops, gregs, insn);
	if (r == 0 && insn->op >= INSN_BT && insn->op <= INSN_BTC)
		place_bit(gregs, insn);
	return r;
}

int insn_decode(const uint8_t *code, size_t len, const greg_t *gregs,
		struct insn *ret_insn)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction in;
	ZydisDecoder decoder;

	if (ZYAN_FAILED(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64,
					 ZYDIS_STACK_WIDTH_64)) ||
	    ZYAN_FAILED(ZydisDecoderDecodeFull(&decoder, code, len, &in, ops)))
		return -EINVAL;

	struct insn insn;
	int r = describe(&in, ops, gregs, &insn);
	if (r == 0)
		*ret_insn = insn;
	return r;
}

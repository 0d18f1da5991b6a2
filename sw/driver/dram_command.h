/* The commands of a DRAM channel that computes, as rtl/arch/dram.py has them. */
#ifndef CELOSIA_DRAM_COMMAND_H
#define CELOSIA_DRAM_COMMAND_H

#include <cstdint>

namespace dram {

enum Opcode : uint32_t { NOP, ACT, PRE, PREA, RD, WR, REF, MRS, ACTA, MACA, MAC, WRGB, WRMAC, RDMAC, AF, RDCP, WRCP, OPCODES };

/* What the command bus carries in a cycle. */
struct Command {
    uint32_t opcode, bank, row, column, buffer;
};

enum Operand : uint32_t { BANK_OPERAND = 1, ROW_OPERAND = 2, COLUMN_OPERAND = 4, BUFFER_OPERAND = 8 };
enum class Mode : uint32_t { ANY, MEMORY, REGISTERS };

/* operands: those that the command uses. mode: that it needs. computes: not while the number format is off. */
struct Kind {
    const char *name;
    uint32_t operands;
    Mode mode;
    bool computes;
};

constexpr Kind KINDS[OPCODES] = {
    {"NOP", 0, Mode::ANY, false},
    {"ACT", BANK_OPERAND | ROW_OPERAND, Mode::ANY, false},
    {"PRE", BANK_OPERAND, Mode::ANY, false},
    {"PREA", 0, Mode::ANY, false},
    {"RD", BANK_OPERAND | COLUMN_OPERAND, Mode::MEMORY, false},
    {"WR", BANK_OPERAND | COLUMN_OPERAND, Mode::MEMORY, false},
    {"REF", 0, Mode::ANY, false},
    {"MRS", ROW_OPERAND, Mode::ANY, false},
    {"ACTA", ROW_OPERAND, Mode::ANY, false},
    {"MACA", COLUMN_OPERAND | BUFFER_OPERAND, Mode::MEMORY, true},
    {"MAC", BANK_OPERAND | COLUMN_OPERAND | BUFFER_OPERAND, Mode::MEMORY, true},
    {"WRGB", BUFFER_OPERAND, Mode::REGISTERS, false},
    {"WRMAC", COLUMN_OPERAND, Mode::REGISTERS, false},
    {"RDMAC", COLUMN_OPERAND, Mode::REGISTERS, false},
    {"AF", 0, Mode::REGISTERS, true},
    {"RDCP", BANK_OPERAND | COLUMN_OPERAND | BUFFER_OPERAND, Mode::MEMORY, false},
    {"WRCP", BANK_OPERAND | COLUMN_OPERAND | BUFFER_OPERAND, Mode::MEMORY, false},
};

/* Else the command is for the whole channel. */
inline bool of_one_bank(uint32_t opcode) { return KINDS[opcode].operands & BANK_OPERAND; }

} /* namespace dram */

#endif

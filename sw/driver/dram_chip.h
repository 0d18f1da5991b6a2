/* One channel of a DRAM whose banks multiply and add: what rtl/arch/dram.py says its commands do, not how long they take.
 *
 * Effects are at once, but for writes and data on the bus; that each comes late enough is dram_checker.h's to see. A command that the channel's
 * state forbids is a violation and does nothing.
 */
#ifndef CELOSIA_DRAM_CHIP_H
#define CELOSIA_DRAM_CHIP_H

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "dram_command.h"
#include "dram_mac.h"

namespace dram {

/* Of rtl/arch/dram.py's Dram and its Timing, in this order. */
struct Geometry {
    uint32_t bank_groups, group_banks, rows, columns, column_bytes, buffer_columns, cl, cwl;
};

class Chip {
    using Column = std::array<uint8_t, MOST_COLUMN_BYTES>;
    enum Format : uint32_t { OFF, INT8, BF16, FORMATS };
    enum Function : uint32_t { NONE, RELU };

public:
    explicit Chip(const Geometry &geometry)
        : m(geometry)
        , m_banks(m.bank_groups * m.group_banks)
        , m_buffer(m.buffer_columns)
        , m_zero(row_bytes()) {}

    /* A clock cycle. write_bus: the column_bytes that the data bus carries to the chip in it; those of a WR, WRGB or WRMAC are taken
     * `cwl` cycles after it. mask: a bit for each byte of a WR that stays as it is. */
    void clock(const Command &command, const uint8_t *write_bus, uint64_t mask = 0) {
        if (read()) m_reads.pop_front();
        if (!m_writes.empty() && m_writes.front().due == m_now) {
            land(m_writes.front().command, write_bus, mask);
            m_writes.pop_front();
        }
        if (command.opcode < OPCODES) ++m_counts[command.opcode];
        if (const char *reason = refuse(command))
            violate(command, reason);
        else
            perform(command);
        ++m_now;
    }

    /* What the data bus carries from the chip in the cycle that the next clock() is about, nullptr if nothing: `cl` cycles after a RD or
     * RDMAC its data. */
    const uint8_t *read() const { return !m_reads.empty() && m_reads.front().due == m_now ? m_reads.front().data.data() : nullptr; }

    /* While muted, the chip takes commands but answers none. */
    void mute(bool on) { m_mute = on; }

    /* A row of a bank, directly: to read, or to write. Rows take memory from their first write on. */
    bool contains(uint32_t bank, uint32_t row) const { return bank < m_banks.size() && row < m.rows; }
    uint32_t row_bytes() const { return m.columns * m.column_bytes; }
    const uint8_t *row(uint32_t bank, uint32_t row) const {
        const auto &rows = m_banks[bank].rows;
        return row < rows.size() && rows[row] ? rows[row].get() : m_zero.data();
    }
    uint8_t *row_to_write(uint32_t bank, uint32_t row) {
        auto &rows = m_banks[bank].rows;
        if (row >= rows.size()) rows.resize(row + 1);
        if (!rows[row]) rows[row] = std::make_unique<uint8_t[]>(row_bytes());
        return rows[row].get();
    }

    uint64_t cycles() const { return m_now; }
    /* Cycles in which the command bus carried that command, refused ones among them. */
    uint64_t count(uint32_t opcode) const { return m_counts[opcode]; }
    uint64_t violations() const { return m_violations; }
    /* The first one, "" if there is none. */
    const std::string &violation() const { return m_violation; }

private:
    struct Bank {
        bool open = false;
        uint32_t row = 0, accumulator = 0;
        std::vector<std::unique_ptr<uint8_t[]>> rows; /* up to the highest written */
    };
    struct Read {
        uint64_t due;
        Column data;
    };
    struct Write {
        uint64_t due;
        Command command; /* with the row that was open */
    };

    /* Why the command is not allowed, nullptr if it is. */
    const char *refuse(const Command &c) const {
        if (c.opcode >= OPCODES) return "there is no such command";
        const Kind &kind = KINDS[c.opcode];
        if (const char *reason = beyond(c, kind.operands)) return reason;
        if (kind.mode == Mode::MEMORY && m_registers) return "the mode is that of the registers";
        if (kind.mode == Mode::REGISTERS && !m_registers) return "the mode is that of the memory";
        if (kind.computes && m_format == OFF) return "the number format is off";
        const auto is_open = [](const Bank &bank) { return bank.open; };
        switch (c.opcode) {
        case ACT: return m_banks[c.bank].open ? "the bank is open" : nullptr;
        case ACTA:
        case REF: return std::any_of(m_banks.begin(), m_banks.end(), is_open) ? "a bank is open" : nullptr;
        case MACA: return std::all_of(m_banks.begin(), m_banks.end(), is_open) ? nullptr : "a bank is closed";
        case MRS: return (c.row >> 1 & 3) < FORMATS && c.row < 16 ? nullptr : "there is no such mode";
        default: return kind.mode == Mode::MEMORY && !m_banks[c.bank].open ? "the bank is closed" : nullptr;
        }
    }

    const char *beyond(const Command &c, uint32_t operands) const {
        const bool registers = c.opcode == WRMAC || c.opcode == RDMAC;
        const uint32_t columns = registers ? uint32_t(m_banks.size()) / accumulators() : m.columns;
        if (operands & BANK_OPERAND && c.bank >= m_banks.size()) return "there is no such bank";
        if (operands & ROW_OPERAND && c.opcode != MRS && c.row >= m.rows) return "there is no such row";
        if (operands & COLUMN_OPERAND && c.column >= columns) return "there is no such column";
        if (operands & BUFFER_OPERAND && c.buffer >= m.buffer_columns) return "there is no such column of the global buffer";
        return nullptr;
    }

    void perform(const Command &c) {
        switch (c.opcode) {
        case ACT: open(m_banks[c.bank], c.row); break;
        case ACTA: for (Bank &bank : m_banks) open(bank, c.row); break;
        case PRE: m_banks[c.bank].open = false; break;
        case PREA: for (Bank &bank : m_banks) bank.open = false; break;
        case MRS: set_mode(c.row); break;
        case RD: answer(column(c)); break;
        case RDMAC: read_accumulators(c.column); break;
        case WR:
        case WRCP: m_writes.push_back({m_now + m.cwl, {c.opcode, c.bank, m_banks[c.bank].row, c.column, c.buffer}}); break;
        case WRGB:
        case WRMAC: m_writes.push_back({m_now + m.cwl, c}); break;
        case MAC: multiply(c); break;
        case MACA: for (uint32_t bank = 0; bank < m_banks.size(); ++bank) multiply({MAC, bank, 0, c.column, c.buffer}); break;
        case AF: for (Bank &bank : m_banks) bank.accumulator = function(bank.accumulator); break;
        case RDCP: memcpy(m_buffer[c.buffer].data(), column(c), m.column_bytes); break;
        default: break;
        }
    }

    /* Write data is on the bus. */
    void land(const Command &c, const uint8_t *data, uint64_t mask) {
        if (c.opcode == WR) write(c.bank, c.row, c.column, data, mask);
        if (c.opcode == WRCP) write(c.bank, c.row, c.column, m_buffer[c.buffer].data(), 0);
        if (c.opcode == WRGB) memcpy(m_buffer[c.buffer].data(), data, m.column_bytes);
        if (c.opcode == WRMAC)
            for (uint32_t i = 0; i < accumulators(); ++i) memcpy(&m_banks[c.column * accumulators() + i].accumulator, data + 4 * i, 4);
    }

    void open(Bank &bank, uint32_t row) {
        bank.open = true;
        bank.row = row;
    }
    void set_mode(uint32_t mode) {
        m_registers = mode & 1;
        m_format = Format(mode >> 1 & 3);
        m_function = Function(mode >> 3 & 1);
    }
    void multiply(const Command &c) {
        uint32_t &accumulator = m_banks[c.bank].accumulator;
        accumulator = (m_format == INT8 ? mac_int8 : mac_bf16)(accumulator, column(c), m_buffer[c.buffer].data(), m.column_bytes);
    }
    uint32_t function(uint32_t accumulator) const {
        if (m_function == NONE) return accumulator;
        return m_format == INT8 ? relu_int32(accumulator) : relu_fp32(accumulator);
    }
    void read_accumulators(uint32_t burst) {
        Column data;
        for (uint32_t i = 0; i < accumulators(); ++i) memcpy(&data[4 * i], &m_banks[burst * accumulators() + i].accumulator, 4);
        answer(data.data());
    }
    void answer(const uint8_t *data) {
        if (m_mute) return;
        m_reads.push_back({m_now + m.cl, {}});
        memcpy(m_reads.back().data.data(), data, m.column_bytes);
    }

    uint32_t accumulators() const { return m.column_bytes / 4; } /* in a burst */
    const uint8_t *column(const Command &c) const { return row(c.bank, m_banks[c.bank].row) + c.column * m.column_bytes; }
    void write(uint32_t bank, uint32_t to, uint32_t column, const uint8_t *data, uint64_t mask) {
        uint8_t *bytes = row_to_write(bank, to) + column * m.column_bytes;
        for (uint32_t i = 0; i < m.column_bytes; ++i)
            if (!(mask >> i & 1)) bytes[i] = data[i];
    }

    void violate(const Command &c, const char *reason) {
        if (m_violations++) return;
        const uint32_t operands = c.opcode < OPCODES ? KINDS[c.opcode].operands : 0;
        m_violation = "cycle " + std::to_string(m_now) + ": ";
        m_violation += c.opcode < OPCODES ? KINDS[c.opcode].name : "command " + std::to_string(c.opcode);
        if (operands & BANK_OPERAND) m_violation += " bank " + std::to_string(c.bank);
        if (operands & ROW_OPERAND) m_violation += " row " + std::to_string(c.row);
        if (operands & COLUMN_OPERAND) m_violation += " column " + std::to_string(c.column);
        if (operands & BUFFER_OPERAND) m_violation += " buffer " + std::to_string(c.buffer);
        m_violation += std::string(": ") + reason;
    }

    const Geometry m;
    std::vector<Bank> m_banks;
    std::vector<Column> m_buffer;
    const std::vector<uint8_t> m_zero; /* a row that was never written */
    bool m_registers = false, m_mute = false;
    Format m_format = OFF;
    Function m_function = NONE;
    uint64_t m_now = 0;
    std::deque<Read> m_reads;
    std::deque<Write> m_writes;
    std::array<uint64_t, OPCODES> m_counts{};
    uint64_t m_violations = 0;
    std::string m_violation;
};

} /* namespace dram */

#endif

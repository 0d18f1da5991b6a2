/* An SDRAM chip of single data rate as rtl/arch/sdram.py has it, and a referee of what is on its pins: of its state here, of the times
 * between commands and of refreshes by dram_checker.h. A command that the state forbids is a violation and does nothing. */
#ifndef CELOSIA_SDRAM_CHIP_H
#define CELOSIA_SDRAM_CHIP_H

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "dram_checker.h"

namespace sdram {

/* At a rising edge of the clock. dq: the data bus where oe, that is, where the controller drives it. */
struct Pins {
    uint32_t cke, cs_n, ras_n, cas_n, we_n, ba, a, dqm, dq, oe;
};

/* Of rtl/arch/sdram.py's Sdram; power_up and refresh_interval in cycles. mode: the only value of the mode register that is known here. */
struct Geometry {
    uint32_t banks, rows, columns, data_bytes, cas_latency, mode, initial_refreshes, power_up, refresh_interval;
};

class Chip {
    static constexpr uint32_t PRECHARGE_ALL = 1 << 10, DQM_LATENCY = 2, HISTORY = 4; /* HISTORY: of cycles, a power of two */

public:
    /* The rules' names must last as long as the chip. */
    Chip(const Geometry &geometry, const std::vector<dram::Rule> &rules)
        : m(geometry)
        , m_rules(1, m.banks, rules, 0, 0)
        , m_banks(m.banks)
        , m_data(static_cast<uint8_t *>(calloc(size(), 1)), free) {}

    /* A clock cycle. */
    void clock(const Pins &pins) {
        const bool drives = read_mask() != 0;
        if (pins.oe && (drives || m_drove)) violate("the data bus", "both sides drive it, or one without a cycle after the other");
        const uint32_t opcode = pins.cke && !pins.cs_n ? decode(pins) : uint32_t(dram::NOP);
        if (opcode != dram::NOP) command(opcode, pins);
        m_rules.check(m_now, opcode, pins.ba);
        if (m_refreshes) m_refreshes->check(m_now - m_started, opcode, pins.ba);
        m_drove = drives;
        m_reads[m_now % HISTORY].valid = false;
        m_dqm[m_now % HISTORY] = pins.dqm;
        ++m_now;
    }

    /* What the data bus carries from the chip in the cycle that the next clock() is about, and which of its bytes the chip drives. */
    uint32_t read() const { return m_reads[m_now % HISTORY].data; }
    uint32_t read_mask() const {
        const uint32_t all = (1u << m.data_bytes) - 1;
        return m_reads[m_now % HISTORY].valid ? all & ~m_dqm[(m_now - DQM_LATENCY) % HISTORY] : 0;
    }

    /* Rows in a row, those of the same number of all banks first: so they are addresses of the controller's. */
    uint8_t *data() { return m_data.get(); }
    uint64_t size() const { return uint64_t(m.banks) * m.rows * m.columns * m.data_bytes; }

    uint64_t violations() const { return m_violations + m_rules.violations() + (m_refreshes ? m_refreshes->violations() : 0); }
    /* The first one of the pins and the state, else of times, else of refreshes; "" if there is none. */
    const std::string &violation() const {
        if (m_violations) return m_violation;
        return m_rules.violations() || !m_refreshes ? m_rules.violation() : m_refreshes->violation();
    }

private:
    struct Bank {
        bool open = false;
        uint32_t row = 0;
    };
    struct Read {
        bool valid = false;
        uint32_t data = 0;
    };

    static uint32_t decode(const Pins &pins) {
        switch (pins.ras_n << 2 | pins.cas_n << 1 | pins.we_n) {
        case 0: return dram::MRS;
        case 1: return dram::REF;
        case 2: return pins.a & PRECHARGE_ALL ? dram::PREA : dram::PRE;
        case 3: return dram::ACT;
        case 4: return dram::WR;
        case 5: return dram::RD;
        case 7: return dram::NOP;
        default: return dram::OPCODES;
        }
    }

    void command(uint32_t opcode, const Pins &pins) {
        const char *reason = refuse(opcode, pins);
        if (!reason) return perform(opcode, pins);
        std::string what = opcode < dram::OPCODES ? dram::KINDS[opcode].name : "burst terminate";
        if (opcode < dram::OPCODES && dram::of_one_bank(opcode)) what += " bank " + std::to_string(pins.ba);
        violate(what, reason);
    }

    /* Why the command is not allowed, nullptr if it is. */
    const char *refuse(uint32_t opcode, const Pins &pins) const {
        bool any_open = false;
        for (const Bank &bank : m_banks) any_open |= bank.open;
        if (m_now < m.power_up) return "the power-up time is not over";
        switch (opcode) {
        case dram::PRE:
        case dram::PREA: return nullptr;
        case dram::REF: return !m_closed ? "the banks were not closed at first" : any_open ? "a bank is open" : nullptr;
        case dram::MRS:
            if (m_refreshed < m.initial_refreshes) return "it needs refreshes before";
            if (any_open) return "a bank is open";
            return pins.a == m.mode && !pins.ba ? nullptr : "the mode is not the one that is known here";
        case dram::ACT:
            if (!m_refreshes) return "the mode was not set";
            if (pins.a >= m.rows) return "there is no such row";
            return m_banks[pins.ba].open ? "the bank is open" : nullptr;
        case dram::RD:
        case dram::WR:
            if (!m_banks[pins.ba].open) return "the bank is closed";
            if (pins.a & PRECHARGE_ALL) return "it would close the bank, which is not known here";
            if (pins.a >= m.columns) return "there is no such column";
            return opcode == dram::WR && !pins.oe ? "nobody drives the data bus" : nullptr;
        default: return "there is no such command here";
        }
    }

    void perform(uint32_t opcode, const Pins &pins) {
        Bank &bank = m_banks[pins.ba];
        switch (opcode) {
        case dram::PREA:
            m_closed = true;
            for (Bank &each : m_banks) each.open = false;
            break;
        case dram::PRE: bank.open = false; break;
        case dram::REF: ++m_refreshed; break;
        case dram::MRS:
            m_started = m_now;
            m_refreshes = std::make_unique<dram::Checker>(1, m.banks, std::vector<dram::Rule>{}, m.refresh_interval, 0);
            break;
        case dram::ACT: bank = {true, pins.a}; break;
        case dram::RD: answer(word(pins)); break;
        case dram::WR: write(word(pins), pins); break;
        }
    }

    uint8_t *word(const Pins &pins) const {
        return m_data.get() + ((uint64_t(m_banks[pins.ba].row) * m.banks + pins.ba) * m.columns + pins.a) * m.data_bytes;
    }
    void answer(const uint8_t *bytes) {
        Read &read = m_reads[(m_now + m.cas_latency) % HISTORY];
        read = {true, 0};
        for (uint32_t i = 0; i < m.data_bytes; ++i) read.data |= uint32_t(bytes[i]) << 8 * i;
    }
    void write(uint8_t *bytes, const Pins &pins) const {
        for (uint32_t i = 0; i < m.data_bytes; ++i)
            if (!(pins.dqm >> i & 1)) bytes[i] = uint8_t(pins.dq >> 8 * i);
    }

    void violate(const std::string &what, const char *reason) {
        if (!m_violations++) m_violation = "cycle " + std::to_string(m_now) + ": " + what + ": " + reason;
    }

    const Geometry m;
    dram::Checker m_rules;
    std::unique_ptr<dram::Checker> m_refreshes; /* from the end of the initialisation on */
    std::vector<Bank> m_banks;
    std::unique_ptr<uint8_t, decltype(&free)> m_data;
    std::array<Read, HISTORY> m_reads{};     /* by the cycle of their data */
    std::array<uint32_t, HISTORY> m_dqm{};
    bool m_closed = false, m_drove = false;
    uint32_t m_refreshed = 0;
    int64_t m_now = 0, m_started = 0;
    uint64_t m_violations = 0;
    std::string m_violation;
};

} /* namespace sdram */

#endif

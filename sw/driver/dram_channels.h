/* The DRAM on the pins of a Verilated model: a chip and a referee for each channel. */
#ifndef CELOSIA_DRAM_CHANNELS_H
#define CELOSIA_DRAM_CHANNELS_H

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dram_checker.h"
#include "dram_chip.h"

namespace dram {

/* What sw/driver/dram.py tells. bits: of a command's opcode and, behind it, of each operand but the last, the column of the global buffer. */
struct Config {
    uint32_t channels, command_bits, bank_bits, row_bits, column_bits;
    Geometry geometry;
    uint32_t refresh_interval, postponed;
};

/* `Top` is a Verilated model whose ports gen/dram_pins.py joined: wide ones with 64 bits of command and of mask, and `column_bytes` of
 * data, for each channel. In each cycle: observe() with all signals settled before the clock edge, then drive() for the next one. */
class Channels {
public:
    Channels(const Config &config, const std::vector<Rule> &rules)
        : c(config)
        , m_commands(c.channels) {
        const Geometry &g = c.geometry;
        for (uint32_t i = 0; i < c.channels; ++i) {
            m_chips.push_back(std::make_unique<Chip>(g));
            m_checkers.push_back(std::make_unique<Checker>(g.bank_groups, g.group_banks, rules, c.refresh_interval, c.postponed));
        }
    }

    const Config &config() const { return c; }
    Chip &chip(uint32_t channel) { return *m_chips[channel]; }
    /* Of the cycle that was last observed. */
    const Command &command(uint32_t channel) const { return m_commands[channel]; }
    /* The first violation of any chip or referee, with its channel; "" if there is none. */
    const std::string &violation() const { return m_violation; }

    template <class Top>
    void observe(const Top &top, uint64_t now) {
        const uint8_t *data = reinterpret_cast<const uint8_t *>(top.dram_write_data.data());
        for (uint32_t i = 0; i < c.channels; ++i) {
            m_commands[i] = unpack(word(top.dram_command.data(), i));
            m_chips[i]->clock(m_commands[i], data + i * c.geometry.column_bytes, word(top.dram_write_mask.data(), i));
            m_checkers[i]->check(int64_t(now), m_commands[i].opcode, m_commands[i].bank);
            if (m_violation.empty()) look(i);
        }
    }

    template <class Top>
    void drive(Top &top) const {
        const uint32_t size = c.geometry.column_bytes;
        top.dram_read_valid = 0;
        for (uint32_t i = 0; i < c.channels; ++i) {
            const uint8_t *data = m_chips[i]->read();
            if (!data) continue;
            top.dram_read_valid |= 1u << i;
            memcpy(reinterpret_cast<uint8_t *>(top.dram_read_data.data()) + i * size, data, size);
        }
    }

private:
    static uint64_t word(const uint32_t *port, uint32_t channel) { return uint64_t(port[2 * channel + 1]) << 32 | port[2 * channel]; }

    Command unpack(uint64_t pins) const {
        if (!pins) return {};
        const auto field = [&](uint32_t bits) { return uint32_t(std::exchange(pins, pins >> bits) & ((1ull << bits) - 1)); };
        return {field(c.command_bits), field(c.bank_bits), field(c.row_bits), field(c.column_bits), uint32_t(pins)};
    }

    void look(uint32_t channel) {
        const Chip &chip = *m_chips[channel];
        const std::string &found = chip.violations() ? chip.violation() : m_checkers[channel]->violation();
        if (!found.empty()) m_violation = "channel " + std::to_string(channel) + ": " + found;
    }

    const Config c;
    std::vector<std::unique_ptr<Chip>> m_chips;
    std::vector<std::unique_ptr<Checker>> m_checkers;
    std::vector<Command> m_commands;
    std::string m_violation;
};

} /* namespace dram */

#endif

/* C interface of dram_chip.h, dram_checker.h and dram_channels.h: what sw/driver/dram.py and tb/dram.py call through ctypes. */
#include "dram_channels.h"

#define CELOSIA_API extern "C" __attribute__((visibility("default")))

CELOSIA_API const char *celosia_dram_command_name(uint32_t opcode) { return opcode < dram::OPCODES ? dram::KINDS[opcode].name : nullptr; }

CELOSIA_API dram::Chip *celosia_dram_chip_open(const dram::Geometry *geometry) { return new dram::Chip(*geometry); }
CELOSIA_API void celosia_dram_chip_close(dram::Chip *chip) { delete chip; }

/* A clock cycle. Returns what the data bus carries in the next one, NULL if nothing. */
CELOSIA_API const uint8_t *celosia_dram_chip_clock(dram::Chip *chip, const dram::Command *command, const uint8_t *write_bus,
                                                   uint64_t mask) {
    chip->clock(*command, write_bus, mask);
    return chip->read();
}
CELOSIA_API void celosia_dram_chip_mute(dram::Chip *chip, int mute) { chip->mute(mute != 0); }

/* A row's bytes, to read or to write; NULL if there is no such row. */
CELOSIA_API const uint8_t *celosia_dram_chip_row(const dram::Chip *chip, uint32_t bank, uint32_t row) {
    return chip->contains(bank, row) ? chip->row(bank, row) : nullptr;
}
CELOSIA_API uint8_t *celosia_dram_chip_row_to_write(dram::Chip *chip, uint32_t bank, uint32_t row) {
    return chip->contains(bank, row) ? chip->row_to_write(bank, row) : nullptr;
}

CELOSIA_API uint64_t celosia_dram_chip_count(const dram::Chip *chip, uint32_t opcode) { return chip->count(opcode); }
CELOSIA_API uint64_t celosia_dram_chip_violations(const dram::Chip *chip) { return chip->violations(); }
CELOSIA_API const char *celosia_dram_chip_violation(const dram::Chip *chip) { return chip->violation().c_str(); }

/* The rules' names must last as long as the checker. */
CELOSIA_API dram::Checker *celosia_dram_checker_open(uint32_t groups, uint32_t group_banks, const dram::Rule *rules, uint32_t count,
                                                     uint32_t refresh_interval, uint32_t postponed) {
    return new dram::Checker(groups, group_banks, {rules, rules + count}, refresh_interval, postponed);
}
CELOSIA_API void celosia_dram_checker_close(dram::Checker *checker) { delete checker; }
CELOSIA_API void celosia_dram_checker_check(dram::Checker *checker, int64_t now, uint32_t opcode, uint32_t bank) {
    checker->check(now, opcode, bank);
}
CELOSIA_API uint64_t celosia_dram_checker_broken(const dram::Checker *checker, uint32_t index) { return checker->broken(index); }
CELOSIA_API uint64_t celosia_dram_checker_late_refreshes(const dram::Checker *checker) { return checker->late_refreshes(); }
CELOSIA_API uint64_t celosia_dram_checker_violations(const dram::Checker *checker) { return checker->violations(); }
CELOSIA_API const char *celosia_dram_checker_violation(const dram::Checker *checker) { return checker->violation().c_str(); }

/* The rules' names must last as long as the channels, and these as long as the model that they are given to. */
CELOSIA_API dram::Channels *celosia_dram_open(const dram::Config *config, const dram::Rule *rules, uint32_t count) {
    return new dram::Channels(*config, {rules, rules + count});
}
CELOSIA_API void celosia_dram_close(dram::Channels *channels) { delete channels; }
CELOSIA_API dram::Chip *celosia_dram_chip(dram::Channels *channels, uint32_t channel) { return &channels->chip(channel); }
CELOSIA_API const char *celosia_dram_violation(const dram::Channels *channels) { return channels->violation().c_str(); }

/* C interface of sdram_chip.h: what sw/driver/sdram.py calls through ctypes. */
#include "sdram_chip.h"

#define CELOSIA_API extern "C" __attribute__((visibility("default")))

/* The rules' names must last as long as the chip. */
CELOSIA_API sdram::Chip *celosia_sdram_open(const sdram::Geometry *geometry, const dram::Rule *rules, uint32_t count) {
    return new sdram::Chip(*geometry, {rules, rules + count});
}
CELOSIA_API void celosia_sdram_close(sdram::Chip *chip) { delete chip; }

/* A clock cycle. Returns what the data bus carries from the chip in the next one, and in the upper half which bytes of it. */
CELOSIA_API uint64_t celosia_sdram_clock(sdram::Chip *chip, const sdram::Pins *pins) {
    chip->clock(*pins);
    return uint64_t(chip->read_mask()) << 32 | chip->read();
}
CELOSIA_API uint8_t *celosia_sdram_data(sdram::Chip *chip) { return chip->data(); }
CELOSIA_API uint64_t celosia_sdram_violations(const sdram::Chip *chip) { return chip->violations(); }
CELOSIA_API const char *celosia_sdram_violation(const sdram::Chip *chip) { return chip->violation().c_str(); }

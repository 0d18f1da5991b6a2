/* C interface of a Verilated board: what tb/board.py calls through ctypes. */
#ifndef CELOSIA_BOARD_H
#define CELOSIA_BOARD_H

#include <cstdint>

#define CELOSIA_API extern "C" __attribute__((visibility("default")))

namespace sdram {
class Chip;
}
struct celosia_board;

/* Out of reset. clock / baud: cycles of a bit. chip: on the memory's pins, NULL where there are none; it must outlive the board. */
CELOSIA_API celosia_board *celosia_board_open(uint32_t clock, uint32_t baud, sdram::Chip *chip);
CELOSIA_API void celosia_board_close(celosia_board *board);

/* Clocks so many cycles, in which these bytes are sent to the board one after the other, behind those that are still to be sent. Returns
 * how many bytes came from it, of which `received` gets the first `room`. */
CELOSIA_API uint64_t celosia_board_run(celosia_board *board, uint64_t cycles, const uint8_t *sent, uint64_t size, uint8_t *received, uint64_t room);
CELOSIA_API uint64_t celosia_board_cycles(const celosia_board *board);
CELOSIA_API uint32_t celosia_board_lights(const celosia_board *board);

#endif

/* A Verilated board with the other end of its serial line and the chip on its memory's pins, behind the C interface of board.h. */
#include "board.h"

#include <deque>
#include <vector>

#include "Vtop.h"
#ifdef BOARD_SDRAM
#include "sdram_chip.h"
#endif

namespace {

/* Bits of a line, each of whole cycles, one more for some. */
class Baud {
public:
    Baud(uint32_t clock, uint32_t baud)
        : m_clock(clock)
        , m_baud(baud) {}
    /* A cycle goes by; whether a bit ends with it. */
    bool tick() {
        m_phase += m_baud;
        if (m_phase < m_clock) return false;
        m_phase -= m_clock;
        return true;
    }
    void restart(uint64_t phase) { m_phase = phase; }
    uint64_t half() const { return m_clock / 2; }

private:
    uint64_t m_clock, m_baud, m_phase = 0;
};

class Sender {
public:
    Sender(uint32_t clock, uint32_t baud)
        : m_baud(clock, baud) {}
    void put(uint8_t byte) { m_bytes.push_back(byte); }
    bool line() {
        if (!m_left && !m_bytes.empty()) {
            m_bits = 1u << 9 | uint32_t(m_bytes.front()) << 1; /* start, byte, stop */
            m_bytes.pop_front();
            m_left = 10;
            m_baud.restart(0);
        }
        const bool bit = m_left ? m_bits & 1 : true;
        if (m_left && m_baud.tick()) m_bits >>= 1, --m_left;
        return bit;
    }

private:
    Baud m_baud;
    std::deque<uint8_t> m_bytes;
    uint32_t m_bits = 0, m_left = 0;
};

class Receiver {
public:
    Receiver(uint32_t clock, uint32_t baud)
        : m_baud(clock, baud) {}
    /* Whether a byte is complete with this cycle's bit. */
    bool take(bool bit) {
        if (!m_left) {
            if (bit) return false;
            m_left = 10;
            m_baud.restart(m_baud.half());
        }
        if (!m_baud.tick()) return false;
        m_bits = m_bits >> 1 | uint32_t(bit) << 9;
        return !--m_left && bit;
    }
    uint8_t byte() const { return uint8_t(m_bits >> 1); }

private:
    Baud m_baud;
    uint32_t m_bits = 0, m_left = 0;
};

} /* namespace */

struct celosia_board {
    celosia_board(uint32_t clock, uint32_t baud, sdram::Chip *chip)
        : sender(clock, baud)
        , receiver(clock, baud)
        , chip(chip) {
        top.rst = top.rx = 1;
        for (int i = 0; i < 4; ++i) tick();
        top.rst = 0;
    }

    void tick() {
        top.clk = 0;
        top.eval();
        if (receiver.take(top.tx)) received.push_back(receiver.byte());
        const bool line = sender.line();
        clock_chip();
        top.clk = 1;
        top.eval();
        top.rx = line; /* inputs change behind the edge */
        drive_chip();
        ++cycles;
    }

#ifdef BOARD_SDRAM
#define PIN(name) uint32_t(top.chip___05F##name) /* Verilator's name of chip__name */
    void clock_chip() {
        chip->clock({PIN(cke), PIN(cs_n), PIN(ras_n), PIN(cas_n), PIN(we_n), PIN(ba), PIN(a), PIN(dqm), PIN(dq___05Fo), PIN(dq___05Foe)});
    }
    void drive_chip() { top.chip___05Fdq___05Fi = chip->read(); }
#undef PIN
#else
    void clock_chip() {}
    void drive_chip() {}
#endif

    Vtop top;
    Sender sender;
    Receiver receiver;
    sdram::Chip *chip;
    std::vector<uint8_t> received;
    uint64_t cycles = 0;
};

celosia_board *celosia_board_open(uint32_t clock, uint32_t baud, sdram::Chip *chip) { return new celosia_board(clock, baud, chip); }
void celosia_board_close(celosia_board *board) { delete board; }

uint64_t celosia_board_run(celosia_board *board, uint64_t cycles, const uint8_t *sent, uint64_t size, uint8_t *received, uint64_t room) {
    for (uint64_t i = 0; i < size; ++i) board->sender.put(sent[i]);
    board->received.clear();
    while (cycles--) board->tick();
    const uint64_t count = board->received.size();
    for (uint64_t i = 0; i < count && i < room; ++i) received[i] = board->received[i];
    return count;
}

uint64_t celosia_board_cycles(const celosia_board *board) { return board->cycles; }
uint32_t celosia_board_lights(const celosia_board *board) { return board->top.lights; }

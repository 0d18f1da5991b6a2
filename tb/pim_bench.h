/* The PIM controller, Verilated, with a DRAM on its pins, and what drives its ports. Functions return 0 when all is well. */
#ifndef CELOSIA_PIM_BENCH_H
#define CELOSIA_PIM_BENCH_H

#include <cstddef>
#include <cstdint>

#include "dram_channels.h"

#define API extern "C" __attribute__((visibility("default")))

typedef struct Bench Bench;

/* A command on the pins of a channel. */
struct BenchCommand {
    uint64_t cycle;
    uint32_t channel, opcode, bank, row, column, buffer;
};

API Bench *bench_open(dram::Channels *channels);
API void bench_close(Bench *bench);

/* What goes in: macros of 20 bytes, columns of data, and AXI bursts; beats of writes follow each other. */
API void bench_macros(Bench *bench, const uint8_t *macros, uint32_t count);
API void bench_write(Bench *bench, const uint8_t *columns, uint32_t count);
API void bench_axi_read(Bench *bench, uint32_t address, uint32_t beats);
API void bench_axi_write(Bench *bench, uint32_t address, uint32_t beats, const uint8_t *data, const uint64_t *strobes);

/* What came out, in order, and is forgotten then: columns; AXI beats with their responses behind each; responses to writes. */
API uint32_t bench_read(Bench *bench, uint8_t *columns, uint32_t most);
API uint32_t bench_axi_beats(Bench *bench, uint8_t *beats, uint32_t most);
API uint32_t bench_axi_responses(Bench *bench, uint8_t *responses, uint32_t most);

/* In each cycle each port stands still with this probability, in 1/256. */
API void bench_stall(Bench *bench, uint32_t probability, uint64_t seed);
/* At most so many cycles, to the first violation or, if asked for, to where nothing is to be done: whether it came to that. */
API int bench_run(Bench *bench, uint64_t cycles, int until_idle);
API uint64_t bench_cycles(Bench *bench);
API void bench_clear(Bench *bench);
API void bench_error(Bench *bench, uint32_t *code, uint32_t *macro, uint32_t *channel);
/* From now on keep the commands; those kept so far, forgotten then. */
API void bench_record(Bench *bench);
API uint32_t bench_commands(Bench *bench, BenchCommand *commands, uint32_t most);

#endif

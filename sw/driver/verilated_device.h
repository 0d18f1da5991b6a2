/* C interface of a Verilated accelerator with its memory: what sw/driver/verilated.py calls through ctypes.
 *
 * A device is one model, its reset done, a byte memory behind its AXI4 master from address 0 on, and the DRAM on its pins, if it has
 * such: dram.cpp's functions, which then are in the library, too, make it and look into it. Time passes only inside register accesses and celosia_wait; one cycle is one rising edge of clk. Functions that return an int return a
 * CELOSIA_ status. A device is used by one thread at a time.
 */
#ifndef CELOSIA_VERILATED_DEVICE_H
#define CELOSIA_VERILATED_DEVICE_H

#include <stdint.h>

namespace dram {
class Channels;
}

#define CELOSIA_API extern "C" __attribute__((visibility("default")))

enum {
    CELOSIA_OK = 0,
    CELOSIA_TIMEOUT = 1,   /* the limit of cycles was reached */
    CELOSIA_BUS_ERROR = 2, /* the register access was answered with an error */
    CELOSIA_RANGE = 3,     /* beyond the memory */
    CELOSIA_PROTOCOL = 4,  /* the model broke a rule of AXI or the DRAM, or an assertion: see celosia_violation */
    CELOSIA_NO_TRACE = 5,  /* built without waveforms */
};

typedef struct celosia_device celosia_device;

/* The model's pins for DRAM: how many channels, bits of a command, bytes of a column. Without any, nothing is written. */
CELOSIA_API void celosia_dram_pins(uint32_t pins[3]);

/* A device with a zeroed memory of that many bytes; NULL when there is no memory for it. dram: of as many channels as the pins are of, and
 * NULL without pins; it must outlive the device. */
CELOSIA_API celosia_device *celosia_open(uint64_t memory_bytes, dram::Channels *dram);
CELOSIA_API void celosia_close(celosia_device *device);

/* One AXI4-Lite access; waits at most `limit` cycles for the answer. */
CELOSIA_API int celosia_read_register(celosia_device *device, uint32_t offset, uint32_t *value, uint64_t limit);
CELOSIA_API int celosia_write_register(celosia_device *device, uint32_t offset, uint32_t value, uint64_t limit);

/* The memory, directly: takes no cycles. */
CELOSIA_API int celosia_read_memory(celosia_device *device, uint64_t address, void *data, uint64_t bytes);
CELOSIA_API int celosia_write_memory(celosia_device *device, uint64_t address, const void *data, uint64_t bytes);

/* Clocks until irq is high (OK) or for `limit` cycles (TIMEOUT). */
CELOSIA_API int celosia_wait(celosia_device *device, uint64_t limit);
CELOSIA_API uint64_t celosia_cycles(const celosia_device *device);

/* Timing of the memory from now on: cycles from an address to the first beat or, at the earliest, to the write's
 * response; and at most `beats` beats every `cycles` cycles in each direction, beats <= cycles. */
CELOSIA_API void celosia_memory_timing(celosia_device *device, uint32_t latency, uint32_t beats, uint32_t cycles);
/* While muted, the memory takes addresses and write data but offers no read data and no response. */
CELOSIA_API void celosia_memory_mute(celosia_device *device, int mute);

/* What the model did wrong, "" when nothing. */
CELOSIA_API const char *celosia_violation(const celosia_device *device);

/* Writes an FST waveform of cycles first..last to a file, cycle n at times 10 n to 10 n + 9; ends an earlier one. */
CELOSIA_API int celosia_trace(celosia_device *device, const char *path, uint64_t first, uint64_t last);

/* Records from now on each cycle in which one of the model's `activity` outputs is high, forgetting what was recorded before. */
CELOSIA_API void celosia_record_activity(celosia_device *device);
/* Copies at most `limit` numbers, two for each recorded cycle: which it is, and the activity; returns how many there are. */
CELOSIA_API uint64_t celosia_activity(const celosia_device *device, uint64_t *numbers, uint64_t limit);

#endif

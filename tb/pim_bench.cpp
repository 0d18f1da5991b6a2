#include "pim_bench.h"

#include <deque>
#include <memory>
#include <vector>

#include "Vtop.h"
#include "dram_chip.h"
#include "verilated.h"

namespace {

using Bytes = std::vector<uint8_t>;

struct Burst {
    uint32_t address, beats;
    Bytes data;
    std::vector<uint64_t> strobes;
};

uint64_t bits(const uint32_t *words, uint32_t first, uint32_t count) {
    uint64_t found = 0;
    for (uint32_t i = 0; i < count; ++i) found |= uint64_t(words[(first + i) / 32] >> (first + i) % 32 & 1) << i;
    return found;
}

/* A stream into the model: what is offered stays until it is taken. */
struct Source {
    std::deque<Bytes> queue;
    bool offered = false;

    bool offer(bool stalled) { return offered = offered || (!stalled && !queue.empty()); }
    void passed() {
        queue.pop_front();
        offered = false;
    }
};

uint32_t take(std::deque<Bytes> &from, uint8_t *to, uint32_t most) {
    uint32_t taken = 0;
    for (; taken < most && !from.empty(); ++taken, from.pop_front()) to = std::copy(from.front().begin(), from.front().end(), to);
    return taken;
}

} /* namespace */

struct Bench {
    BenchConfig c;
    VerilatedContext context;
    Vtop top{&context};
    std::vector<std::unique_ptr<dram::Chip>> chips;
    std::vector<std::unique_ptr<dram::Checker>> checkers;
    std::string violation;
    Source macros, columns, reads, writes, beats;
    std::deque<Bytes> read, answered, responses;
    uint64_t now = 0, random = 1;
    uint32_t probability = 0, owed = 0; /* owed: AXI bursts that are not yet answered */
    bool recording = false, clearing = false;
    std::vector<BenchCommand> commands;

    Bench(const BenchConfig &config, const std::vector<dram::Rule> &rules) : c(config) {
        const dram::Geometry geometry{c.bank_groups, c.group_banks, c.rows, c.columns, c.column_bytes, c.buffer_columns, c.cl, c.cwl};
        for (uint32_t i = 0; i < c.channels; ++i) {
            chips.push_back(std::make_unique<dram::Chip>(geometry));
            checkers.push_back(std::make_unique<dram::Checker>(c.bank_groups, c.group_banks, rules, c.refresh_interval, c.postponed));
        }
        top.rst = 1;
        for (int i = 0; i < 4; ++i) edge();
        top.rst = 0;
        edge();
    }

    void edge() {
        top.clk = 0;
        top.eval();
        top.clk = 1;
        top.eval();
    }

    bool stalls() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        return (random & 255) < probability;
    }

    template <class Wide>
    void put(Wide &port, const Bytes &data) {
        memcpy(port.data(), data.data(), data.size());
    }

    void drive() {
        if ((top.macro_valid = macros.offer(stalls()))) put(top.macro, macros.queue.front());
        if ((top.write_valid = columns.offer(stalls()))) put(top.write_data, columns.queue.front());
        top.read_ready = !stalls();
        top.clear = clearing;
        clearing = false;
        if ((top.axi_arvalid = reads.offer(stalls()))) put(top.axi_ar, reads.queue.front());
        if ((top.axi_awvalid = writes.offer(stalls()))) put(top.axi_aw, writes.queue.front());
        if ((top.axi_wvalid = beats.offer(stalls()))) put(top.axi_w, beats.queue.front());
        top.axi_rready = !stalls();
        top.axi_bready = !stalls();
        top.read_bus_valid = 0;
        for (uint32_t i = 0; i < c.channels; ++i) {
            if (const uint8_t *data = chips[i]->read()) {
                top.read_bus_valid |= 1u << i;
                memcpy(reinterpret_cast<uint8_t *>(top.read_bus.data()) + i * c.column_bytes, data, c.column_bytes);
            }
        }
    }

    void observe() {
        const uint8_t *out = reinterpret_cast<const uint8_t *>(top.read_data.data());
        if (macros.offered && top.macro_ready) macros.passed();
        if (columns.offered && top.write_ready) columns.passed();
        if (top.read_valid && top.read_ready) read.emplace_back(out, out + c.column_bytes);
        if (reads.offered && top.axi_arready) reads.passed();
        if (writes.offered && top.axi_awready) writes.passed();
        if (beats.offered && top.axi_wready) beats.passed();
        if (top.axi_rvalid && top.axi_rready) {
            const uint8_t *beat = reinterpret_cast<const uint8_t *>(top.axi_rdata.data());
            answered.emplace_back(beat, beat + c.column_bytes);
            answered.back().push_back(top.axi_rresp);
            owed -= top.axi_rlast;
        }
        if (top.axi_bvalid && top.axi_bready) {
            responses.push_back({uint8_t(top.axi_bresp)});
            --owed;
        }
        for (uint32_t i = 0; i < c.channels; ++i) clock_chip(i);
    }

    void clock_chip(uint32_t i) {
        const uint32_t *pins = top.commands.data() + 2 * i;
        dram::Command command{};
        command.opcode = pins[0] & ((1u << c.command_bits) - 1);
        if (command.opcode) {
            uint32_t first = c.command_bits;
            const auto field = [&](uint32_t width) { return uint32_t(bits(pins, std::exchange(first, first + width), width)); };
            command.bank = field(c.bank_bits);
            command.row = field(c.row_bits);
            command.column = field(c.column_bits);
            command.buffer = field(8);
            if (recording) commands.push_back({now, i, command.opcode, command.bank, command.row, command.column, command.buffer});
        }
        const uint8_t *bus = reinterpret_cast<const uint8_t *>(top.write_bus.data()) + i * c.column_bytes;
        chips[i]->clock(command, bus, bits(top.mask_bus.data(), i * 64, c.column_bytes));
        checkers[i]->check(now, command.opcode, command.bank);
        if (!violation.empty()) return;
        const std::string &found = chips[i]->violations() ? chips[i]->violation() : checkers[i]->violation();
        if (!found.empty()) violation = "channel " + std::to_string(i) + ": " + found;
    }

    bool idle() const {
        const bool inputs = macros.queue.empty() && columns.queue.empty() && reads.queue.empty() && writes.queue.empty();
        return top.idle && inputs && beats.queue.empty() && !owed;
    }

    bool run(uint64_t cycles, bool until_idle) {
        for (; cycles; --cycles) {
            drive();
            top.clk = 0;
            top.eval();
            observe();
            top.clk = 1;
            top.eval();
            ++now;
            if (!violation.empty() || (until_idle && idle())) return true;
        }
        return false;
    }
};

API Bench *bench_open(const BenchConfig *config, const dram::Rule *rules, uint32_t count) {
    return new Bench(*config, {rules, rules + count});
}
API void bench_close(Bench *bench) { delete bench; }

API void bench_macros(Bench *bench, const uint8_t *macros, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) bench->macros.queue.emplace_back(macros + 20 * i, macros + 20 * (i + 1));
}
API void bench_write(Bench *bench, const uint8_t *columns, uint32_t count) {
    const uint32_t size = bench->c.column_bytes;
    for (uint32_t i = 0; i < count; ++i) bench->columns.queue.emplace_back(columns + size * i, columns + size * (i + 1));
}

static Bytes burst(uint32_t address, uint32_t beats) {
    Bytes packed(8); /* as the wrapper of pim_bench.py takes them: address, len */
    memcpy(packed.data(), &address, 4);
    packed[4] = uint8_t(beats - 1);
    return packed;
}
API void bench_axi_read(Bench *bench, uint32_t address, uint32_t beats) {
    bench->reads.queue.push_back(burst(address, beats));
    ++bench->owed;
}
API void bench_axi_write(Bench *bench, uint32_t address, uint32_t beats, const uint8_t *data, const uint64_t *strobes) {
    const uint32_t size = bench->c.column_bytes;
    bench->writes.queue.push_back(burst(address, beats));
    for (uint32_t i = 0; i < beats; ++i) {
        Bytes beat(data + size * i, data + size * (i + 1));
        const uint8_t *strobe = reinterpret_cast<const uint8_t *>(strobes + i);
        beat.insert(beat.end(), strobe, strobe + 8);
        beat.push_back(i + 1 == beats);
        bench->beats.queue.push_back(beat);
    }
    ++bench->owed;
}

API uint32_t bench_read(Bench *bench, uint8_t *columns, uint32_t most) { return take(bench->read, columns, most); }
API uint32_t bench_axi_beats(Bench *bench, uint8_t *beats, uint32_t most) { return take(bench->answered, beats, most); }
API uint32_t bench_axi_responses(Bench *bench, uint8_t *responses, uint32_t most) { return take(bench->responses, responses, most); }

API void bench_stall(Bench *bench, uint32_t probability, uint64_t seed) {
    bench->probability = probability;
    bench->random = seed | 1;
}
API int bench_run(Bench *bench, uint64_t cycles, int until_idle) { return bench->run(cycles, until_idle); }
API uint64_t bench_cycles(Bench *bench) { return bench->now; }
API void bench_clear(Bench *bench) { bench->clearing = true; }
API void bench_error(Bench *bench, uint32_t *code, uint32_t *macro, uint32_t *channel) {
    *code = bench->top.error;
    *macro = bench->top.error_macro;
    *channel = bench->top.error_channel;
}
API const char *bench_violation(Bench *bench) { return bench->violation.c_str(); }

API void bench_mute(Bench *bench, uint32_t channel, int mute) { bench->chips[channel]->mute(mute); }
API int bench_row(Bench *bench, uint32_t channel, uint32_t bank, uint32_t row, uint8_t *data, int write) {
    if (channel >= bench->c.channels || !bench->chips[channel]->contains(bank, row)) return 1;
    dram::Chip &chip = *bench->chips[channel];
    const uint32_t size = chip.row_bytes();
    if (write)
        memcpy(chip.row_to_write(bank, row), data, size);
    else
        memcpy(data, chip.row(bank, row), size);
    return 0;
}
API uint64_t bench_count(Bench *bench, uint32_t channel, uint32_t opcode) { return bench->chips[channel]->count(opcode); }
API void bench_record(Bench *bench) {
    bench->recording = true;
    bench->commands.clear();
}
API uint32_t bench_commands(Bench *bench, BenchCommand *commands, uint32_t most) {
    const uint32_t count = uint32_t(bench->commands.size());
    if (!commands) return count;
    std::copy_n(bench->commands.begin(), std::min(count, most), commands);
    bench->commands.clear();
    return count;
}

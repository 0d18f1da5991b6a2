#include "pim_bench.h"

#include <deque>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

namespace {

using Bytes = std::vector<uint8_t>;

struct Burst {
    uint32_t address, beats;
    Bytes data;
    std::vector<uint64_t> strobes;
};

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
    dram::Channels &channels;
    const uint32_t column_bytes = channels.config().geometry.column_bytes;
    VerilatedContext context;
    Vtop top{&context};
    Source macros, columns, reads, writes, beats;
    std::deque<Bytes> read, answered, responses;
    uint64_t now = 0, random = 1;
    uint32_t probability = 0, owed = 0; /* owed: AXI bursts that are not yet answered */
    bool recording = false, clearing = false;
    std::vector<BenchCommand> commands;

    explicit Bench(dram::Channels &pins) : channels(pins) {
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
        channels.drive(top);
    }

    void observe() {
        const uint8_t *out = reinterpret_cast<const uint8_t *>(top.read_data.data());
        if (macros.offered && top.macro_ready) macros.passed();
        if (columns.offered && top.write_ready) columns.passed();
        if (top.read_valid && top.read_ready) read.emplace_back(out, out + column_bytes);
        if (reads.offered && top.axi_arready) reads.passed();
        if (writes.offered && top.axi_awready) writes.passed();
        if (beats.offered && top.axi_wready) beats.passed();
        if (top.axi_rvalid && top.axi_rready) {
            const uint8_t *beat = reinterpret_cast<const uint8_t *>(top.axi_rdata.data());
            answered.emplace_back(beat, beat + column_bytes);
            answered.back().push_back(top.axi_rresp);
            owed -= top.axi_rlast;
        }
        if (top.axi_bvalid && top.axi_bready) {
            responses.push_back({uint8_t(top.axi_bresp)});
            --owed;
        }
        channels.observe(top, now);
        for (uint32_t i = 0; recording && i < channels.config().channels; ++i) record(i, channels.command(i));
    }

    void record(uint32_t channel, const dram::Command &c) {
        if (c.opcode != dram::NOP) commands.push_back({now, channel, c.opcode, c.bank, c.row, c.column, c.buffer});
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
            if (!channels.violation().empty() || (until_idle && idle())) return true;
        }
        return false;
    }
};

API Bench *bench_open(dram::Channels *channels) { return new Bench(*channels); }
API void bench_close(Bench *bench) { delete bench; }

API void bench_macros(Bench *bench, const uint8_t *macros, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) bench->macros.queue.emplace_back(macros + 20 * i, macros + 20 * (i + 1));
}
API void bench_write(Bench *bench, const uint8_t *columns, uint32_t count) {
    const uint32_t size = bench->column_bytes;
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
    const uint32_t size = bench->column_bytes;
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

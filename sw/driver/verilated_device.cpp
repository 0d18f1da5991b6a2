/* The Verilated accelerator with its memory and its DRAM, behind the C interface of verilated_device.h. */
#include "verilated_device.h"

#include <algorithm>
#include <new>
#include <vector>

#include "Vtop.h"
#include "axi_memory.h"
#ifdef DRAM_PINS
#include "dram_channels.h"
#endif
#if VM_TRACE_FST
#include "verilated_fst_c.h"
#endif

struct celosia_device {
    celosia_device(uint64_t memory_bytes, dram::Channels *channels)
        : memory(memory_bytes)
        , dram(channels) {
#if VM_TRACE_FST
        context.traceEverOn(true);
        top.trace(&trace, 99);
#endif
        context.fatalOnError(false); /* a failed assertion must not end the caller's process */
        top.rst = 1;
        for (int i = 0; i < 4; ++i) tick();
        top.rst = 0;
        tick();
    }

    void settle() {
        top.clk = 0;
        top.eval();
        dump(0);
    }
    void edge() {
        memory.observe(top, cycles);
        observe_dram();
        if (recording && top.activity) activity.insert(activity.end(), {cycles, uint64_t(top.activity)});
        top.clk = 1;
        top.eval();
        dump(5);
        ++cycles;
        memory.drive(top, cycles); /* seen by the model at the next settle() */
        drive_dram();
    }
    void tick() {
        settle();
        edge();
    }
    const char *violation() const {
        if (context.gotError()) return "an assertion of the hardware failed";
        return *memory.violation() ? memory.violation() : dram_violation();
    }
    int status(int otherwise) const { return *violation() ? int(CELOSIA_PROTOCOL) : otherwise; }

    VerilatedContext context;
    Vtop top{&context, "top"};
    Memory<Vtop> memory;
    dram::Channels *const dram;
    uint64_t cycles = 0;
    bool recording = false;
    std::vector<uint64_t> activity;

#ifdef DRAM_PINS
    void observe_dram() { dram->observe(top, cycles); }
    void drive_dram() { dram->drive(top); }
    const char *dram_violation() const { return dram->violation().c_str(); }
#else
    void observe_dram() {}
    void drive_dram() {}
    const char *dram_violation() const { return ""; }
#endif

#if VM_TRACE_FST
    VerilatedFstC trace;
    uint64_t trace_first = 0, trace_last = 0;

    void dump(int phase) {
        if (!trace.isOpen() || cycles < trace_first) return;
        if (cycles > trace_last)
            trace.close();
        else
            trace.dump(10 * cycles + phase);
    }
#else
    void dump(int) {}
#endif
};

void celosia_dram_pins(uint32_t pins[3]) {
#ifdef DRAM_PINS
    for (const uint32_t number : {DRAM_PINS}) *pins++ = number;
#else
    (void)pins;
#endif
}

celosia_device *celosia_open(uint64_t memory_bytes, dram::Channels *dram) {
    auto *device = new (std::nothrow) celosia_device(memory_bytes, dram);
    if (device && device->memory.data()) return device;
    delete device;
    return nullptr;
}

void celosia_close(celosia_device *device) {
    device->top.final();
    delete device;
}

int celosia_read_register(celosia_device *device, uint32_t offset, uint32_t *value, uint64_t limit) {
    Vtop &top = device->top;
    top.s_axil_araddr = offset;
    top.s_axil_arvalid = 1;
    top.s_axil_rready = 1;
    int status = CELOSIA_TIMEOUT;
    for (; limit && status == CELOSIA_TIMEOUT; --limit) {
        device->settle();
        const bool address = top.s_axil_arready;
        if (top.s_axil_rvalid) {
            *value = top.s_axil_rdata;
            status = top.s_axil_rresp ? CELOSIA_BUS_ERROR : CELOSIA_OK;
        }
        device->edge();
        if (address) top.s_axil_arvalid = 0;
    }
    top.s_axil_arvalid = 0;
    top.s_axil_rready = 0;
    return device->status(status);
}

int celosia_write_register(celosia_device *device, uint32_t offset, uint32_t value, uint64_t limit) {
    Vtop &top = device->top;
    top.s_axil_awaddr = offset;
    top.s_axil_wdata = value;
    top.s_axil_wstrb = 0xF;
    top.s_axil_awvalid = 1;
    top.s_axil_wvalid = 1;
    top.s_axil_bready = 1;
    int status = CELOSIA_TIMEOUT;
    for (; limit && status == CELOSIA_TIMEOUT; --limit) {
        device->settle();
        const bool address = top.s_axil_awready, data = top.s_axil_wready;
        if (top.s_axil_bvalid) status = top.s_axil_bresp ? CELOSIA_BUS_ERROR : CELOSIA_OK;
        device->edge();
        if (address) top.s_axil_awvalid = 0;
        if (data) top.s_axil_wvalid = 0;
    }
    top.s_axil_awvalid = 0;
    top.s_axil_wvalid = 0;
    top.s_axil_bready = 0;
    return device->status(status);
}

int celosia_read_memory(celosia_device *device, uint64_t address, void *data, uint64_t bytes) {
    if (!device->memory.contains(address, bytes)) return CELOSIA_RANGE;
    memcpy(data, device->memory.data() + address, bytes);
    return CELOSIA_OK;
}

int celosia_write_memory(celosia_device *device, uint64_t address, const void *data, uint64_t bytes) {
    if (!device->memory.contains(address, bytes)) return CELOSIA_RANGE;
    memcpy(device->memory.data() + address, data, bytes);
    return CELOSIA_OK;
}

int celosia_wait(celosia_device *device, uint64_t limit) {
    for (; limit && !device->top.irq; --limit) device->tick();
    return device->status(device->top.irq ? CELOSIA_OK : CELOSIA_TIMEOUT);
}

uint64_t celosia_cycles(const celosia_device *device) { return device->cycles; }

void celosia_memory_timing(celosia_device *device, uint32_t latency, uint32_t beats, uint32_t cycles) {
    device->memory.timing(latency, beats, cycles);
}

void celosia_memory_mute(celosia_device *device, int mute) { device->memory.mute(mute != 0); }

const char *celosia_violation(const celosia_device *device) { return device->violation(); }

int celosia_trace(celosia_device *device, const char *path, uint64_t first, uint64_t last) {
#if VM_TRACE_FST
    device->trace.close();
    device->trace_first = first;
    device->trace_last = last;
    device->trace.open(path);
    return device->trace.isOpen() ? CELOSIA_OK : CELOSIA_NO_TRACE;
#else
    (void)device, (void)path, (void)first, (void)last;
    return CELOSIA_NO_TRACE;
#endif
}

void celosia_record_activity(celosia_device *device) {
    device->activity.clear();
    device->recording = true;
}

uint64_t celosia_activity(const celosia_device *device, uint64_t *numbers, uint64_t limit) {
    const auto &activity = device->activity;
    std::copy_n(activity.begin(), std::min<uint64_t>(limit, activity.size()), numbers);
    return activity.size();
}

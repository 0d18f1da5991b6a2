/* An AXI4 memory: bursts are answered in order, after a settable latency and at a settable rate. */
#ifndef CELOSIA_AXI_MEMORY_H
#define CELOSIA_AXI_MEMORY_H

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>

enum : uint8_t { AXI_OKAY = 0, AXI_SLVERR = 2 };

/* At most `beats` beats in `cycles` cycles, evenly. */
class Rate {
public:
    void set(uint32_t beats, uint32_t cycles) {
        m_beats = beats;
        m_cycles = cycles;
        m_credit = 0;
    }
    void tick() {
        m_credit += m_beats;
        if (m_credit > m_cycles + m_beats - 1) m_credit = m_cycles + m_beats - 1; /* idle cycles save up one beat */
    }
    bool ready() const { return m_credit >= m_cycles; }
    void take() { m_credit -= m_cycles; }

private:
    uint32_t m_beats = 1, m_cycles = 1, m_credit = 0;
};

struct Burst {
    uint64_t address; /* of the next beat */
    uint32_t beats;   /* still to come */
    uint32_t step;    /* bytes of a beat */
    uint8_t id;
    bool error;
    uint64_t due; /* first cycle in which it may be answered */

    void advance() {
        address = (address & ~uint64_t(step - 1)) + step;
        --beats;
    }
};

/* `Top` is a Verilated model with an AXI4 master m_axi_*. In each cycle: observe() with all signals settled before the
 * clock edge, then drive() after it. */
template <class Top>
class Memory {
    static constexpr uint32_t WIDTH = sizeof(Top::m_axi_rdata); /* bytes of a beat of the whole bus */
    static constexpr size_t OUTSTANDING = 16;                   /* bursts in each direction */

public:
    explicit Memory(uint64_t bytes)
        : m_data(static_cast<uint8_t *>(calloc((bytes + WIDTH - 1) / WIDTH + 1, WIDTH)))
        , m_bytes(bytes) {}
    ~Memory() { free(m_data); }
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;

    uint8_t *data() const { return m_data; }
    bool contains(uint64_t address, uint64_t bytes) const { return bytes <= m_bytes && address <= m_bytes - bytes; }
    const char *violation() const { return m_violation; }
    void mute(bool on) { m_mute = on; }
    void timing(uint32_t latency, uint32_t beats, uint32_t cycles) {
        m_latency = latency;
        m_read_rate.set(beats, cycles);
        m_write_rate.set(beats, cycles);
    }

    void observe(const Top &top, uint64_t now) {
        if (top.m_axi_rvalid && top.m_axi_rready) m_read_offered = false;
        if (top.m_axi_bvalid && top.m_axi_bready) m_response_offered = false;
        if (top.m_axi_wvalid && top.m_axi_wready) write(top);
        if (top.m_axi_arvalid && top.m_axi_arready)
            m_reads.push_back(burst(top.m_axi_araddr, top.m_axi_arlen, top.m_axi_arsize, top.m_axi_arburst, top.m_axi_arid, now));
        if (top.m_axi_awvalid && top.m_axi_awready)
            m_writes.push_back(burst(top.m_axi_awaddr, top.m_axi_awlen, top.m_axi_awsize, top.m_axi_awburst, top.m_axi_awid, now));
    }

    /* Inputs of the model for cycle `now`. */
    void drive(Top &top, uint64_t now) {
        m_read_rate.tick();
        m_write_rate.tick();
        if (!m_read_offered && !m_mute && !m_reads.empty() && m_reads.front().due <= now && m_read_rate.ready()) read(top);
        if (!m_response_offered && !m_mute && !m_responses.empty() && m_responses.front().due <= now) respond(top);
        top.m_axi_rvalid = m_read_offered;
        top.m_axi_bvalid = m_response_offered;
        top.m_axi_arready = m_reads.size() < OUTSTANDING;
        top.m_axi_awready = m_writes.size() + m_responses.size() < OUTSTANDING;
        top.m_axi_wready = !m_writes.empty() && m_write_rate.ready();
    }

private:
    Burst burst(uint64_t address, uint32_t length, uint32_t size, uint32_t kind, uint8_t id, uint64_t now) {
        const uint32_t step = 1u << size;
        const uint64_t last = (address & ~uint64_t(step - 1)) + uint64_t(length) * step;
        if (kind != 1) violate("an AXI burst is not of type INCR");
        if (step > WIDTH) violate("an AXI burst's beats are wider than the bus");
        if (address >> 12 != last >> 12) violate("an AXI burst crosses a 4 KiB boundary");
        return {address, length + 1, step, id, false, now + (m_latency ? m_latency : 1)};
    }

    void read(Top &top) {
        Burst &b = m_reads.front();
        const uint64_t word = b.address & ~uint64_t(WIDTH - 1);
        const bool inside = contains(b.address, 1);
        if (inside)
            memcpy(&top.m_axi_rdata, m_data + word, WIDTH);
        else
            memset(&top.m_axi_rdata, 0, WIDTH);
        top.m_axi_rresp = inside ? AXI_OKAY : AXI_SLVERR;
        top.m_axi_rid = b.id;
        top.m_axi_rlast = b.beats == 1;
        b.advance();
        if (b.beats == 0) m_reads.pop_front();
        m_read_offered = true;
        m_read_rate.take();
    }

    void write(const Top &top) {
        Burst &b = m_writes.front();
        const uint64_t word = b.address & ~uint64_t(WIDTH - 1);
        if (bool(top.m_axi_wlast) != (b.beats == 1)) violate("AXI wlast is not at the last beat of the burst");
        uint8_t bytes[WIDTH];
        memcpy(bytes, &top.m_axi_wdata, WIDTH);
        for (uint32_t lane = 0, strobes = top.m_axi_wstrb; strobes; ++lane, strobes >>= 1) {
            if (!(strobes & 1)) continue;
            if (contains(word + lane, 1))
                m_data[word + lane] = bytes[lane];
            else
                b.error = true;
        }
        if (!contains(b.address, 1)) b.error = true;
        b.advance();
        if (b.beats == 0) {
            m_responses.push_back(b);
            m_writes.pop_front();
        }
        m_write_rate.take();
    }

    void respond(Top &top) {
        top.m_axi_bid = m_responses.front().id;
        top.m_axi_bresp = m_responses.front().error ? AXI_SLVERR : AXI_OKAY;
        m_responses.pop_front();
        m_response_offered = true;
    }

    void violate(const char *rule) {
        if (!*m_violation) m_violation = rule;
    }

    uint8_t *m_data;
    uint64_t m_bytes;
    uint32_t m_latency = 1;
    Rate m_read_rate, m_write_rate;
    bool m_mute = false, m_read_offered = false, m_response_offered = false;
    std::deque<Burst> m_reads, m_writes, m_responses; /* bursts under way, and writes done but not answered */
    const char *m_violation = "";
};

#endif

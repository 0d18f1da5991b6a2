"""A design with the ports of an accelerator, for the tests of what is around it: copies bursts of 16 beats in memory.

Registers: 0x0 source and 0x4 target (byte addresses), 0x8 bursts to copy (writing it starts the copy), 0xC bursts still
to copy in bits 15..0 and an error flag (a bus error, cleared by a start) in bit 31. Any other register answers SLVERR.
irq is high from the end of a copy until the next start.
"""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

BEATS = 16
DEPTH = 8 * BEATS


def ports(data_bits: int) -> dict[str, wiring.Member]:
    """The ports of an accelerator with a memory bus of ``data_bits``."""
    axil = {
        **{"awaddr": In(16), "awprot": In(3), "awvalid": In(1), "awready": Out(1)},
        **{"wdata": In(32), "wstrb": In(4), "wvalid": In(1), "wready": Out(1)},
        **{"bresp": Out(2), "bvalid": Out(1), "bready": In(1)},
        **{"araddr": In(16), "arprot": In(3), "arvalid": In(1), "arready": Out(1)},
        **{"rdata": Out(32), "rresp": Out(2), "rvalid": Out(1), "rready": In(1)},
    }
    address = {"id": Out(1), "addr": Out(32), "len": Out(8), "size": Out(3), "burst": Out(2), "valid": Out(1), "ready": In(1)}
    axi = {
        **{f"aw{name}": member for name, member in address.items()},
        **{"wdata": Out(data_bits), "wstrb": Out(data_bits // 8), "wlast": Out(1), "wvalid": Out(1), "wready": In(1)},
        **{"bid": In(1), "bresp": In(2), "bvalid": In(1), "bready": Out(1)},
        **{f"ar{name}": member for name, member in address.items()},
        **{"rid": In(1), "rdata": In(data_bits), "rresp": In(2), "rlast": In(1), "rvalid": In(1), "rready": Out(1)},
    }
    return {
        "irq": Out(1),
        "activity": Out(8),
        **{f"s_axil_{name}": member for name, member in axil.items()},
        **{f"m_axi_{name}": member for name, member in axi.items()},
    }


class AxiCopy(wiring.Component):
    """See the module. With ``broken`` the last beat of a burst is not marked, which the memory must notice."""

    def __init__(self, data_bits: int, *, broken: bool = False) -> None:
        self._bytes = data_bits // 8
        self._broken = broken
        super().__init__(ports(data_bits))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source, target, left = Signal(32), Signal(32), Signal(16)
        to_read, to_write, error, start = Signal(16), Signal(16), Signal(), Signal()
        count = Signal(16)

        write = Signal()
        m.d.comb += [
            write.eq(self.s_axil_awvalid & self.s_axil_wvalid & ~self.s_axil_bvalid),
            self.s_axil_awready.eq(write),
            self.s_axil_wready.eq(write),
            self.s_axil_arready.eq(~self.s_axil_rvalid),
        ]
        with m.If(self.s_axil_bready):
            m.d.sync += self.s_axil_bvalid.eq(0)
        with m.If(self.s_axil_rready):
            m.d.sync += self.s_axil_rvalid.eq(0)
        with m.If(write):
            m.d.sync += [self.s_axil_bvalid.eq(1), self.s_axil_bresp.eq(0)]
            with m.Switch(self.s_axil_awaddr):
                with m.Case(0x0):
                    m.d.sync += source.eq(self.s_axil_wdata)
                with m.Case(0x4):
                    m.d.sync += target.eq(self.s_axil_wdata)
                with m.Case(0x8):
                    m.d.comb += [start.eq(1), count.eq(self.s_axil_wdata)]
                with m.Default():
                    m.d.sync += self.s_axil_bresp.eq(2)
        with m.If(self.s_axil_arvalid & self.s_axil_arready):
            m.d.sync += [self.s_axil_rvalid.eq(1), self.s_axil_rresp.eq(0)]
            with m.Switch(self.s_axil_araddr):
                with m.Case(0x0):
                    m.d.sync += self.s_axil_rdata.eq(source)
                with m.Case(0x4):
                    m.d.sync += self.s_axil_rdata.eq(target)
                with m.Case(0xC):
                    m.d.sync += self.s_axil_rdata.eq(Cat(left, Const(0, 15), error))
                with m.Default():
                    m.d.sync += self.s_axil_rresp.eq(2)

        m.submodules.fifo = queue = fifo.SyncFIFOBuffered(width=8 * self._bytes, depth=DEPTH)
        beat, room = Signal(range(BEATS)), Signal(range(DEPTH // BEATS + 1), init=DEPTH // BEATS)
        m.d.comb += [
            *(self._address("m_axi_ar", to_read.any() & room.any())),
            *(self._address("m_axi_aw", to_write.any())),
            queue.w_data.eq(self.m_axi_rdata),
            queue.w_en.eq(self.m_axi_rvalid),
            self.m_axi_rready.eq(1),
            self.m_axi_wdata.eq(queue.r_data),
            self.m_axi_wstrb.eq(~0),
            self.m_axi_wvalid.eq(queue.r_rdy),
            self.m_axi_wlast.eq((beat == BEATS - 1) & (not self._broken)),
            queue.r_en.eq(self.m_axi_wready),
            self.m_axi_bready.eq(1),
        ]
        step = BEATS * self._bytes
        taken, freed = Signal(), Signal()
        m.d.comb += taken.eq(self.m_axi_arvalid & self.m_axi_arready)
        with m.If(taken):
            m.d.sync += [to_read.eq(to_read - 1), self.m_axi_araddr.eq(self.m_axi_araddr + step)]
        with m.If(self.m_axi_awvalid & self.m_axi_awready):
            m.d.sync += [to_write.eq(to_write - 1), self.m_axi_awaddr.eq(self.m_axi_awaddr + step)]
        with m.If(self.m_axi_wvalid & self.m_axi_wready):
            m.d.sync += beat.eq(beat + 1)
            m.d.comb += freed.eq(beat == BEATS - 1)
        m.d.sync += room.eq(room - taken + freed)
        m.d.comb += self.activity.eq(Cat(start, Const(0, 3), self.m_axi_bvalid & (left == 1)))
        with m.If(self.m_axi_rvalid & (self.m_axi_rresp != 0)):
            m.d.sync += error.eq(1)
        with m.If(self.m_axi_bvalid):
            m.d.sync += [left.eq(left - 1), self.irq.eq(left == 1), error.eq(error | (self.m_axi_bresp != 0))]
        with m.If(start):
            m.d.sync += [s.eq(count) for s in (left, to_read, to_write)]
            m.d.sync += [error.eq(0), self.irq.eq(0), self.m_axi_araddr.eq(source), self.m_axi_awaddr.eq(target)]
        return m

    def _address(self, prefix: str, valid: object) -> list:
        channel = {name: getattr(self, prefix + name) for name in ("len", "size", "burst", "valid")}
        values = {"len": BEATS - 1, "size": self._bytes.bit_length() - 1, "burst": 1, "valid": valid}
        return [channel[name].eq(value) for name, value in values.items()]

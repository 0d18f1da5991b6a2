"""Single words to and from registers and memory, on a bus each."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..arch.serial import WORD_BYTES
from ..axi import axi4_ports
from ..control import axi4_lite_ports

REGISTERS, MEMORY = "m_axil_", "m_axi_"


def master_ports(bus_bytes: int) -> dict[str, wiring.Member]:
    """The flat ports of the masters of both buses."""
    return {name: member.flip() for name, member in axi4_lite_ports(REGISTERS).items()} | axi4_ports(bus_bytes, MEMORY)


class WordMaster(wiring.Component):
    """Members
    -------
    asks: for a word, for a cycle, before whose answer no other is asked for. writes, in_memory, address, word: what, where and with what;
    they stay until the answer. answered: it comes in this cycle, with what was read, 0 after an error.
    m_axil_*: AXI4-Lite to registers. m_axi_*: AXI4 to memory, bursts of a beat.
    """

    def __init__(self, bus_bytes: int) -> None:
        self._bus_bytes = bus_bytes
        super().__init__(
            {
                **{"asks": In(1), "writes": In(1), "in_memory": In(1), "address": In(32), "word": In(8 * WORD_BYTES)},
                **{"answered": Out(1), "read": Out(8 * WORD_BYTES), "error": Out(1)},
                **master_ports(bus_bytes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self._bus_bytes // WORD_BYTES
        lane = self.address[2 : 2 + (lanes - 1).bit_length()]
        pending = Signal(data.StructLayout({"aw": 1, "w": 1, "ar": 1}))  # channels on which the other side has yet to take something
        with m.If(self.asks):
            m.d.sync += pending.eq(Cat(self.writes, self.writes, ~self.writes))
        self._bus(m, REGISTERS, ~self.in_memory, pending, self.m_axil_rdata)
        self._bus(m, MEMORY, self.in_memory, pending, self.m_axi_rdata.word_select(lane, 8 * WORD_BYTES))
        for channel in ("aw", "ar"):
            port = {name: getattr(self, f"{MEMORY}{channel}{name}") for name in ("addr", "size", "burst")}
            m.d.comb += [
                *(port["addr"].eq(self.address & -self._bus_bytes), port["burst"].eq(1)),
                port["size"].eq((self._bus_bytes - 1).bit_length()),
                getattr(self, f"{REGISTERS}{channel}addr").eq(self.address),
            ]
        m.d.comb += [
            *(self.m_axil_wdata.eq(self.word), self.m_axil_wstrb.eq(0xF), self.m_axi_wlast.eq(1)),
            *(self.m_axi_wdata.eq(self.word.replicate(lanes)), self.m_axi_wstrb.eq(Const(0xF, 4) << (lane << 2))),
        ]
        return m

    def _bus(self, m: Module, prefix: str, chosen: Value, pending: data.View, found: Value) -> None:
        def port(name: str) -> Signal:
            return getattr(self, prefix + name)

        for channel in ("aw", "w", "ar"):
            m.d.comb += port(f"{channel}valid").eq(pending[channel] & chosen)
            with m.If(chosen & pending[channel] & port(f"{channel}ready")):
                m.d.sync += pending[channel].eq(0)
        m.d.comb += [port("bready").eq(chosen), port("rready").eq(chosen)]
        with m.If(chosen):
            m.d.comb += [
                self.answered.eq(port("bvalid") | port("rvalid")),
                self.error.eq(Mux(self.writes, port("bresp"), port("rresp")) != 0),
                self.read.eq(Mux(self.error, 0, found)),
            ]

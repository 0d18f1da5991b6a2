"""An AXI4 slave as streams of beats: what all memories have in common."""

from amaranth.hdl import Module, Mux
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arch.checks import power_of_two, require
from ..axi import SLAVE, slave_ports, write_beat_layout
from ..skid import Skid
from .beats import Beats, beat_layout, burst_layout

OKAY, SLVERR = 0, 2


def answer_layout(bus_bytes: int, id_bits: int) -> data.StructLayout:
    """A beat of the read data channel."""
    return data.StructLayout({"data": 8 * bus_bytes, "resp": 2, "last": 1, "id": id_bits})


def write_layout(bus_bytes: int, id_bits: int) -> data.StructLayout:
    """A beat to write: where, what, and a bit for each byte that is written."""
    return data.StructLayout({"beat": beat_layout(bus_bytes, id_bits), "data": 8 * bus_bytes, "strb": bus_bytes})


class Slave(wiring.Component):
    """Takes bursts (INCR, of full width; the lowest bits of their addresses are ignored) and gives their beats in order, those of reads and
    those of writes, neither of which waits for the other. A burst is as long as its address channel says: ``wlast`` is ignored.

    Members
    -------
    s_axi_*: AXI4. reads: beats to read, for each of which there is one of answers, in the same order. writes: beats to write, those outside
    of the memory, which are to be dropped, among them. A write is answered when its last beat was taken; with SLVERR if that was outside.

    bus_bytes: a power of two. size: of the memory, in bytes. Raises ParameterError.
    """

    def __init__(self, bus_bytes: int, *, size: int, id_bits: int) -> None:
        require(power_of_two(bus_bytes), "bus_bytes", "a power of two", bus_bytes)
        require(size > 0 and size % bus_bytes == 0, "size", f"a multiple of bus_bytes ({bus_bytes})", size)
        self._bus_bytes, self._size, self._id_bits = bus_bytes, size, id_bits
        super().__init__(
            {
                **slave_ports(bus_bytes, id_bits=id_bits),
                "reads": Out(stream.Signature(beat_layout(bus_bytes, id_bits))),
                "answers": In(stream.Signature(answer_layout(bus_bytes, id_bits))),
                "writes": Out(stream.Signature(write_layout(bus_bytes, id_bits))),
            }
        )

    def _beats(self, m: Module, channel: str) -> Beats:
        """Of the address channel of that name."""
        m.submodules[f"{channel}_bursts"] = bursts = Skid(burst_layout(self._id_bits))
        m.submodules[f"{channel}_beats"] = beats = Beats(self._bus_bytes, size=self._size, id_bits=self._id_bits)
        port = {name: getattr(self, f"{SLAVE}{channel}{name}") for name in ("valid", "ready", "addr", "len", "id")}
        m.d.comb += [
            *(bursts.i.valid.eq(port["valid"]), port["ready"].eq(bursts.i.ready)),
            bursts.i.payload.address.eq(port["addr"]),
            *(getattr(bursts.i.payload, name).eq(port[name]) for name in ("len", "id")),
        ]
        wiring.connect(m, bursts.o, beats.i)
        return beats

    def elaborate(self, platform: object) -> Module:
        m = Module()
        reads, writes = self._beats(m, "ar"), self._beats(m, "aw").o
        wiring.connect(m, reads.o, wiring.flipped(self.reads))
        answer = self.answers.payload
        m.d.comb += [
            *(self.s_axi_rvalid.eq(self.answers.valid), self.answers.ready.eq(self.s_axi_rready)),
            *(getattr(self, f"{SLAVE}r{name}").eq(getattr(answer, name)) for name in ("data", "resp", "last", "id")),
        ]

        m.submodules.words = words = Skid(write_beat_layout(self._bus_bytes))
        m.submodules.responses = responses = Skid(data.StructLayout({"resp": 2, "id": self._id_bits}))
        word, response = words.i.payload, responses.o.payload
        taken = self.writes.valid & self.writes.ready
        m.d.comb += [
            *(words.i.valid.eq(self.s_axi_wvalid), self.s_axi_wready.eq(words.i.ready)),
            *(getattr(word, name).eq(getattr(self, f"{SLAVE}w{name}")) for name in ("data", "strb", "last")),
            self.writes.valid.eq(writes.valid & words.o.valid & responses.i.ready),
            *(self.writes.payload.beat.eq(writes.payload), self.writes.payload.data.eq(words.o.payload.data)),
            self.writes.payload.strb.eq(words.o.payload.strb),
            *(writes.ready.eq(taken), words.o.ready.eq(taken)),
            responses.i.valid.eq(taken & writes.payload.last),
            responses.i.payload.resp.eq(Mux(writes.payload.outside, SLVERR, OKAY)),
            responses.i.payload.id.eq(writes.payload.id),
            *(self.s_axi_bvalid.eq(responses.o.valid), responses.o.ready.eq(self.s_axi_bready)),
            *(self.s_axi_bresp.eq(response.resp), self.s_axi_bid.eq(response.id)),
        ]
        return m

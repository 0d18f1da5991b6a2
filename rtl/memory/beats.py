"""AXI4 bursts to their beats."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..arch.parameters import EXTERNAL_ADDRESS_BITS


def burst_layout(id_bits: int) -> data.StructLayout:
    """Of an address channel: len is the beats less one."""
    return data.StructLayout({"address": EXTERNAL_ADDRESS_BITS, "len": 8, "id": id_bits})


def beat_layout(bus_bytes: int, id_bits: int) -> data.StructLayout:
    """place: of the beat in memory, in beats; a bit more than addresses have, so that a burst at their end does not come to the first ones.
    outside: it is beyond the memory. last: of its burst."""
    places = EXTERNAL_ADDRESS_BITS - exact_log2(bus_bytes) + 1
    return data.StructLayout({"place": places, "outside": 1, "last": 1, "id": id_bits})


class Beats(wiring.Component):
    """One beat a cycle, also from one burst to the next one.

    bus_bytes: of a beat. size: of the memory in bytes, a multiple of bus_bytes.
    """

    def __init__(self, bus_bytes: int, *, size: int, id_bits: int) -> None:
        self._bus_bytes, self._beats = bus_bytes, size // bus_bytes
        beat = beat_layout(bus_bytes, id_bits)
        super().__init__({"i": In(stream.Signature(burst_layout(id_bits))), "o": Out(stream.Signature(beat))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        burst, beat = self.i.payload, self.o.payload
        place, left = Signal.like(beat.place), Signal(8)  # left: beats after this one
        moves = ~self.o.valid | self.o.ready
        m.d.comb += [
            *(beat.place.eq(place), beat.outside.eq(place >= self._beats)),
            self.i.ready.eq(moves & (beat.last | ~self.o.valid)),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                *(self.o.valid.eq(1), place.eq(burst.address[exact_log2(self._bus_bytes) :]), beat.id.eq(burst.id)),
                *(left.eq(burst.len), beat.last.eq(burst.len == 0)),
            ]
        with m.Elif(moves):
            m.d.sync += [self.o.valid.eq(self.o.valid & ~beat.last), place.eq(place + 1), left.eq(left - 1), beat.last.eq(left == 1)]
        return m

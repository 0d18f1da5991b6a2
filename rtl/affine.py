"""The memory of a normalisation's gamma and beta."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .elements import ELEMENT, beat_layout
from .row_memory import RowMemory

AFFINE = data.StructLayout({"gamma": ELEMENT, "beta": ELEMENT})


class Affine(wiring.Component):
    """Gamma and beta of ``beats`` beats of ``lanes`` channels.

    Members
    -------
    i: gamma as one packet, then beta as another; taken until ``loaded``. A packet that is too long is dropped, with a pulse of
    too_long. reload: forget both.
    column: the beat whose ``values`` follow `latency` cycles later; both stand still while not ``read``.
    """

    latency = RowMemory.latency

    def __init__(self, lanes: int, *, beats: int) -> None:
        self._lanes, self._beats = lanes, beats
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(lanes))),
                "reload": In(1),
                "loaded": Out(1),
                "too_long": Out(1),
                "column": In(range(beats)),
                "read": In(1),
                "values": Out(data.ArrayLayout(AFFINE, lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat, taken = self.i.payload, self.i.valid & self.i.ready
        at, loading_beta = Signal(range(self._beats + 1)), Signal()
        m.d.comb += [self.i.ready.eq(~self.loaded), self.too_long.eq(taken & beat.last & (at == self._beats))]
        with m.If(taken):
            m.d.sync += at.eq(Mux(beat.last, 0, at + (at != self._beats)))
            with m.If(beat.last & ~self.too_long):
                m.d.sync += [loading_beta.eq(~loading_beta), self.loaded.eq(loading_beta)]
        with m.If(self.reload):
            m.d.sync += [self.loaded.eq(0), loading_beta.eq(0), at.eq(0)]
        for name, chosen in (("gamma", ~loading_beta), ("beta", loading_beta)):
            table = RowMemory(data.ArrayLayout(ELEMENT, self._lanes), depth=self._beats)
            m.submodules[name] = table
            m.d.comb += [
                table.write_address.eq(at),
                table.write_data.eq(beat.values),
                table.write.eq(taken & chosen & (at != self._beats)),
                table.read_address.eq(self.column),
                table.read.eq(self.read),
                *(self.values[lane][name].eq(table.read_data[lane]) for lane in range(self._lanes)),
            ]
        return m

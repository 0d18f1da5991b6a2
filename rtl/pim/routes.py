"""The data of macros: between one stream and the channels, in the macros' order."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arch.dram import Dram
from ..select import select_one_hot
from .layouts import CHANNEL_BITS, read_layout, write_layout
from .macros import ROUTE


class _Turns:
    """Steps through a route: ``channels`` are those of this turn; `advance` after each column."""

    def __init__(self, m: Module, routes: stream.Interface) -> None:
        self._routes = routes
        self.route, self.active = Signal(ROUTE, reset_less=True), Signal()
        left = self.route.channels
        self.channels = Mux(self.route.in_turn, left & ~(left - 1)[: len(left)], left)
        self._column = Signal(32)
        m.d.comb += routes.ready.eq(~self.active)
        with m.If(routes.valid & routes.ready):
            m.d.sync += [self.route.eq(routes.payload), self.active.eq(1), self._column.eq(1)]

    def advance(self, m: Module) -> None:
        """Another column of the turn has passed."""
        others = self.route.channels & ~self.channels
        m.d.sync += self._column.eq(self._column + 1)
        with m.If(self._column == self.route.count):
            m.d.sync += [self._column.eq(1), self.route.channels.eq(others), self.active.eq(others != 0)]


class WriteRoutes(wiring.Component):
    """Members
    -------
    routes: of macros. i: their columns. o<n>: to channel n. busy: a route is under way.
    """

    def __init__(self, dram: Dram) -> None:
        self.dram = dram
        outputs = {f"o{channel}": Out(stream.Signature(write_layout(dram))) for channel in range(dram.channels)}
        column = In(stream.Signature(8 * dram.column_bytes))
        super().__init__({"routes": In(stream.Signature(ROUTE)), "i": column, "busy": Out(1), **outputs})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        turns = _Turns(m, self.routes)
        outputs = [getattr(self, f"o{channel}") for channel in range(self.dram.channels)]
        given = Signal(self.dram.channels)  # the channels of the turn that have this column
        targets = Mux(turns.route.drop, 0, turns.channels[: self.dram.channels])
        ready = Cat(output.ready for output in outputs)
        valid = Signal(self.dram.channels)
        m.d.comb += [
            valid.eq(Mux(self.i.valid & turns.active, targets & ~given, 0)),
            self.i.ready.eq(turns.active & ((targets & ~given & ~ready) == 0)),
            self.busy.eq(turns.active),
        ]
        for output, is_valid in zip(outputs, valid, strict=True):
            m.d.comb += [
                output.valid.eq(is_valid),
                output.payload.data.eq(self.i.payload),
                output.payload.scatters.eq(turns.route.scatters),
                output.payload.lane.eq(turns.route.lane),
            ]
        m.d.sync += given.eq(Mux(self.i.valid & self.i.ready, 0, given | (valid & ready)))
        with m.If(self.i.valid & self.i.ready):
            turns.advance(m)
        return m


class ReadRoutes(wiring.Component):
    """Members
    -------
    routes: of macros. i<n>: from channel n. o: their columns. missing: this one's DRAM gave nothing; missing_channel. busy.
    """

    def __init__(self, dram: Dram) -> None:
        self.dram = dram
        inputs = {f"i{channel}": In(stream.Signature(read_layout(dram))) for channel in range(dram.channels)}
        super().__init__(
            {
                "routes": In(stream.Signature(ROUTE)),
                "o": Out(stream.Signature(8 * dram.column_bytes)),
                "missing": Out(1),
                "missing_channel": Out(CHANNEL_BITS),
                "busy": Out(1),
                **inputs,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        turns = _Turns(m, self.routes)
        inputs = [getattr(self, f"i{channel}") for channel in range(self.dram.channels)]
        chosen = Mux(turns.active, turns.channels[: self.dram.channels], 0)
        payload = data.View(read_layout(self.dram), select_one_hot(chosen, [Value.cast(source.payload) for source in inputs]))
        m.d.comb += [
            self.o.valid.eq((Cat(source.valid for source in inputs) & chosen).any()),
            self.o.payload.eq(payload.data),
            *(source.ready.eq(bit & self.o.ready) for source, bit in zip(inputs, chosen, strict=True)),
            self.missing.eq(self.o.valid & self.o.ready & payload.missing),
            self.missing_channel.eq(select_one_hot(chosen, [*range(self.dram.channels)])),
            self.busy.eq(turns.active),
        ]
        with m.If(self.o.valid & self.o.ready):
            turns.advance(m)
        return m

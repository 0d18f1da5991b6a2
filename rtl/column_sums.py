"""Sums of the columns of matrices that stream by: how much attention each token received (SpAtten, arXiv 2012.09852)."""

from amaranth.hdl import EnableInserter, Module, Mux, Shape, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .accumulators import Accumulators, recently
from .delay import delay
from .elements import beat_layout

SUM = unsigned(32)


class ColumnSums(wiring.Component):
    """Passes rows on, adds something to the sum of each column, and gives the sums when it is asked for them.

    A sum is modulo 2**32. A row has at most ``beats`` beats. A beat waits until the sum of its column is back in the memory, which costs
    cycles in rows of less than four beats only.

    Members
    -------
    i, o: rows. added: what is added in the columns of this beat. begins: their sums begin anew with it. gives: ``sums`` are given, this
    row's among them. These three come with i's beat.
    """

    latency = Accumulators.latency + 1

    def __init__(self, lanes: int, element: Shape, *, beats: int) -> None:
        self._lanes, self._beats = lanes, beats
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(lanes, element))),
                "o": Out(stream.Signature(beat_layout(lanes, element))),
                "sums": Out(stream.Signature(beat_layout(lanes, SUM))),
                "added": In(data.ArrayLayout(SUM, lanes)),
                "begins": In(1),
                "gives": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        column, moves, taken = Signal(range(self._beats)), Signal(), Signal()
        m.submodules.pipeline = EnableInserter(moves)(pipeline := Module())
        steps = data.ArrayLayout(SUM, self._lanes)
        pipeline.submodules.totals = totals = Accumulators(
            SUM, steps, lambda before, operand, lane: before + operand[lane], lanes=self._lanes, depth=self._beats
        )
        beat = self.i.payload
        m.d.comb += [
            moves.eq((~self.o.valid | self.o.ready) & (~self.sums.valid | self.sums.ready)),
            self.i.ready.eq(moves & ~recently(pipeline, column, taken)),
            taken.eq(self.i.valid & self.i.ready),
            totals.address.eq(column),
            totals.first.eq(self.begins),
            totals.valid.eq(taken),
            totals.operand.eq(self.added),
        ]
        with m.If(taken):
            m.d.sync += column.eq(Mux(beat.last, 0, column + 1))

        valid = delay(pipeline, taken, totals.latency, reset_less=False)
        passed = data.View(beat.shape(), delay(pipeline, beat.as_value(), totals.latency))
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.sums.ready):
            m.d.sync += self.sums.valid.eq(0)
        with m.If(moves):
            m.d.sync += [
                self.o.valid.eq(valid),
                self.o.payload.eq(passed),
                self.sums.valid.eq(valid & delay(pipeline, self.gives, totals.latency)),
                self.sums.payload.values.eq(totals.totals),
                self.sums.payload.keep.eq(passed.keep),
                self.sums.payload.last.eq(passed.last),
            ]
        return m

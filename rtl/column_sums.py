"""Sums of the columns of matrices that stream by: how much attention each token received (SpAtten, arXiv 2012.09852)."""

from amaranth.hdl import EnableInserter, Module, Mux, Shape, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .accumulators import Accumulators, recently
from .delay import delay
from .elements import beat_layout

SUM = unsigned(32)


class ColumnSums(wiring.Component):
    """Passes rows on, and gives the sum of each column of ``rows`` rows while the last of them passes.

    A sum is of the elements less the zero point, modulo 2**32. The rows of a matrix have one length, of at most ``beats`` beats. A beat
    waits until the sum of its column is back in the memory, which costs cycles in rows of less than four beats only.

    Members
    -------
    i, o: rows. sums: a row of sums for each matrix. rows, zero_point: constant while rows are under way.
    """

    latency = Accumulators.latency + 1

    def __init__(self, lanes: int, element: Shape, *, beats: int) -> None:
        self._lanes, self._beats = lanes, beats
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(lanes, element))),
                "o": Out(stream.Signature(beat_layout(lanes, element))),
                "sums": Out(stream.Signature(beat_layout(lanes, SUM))),
                "rows": In(16),
                "zero_point": In(17),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        column, row = Signal(range(self._beats)), Signal(16)
        moves, taken = Signal(), Signal()
        m.submodules.pipeline = EnableInserter(moves)(pipeline := Module())
        steps = data.ArrayLayout(SUM, self._lanes)
        pipeline.submodules.totals = totals = Accumulators(
            SUM, steps, lambda before, operand, lane: before + operand[lane], lanes=self._lanes, depth=self._beats
        )
        beat, last_row = self.i.payload, row == self.rows - 1
        m.d.comb += [
            moves.eq((~self.o.valid | self.o.ready) & (~self.sums.valid | self.sums.ready)),
            self.i.ready.eq(moves & ~recently(pipeline, column, taken)),
            taken.eq(self.i.valid & self.i.ready),
            totals.address.eq(column),
            totals.first.eq(row == 0),
            totals.valid.eq(taken),
            *(totals.operand[lane].eq(beat.values[lane] - self.zero_point.as_signed()) for lane in range(self._lanes)),
        ]
        with m.If(taken):
            m.d.sync += column.eq(Mux(beat.last, 0, column + 1))
            with m.If(beat.last):
                m.d.sync += row.eq(Mux(last_row, 0, row + 1))

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
                self.sums.valid.eq(valid & delay(pipeline, last_row, totals.latency)),
                self.sums.payload.values.eq(totals.totals),
                self.sums.payload.keep.eq(passed.keep),
                self.sums.payload.last.eq(passed.last),
            ]
        return m

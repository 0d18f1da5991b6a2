"""Sums of the columns of matrices that stream by: how much attention each token received (SpAtten, arXiv 2012.09852)."""

from amaranth.hdl import Module, Mux, Shape, Signal, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .elements import beat_layout

SUM = unsigned(32)
STAGES = 3


class ColumnSums(wiring.Component):
    """Passes rows on, and gives the sum of each column of ``rows`` rows while the last of them passes.

    A sum is of the elements less the zero point, modulo 2**32. The rows of a matrix have one length, of at most ``beats`` beats. A beat
    waits until the sum of its column is back in the memory, which costs cycles in rows of less than `STAGES` beats only.

    Members
    -------
    i, o: rows. sums: a row of sums for each matrix. rows, zero_point: constant while rows are under way.
    """

    latency = STAGES

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
        lanes = self._lanes
        m.submodules.totals = totals = memory.Memory(shape=self.sums.payload.values.shape(), depth=self._beats, init=[])
        read, write = totals.read_port(), totals.write_port()
        column, row = Signal(range(self._beats)), Signal(16)
        moves, waits, taken = Signal(), Signal(), Signal()

        # Three stages that move together: the memory, a register behind it, the sums.
        valid = [Signal(name=f"valid{stage}") for stage in range(2)]
        beats = [Signal.like(self.i.payload, name=f"beat{stage}", reset_less=True) for stage in range(2)]
        columns = [Signal.like(column, name=f"column{stage}", reset_less=True) for stage in range(2)]
        firsts = [Signal(name=f"first_row{stage}", reset_less=True) for stage in range(2)]
        lasts = [Signal(name=f"last_row{stage}", reset_less=True) for stage in range(2)]
        m.d.comb += [
            moves.eq((~self.o.valid | self.o.ready) & (~self.sums.valid | self.sums.ready)),
            waits.eq((valid[0] & (columns[0] == column)) | (valid[1] & (columns[1] == column))),
            self.i.ready.eq(moves & ~waits),
            taken.eq(self.i.valid & self.i.ready),
            read.addr.eq(column),
            read.en.eq(moves),
        ]
        with m.If(taken):
            m.d.sync += column.eq(Mux(self.i.payload.last, 0, column + 1))
            with m.If(self.i.payload.last):
                m.d.sync += row.eq(Mux(row == self.rows - 1, 0, row + 1))

        before = Signal.like(read.data, reset_less=True)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.sums.ready):
            m.d.sync += self.sums.valid.eq(0)
        m.d.comb += [write.addr.eq(columns[1]), write.en.eq(moves & valid[1])]
        with m.If(moves):
            for values, source in ((valid, taken), (beats, self.i.payload), (columns, column), (firsts, row == 0)):
                m.d.sync += [values[0].eq(source), values[1].eq(values[0])]
            m.d.sync += [
                lasts[0].eq(row == self.rows - 1),
                lasts[1].eq(lasts[0]),
                before.eq(read.data),
                self.o.valid.eq(valid[1]),
                self.o.payload.eq(beats[1]),
                self.sums.valid.eq(valid[1] & lasts[1]),
                self.sums.payload.values.eq(write.data),
                self.sums.payload.keep.eq(beats[1].keep),
                self.sums.payload.last.eq(beats[1].last),
            ]
        for lane in range(lanes):
            steps = beats[1].values[lane] - self.zero_point.as_signed()
            m.d.comb += write.data[lane].eq(Mux(firsts[1], 0, before[lane]) + steps)
        return m

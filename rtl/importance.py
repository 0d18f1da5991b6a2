"""Which tokens matter: how much attention each received, and the top-k engine on it (SpAtten, arXiv 2012.09852).

The importance of a token is the sum of its column over all matrices of attention since it began, exact, in a memory that nothing else
reaches. Picking the most important ones leaves theirs in it, side by side.

softmax's results -> column sums -> results
                      |    ^
                      v    | scores of the picked ones; their indices -> results
                     top-k engine
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.formats import UINT32
from .arch.parameters import MachineParameters
from .arch.steps import COUNT_BITS
from .arch.topk import COUNT_BITS as TOPK_COUNT_BITS
from .arch.topk import Result, TopKCircuit
from .column_sums import ColumnSums
from .delay import delay
from .elements import ELEMENT, beat_layout
from .topk import TopK


class Importance(wiring.Component):
    """Members
    -------
    attention: rows of softmax's results, which ``o`` has again. tokens: a row with as many elements, of any value, as there are tokens;
    ``o`` has the indices of the k most important of them, rising.
    start: before the first row of each. adds: the attention is added to the importance; begins: which begins anew with it. zero_point: of
    the attention. parameters: there in the cycle after start: k, from 1 to the number of tokens; of these the first ``protected`` are
    picked in any case, and more important than all others from then on.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        rows = stream.Signature(beat_layout(parameters.lanes))
        super().__init__(
            {
                "attention": In(rows),
                "tokens": In(rows),
                "o": Out(rows),
                "start": In(1),
                "adds": In(1),
                "begins": In(1),
                "zero_point": In(ELEMENT),
                "parameters": In(data.StructLayout({"k": TOPK_COUNT_BITS, "protected": COUNT_BITS})),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        m.submodules.columns = columns = ColumnSums(p.lanes, ELEMENT, beats=p.row_elements // p.lanes)
        circuit = TopKCircuit(lanes=p.lanes, row_elements=p.row_elements, source=UINT32, result=Result.PAIRS)
        m.submodules.topk = topk = TopK(circuit)
        m.d.comb += topk.parameters.k.eq(self.parameters.k)
        self._rank(m, columns, topk)

        # Into the sums: attention; or a row of nothing, with which they are given; or what has been picked of them.
        fresh = Signal()  # it is the first row of attention that begins anew
        beat, picked = columns.i.payload, topk.o.payload
        with m.If(self.start):
            m.d.sync += fresh.eq(self.begins)
        with m.Elif(columns.i.valid & columns.i.ready & beat.last):
            m.d.sync += fresh.eq(0)
        with m.If(topk.o.valid):
            m.d.comb += [columns.i.valid.eq(1), topk.o.ready.eq(columns.i.ready), columns.begins.eq(1)]
            m.d.comb += [beat.keep.eq(picked.keep), beat.last.eq(picked.last)]
        with m.Elif(self.tokens.valid):
            m.d.comb += [columns.i.valid.eq(1), self.tokens.ready.eq(columns.i.ready), columns.gives.eq(1)]
            m.d.comb += [beat.keep.eq(self.tokens.payload.keep), beat.last.eq(self.tokens.payload.last)]
        with m.Else():
            m.d.comb += [columns.i.valid.eq(self.attention.valid), self.attention.ready.eq(columns.i.ready), columns.begins.eq(fresh)]
            m.d.comb += [beat.keep.eq(self.attention.payload.keep), beat.last.eq(self.attention.payload.last)]
        for lane in range(p.lanes):
            result, attention = picked.values[lane], self.attention.payload.values[lane]
            counts = self.attention.payload.keep[lane] & self.adds & ~self.tokens.valid
            m.d.comb += [
                beat.values[lane].eq(Mux(topk.o.valid, result.index.as_signed(), attention)),
                columns.added[lane].eq(Mux(topk.o.valid, result.score, Mux(counts, attention - self.zero_point, 0))),
            ]

        # What comes of the row of nothing is dropped.
        drops = Signal()
        with m.If(columns.i.valid & columns.i.ready & columns.gives):
            m.d.sync += drops.eq(1)
        with m.Elif(columns.o.valid & columns.o.ready & columns.o.payload.last):
            m.d.sync += drops.eq(0)
        m.d.comb += [
            self.o.payload.eq(columns.o.payload),
            self.o.valid.eq(columns.o.valid & ~drops),
            columns.o.ready.eq(self.o.ready | drops),
        ]
        return m

    def _rank(self, m: Module, columns: ColumnSums, topk: TopK) -> None:
        """The sums into the engine, those of protected tokens as the largest there are."""
        left = Signal(COUNT_BITS)  # protected ones from this beat on
        taken = columns.sums.valid & columns.sums.ready
        with m.If(delay(m, self.start, 1, reset_less=False)):
            m.d.sync += left.eq(self.parameters.protected)
        with m.Elif(taken):
            m.d.sync += left.eq(Mux(left > self._p.lanes, left - self._p.lanes, 0))
        sums = columns.sums.payload
        m.d.comb += [
            *(topk.i.valid.eq(columns.sums.valid), columns.sums.ready.eq(topk.i.ready)),
            *(topk.i.payload.keep.eq(sums.keep), topk.i.payload.last.eq(sums.last)),
            *(topk.i.payload.values[lane].eq(sums.values[lane] | (lane < left).replicate(32)) for lane in range(self._p.lanes)),
        ]

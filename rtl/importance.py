"""Which tokens matter: how much attention each received, and the top-k engine on it (SpAtten, arXiv 2012.09852).

The importance of a token is the sum of its column over all matrices of attention since it began, exact, in a memory that nothing else
reaches. Picking the most important ones leaves theirs in it, side by side.

softmax's results -> column sums -> results
            labels ->     |    ^
                          v    | scores of the picked ones, and their labels -> results
    scores, labels -> top-k engine -> labels
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.formats import INT16, UINT32
from .arch.parameters import MachineParameters
from .arch.steps import COUNT_BITS
from .arch.topk import COUNT_BITS as TOPK_COUNT_BITS
from .arch.topk import Result, TopKCircuit
from .column_sums import ColumnSums
from .delay import delay
from .elements import ELEMENT, beat_layout, turned
from .topk import TopK


class Importance(wiring.Component):
    """Members
    -------
    attention: rows of softmax's results, which ``o`` has again. row: a label for each token; ``o`` has those of the k most important
    tokens, in their order. Or, where it ``ranks``, scores: ``o`` then has of the row of ``labels`` those of the k largest.
    start: before the first row of each. adds: the attention is added to the importance; begins: which begins anew with it. zero_point: of
    the attention. parameters: there in the cycle after start: k, from 1 to the number of tokens; of these the first ``protected`` are
    picked in any case, and more important than all others from then on.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        rows = stream.Signature(beat_layout(parameters.lanes))
        super().__init__(
            {
                **{name: In(rows) for name in ("attention", "row", "labels")},
                "o": Out(rows),
                **{name: In(1) for name in ("start", "adds", "begins", "ranks")},
                "zero_point": In(ELEMENT),
                "parameters": In(data.StructLayout({"k": TOPK_COUNT_BITS, "protected": COUNT_BITS})),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        m.submodules.columns = columns = ColumnSums(p.lanes, ELEMENT, beats=p.row_elements // p.lanes)
        circuit = TopKCircuit(lanes=p.lanes, row_elements=p.row_elements, source=UINT32, result=Result.PAIRS)
        m.submodules.topk = topk = TopK(circuit, labelled=True)
        m.d.comb += topk.parameters.k.eq(self.parameters.k)
        self._rank(m, columns, topk)

        # Into the sums: attention; or labels, with which they are given; or what has been picked of them.
        fresh = Signal()  # it is the first row of attention that begins anew
        picked_token, token = topk.o.valid & ~self.ranks, self.row.valid & ~self.ranks
        beat, picked = columns.i.payload, topk.o.payload
        with m.If(self.start):
            m.d.sync += fresh.eq(self.begins)
        with m.Elif(columns.i.valid & columns.i.ready & beat.last):
            m.d.sync += fresh.eq(0)
        with m.If(picked_token):
            m.d.comb += [columns.i.valid.eq(1), topk.o.ready.eq(columns.i.ready), columns.begins.eq(1)]
            m.d.comb += [beat.keep.eq(picked.keep), beat.last.eq(picked.last)]
        with m.Elif(token):
            m.d.comb += [columns.i.valid.eq(1), self.row.ready.eq(columns.i.ready), columns.gives.eq(1)]
            m.d.comb += [beat.keep.eq(self.row.payload.keep), beat.last.eq(self.row.payload.last)]
        with m.Else():
            m.d.comb += [columns.i.valid.eq(self.attention.valid), self.attention.ready.eq(columns.i.ready), columns.begins.eq(fresh)]
            m.d.comb += [beat.keep.eq(self.attention.payload.keep), beat.last.eq(self.attention.payload.last)]
        for lane in range(p.lanes):
            result, attention, label = picked.values[lane], self.attention.payload.values[lane], self.row.payload.values[lane]
            counts = self.attention.payload.keep[lane] & self.adds & ~token
            m.d.comb += [
                beat.values[lane].eq(Mux(picked_token, result.index.as_signed(), Mux(token, label, attention))),
                columns.added[lane].eq(Mux(picked_token, result.score, Mux(counts, attention - self.zero_point, 0))),
            ]

        # The labels that come with the sums are dropped: the top-k engine has them.
        drops = Signal()
        with m.If(columns.i.valid & columns.i.ready & columns.gives):
            m.d.sync += drops.eq(1)
        with m.Elif(columns.o.valid & columns.o.ready & columns.o.payload.last):
            m.d.sync += drops.eq(0)
        results = self.o.payload
        m.d.comb += [
            results.eq(columns.o.payload),
            self.o.valid.eq(columns.o.valid & ~drops),
            columns.o.ready.eq(self.o.ready | drops),
        ]
        with m.If(self.ranks):
            m.d.comb += [self.o.valid.eq(topk.o.valid), topk.o.ready.eq(self.o.ready)]
            m.d.comb += [results.keep.eq(picked.keep), results.last.eq(picked.last)]
            m.d.comb += [results.values[lane].eq(picked.values[lane].index) for lane in range(p.lanes)]
        return m

    def _rank(self, m: Module, columns: ColumnSums, topk: TopK) -> None:
        """Into the engine the sums, those of protected tokens as the largest there are, and their labels, which pass by beside them; or
        scores and labels that come."""
        left = Signal(COUNT_BITS)  # protected ones from this beat on
        sums, labels, scores, ranked = columns.sums, columns.o.payload, self.row, topk.i.payload
        with m.If(delay(m, self.start, 1, reset_less=False)):
            m.d.sync += left.eq(self.parameters.protected)
        with m.Elif(sums.valid & sums.ready):
            m.d.sync += left.eq(Mux(left > self._p.lanes, left - self._p.lanes, 0))
        m.d.comb += [topk.i.valid.eq(sums.valid), sums.ready.eq(topk.i.ready)]
        m.d.comb += [ranked.keep.eq(sums.payload.keep), ranked.last.eq(sums.payload.last)]
        for lane in range(self._p.lanes):
            m.d.comb += ranked.values[lane].score.eq(sums.payload.values[lane] | (lane < left).replicate(32))
            m.d.comb += ranked.values[lane].label.eq(labels.values[lane])
        with m.If(self.ranks):
            m.d.comb += [
                topk.i.valid.eq(scores.valid & self.labels.valid),
                *(scores.ready.eq(self.labels.valid & topk.i.ready), self.labels.ready.eq(scores.valid & topk.i.ready)),
                *(ranked.keep.eq(scores.payload.keep), ranked.last.eq(scores.payload.last)),
                *(ranked.values[lane].score.eq(turned(scores.payload.values[lane], INT16)) for lane in range(self._p.lanes)),
                *(ranked.values[lane].label.eq(self.labels.payload.values[lane]) for lane in range(self._p.lanes)),
            ]

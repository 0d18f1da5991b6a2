"""Elementwise product, alone or where sums are made too (model: sw/golden/multiply.py).

A product of two operands is too wide for a multiplier block, but its low bits and the rest are not. At the result's scale it is the
weighted sum of these two (rtl/add.py), both with the multiplier as their weight: what adds needs one more block a lane to multiply.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .add import MAX_LEFT, SUM_LATENCY, TERM_BITS, join, lane_terms, operands_layout, weighted_sum
from .arch.blocks import ADD, MULTIPLY, LaneCircuit
from .arch.record import Record
from .delay import delay
from .elements import beat_layout
from .layouts import record_layout
from .multiplier import block_product
from .streams import Pipelined, Queue

LOW_BITS = MAX_LEFT  # of a product; the rest of it, which is that much to the left, has 18
PRODUCT_BITS = 2 * TERM_BITS - 1  # only the square of the lowest number of so many bits would have one more, and that is none
PRODUCT_LATENCY = 2

# Those of the chosen operation; the others are not read.
PARAMETERS = Record("add_or_multiply", (*ADD.fields, *(field for field in MULTIPLY.fields if field not in ADD.fields)))


class _Datapath(wiring.Component):
    latency = PRODUCT_LATENCY + SUM_LATENCY

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        streams = {"i": In(operands_layout(lanes)), "o": Out(beat_layout(lanes))}
        super().__init__({**streams, "multiplies": In(1), "parameters": In(record_layout(PARAMETERS))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        sums = Signal(record_layout(ADD))
        m.d.comb += [sums[field.name].eq(p[field.name]) for field in ADD.fields]
        with m.If(self.multiplies):
            m.d.comb += [sums[f"{of}_multiplier"].eq(p.multiplier) for of in "ab"]
            m.d.comb += [sums.a_left.eq(0), sums.b_left.eq(LOW_BITS)]
        for lane in range(self._lanes):
            terms = lane_terms(self.i, lane, p)
            product = block_product(m, platform, *terms, name=f"lane{lane}_product")
            parts = product[:LOW_BITS], product[LOW_BITS:PRODUCT_BITS].as_signed()
            a, b = (Mux(self.multiplies, part, delay(m, term, PRODUCT_LATENCY)) for part, term in zip(parts, terms, strict=True))
            m.d.comb += self.o.values[lane].eq(weighted_sum(m, platform, a, b, sums, name=f"lane{lane}"))
        m.d.comb += [self.o.keep.eq(delay(m, self.i.a.keep, self.latency)), self.o.last.eq(delay(m, self.i.a.last, self.latency))]
        return m


class AddOrMultiply(wiring.Component):
    """Add, or where ``multiplies`` Multiply, of the same multiplier blocks.

    Members
    -------
    a, b, o, unary: as of Add. multiplies: constant while rows are under way, as are the parameters.
    """

    latency = _Datapath.latency + Queue.latency

    def __init__(self, parameters: LaneCircuit) -> None:
        self._lanes = parameters.lanes
        beats = stream.Signature(beat_layout(self._lanes))
        streams = {"a": In(beats), "b": In(beats), "o": Out(beats)}
        super().__init__({**streams, "unary": In(1), "multiplies": In(1), "parameters": In(record_layout(PARAMETERS))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        datapath = _Datapath(self._lanes)
        m.submodules.pipeline = pipeline = Pipelined(datapath)
        m.d.comb += [datapath.parameters.eq(self.parameters), datapath.multiplies.eq(self.multiplies)]
        join(m, pipeline.i, self.a, self.b, unary=self.unary)
        connect(m, flipped(self.o), pipeline.o)
        return m


class Multiply(wiring.Component):
    """Multiplies two streams of rows, element by element, ``lanes`` per cycle.

    Members
    -------
    a, b: rows of the same length. o: the result. parameters: as MultiplyParameters; constant while rows are under way.
    """

    def __init__(self, parameters: LaneCircuit) -> None:
        self._circuit = parameters
        beats = stream.Signature(beat_layout(parameters.lanes))
        super().__init__({"a": In(beats), "b": In(beats), "parameters": In(record_layout(MULTIPLY)), "o": Out(beats)})

    @property
    def latency(self) -> int:
        """Cycles from a beat to its result when nothing waits."""
        return AddOrMultiply.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.product = product = AddOrMultiply(self._circuit)  # the tools leave out what only adds
        m.d.comb += [product.multiplies.eq(1), *(product.parameters[f.name].eq(self.parameters[f.name]) for f in MULTIPLY.fields)]
        connect(m, flipped(self.a), product.a)
        connect(m, flipped(self.b), product.b)
        connect(m, flipped(self.o), product.o)
        return m

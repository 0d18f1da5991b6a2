"""Residual add, and requantize between scales (model: sw/golden/add.py)."""

from amaranth.hdl import Module, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .arch import blocks
from .arch.blocks import LaneCircuit
from .arch.formats import MULTIPLIER_BITS
from .delay import delay
from .elements import beat_layout
from .layouts import record_layout
from .multiplier import block_product
from .requantizer import Rounder
from .streams import Pipelined, Queue

TERM_BITS = 17  # an int16 less its zero point
PRODUCT_BITS = TERM_BITS + MULTIPLIER_BITS
MAX_LEFT = (1 << blocks.ADD_LEFT_BITS) - 1
SUM_LATENCY = 3 + Rounder.latency  # of `weighted_sum`
# Cycles from its operands until each of the parameters is taken.
SUM_TAKES = {
    **dict.fromkeys(("a_zero_point", "b_zero_point", "a_multiplier", "b_multiplier", "a_left", "b_left"), 0),
    **{"shift": 3, "out_zero_point": SUM_LATENCY - 2, "low": SUM_LATENCY - 1, "high": SUM_LATENCY - 1},
}


def weighted_sum(m: Module, platform: object, a: Value, b: Value, p: data.View, *, name: str) -> Value:
    """The sum of two int16 less their zero points, `SUM_LATENCY` cycles later. p: AddParameters, each in the cycle that `SUM_TAKES`
    says. A term may have 18 bits where that makes the sum no wider."""
    terms = []
    for term, of in ((a, "a"), (b, "b")):
        left = p[f"{of}_left"]
        # One bit of the shift has room in the multiplier, so that the sum's cycle has less to do.
        product = block_product(m, platform, term, p[f"{of}_multiplier"] << left[0], name=f"{name}_{of}")
        terms.append(product << (delay(m, left[1:], 2) << 1))
    m.submodules[f"{name}_rounder"] = rounder = Rounder(PRODUCT_BITS + MAX_LEFT + 1)
    m.d.comb += [
        rounder.i.value.eq(delay(m, terms[0] + terms[1], 1)),
        rounder.i.shift.eq(p.shift),
        rounder.zero_point.eq(p.out_zero_point),
        rounder.low.eq(p.low),
        rounder.high.eq(p.high),
    ]
    return rounder.o


def operands_layout(lanes: int) -> data.StructLayout:
    """A beat of each operand."""
    return data.StructLayout({"a": beat_layout(lanes), "b": beat_layout(lanes)})


def lane_terms(operands: data.View, lane: int, p: data.View) -> tuple[Value, Value]:
    """A lane's elements of a and b less their zero points."""
    return operands.a.values[lane] - p.a_zero_point, operands.b.values[lane] - p.b_zero_point


def join(m: Module, operands: stream.Interface, a: stream.Interface, b: stream.Interface, *, unary: Value) -> None:
    """Take a beat of a and one of b at a time. unary: of a alone."""
    b_there = b.valid | unary
    m.d.comb += [
        operands.payload.a.eq(a.payload),
        operands.payload.b.eq(b.payload),
        operands.valid.eq(a.valid & b_there),
        a.ready.eq(operands.ready & b_there),
        b.ready.eq(operands.ready & a.valid & ~unary),
    ]


class _AddDatapath(wiring.Component):
    latency = SUM_LATENCY

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        members = {"i": In(operands_layout(lanes)), "o": Out(beat_layout(lanes)), "parameters": In(record_layout(blocks.ADD))}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        for lane in range(self._lanes):
            total = weighted_sum(m, platform, *lane_terms(self.i, lane, p), p, name=f"lane{lane}")
            m.d.comb += self.o.values[lane].eq(total)
        m.d.comb += [self.o.keep.eq(delay(m, self.i.a.keep, self.latency)), self.o.last.eq(delay(m, self.i.a.last, self.latency))]
        return m


class Add(wiring.Component):
    """Adds two streams of rows, or with ``unary`` rescales one, ``lanes`` elements per cycle.

    Members
    -------
    a, b: rows of the same length. o: the result. unary: b is not read; its multiplier must be 0.
    parameters: as AddParameters; constant while rows are under way.
    """

    def __init__(self, parameters: LaneCircuit) -> None:
        self._lanes = parameters.lanes
        beats = stream.Signature(beat_layout(self._lanes))
        super().__init__({"a": In(beats), "b": In(beats), "unary": In(1), "parameters": In(record_layout(blocks.ADD)), "o": Out(beats)})

    @property
    def latency(self) -> int:
        """Cycles from a beat to its result when nothing waits."""
        return _AddDatapath.latency + Queue.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        datapath = _AddDatapath(self._lanes)
        m.submodules.pipeline = pipeline = Pipelined(datapath)
        m.d.comb += datapath.parameters.eq(self.parameters)
        join(m, pipeline.i, self.a, self.b, unary=self.unary)
        connect(m, flipped(self.o), pipeline.o)
        return m

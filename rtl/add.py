"""Residual add, and requantize between scales (model: sw/golden/add.py)."""

from amaranth.hdl import Module, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .arch import blocks
from .arch.blocks import LaneCircuit
from .delay import delay
from .elements import beat_layout
from .layouts import record_layout
from .multiplier import block_product
from .requantizer import Rounder
from .streams import Pipelined, Queue

PRODUCT_BITS = 17 + 16  # an int16 less its zero point, times a multiplier
MAX_LEFT = (1 << blocks.ADD_LEFT_BITS) - 1
SUM_LATENCY = 3 + Rounder.latency  # of `weighted_sum`
# Cycles from its operands until each of the parameters is taken.
SUM_TAKES = {
    **dict.fromkeys(("a_zero_point", "b_zero_point", "a_multiplier", "b_multiplier", "a_left", "b_left"), 0),
    **{"shift": 3, "out_zero_point": SUM_LATENCY - 2, "low": SUM_LATENCY - 1, "high": SUM_LATENCY - 1},
}


def weighted_sum(m: Module, platform: object, a: Value, b: Value, p: data.View, *, name: str) -> Value:
    """The sum of two int16, `SUM_LATENCY` cycles later. p: AddParameters, each in the cycle that `SUM_TAKES` says."""
    terms = []
    for term, of in ((a, "a"), (b, "b")):
        left = p[f"{of}_left"]
        # One bit of the shift has room in the multiplier, so that the sum's cycle has less to do.
        product = block_product(m, platform, term - p[f"{of}_zero_point"], p[f"{of}_multiplier"] << left[0], name=f"{name}_{of}")
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


class _AddDatapath(wiring.Component):
    latency = SUM_LATENCY

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        beat = beat_layout(lanes)
        operands = data.StructLayout({"a": beat, "b": beat})
        super().__init__({"i": In(operands), "o": Out(beat), "parameters": In(record_layout(blocks.ADD))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        for lane in range(self._lanes):
            a, b = self.i.a.values[lane], self.i.b.values[lane]
            m.d.comb += self.o.values[lane].eq(weighted_sum(m, platform, a, b, p, name=f"lane{lane}"))
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
        b_there = self.b.valid | self.unary
        m.d.comb += [
            datapath.parameters.eq(self.parameters),
            pipeline.i.payload.a.eq(self.a.payload),
            pipeline.i.payload.b.eq(self.b.payload),
            pipeline.i.valid.eq(self.a.valid & b_there),
            self.a.ready.eq(pipeline.i.ready & b_there),
            self.b.ready.eq(pipeline.i.ready & self.a.valid & ~self.unary),
        ]
        connect(m, flipped(self.o), pipeline.o)
        return m

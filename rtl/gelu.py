"""GELU: ReLU minus a small table (model: sw/golden/gelu.py; Edge-MoE, arXiv 2305.18691)."""

from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .arch import blocks
from .arch.blocks import LaneCircuit
from .arch.tables import GELU_CORRECTION
from .delay import delay
from .elements import beat_layout
from .layouts import record_layout
from .requantizer import Requantizer, requantizer_latency
from .streams import Pipelined, Queue
from .table import TableLookup

FIXED_BITS = blocks.GELU_FIXED.bits


class _GeluDatapath(wiring.Component):
    latency = requantizer_latency(17) + 1 + TableLookup.latency + 1 + requantizer_latency(FIXED_BITS + 1)

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        super().__init__({"i": In(beat_layout(lanes)), "o": Out(beat_layout(lanes)), "parameters": In(record_layout(blocks.GELU))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        for lane in range(self._lanes):
            m.submodules[f"to_fixed{lane}"] = to_fixed = Requantizer(17, out_bits=FIXED_BITS)
            m.submodules[f"table{lane}"] = table = TableLookup(GELU_CORRECTION)
            m.submodules[f"to_out{lane}"] = to_out = Requantizer(FIXED_BITS + 1)
            x = to_fixed.o
            magnitude = Signal(FIXED_BITS - 1, name=f"magnitude_{lane}", reset_less=True)
            y = Signal(signed(FIXED_BITS + 1), name=f"y_{lane}", reset_less=True)
            m.d.comb += [
                to_fixed.i.value.eq(self.i.values[lane] - p.in_zero_point),
                to_fixed.i.multiplier.eq(p.in_multiplier),
                to_fixed.i.shift.eq(p.in_shift),
                to_fixed.low.eq(-blocks.GELU_FIXED.max),
                to_fixed.high.eq(blocks.GELU_FIXED.max),
                table.i.eq(magnitude[: GELU_CORRECTION.input_bits]),
                to_out.i.value.eq(y),
                to_out.i.multiplier.eq(p.out_multiplier),
                to_out.i.shift.eq(p.out_shift),
                to_out.zero_point.eq(p.out_zero_point),
                to_out.low.eq(p.low),
                to_out.high.eq(p.high),
                self.o.values[lane].eq(to_out.o),
            ]
            inside = delay(m, magnitude[GELU_CORRECTION.input_bits :] == 0, TableLookup.latency)
            relu = delay(m, Mux(x < 0, Const(0, signed(FIXED_BITS)), x), 1 + TableLookup.latency)
            m.d.sync += [magnitude.eq(Mux(x < 0, -x, x)), y.eq(relu - Mux(inside, table.o, 0))]
        m.d.comb += [self.o.keep.eq(delay(m, self.i.keep, self.latency)), self.o.last.eq(delay(m, self.i.last, self.latency))]
        return m


class Gelu(wiring.Component):
    """GELU of each element, ``lanes`` elements per cycle.

    Members
    -------
    i, o: rows. parameters: as GeluParameters; constant while rows are under way.
    """

    def __init__(self, parameters: LaneCircuit) -> None:
        self._lanes = parameters.lanes
        beats = stream.Signature(beat_layout(self._lanes))
        super().__init__({"i": In(beats), "parameters": In(record_layout(blocks.GELU)), "o": Out(beats)})

    @property
    def latency(self) -> int:
        """Cycles from a beat to its result when nothing waits."""
        return _GeluDatapath.latency + Queue.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        datapath = _GeluDatapath(self._lanes)
        m.submodules.pipeline = pipeline = Pipelined(datapath)
        m.d.comb += datapath.parameters.eq(self.parameters)
        connect(m, flipped(self.i), pipeline.i)
        connect(m, flipped(self.o), pipeline.o)
        return m

"""Single-pass softmax (model and method: sw/golden/softmax.py; Edge-MoE, arXiv 2305.18691).

scores -> 2**f and exponent -> fork -> row buffer ------------------> scale -> out
                                  \\-> running maximum and sum -> 1 / sum -/
"""

from functools import reduce

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .arch import blocks
from .arch.blocks import SOFTMAX_GUARD_BITS, SOFTMAX_MANTISSA_BITS, RowParameters
from .arch.tables import EXP2, EXP2_FRACTION_BITS, RECIPROCAL, RECIPROCAL_FRACTION_BITS
from .delay import delay
from .elements import beat_layout
from .layouts import record_layout
from .leading import leading_one
from .requantizer import Requantizer
from .streams import Pipelined, Queue
from .table import TableLookup

LOG2_BITS = 32  # of t = q * scale * log2(e)
EXPONENT = signed(LOG2_BITS - EXP2_FRACTION_BITS)
MANTISSA = unsigned(SOFTMAX_MANTISSA_BITS + 1)
GROUP_SUM_BITS = MANTISSA.width + SOFTMAX_GUARD_BITS + 6  # 64 lanes
SUM_BITS = MANTISSA.width + SOFTMAX_GUARD_BITS + 13 + 1  # 8,192 elements
UNIT_BITS = SOFTMAX_MANTISSA_BITS + SOFTMAX_GUARD_BITS  # position of one in a sum
WEIGHT_BITS = 18  # of 1 / sum times the output scale
MAX_SHIFT = 62
SCALE_SHIFT = signed(EXPONENT.width + 2)


def _row_beat(lanes: int) -> data.StructLayout:
    """A beat as the row buffer holds it."""
    return data.StructLayout(
        {"mantissa": data.ArrayLayout(MANTISSA, lanes), "exponent": data.ArrayLayout(EXPONENT, lanes), "keep": lanes, "last": 1}
    )


def _shift_right(value: Value, by: Value) -> Value:
    """``value >> by`` for any ``by`` that is not negative."""
    bits = len(value).bit_length()
    return Mux(by[bits:].any(), 0, value >> by[:bits])


class _Exponentiate(wiring.Component):
    """Each score to mantissa and exponent, and the maximum and sum of the beat."""

    latency = Requantizer.latency + TableLookup.latency + 3

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        result = data.StructLayout({"beat": _row_beat(lanes), "maximum": EXPONENT, "sum": GROUP_SUM_BITS})
        super().__init__({"i": In(beat_layout(lanes)), "o": Out(result), "parameters": In(record_layout(blocks.SOFTMAX))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ready = self.latency - 3  # cycles until mantissa and exponent
        keep = delay(m, self.i.keep, ready)
        mantissas, exponents = [], []
        for lane in range(self._lanes):
            m.submodules[f"to_log2_{lane}"] = to_log2 = Requantizer(16, out_bits=LOG2_BITS)
            m.submodules[f"exp2_{lane}"] = exp2 = TableLookup(EXP2)
            m.d.comb += [
                to_log2.i.value.eq(self.i.values[lane]),
                to_log2.i.multiplier.eq(self.parameters.multiplier),
                to_log2.i.shift.eq(self.parameters.shift),
                to_log2.low.eq(-(1 << (LOG2_BITS - 1))),
                to_log2.high.eq((1 << (LOG2_BITS - 1)) - 1),
                exp2.i.eq(to_log2.o[:EXP2_FRACTION_BITS]),
            ]
            mantissa, exponent = Signal(MANTISSA, name=f"mantissa_{lane}"), Signal(EXPONENT, name=f"exponent_{lane}")
            floor = delay(m, to_log2.o[EXP2_FRACTION_BITS:].as_signed(), TableLookup.latency)
            m.d.comb += [
                mantissa.eq(Mux(keep[lane], exp2.o, 0)),
                exponent.eq(Mux(keep[lane], floor, Const(-(1 << (EXPONENT.width - 1)), EXPONENT))),
            ]
            mantissas.append(mantissa)
            exponents.append(exponent)
        maximum, total = Signal(EXPONENT, reset_less=True), Signal(GROUP_SUM_BITS, reset_less=True)
        m.d.sync += maximum.eq(reduce(lambda a, b: Mux(a > b, a, b), exponents))
        terms = []
        for lane, (mantissa, exponent) in enumerate(zip(mantissas, exponents, strict=True)):
            term = Signal(MANTISSA.width + SOFTMAX_GUARD_BITS, name=f"term_{lane}", reset_less=True)
            below = (maximum - delay(m, exponent, 1))[: EXPONENT.width]
            m.d.sync += term.eq(_shift_right(Cat(Const(0, SOFTMAX_GUARD_BITS), delay(m, mantissa, 1)), below))
            terms.append(term)
        m.d.sync += total.eq(sum(terms[1:], terms[0]))
        beat = self.o.beat
        for lane in range(self._lanes):
            m.d.comb += [
                beat.mantissa[lane].eq(delay(m, mantissas[lane], 3)),
                beat.exponent[lane].eq(delay(m, exponents[lane], 3)),
            ]
        m.d.comb += [
            beat.keep.eq(delay(m, keep, 3)),
            beat.last.eq(delay(m, self.i.last, self.latency)),
            self.o.maximum.eq(delay(m, maximum, 2)),
            self.o.sum.eq(total),
        ]
        return m


_ROW = data.StructLayout({"maximum": EXPONENT, "sum": SUM_BITS})
_FACTOR = data.StructLayout({"weight": WEIGHT_BITS, "shift": SCALE_SHIFT})


class _RowFactor(wiring.Component):
    """Maximum and sum of a row to the factor that its mantissas are multiplied with."""

    latency = 2 + TableLookup.latency + Requantizer.latency

    def __init__(self) -> None:
        super().__init__({"i": In(_ROW), "o": Out(_FACTOR), "parameters": In(record_layout(blocks.SOFTMAX))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.reciprocal = reciprocal = TableLookup(RECIPROCAL)
        m.submodules.to_out = to_out = Requantizer(RECIPROCAL.base_bits + 1, out_bits=WEIGHT_BITS + 1)
        leading = leading_one(m, self.i.sum, "leading")
        position, total = Signal.like(leading, reset_less=True), Signal(SUM_BITS, reset_less=True)
        fraction = Signal(RECIPROCAL_FRACTION_BITS, reset_less=True)
        m.d.sync += [
            position.eq(leading),
            total.eq(self.i.sum),
            # the bits below the leading one
            fraction.eq((total >> (position - RECIPROCAL_FRACTION_BITS)[: len(position)])[:RECIPROCAL_FRACTION_BITS]),
        ]
        shift = Signal(SCALE_SHIFT, reset_less=True)
        m.d.sync += shift.eq(delay(m, self.i.maximum, 1) + position - UNIT_BITS + self.parameters.out_shift)
        m.d.comb += [
            reciprocal.i.eq(fraction),
            to_out.i.value.eq(reciprocal.o),
            to_out.i.multiplier.eq(self.parameters.out_multiplier),
            to_out.i.shift.eq(16),
            to_out.low.eq(0),
            to_out.high.eq((1 << WEIGHT_BITS) - 1),
            self.o.weight.eq(to_out.o),
            self.o.shift.eq(delay(m, shift, self.latency - 2)),
        ]
        return m


class _Scale(wiring.Component):
    """Mantissas times the row's factor, requantized."""

    latency = 1 + Requantizer.latency

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        operands = data.StructLayout({"beat": _row_beat(lanes), "factor": _FACTOR})
        super().__init__({"i": In(operands), "o": Out(beat_layout(lanes)), "parameters": In(record_layout(blocks.SOFTMAX))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, beat, factor = self.parameters, self.i.beat, self.i.factor
        for lane in range(self._lanes):
            m.submodules[f"to_out{lane}"] = to_out = Requantizer(MANTISSA.width + 1, multiplier_bits=WEIGHT_BITS)
            shift = factor.shift - beat.exponent[lane]  # never negative
            m.d.comb += [
                to_out.i.value.eq(delay(m, beat.mantissa[lane], 1)),
                to_out.i.multiplier.eq(delay(m, factor.weight, 1)),
                to_out.i.shift.eq(delay(m, Mux(shift > MAX_SHIFT, MAX_SHIFT, shift), 1)),
                to_out.zero_point.eq(p.out_zero_point),
                to_out.low.eq(p.low),
                to_out.high.eq(p.high),
                self.o.values[lane].eq(to_out.o),
            ]
        m.d.comb += [self.o.keep.eq(delay(m, beat.keep, self.latency)), self.o.last.eq(delay(m, beat.last, self.latency))]
        return m


class Softmax(wiring.Component):
    """Softmax of each row, ``lanes`` elements per cycle, rows of 1 to ``row_elements`` elements.

    Members
    -------
    i, o: rows. parameters: as SoftmaxParameters; constant while rows are under way.
    """

    def __init__(self, parameters: RowParameters) -> None:
        self._p = parameters
        beats = stream.Signature(beat_layout(parameters.lanes))
        super().__init__({"i": In(beats), "parameters": In(record_layout(blocks.SOFTMAX)), "o": Out(beats)})

    @property
    def latency(self) -> int:
        """Cycles from a row's last beat to its first result when nothing waits."""
        return _Exponentiate.latency + _RowFactor.latency + _Scale.latency + 4 * Queue.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self._p.lanes
        exponentiate, factor, scale = _Exponentiate(lanes), _RowFactor(), _Scale(lanes)
        for datapath in (exponentiate, factor, scale):
            m.d.comb += datapath.parameters.eq(self.parameters)
        m.submodules.exponentiate = front = Pipelined(exponentiate)
        m.submodules.row_factor = factors = Pipelined(factor)
        m.submodules.scale = back = Pipelined(scale)
        # Room for the longest row, and for the next row's head while the factor is computed.
        m.submodules.rows = rows = Queue(_row_beat(lanes), depth=-(-self._p.row_elements // lanes) + 32)
        m.submodules.sums = sums = Queue(_ROW, depth=3)
        connect(m, flipped(self.i), front.i)
        connect(m, sums.o, factors.i)

        # Running maximum and sum: when the maximum rises, the sum is shifted down.
        beat = front.o.payload
        first = Signal(init=1)
        maximum, total = Signal(EXPONENT), Signal(SUM_BITS)
        new_maximum, new_total = Signal(EXPONENT), Signal(SUM_BITS)
        rises = first | (beat.maximum > maximum)
        m.d.comb += [
            new_maximum.eq(Mux(rises, beat.maximum, maximum)),
            new_total.eq(
                Mux(first, 0, _shift_right(total, (new_maximum - maximum)[: EXPONENT.width]))
                + _shift_right(beat.sum, (new_maximum - beat.maximum)[: EXPONENT.width])
            ),
        ]
        taken = front.o.valid & rows.i.ready & sums.i.ready
        m.d.comb += [
            front.o.ready.eq(taken),
            rows.i.valid.eq(taken),
            rows.i.payload.eq(beat.beat),
            sums.i.valid.eq(taken & beat.beat.last),
            sums.i.payload.maximum.eq(new_maximum),
            sums.i.payload.sum.eq(new_total),
        ]
        with m.If(taken):
            m.d.sync += [first.eq(beat.beat.last), maximum.eq(new_maximum), total.eq(new_total)]

        given = rows.o.valid & factors.o.valid & back.i.ready
        m.d.comb += [
            back.i.payload.beat.eq(rows.o.payload),
            back.i.payload.factor.eq(factors.o.payload),
            back.i.valid.eq(rows.o.valid & factors.o.valid),
            rows.o.ready.eq(given),
            factors.o.ready.eq(given & rows.o.payload.last),
        ]
        connect(m, flipped(self.o), back.o)
        return m

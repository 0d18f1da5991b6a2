"""The first half of softmax, also streaming attention's: scores as they come, to weights in relation to their running maximum, and when
the row ends to the factor that makes probabilities of them (model: sw/golden/softmax.py).

scores -> mask -> exp -> running maximum -> stored
                                        \\-> sum -> 1 / sum -> factor
"""

from collections.abc import Mapping

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In
from amaranth.utils import ceil_log2

from .arch.softmax import BELOW_BITS, COARSE_BITS, Mask, SoftmaxCircuit
from .delay import delay
from .elements import beat_layout, element_shape
from .exponential import Exponential
from .layouts import record_layout
from .reduction import reduce_tree, reduction_latency
from .row_weight import WEIGHT_SHIFT, RowWeight
from .rowwise import front_ports
from .select import select

_BYTE = 1 << COARSE_BITS
_FURTHEST = (1 << BELOW_BITS) - 1


def limited(value: Value) -> Value:
    """A number of steps, not negative, limited to _FURTHEST."""
    return Mux(value[BELOW_BITS:].any(), _FURTHEST, value[:BELOW_BITS])


def bytes_down(value: Value, steps: Value) -> Value:
    """``value >> (8 * steps)``."""
    rest = value[-1:].as_signed() if value.shape().signed else Const(0, 1)
    options = [value[start:] for start in range(0, len(value), _BYTE)]
    if value.shape().signed:
        options = [option.as_signed() for option in options]
    return select(steps, [*options, rest][: _FURTHEST + 1])


def stored_layout(circuit: SoftmaxCircuit, reference: Shape) -> data.StructLayout:
    """A beat of weights: ``below`` is how far an element's exponent lies below the beat's reference, the running maximum."""
    element = data.StructLayout({"mantissa": circuit.precision.mantissa_bits + 1, "fine": COARSE_BITS, "below": BELOW_BITS})
    return data.StructLayout({"elements": data.ArrayLayout(element, circuit.lanes), "reference": reference})


def factor_layout(circuit: SoftmaxCircuit, reference: Shape) -> data.StructLayout:
    """What a row's mantissas are multiplied with, ``weight / 2**shift``, relative to the row's last reference."""
    return data.StructLayout({"weight": circuit.precision.weight_bits, "shift": WEIGHT_SHIFT, "reference": reference})


class SoftmaxFront(wiring.Component):
    """Scores to mantissas and exponents, their running maximum, their sum and its reciprocal."""

    def __init__(self, circuit: SoftmaxCircuit, fixed: Mapping[str, int] | None) -> None:
        self._circuit = circuit
        self._exponential = Exponential(circuit, fixed)
        p, lanes = circuit.precision, circuit.lanes
        self.reference_shape = signed(self._exponential.exponent_shape.width - COARSE_BITS)
        self._term_bits = p.sum_bits + _BYTE
        self._sum_bits = self._term_bits + ceil_log2(circuit.row_elements)
        self._row_weight = RowWeight(p, self._sum_bits)
        ports = front_ports(
            beat_layout(lanes, element_shape(circuit.source)),
            stored_layout(circuit, self.reference_shape),
            factor_layout(circuit, self.reference_shape),
        )
        super().__init__({**ports, "parameters": In(record_layout(circuit.record))})

    @property
    def latency(self) -> int:
        return self._exponential.latency + reduction_latency(self._circuit.lanes) + 2

    @property
    def factor_latency(self) -> int:
        return self.latency + 2 + reduction_latency(self._circuit.lanes) + 1 + self._row_weight.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        elements = self._relate(m)
        m.submodules.row_weight = row_weight = self._row_weight
        m.d.comb += [
            row_weight.total.eq(self._add(m, elements)),
            row_weight.out_multiplier.eq(self.parameters.out_multiplier),
            row_weight.out_shift.eq(self.parameters.out_shift),
            self.factor.weight.eq(row_weight.weight),
            self.factor.shift.eq(row_weight.shift),
            self.factor.reference.eq(delay(m, self.stored.reference, self.factor_latency - self.latency)),
        ]
        return m

    def _relate(self, m: Module) -> data.View:
        """Mantissas and exponents, the latter in relation to the running maximum: the ``stored`` beat."""
        lanes = self._circuit.lanes
        m.submodules.exponential = exponential = self._exponential
        counts = delay(m, self._counted(m), exponential.latency - 1)
        m.d.comb += [exponential.i.eq(self.i.values), exponential.parameters.eq(self.parameters)]
        mantissas, coarse, fine = [], [], []
        lowest = Const(-(1 << (self.reference_shape.width - 1)), self.reference_shape)
        for lane in range(lanes):
            exponent = exponential.exponent[lane]
            mantissas.append(Mux(counts[lane], exponential.mantissa[lane], 0))
            coarse.append(Mux(counts[lane], exponent[COARSE_BITS:].as_signed(), lowest))
            fine.append(exponent[:COARSE_BITS])
        tree = reduction_latency(lanes)
        largest = reduce_tree(m, coarse, lambda a, b: Mux(a > b, a, b), "largest")
        valid, first = (delay(m, bit, exponential.latency + tree, reset_less=False) for bit in (self.valid, self.first))
        reference, before = (Signal(self.reference_shape, name=name, reset_less=True) for name in ("reference", "reference_before"))
        with m.If(valid):
            m.d.sync += [reference.eq(Mux(first | (largest > reference), largest, reference)), before.eq(reference)]
        self._rise = Signal(BELOW_BITS, reset_less=True)
        m.d.sync += self._rise.eq(limited((reference - before)[: self.reference_shape.width]))
        for lane in range(lanes):
            element = self.stored.elements[lane]
            below = (reference - delay(m, coarse[lane], tree + 1))[: self.reference_shape.width]
            m.d.comb += [
                element.mantissa.eq(delay(m, mantissas[lane], tree + 2)),
                element.fine.eq(delay(m, fine[lane], tree + 2)),
                element.below.eq(delay(m, limited(below), 1)),
            ]
        m.d.comb += self.stored.reference.eq(delay(m, reference, 1))
        return self.stored.elements

    def _counted(self, m: Module) -> Value:
        """The lanes whose elements count, a cycle later."""
        lanes, p = self._circuit.lanes, self.parameters
        keep = delay(m, self.i.keep, 1)
        if self._circuit.mask is Mask.NONE:
            return keep
        # Elements of the row that count, known a cycle after the row's beat; and those from here on, of the beats after this one.
        limit, left = Signal(range(2 * 65536 + 1)), Signal(range(2 * 65536 + 1), reset_less=True)
        row = Signal(16)
        m.d.sync += limit.eq(p.length + row)
        if self._circuit.mask is Mask.CAUSAL:
            last_row = Signal(16)
            m.d.sync += last_row.eq(p.rows - 1)
            with m.If(self.valid & self.i.last):
                m.d.sync += row.eq(Mux(row == last_row, 0, row + 1))
        here = Mux(delay(m, self.first, 1), limit, left)
        with m.If(delay(m, self.valid, 1, reset_less=False)):
            m.d.sync += left.eq(Mux(here > lanes, here - lanes, 0))
        return keep & Cat(here > lane for lane in range(lanes))

    def _add(self, m: Module, elements: data.View) -> Value:
        """The running sum, `factor_latency` less RowWeight's cycles after the row's last beat."""
        circuit, p = self._circuit, self._circuit.precision
        terms = []
        for lane in range(circuit.lanes):
            element = elements[lane]
            fine_bits = p.mantissa_bits + _BYTE
            placed = Signal(fine_bits, name=f"placed_{lane}", reset_less=True)
            term = Signal(self._term_bits, name=f"term_{lane}", reset_less=True)
            m.d.sync += [
                placed.eq(element.mantissa << element.fine),
                term.eq(bytes_down(placed << (p.sum_bits - p.mantissa_bits), delay(m, element.below, 1))),
            ]
            terms.append(term)
        group = reduce_tree(m, terms, lambda a, b: a + b, "group")
        cycles = 2 + reduction_latency(circuit.lanes)
        valid, first = (delay(m, bit, self.latency + cycles, reset_less=False) for bit in (self.valid, self.first))
        rise, total = delay(m, self._rise, cycles), Signal(self._sum_bits, reset_less=True)
        with m.If(valid):
            m.d.sync += total.eq(Mux(first, 0, bytes_down(total, rise)) + group)
        return total

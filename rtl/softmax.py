"""Single-pass softmax (model and method: sw/golden/softmax.py; Edge-MoE, arXiv 2305.18691).

scores -> mask -> exp -> running maximum -> row memory ---> scale -> out
                                        \\-> sum -> 1 / sum -/
"""

from collections.abc import Mapping

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from .arch.blocks import BlockError
from .arch.formats import SHIFT_BITS
from .arch.softmax import BELOW_BITS, COARSE_BITS, OUT_MULTIPLIER_BITS, Mask, SoftmaxCircuit
from .column_sums import SUM, ColumnSums
from .delay import delay
from .elements import beat_layout, element_shape
from .exponential import Exponential
from .layouts import parameter_port, parameter_values, record_layout
from .multiplier import multiply, product_latency
from .normaliser import Normaliser
from .reduction import reduce_tree, reduction_latency
from .requantizer import Rounder
from .rounding import select
from .rowwise import Rowwise, back_ports, front_ports
from .table import TableLookup

_BYTE = 1 << COARSE_BITS
_FURTHEST = (1 << BELOW_BITS) - 1
_SCALE_SHIFT = signed(9)


def _limited(value: Value) -> Value:
    """A number of steps, not negative, limited to _FURTHEST."""
    return Mux(value[BELOW_BITS:].any(), _FURTHEST, value[:BELOW_BITS])


def _bytes_down(value: Value, steps: Value) -> Value:
    """``value >> (8 * steps)``."""
    return select(steps, [*(value[start:] for start in range(0, len(value), _BYTE)), Const(0, 1)][: _FURTHEST + 1])


def _shift(value: Value) -> Value:
    """A signed number limited to 0..63."""
    return Mux(value[-1], 0, value[:SHIFT_BITS] | value[SHIFT_BITS:-1].any().replicate(SHIFT_BITS))


def _stored_layout(circuit: SoftmaxCircuit, reference: Shape) -> data.StructLayout:
    """A beat as the row memory holds it: ``below`` is how far an element's exponent lies below the beat's reference."""
    element = data.StructLayout({"mantissa": circuit.precision.mantissa_bits + 1, "fine": COARSE_BITS, "below": BELOW_BITS})
    return data.StructLayout({"elements": data.ArrayLayout(element, circuit.lanes), "reference": reference})


def _factor_layout(circuit: SoftmaxCircuit, reference: Shape) -> data.StructLayout:
    """What a row's mantissas are multiplied with, ``weight / 2**shift``, relative to the row's last reference."""
    return data.StructLayout({"weight": circuit.precision.weight_bits, "shift": _SCALE_SHIFT, "reference": reference})


class _Front(wiring.Component):
    """Scores to mantissas and exponents, their running maximum, their sum and its reciprocal."""

    def __init__(self, circuit: SoftmaxCircuit, fixed: Mapping[str, int] | None) -> None:
        self._circuit = circuit
        self._exponential = Exponential(circuit, fixed)
        p, lanes = circuit.precision, circuit.lanes
        self.reference_shape = signed(self._exponential.exponent_shape.width - COARSE_BITS)
        self._term_bits = p.sum_bits + _BYTE
        self._sum_bits = self._term_bits + ceil_log2(circuit.row_elements)
        self._normaliser = Normaliser(self._sum_bits)
        ports = front_ports(
            beat_layout(lanes, element_shape(circuit.source)),
            _stored_layout(circuit, self.reference_shape),
            _factor_layout(circuit, self.reference_shape),
        )
        super().__init__({**ports, "parameters": In(record_layout(circuit.record))})

    @property
    def latency(self) -> int:
        return self._exponential.latency + reduction_latency(self._circuit.lanes) + 2

    @property
    def factor_latency(self) -> int:
        to_sum = self.latency + 2 + reduction_latency(self._circuit.lanes) + 1
        return to_sum + self._normaliser.latency + TableLookup.latency + self._product_latency + 2

    @property
    def _product_latency(self) -> int:
        return product_latency(unsigned(self._circuit.precision.reciprocal.base_bits), unsigned(OUT_MULTIPLIER_BITS))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        elements = self._relate(m)
        total = self._add(m, elements)
        self._invert(m, total)
        return m

    def _relate(self, m: Module) -> data.View:
        """Mantissas and exponents, the latter in relation to the running maximum: the ``stored`` beat."""
        lanes = self._circuit.lanes
        m.submodules.exponential = exponential = self._exponential
        counts = delay(m, self._counted(m), exponential.latency)
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
        m.d.sync += self._rise.eq(_limited((reference - before)[: self.reference_shape.width]))
        for lane in range(lanes):
            element = self.stored.elements[lane]
            below = (reference - delay(m, coarse[lane], tree + 1))[: self.reference_shape.width]
            m.d.comb += [
                element.mantissa.eq(delay(m, mantissas[lane], tree + 2)),
                element.fine.eq(delay(m, fine[lane], tree + 2)),
                element.below.eq(delay(m, _limited(below), 1)),
            ]
        m.d.comb += self.stored.reference.eq(delay(m, reference, 1))
        return self.stored.elements

    def _counted(self, m: Module) -> Value:
        """The lanes whose elements count."""
        lanes, p = self._circuit.lanes, self.parameters
        keep = self.i.keep
        if self._circuit.mask is Mask.NONE:
            return keep
        # Elements that count from here on: in the row, of the beats after this one.
        limit, left = Signal(range(2 * 65536 + 1)), Signal(range(2 * 65536 + 1), reset_less=True)
        here = Mux(self.first, limit, left)
        with m.If(self.valid):
            m.d.sync += left.eq(Mux(here > lanes, here - lanes, 0))
        m.d.sync += limit.eq(p.length)
        if self._circuit.mask is Mask.CAUSAL:
            row, following = Signal(16), Signal(16)
            m.d.comb += following.eq(row)
            with m.If(self.valid & self.i.last):
                m.d.comb += following.eq(Mux(row == p.rows - 1, 0, row + 1))
            m.d.sync += [row.eq(following), limit.eq(p.length + following)]
        return keep & Cat(here > lane for lane in range(lanes))

    def _add(self, m: Module, elements: data.View) -> Value:
        """The running sum, `factor_latency` less `_invert`'s cycles after the row's last beat."""
        circuit, p = self._circuit, self._circuit.precision
        terms = []
        for lane in range(circuit.lanes):
            element = elements[lane]
            fine_bits = p.mantissa_bits + _BYTE
            placed = Signal(fine_bits, name=f"placed_{lane}", reset_less=True)
            term = Signal(self._term_bits, name=f"term_{lane}", reset_less=True)
            m.d.sync += [
                placed.eq(element.mantissa << element.fine),
                term.eq(_bytes_down(placed << (p.sum_bits - p.mantissa_bits), delay(m, element.below, 1))),
            ]
            terms.append(term)
        group = reduce_tree(m, terms, lambda a, b: a + b, "group")
        cycles = 2 + reduction_latency(circuit.lanes)
        valid, first = (delay(m, bit, self.latency + cycles, reset_less=False) for bit in (self.valid, self.first))
        rise, total = delay(m, self._rise, cycles), Signal(self._sum_bits, reset_less=True)
        with m.If(valid):
            m.d.sync += total.eq(Mux(first, 0, _bytes_down(total, rise)) + group)
        return total

    def _invert(self, m: Module, total: Value) -> None:
        """The row's factor from its sum."""
        p, width = self._circuit.precision, self._sum_bits
        m.submodules.normaliser = normaliser = self._normaliser
        m.submodules.reciprocal = reciprocal = TableLookup(p.reciprocal)
        m.d.comb += [
            normaliser.i.eq(total),
            reciprocal.i.eq(normaliser.o[width - 1 - p.reciprocal_bits : width - 1]),  # below the leading one
        ]
        product = multiply(m, reciprocal.o, self.parameters.out_multiplier, name="scaled")
        top = p.reciprocal_bits + OUT_MULTIPLIER_BITS
        small = ~product[top - 1]
        scaled = Signal(top, reset_less=True)
        rest = top - p.weight_bits
        weight, floor = Signal(p.weight_bits, reset_less=True), scaled[rest:]
        up = scaled[rest - 1] & (scaled[: rest - 1].any() | floor[0]) & ~floor.all()
        shift = Signal(_SCALE_SHIFT, reset_less=True)
        cycles = TableLookup.latency + self._product_latency
        position = width - 1 - p.sum_bits + p.weight_bits - OUT_MULTIPLIER_BITS - normaliser.shift
        m.d.sync += [
            scaled.eq(Mux(small, product << 1, product)),
            weight.eq(floor + up),
            shift.eq(delay(m, position, cycles) + delay(m, small, 0) + self.parameters.out_shift),
        ]
        m.d.comb += [
            self.factor.weight.eq(weight),
            self.factor.shift.eq(delay(m, shift, 1)),
            self.factor.reference.eq(delay(m, self.stored.reference, self.factor_latency - self.latency)),
        ]


class _Back(wiring.Component):
    """Mantissas times the row's factor, rounded."""

    def __init__(self, circuit: SoftmaxCircuit, reference: Shape) -> None:
        self._circuit = circuit
        out = data.ArrayLayout(element_shape(circuit.out), circuit.lanes)
        ports = back_ports(_stored_layout(circuit, reference), _factor_layout(circuit, reference), out)
        super().__init__({**ports, "parameters": In(record_layout(circuit.record))})

    @property
    def _product_latency(self) -> int:
        p = self._circuit.precision
        return product_latency(unsigned(p.mantissa_bits + 1), unsigned(p.weight_bits))

    @property
    def latency(self) -> int:
        return 2 + self._product_latency + Rounder.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        circuit, stored, factor = self._circuit, self.i.stored, self.i.factor
        rise = delay(m, _limited((factor.reference - stored.reference)[: len(stored.reference)]), 1)
        weight, row_shift = delay(m, factor.weight, 2), delay(m, factor.shift, 1)
        for lane in range(circuit.lanes):
            element = stored.elements[lane]
            # weight * mantissa / 2**(row_shift - fine + 8 * (below + rise))
            steps = delay(m, _limited(delay(m, element.below, 1) + rise), 1)
            partial = delay(m, row_shift - delay(m, element.fine, 1), 1)
            product = multiply(m, delay(m, element.mantissa, 2), weight, name=f"product_{lane}")
            m.submodules[f"rounder_{lane}"] = rounder = Rounder(len(product), out_bits=circuit.out.bits)
            m.d.comb += [
                rounder.i.value.eq(product),
                rounder.i.shift.eq(delay(m, _shift(partial + (steps << COARSE_BITS)), self._product_latency)),
                rounder.zero_point.eq(self.parameters.out_zero_point),
                rounder.low.eq(self.parameters.low),
                rounder.high.eq(self.parameters.high),
                self.o[lane].eq(rounder.o ^ circuit.out.offset),
            ]
        return m


class Softmax(wiring.Component):
    """Softmax of each row, ``lanes`` elements per cycle, rows of 1 to ``row_elements`` elements.

    fixed: values of the run-time parameters, as SoftmaxParameters, that are built in.

    Members
    -------
    i, o: rows of the circuit's formats. parameters: as SoftmaxParameters; constant while rows are under way.
    sums: with column_sums, a row for each matrix: the sums of its columns, in output steps above the zero point (rtl/column_sums.py).
    errors: BlockError bits of the rows that have been dropped since ``clear``.
    """

    def __init__(self, circuit: SoftmaxCircuit, fixed: Mapping[str, int] | None = None) -> None:
        self._circuit, self._fixed = circuit, fixed
        self._front = _Front(circuit, fixed)
        self._back = _Back(circuit, self._front.reference_shape)
        self._rows = Rowwise(circuit, self._front, self._back)
        lanes = circuit.lanes
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(lanes, element_shape(circuit.source)))),
                "o": Out(stream.Signature(beat_layout(lanes, element_shape(circuit.out)))),
                **({"sums": Out(stream.Signature(beat_layout(lanes, SUM)))} if circuit.column_sums else {}),
                "errors": Out(len(BlockError)),
                "clear": In(1),
                **parameter_port(circuit.record, fixed),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a row's last beat to its first result when nothing waits."""
        return self._rows.latency + (ColumnSums.latency if self._circuit.column_sums else 0)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.rows = rows = self._rows
        circuit, parameters = self._circuit, parameter_values(self, self._circuit.record, self._fixed)
        connect(m, flipped(self.i), rows.i)
        results = rows.o
        if circuit.column_sums:
            beats = -(-circuit.row_elements // circuit.lanes)
            m.submodules.column_sums = columns = ColumnSums(circuit.lanes, element_shape(circuit.out), beats=beats)
            connect(m, rows.o, columns.i)
            connect(m, flipped(self.sums), columns.sums)
            m.d.comb += [columns.rows.eq(parameters.rows), columns.zero_point.eq(parameters.out_zero_point + circuit.out.offset)]
            results = columns.o
        connect(m, flipped(self.o), results)
        m.d.comb += [
            self._front.parameters.eq(parameters),
            self._back.parameters.eq(parameters),
            rows.refuse.eq((parameters.multiplier == 0) | (parameters.out_multiplier == 0)),
            self.errors.eq(rows.errors),
            rows.clear.eq(self.clear),
        ]
        return m

"""LayerNorm and RMSNorm in one pass (model and method: sw/golden/layernorm.py).

rows -> row memory --------------------------------------------> normalise, gamma, beta -> out
    \\-> sums -> mean ------------------------> scale, offset -/
             \\-> variance -> 1 / sqrt(variance) -/
"""

from collections.abc import Mapping

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from .affine import AFFINE, Affine
from .arch.blocks import BlockError
from .arch.formats import SHIFT_BITS
from .arch.layernorm import ELEMENTS_BITS, GUARD_BITS, LAYERNORM, SCALE_BITS, Z_BITS, Z_FRACTION_BITS, LayerNormCircuit
from .arch.tables import RSQRT, RSQRT_FRACTION_BITS, RSQRT_MANTISSA_BITS
from .delay import delay, lane_copy
from .divider import Divider
from .elements import ELEMENT, beat_layout, element_shape
from .layouts import parameter_port, parameter_values, record_layout
from .multiplier import block_product, multiply_registered, product_latency
from .normaliser import Normaliser
from .reduction import reduce_tree, reduction_latency
from .requantizer import Rounder
from .rounding import SPLIT_LATENCY, split_shift
from .rowwise import Rowwise, back_ports, front_ports
from .table import TableLookup

# Registers on the way to a lane's multiplier, which have nothing else to do, but for that in its block: blocks lie where the device has
# them, and one cycle has no time for the way there.
_HOPS = 1


def _stored_layout(circuit: LayerNormCircuit) -> data.ArrayLayout:
    return data.ArrayLayout(element_shape(circuit.source), circuit.lanes)


def _factor_layout(circuit: LayerNormCircuit) -> data.StructLayout:
    """The normalised value of x is ``((x - mean) * scale * 2**GUARD_BITS + offset) / 2**shift``."""
    # the offset is at most half of the scale
    return data.StructLayout(
        {"mean": signed(circuit.source.bits), "scale": SCALE_BITS, "offset": signed(SCALE_BITS + GUARD_BITS), "shift": SHIFT_BITS}
    )


class _Front(wiring.Component):
    """Sums of the rows, their mean, their variance and its reciprocal square root."""

    latency = 1

    def __init__(self, circuit: LayerNormCircuit) -> None:
        self._circuit = circuit
        row_bits, bits = ceil_log2(circuit.row_elements), circuit.source.bits
        self._count, self._sum = unsigned(row_bits + 1), signed(bits + row_bits)
        self._squares = unsigned(2 * bits - 1 + row_bits)
        # of count * squares; epsilon may take it one place further
        self._normaliser = Normaliser(max(self._count.width + self._squares.width, 49))
        self._divider = Divider(quotient_bits=bits, divisor_bits=self._count.width)
        self._count_normaliser = Normaliser(ELEMENTS_BITS)
        ports = front_ports(beat_layout(circuit.lanes, element_shape(circuit.source)), _stored_layout(circuit), _factor_layout(circuit))
        super().__init__({**ports, "parameters": In(record_layout(LAYERNORM))})

    @property
    def _sums_latency(self) -> int:
        return 3 + _HOPS + reduction_latency(self._circuit.lanes) + 2

    @property
    def _products_latency(self) -> int:
        return 1 + max(product_latency(self._count, self._squares), product_latency(self._sum, self._sum))

    @property
    def _inverse_latency(self) -> int:
        return self._products_latency + 3 + self._normaliser.latency + 1 + TableLookup.latency

    @property
    def _mean_latency(self) -> int:
        return 2 + self._divider.latency + 1

    @property
    def _operands_latency(self) -> int:
        return max(self._inverse_latency, self._mean_latency)

    @property
    def _combined_latency(self) -> int:
        return 1 + product_latency(signed(ELEMENTS_BITS), unsigned(RSQRT.base_bits))

    @property
    def factor_latency(self) -> int:
        return self._sums_latency + self._operands_latency + self._combined_latency + 2

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.stored.eq(delay(m, self.i.values.as_value(), 1))
        count, total, squares = self._sums(m, platform)
        m.submodules.count_normaliser = normaliser = self._count_normaliser
        m.d.comb += normaliser.i.eq(count)
        rise = normaliser.shift
        mean, rest = self._mean(m, count, total, rise)
        inverse, exponent = self._inverse(m, self._variance(m, platform, count, total, squares))
        wait = self._operands_latency
        count, rise = (delay(m, value, wait - normaliser.latency) for value in (normaliser.o, rise))
        inverse, exponent = (delay(m, value, wait - self._inverse_latency) for value in (inverse, exponent))
        mean, rest = (delay(m, value, wait - self._mean_latency) for value in (mean, rest))
        self._combine(m, platform, count, rest, inverse, exponent + rise)
        m.d.comb += self.factor.mean.eq(delay(m, mean, self.factor_latency - self._sums_latency - wait))
        return m

    def _sums(self, m: Module, platform: object) -> tuple[Signal, Signal, Signal]:
        """Count, sum and sum of squares of the row up to here."""
        values, ones, squares = [], [], []
        for lane in range(self._circuit.lanes):
            kept = delay(m, Mux(self.i.keep[lane], self.i.values[lane], 0), 1 + _HOPS)
            values.append(delay(m, kept, 2))
            squares.append(block_product(m, platform, kept, kept, name=f"square_{lane}")[: 2 * self._circuit.source.bits - 1])
            ones.append(delay(m, self.i.keep[lane], 3 + _HOPS))
        cycles = 3 + _HOPS + reduction_latency(self._circuit.lanes)
        valid, first = (delay(m, bit, cycles, reset_less=False) for bit in (self.valid, self.first))
        totals = []
        for name, terms, shape in (("count", ones, self._count), ("sum", values, self._sum), ("squares", squares, self._squares)):
            total = Signal(shape, name=name, reset_less=True)
            group = reduce_tree(m, terms, lambda a, b: a + b, f"{name}_group")
            with m.If(valid):
                m.d.sync += total.eq(Mux(first, 0, total) + group)
            totals.append(total)
        # A register before the multipliers, which lie far away.
        count, total, squares = (Signal(shape, reset_less=True) for shape in (self._count, self._sum, self._squares))
        m.d.sync += [count.eq(totals[0]), total.eq(Mux(self.parameters.rms, 0, totals[1])), squares.eq(totals[2])]
        return count, total, squares

    def _variance(self, m: Module, platform: object, count: Signal, total: Signal, squares: Signal) -> Signal:
        """``count * squares - sum**2 + epsilon``, at least 1."""
        width, cycles = len(self._normaliser.i), self._products_latency
        mean_square, square_mean = (
            delay(m, multiply_registered(m, platform, *of, name=name), cycles - 1 - product_latency(of[0].shape(), of[1].shape()))
            for name, of in (("mean_square", (count, squares)), ("square_mean", (total, total)))
        )
        difference, raised, variance = (Signal(width, name=name, reset_less=True) for name in ("difference", "raised", "variance"))
        m.d.sync += [
            difference.eq(mean_square - square_mean),
            raised.eq(difference + self.parameters.epsilon),
            variance.eq(raised | (raised == 0)),
        ]
        return variance

    def _mean(self, m: Module, count: Signal, total: Signal, rise: Value) -> tuple[Value, Value]:
        """The mean rounded to an integer, and ``(count * mean - sum) << rise``."""
        m.submodules.divider = divider = self._divider
        sign = self._circuit.source.bits - 1  # whose place is worth what the lowest element lies below zero
        above_lowest, dividend = Signal.like(divider.dividend, reset_less=True), Signal.like(divider.dividend, reset_less=True)
        m.d.sync += [above_lowest.eq(total + (count << sign)), dividend.eq(above_lowest + delay(m, count, 1)[1:])]
        m.d.comb += [divider.dividend.eq(dividend), divider.divisor.eq(delay(m, count, 2))]
        rest = Signal(signed(len(count)), reset_less=True)
        done = 2 + divider.latency
        m.d.sync += rest.eq(delay(m, count, done)[1:] - divider.remainder)
        risen = (rest << delay(m, rise, done + 1 - self._count_normaliser.latency))[:ELEMENTS_BITS].as_signed()
        return delay(m, divider.quotient ^ (1 << sign), 1), risen

    def _inverse(self, m: Module, variance: Signal) -> tuple[Value, Value]:
        """Mantissa and exponent of the reciprocal square root, ``rsqrt / 2**(RSQRT_FRACTION_BITS + exponent)``."""
        m.submodules.normaliser = normaliser = self._normaliser
        m.submodules.rsqrt = rsqrt = TableLookup(RSQRT)
        width = len(variance)
        position = Signal(range(width), name="position")  # of the leading one
        index = Signal(RSQRT.input_bits, reset_less=True)
        m.d.comb += [normaliser.i.eq(variance), position.eq(width - 1 - normaliser.shift), rsqrt.i[0].eq(index)]
        m.d.sync += index.eq(Cat(normaliser.o[width - 1 - RSQRT_MANTISSA_BITS : width - 1], position[0]))
        return rsqrt.o[0], delay(m, position[1:], 1 + TableLookup.latency)

    def _combine(self, m: Module, platform: object, count: Value, rest: Value, inverse: Value, exponent: Value) -> None:
        """Scale and offset, both times the reciprocal square root and a power of two that leaves the scale its bits."""
        cycles = self._combined_latency
        scale = multiply_registered(m, platform, count, inverse, name="scale")[: ELEMENTS_BITS + RSQRT.base_bits]
        scale = delay(m, scale, cycles - 1 - product_latency(count.shape(), inverse.shape()))
        offset = multiply_registered(m, platform, rest, inverse, name="offset")
        below = ~scale[-1]  # the leading one is at the top or one place below
        dropped = len(scale) - SCALE_BITS
        halves, placed = Signal(SCALE_BITS + 1, reset_less=True), Signal.like(self.factor.offset, reset_less=True)
        rounded, shift = Signal(SCALE_BITS, reset_less=True), Signal(SHIFT_BITS, reset_less=True)
        m.d.sync += [
            halves.eq((scale << below) >> (dropped - 1)),
            placed.eq((offset << below) >> (dropped - GUARD_BITS)),
            shift.eq(delay(m, exponent, cycles) + below + (RSQRT_FRACTION_BITS - dropped + GUARD_BITS - Z_FRACTION_BITS)),
            rounded.eq(Mux(halves[1:].all(), halves[1:], halves[1:] + halves[0])),
        ]
        m.d.comb += [self.factor.scale.eq(rounded), self.factor.offset.eq(delay(m, placed, 1)), self.factor.shift.eq(delay(m, shift, 1))]


class _Back(wiring.Component):
    """Elements, the row's factor, gamma and beta to the result."""

    def __init__(self, circuit: LayerNormCircuit) -> None:
        self._circuit = circuit
        out = data.ArrayLayout(element_shape(circuit.out), circuit.lanes)
        ports = back_ports(_stored_layout(circuit), _factor_layout(circuit), out)
        members = {"column": Out(range(-(-circuit.row_elements // circuit.lanes))), "affine": In(data.ArrayLayout(AFFINE, circuit.lanes))}
        super().__init__({**ports, **members, "parameters": In(record_layout(LAYERNORM))})
        self._difference = signed(circuit.source.bits + 1)
        self._summed = 3 + _HOPS + product_latency(self._difference, unsigned(SCALE_BITS))
        self._weighted = 1 + product_latency(signed(Z_BITS), ELEMENT)

    @property
    def _z_latency(self) -> int:
        return self._summed + 1 + SPLIT_LATENCY + 1 + _HOPS

    @property
    def latency(self) -> int:
        return self._z_latency + self._weighted + 1 + Rounder.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, factor = self.parameters, self.i.factor
        following = Signal.like(self.column)
        column = Mux(self.first, 0, following)
        with m.If(self.valid):
            m.d.sync += following.eq(column + 1)
        # gamma and beta follow their column by Affine.latency cycles, and have some more until the product
        m.d.comb += self.column.eq(delay(m, column, self._z_latency - Affine.latency - _HOPS))
        # The row's factor, whose fields are needed in different cycles, each with the copies that the lanes make of it a cycle before.
        fields = {"mean": 1, "scale": 3, "offset": self._summed, "shift": self._summed + 1}
        shared = {name: delay(m, factor[name], cycle - 1) for name, cycle in fields.items()}
        for lane in range(self._circuit.lanes):
            keep = self.i.keep[lane]
            mean, scale, offset, shift = (lane_copy(m, shared[name], delay(m, keep, cycle - 1)) for name, cycle in fields.items())
            difference = Signal(self._difference, name=f"difference_{lane}", reset_less=True)
            m.d.sync += difference.eq(delay(m, self.i.stored[lane], 1) - mean)
            factors = delay(m, difference, _HOPS), delay(m, scale, _HOPS - 1)
            scaled = multiply_registered(m, platform, *factors, name=f"scaled_{lane}", enable=self.enable)
            above_guard = Signal(signed(self._difference.width + SCALE_BITS + 1), name=f"above_guard_{lane}", reset_less=True)
            m.d.sync += above_guard.eq(scaled + offset[GUARD_BITS:].as_signed())
            moved = Cat(delay(m, offset[:GUARD_BITS], 1), above_guard).as_signed()
            floor, up = split_shift(m, moved, shift, out_bits=Z_BITS)
            z = Signal(signed(Z_BITS), name=f"z_{lane}", reset_less=True)
            m.d.sync += z.eq(floor + up)
            affine = self.affine[lane]
            factors = delay(m, z, _HOPS), delay(m, affine.gamma, _HOPS)
            weighted = multiply_registered(m, platform, *factors, name=f"weighted_{lane}", enable=self.enable)
            total_bits = 1 + max(Z_BITS + ELEMENT.width, ELEMENT.width + (1 << len(p.beta_shift)) - 1)
            sum_ = Signal(signed(total_bits), name=f"sum_{lane}", reset_less=True)
            m.d.sync += sum_.eq(weighted + self._placed(m, affine.beta, lane))
            m.submodules[f"rounder_{lane}"] = rounder = Rounder(total_bits, out_bits=self._circuit.out.bits, steady=True)
            m.d.comb += [
                rounder.i.value.eq(sum_),
                rounder.i.shift.eq(p.shift),
                rounder.zero_point.eq(p.out_zero_point),
                rounder.low.eq(p.low),
                rounder.high.eq(p.high),
                self.o[lane].eq(rounder.o ^ self._circuit.out.offset),
            ]
        return m

    def _placed(self, m: Module, beta: Value, lane: int) -> Value:
        """``beta << beta_shift``, by the rest of 8 and then by multiples of it, as late as the product with gamma."""
        by = self.parameters.beta_shift
        fine = Signal(signed(ELEMENT.width + 7), name=f"beta_fine_{lane}", reset_less=True)
        placed = Signal(signed(ELEMENT.width + (1 << len(by)) - 1), name=f"beta_{lane}", reset_less=True)
        beta = delay(m, beta, _HOPS + self._weighted - 2)  # here, where it is narrow
        m.d.sync += [fine.eq(beta << by[:3]), placed.eq(fine << Cat(Const(0, 3), by[3:]))]
        return placed


class LayerNorm(wiring.Component):
    """LayerNorm or RMSNorm of each row, ``lanes`` elements per cycle, rows of 1 to ``row_elements`` elements.

    fixed: values of the run-time parameters, as LayerNormParameters, that are built in.

    Members
    -------
    i, o: rows of the circuit's formats. parameters: as LayerNormParameters; constant while rows are under way.
    affine: gamma as one packet, then beta as another, both as long as a row. Rows wait until both are in. reload: forget both.
    errors: BlockError bits of the packets that have been dropped since ``clear``.
    """

    def __init__(self, circuit: LayerNormCircuit, fixed: Mapping[str, int] | None = None) -> None:
        self._circuit, self._fixed = circuit, fixed
        self._front, self._back = _Front(circuit), _Back(circuit)
        self._rows = Rowwise(circuit, self._front, self._back)
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(circuit.lanes, element_shape(circuit.source)))),
                "affine": In(stream.Signature(beat_layout(circuit.lanes))),
                "reload": In(1),
                "o": Out(stream.Signature(beat_layout(circuit.lanes, element_shape(circuit.out)))),
                "errors": Out(len(BlockError)),
                "clear": In(1),
                **parameter_port(circuit.record, fixed),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a row's last beat to its first result when nothing waits."""
        return self._rows.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.rows = rows = self._rows
        m.submodules.affine = affine = Affine(self._circuit.lanes, beats=-(-self._circuit.row_elements // self._circuit.lanes))
        parameters = parameter_values(self, self._circuit.record, self._fixed)
        connect(m, flipped(self.i), rows.i)
        connect(m, flipped(self.affine), affine.i)
        connect(m, flipped(self.o), rows.o)
        too_long = Signal()
        with m.If(affine.too_long | self.clear):
            m.d.sync += too_long.eq(affine.too_long)
        m.d.comb += [
            self._front.parameters.eq(parameters),
            self._back.parameters.eq(parameters),
            affine.reload.eq(self.reload),
            affine.column.eq(self._back.column),
            affine.read.eq(rows.moves),
            self._back.affine.eq(affine.values),
            rows.hold.eq(~affine.loaded),
            self.errors.eq(rows.errors | Mux(too_long, BlockError.LONG.value, 0)),
            rows.clear.eq(self.clear),
        ]
        return m

"""The multiplier array: cols dot products of rows operands per cycle, weight-stationary, adder trees registered at each level.

Two columns share a multiplier where it is wide enough: ``(w1 << s) + w0`` times a is ``(w1 * a << s) + w0 * a``. As many of these as
the low part has room for are added up before they are taken apart; the second column's part lacks 1 where the first one is negative.

The last ``lut_rows`` rows make their products of LUTs, which takes a cycle more: these enter the second level of the adder tree.

In a square array the first rows can take, instead of one operand for all columns, one for each of them from the last operands. They
share no multipliers.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .adder_tree import add_pairs
from .arch.parameters import DEPTHWISE_TAPS, MachineParameters
from .delay import delay
from .lut_multiplier import multiply_in_luts
from .multiplier import block_product, block_product_sum

OPERAND = signed(9)  # an int8 minus its zero point, or OUTSIDE


def tile_layout(parameters: MachineParameters) -> data.ArrayLayout:
    """Weights of a tile minus their zero point, [cols][rows]: at most 2**weight_bits - 1, of either sign."""
    return data.ArrayLayout(data.ArrayLayout(signed(parameters.weight_bits + 1), parameters.rows), parameters.cols)


class Operands(wiring.Signature):
    """Members
    -------
    a: the operand along K. swap: ``tile``, as it is in the next cycle, is held from this cycle's ``a`` on.
    shift, by_column (depthwise): a becomes the last one; whether this cycle's sums are those of each column alone.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        super().__init__(
            {
                "a": Out(data.ArrayLayout(OPERAND, parameters.rows)),
                "tile": Out(tile_layout(parameters)),
                "swap": Out(1),
                **({"shift": Out(1), "by_column": Out(1)} if parameters.depthwise else {}),
            }
        )


class MacArray(wiring.Component):
    """``o[c].sum + o[c].carry = sum over r of a[r] * tile[c][r]``, `latency` cycles after ``a``; exact.

    depthwise: the array can also give ``sum over r < DEPTHWISE_TAPS of past[r][c] * tile[c][r]``, with past[0] = a and past[r] the a that
    was shifted in r before it. The tile's other rows must be zero then, and carry is.

    room: levels of the adder tree that leave the first column's sum in its part of a shared one; negative where not even a product fits.
    spacing: bits of that part.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        blocks, luts = parameters.rows - parameters.lut_rows, parameters.lut_rows
        self._levels = 1 + ceil_log2(-(-blocks // 2) + luts)
        self._product_bits = OPERAND.width + parameters.weight_bits
        self.room = min(self._levels, parameters.multiplier_bits - (parameters.weight_bits + 1) - self._product_bits)
        self.spacing = self._product_bits + self.room
        self.sum_shape = signed(self._product_bits + self._levels)
        sums = data.ArrayLayout(data.StructLayout({"sum": self.sum_shape, "carry": 1}), parameters.cols)
        super().__init__({"operands": In(Operands(parameters)), "o": Out(sums)})

    @property
    def latency(self) -> int:
        """Two operand registers, product register, one register for each level of the adder tree."""
        return 3 + self._levels

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        operands = self.operands
        first = Signal.like(operands.a, reset_less=True)
        swap = Signal()  # a cycle later, from a register: it goes to every multiplier
        m.d.sync += [first.eq(operands.a), swap.eq(operands.swap)]
        past, by_column = [], Signal()
        if p.depthwise:
            shift = Signal()
            past = [first, *(Signal.like(first, name=f"past{i}") for i in range(1, DEPTHWISE_TAPS))]
            m.d.sync += [shift.eq(operands.shift), by_column.eq(operands.by_column)]
            with m.If(shift):
                m.d.sync += [later.eq(earlier) for earlier, later in pairwise(past)]

        def operand(c: int, r: int) -> Value:
            return Mux(by_column, past[r][c], first[r]) if r < len(past) else first[r]

        def of_blocks(c: int, weights: Mapping[int, Value], together: int = 2) -> list[Value]:
            """Products with the weights of these rows, 2 cycles later, or sums of two together, a cycle after that."""
            sums = []
            for some in (list(weights)[i : i + together] for i in range(0, len(weights), together)):
                factors, name = [(operand(c, r), weights[r]) for r in some], f"product_{c}_{some[0]}"
                if len(factors) == 2:
                    total = block_product_sum(m, platform, *factors, name=name, load=swap)
                else:
                    total = delay(m, block_product(m, platform, *factors[0], name=name, load=swap), together - 1)
                # -256 * 256 does not occur: a weight less its zero point lies within 255 of 0.
                sums.append(total[: OPERAND.width + len(weights[some[0]]) + len(some) - 2].as_signed())
            return sums

        def of_luts(c: int, r: int, weight: Value) -> Value:
            own, held = Signal(OPERAND, name=f"a_{c}_{r}", reset_less=True), Signal(weight.shape(), name=f"held_{c}_{r}", reset_less=True)
            m.d.sync += own.eq(operand(c, r))
            with m.If(swap):
                m.d.sync += held.eq(weight)
            return multiply_in_luts(m, own, held, name=f"product_{c}_{r}")

        tile, blocks = operands.tile, range(p.rows - p.lut_rows)
        for c in range(0, p.cols, 2):
            pair = range(c, min(c + 2, p.cols))
            own_rows = len(blocks) if self.room < 0 or len(pair) < 2 else DEPTHWISE_TAPS if p.depthwise else 0
            own = [of_blocks(column, {r: tile[column][r] for r in blocks[:own_rows]}) for column in pair]
            packed = {r: _packed(tile[c][r], tile[c + 1][r], self.spacing) for r in blocks[own_rows:]}
            both, carries = [], []
            if self.room > 0:
                both = of_blocks(c, packed)
            elif packed:
                low, high, lacking = self._apart(of_blocks(c, packed, together=1), 0)
                high, carries = add_pairs(m, high, lacking)
                own = [own[0] + add_pairs(m, low)[0], own[1] + high]
            for column, terms in zip(pair, own, strict=True):
                late = [of_luts(column, r, tile[column][r]) for r in range(len(blocks), p.rows)]
                terms += [Cat(term, term[-1]).as_signed() for term in late]  # as wide as the others of this level
            for column, (total, carry) in zip(pair, self._sums(m, own, both, carries), strict=True):
                m.d.comb += [self.o[column].sum.eq(total), self.o[column].carry.eq(carry)]
        return m

    def _apart(self, totals: Sequence[Value], level: int) -> tuple[list[Value], list[Value], list[Value]]:
        """Of sums that two columns share at a level of the tree: those of the first column, those of the second, and what these lack."""
        low = [total[: self._product_bits + level].as_signed() for total in totals]
        return low, [total[self.spacing :].as_signed() for total in totals], [total[self.spacing - 1] for total in totals]

    def _sums(self, m: Module, own: list[list[Value]], both: list[Value], carries: list[Value]) -> list[tuple[Value, Value]]:
        """Sum and carry of each column, of terms at the first level of the tree. own: of each column; both: of the two; carries: of the
        second column."""
        for i in range(1, self._levels + 1):
            if both and (i == self.room or len(own[0]) % 2):
                low, high, carries = self._apart(both, i)
                own, both = [own[0] + low, own[1] + high], []
            if i < self._levels:
                both, _ = add_pairs(m, both)
                own[:-1] = [add_pairs(m, terms)[0] for terms in own[:-1]]
                own[-1], carries = add_pairs(m, own[-1], carries)
        (last_carry,) = carries or [Const(0)]
        return [*((terms[0], Const(0)) for terms in own[:-1]), (own[-1][0], last_carry)]


def _packed(low: Value, high: Value, spacing: int) -> Value:
    """``(high << spacing) + low``."""
    return Cat(low, low[-1].replicate(spacing - len(low)), (high - low[-1])[: len(high)]).as_signed()

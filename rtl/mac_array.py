"""The multiplier array: cols dot products of rows 9-bit operands per cycle, weight-stationary, adder trees registered at each level.

In a square array the first rows can take, instead of one operand for all columns, one for each of them from the last operands.
"""

from itertools import pairwise

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .arch.parameters import DEPTHWISE_TAPS

OPERAND = signed(9)  # an int8 minus its zero point


def tile_layout(rows: int, cols: int) -> data.ArrayLayout:
    """Weights of a tile: [cols][rows]."""
    return data.ArrayLayout(data.ArrayLayout(OPERAND, rows), cols)


class Operands(wiring.Signature):
    """Members
    -------
    a: the operand along K. swap: ``tile``, as it is in the next cycle, is held from this cycle's ``a`` on.
    shift, by_column (depthwise): a becomes the last one; whether this cycle's sums are those of each column alone.
    """

    def __init__(self, rows: int, cols: int, *, depthwise: bool) -> None:
        super().__init__(
            {
                "a": Out(data.ArrayLayout(OPERAND, rows)),
                "tile": Out(tile_layout(rows, cols)),
                "swap": Out(1),
                **({"shift": Out(1), "by_column": Out(1)} if depthwise else {}),
            }
        )


class MacArray(wiring.Component):
    """``o[c] = sum over r of a[r] * held[c][r]``, `latency` cycles after ``a``; exact.

    depthwise: the array can also give ``o[c] = sum over r < DEPTHWISE_TAPS of past[r][c] * held[c][r]``, with past[0] = a and past[r]
    the a that was shifted in r before it. Needs as many rows as columns.
    """

    def __init__(self, rows: int, cols: int, *, depthwise: bool) -> None:
        self._rows, self._cols, self._depthwise = rows, cols, depthwise
        self.sum_shape = signed(18 + ceil_log2(rows))
        super().__init__(
            {
                "operands": In(Operands(rows, cols, depthwise=depthwise)),
                "o": Out(data.ArrayLayout(self.sum_shape, cols)),
            }
        )

    @property
    def latency(self) -> int:
        """Two operand registers, product register, one register for each level of the adder tree."""
        return 3 + ceil_log2(self._rows)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        operands = self.operands
        first, shared = (Signal(data.ArrayLayout(OPERAND, self._rows), name=name, reset_less=True) for name in ("first", "shared"))
        held = Signal(tile_layout(self._rows, self._cols), reset_less=True)
        swap = Signal()  # a cycle later, from a register: it goes to every multiplier
        m.d.sync += [first.eq(operands.a), shared.eq(first), swap.eq(operands.swap)]
        a = [[*shared] for _ in range(self._cols)]
        if self._depthwise:
            shift, by_column = Signal(), Signal()
            past = [first, *(Signal.like(shared, name=f"past{i}") for i in range(1, DEPTHWISE_TAPS))]
            m.d.sync += [shift.eq(operands.shift), by_column.eq(operands.by_column)]
            with m.If(shift):
                m.d.sync += [later.eq(earlier) for earlier, later in pairwise(past)]
            for c in range(self._cols):
                for r in range(DEPTHWISE_TAPS):
                    a[c][r] = Signal(OPERAND, name=f"a_{c}_{r}", reset_less=True)
                    m.d.sync += a[c][r].eq(Mux(by_column, past[r][c], first[r]))
        with m.If(swap):
            m.d.sync += held.eq(operands.tile)
        for c in range(self._cols):
            terms = []
            for r in range(self._rows):
                product = Signal(signed(18), name=f"product_{c}_{r}", reset_less=True)
                m.d.sync += product.eq(a[c][r] * held[c][r])
                terms.append(product)
            level = 0
            while len(terms) > 1:
                sums = []
                for i in range(0, len(terms), 2):
                    total = Signal(signed(len(terms[i]) + 1), name=f"sum_{c}_{level}_{i // 2}", reset_less=True)
                    m.d.sync += total.eq(sum(terms[i + 1 : i + 2], terms[i]))
                    sums.append(total)
                terms, level = sums, level + 1
            m.d.comb += self.o[c].eq(terms[0])
        return m

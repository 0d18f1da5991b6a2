"""The sums of a tile times a factor for each column (model: sw/golden/matmul.py)."""

from amaranth.hdl import Const, Module, Shape, Signal, Value, unsigned
from amaranth.lib import data

from .adder_tree import add
from .arch.formats import FACTOR_BITS
from .multiplier import multiply_registered, product_latency


def factors_layout(cols: int) -> data.ArrayLayout:
    """Of a tile's columns, unsigned."""
    return data.ArrayLayout(FACTOR_BITS, cols)


def factor_latency(total: Shape) -> int:
    """Cycles of `times_factor`."""
    return 1 + product_latency(total, unsigned(FACTOR_BITS))


def times_factor(m: Module, platform: object, total: Value, carry: Value, factor: Value, *, name: str) -> Value:
    """``(total + carry) * factor``, where the sum must fit as ``total`` does, `factor_latency` cycles later."""
    whole = Signal.like(total, name=f"{name}_whole")
    m.d.comb += whole.eq(add(total, Const(0), carry))
    return multiply_registered(m, platform, whole, factor, name=name)

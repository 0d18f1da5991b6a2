"""One of several values, or some of them together."""

import functools
import operator
from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Mux, Value
from amaranth.utils import ceil_log2


def select(index: Value, options: Sequence[Value]) -> Value:
    """The option at ``index``; the last one beyond the end."""
    if len(options) == 1:
        return options[0]
    bit = (len(options) - 1).bit_length() - 1
    half = 1 << bit
    return Mux(index[bit:].any(), select(index[:bit], options[half:]), select(index[:bit], options[:half]))


def select_one_hot(bits: Sequence[Value] | Value, values: Sequence[Value]) -> Value:
    """The value at the bit that is set, zero without one: without the order that a chain of conditions would have."""
    return union(bits, values)


def union(bits: Sequence[Value] | Value, values: Sequence[Value]) -> Value:
    """The bits that any of the values has whose own bit is set."""
    masked = [Mux(bit, value, 0) for bit, value in zip(bits, values, strict=True)]
    return functools.reduce(operator.or_, masked) if masked else Const(0)


def index_of(bits: Value) -> Value:
    """The number of the bit that is set."""
    return Cat(Cat(bit for i, bit in enumerate(bits) if i >> n & 1).any() for n in range(ceil_log2(len(bits))))

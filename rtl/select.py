"""One of several values."""

import functools
import operator
from collections.abc import Sequence

from amaranth.hdl import Mux, Value


def select(index: Value, options: Sequence[Value]) -> Value:
    """The option at ``index``; the last one beyond the end."""
    if len(options) == 1:
        return options[0]
    bit = (len(options) - 1).bit_length() - 1
    half = 1 << bit
    return Mux(index[bit:].any(), select(index[:bit], options[half:]), select(index[:bit], options[:half]))


def select_one_hot(bits: Sequence[Value] | Value, values: Sequence[Value]) -> Value:
    """The value at the bit that is set, zero without one: without the order that a chain of conditions would have."""
    return functools.reduce(operator.or_, (Mux(bit, value, 0) for bit, value in zip(bits, values, strict=True)))

"""How many bits are set, by sums of halves."""

from collections.abc import Sequence

from amaranth.hdl import Const, Value


def count_ones(bits: Sequence[Value] | Value) -> Value:
    if len(bits) == 1:
        return bits[0]
    half = len(bits) // 2
    return count_ones(bits[:half]) + count_ones(bits[half:])


def counts_before(bits: Sequence[Value] | Value) -> list[Value]:
    """Before each bit, and at last of all of them."""
    if len(bits) == 1:
        return [Const(0, 1), bits[0]]
    low, high = counts_before(bits[: len(bits) // 2]), counts_before(bits[len(bits) // 2 :])
    return [*low[:-1], *(low[-1] + count for count in high)]

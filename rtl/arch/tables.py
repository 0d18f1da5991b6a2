"""Piecewise-linear tables: the one approximation behind exp2, reciprocal, reciprocal square root and the activation functions.

A table takes an unsigned ``u`` of ``index_bits + fraction_bits`` bits. Its high bits choose a segment, its low bits
interpolate: ``base[index] + round(slope[index] * fraction / 2**fraction_bits)``, rounded half up.

With a function f sampled at steps of h, linear interpolation is off by at most h**2 / 8 * max|f''| plus one unit in the
last place (half from rounding the samples, half from rounding the product).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from typing_extensions import Self


@dataclass(frozen=True)
class LinearTable:
    """``base`` and ``slope`` per segment, in units in the last place of the result; slope is the rise over a segment."""

    base: tuple[int, ...]
    slope: tuple[int, ...]
    fraction_bits: int

    def __post_init__(self) -> None:
        entries = len(self.base)
        if entries < 2 or entries & (entries - 1):
            raise ValueError(f"base must have a power of two of entries, not {entries!r}")
        if len(self.slope) != entries:
            raise ValueError(f"slope must have as many entries as base ({entries}), not {len(self.slope)!r}")

    @classmethod
    def sample(
        cls,
        function: Callable[[float], float],
        edges: Iterable[tuple[float, float]],
        *,
        unit_bits: int,
        fraction_bits: int,
    ) -> Self:
        """Sample ``function`` at both ends of each segment, in units of 2**-unit_bits."""
        ends = [(round(function(a) * 2**unit_bits), round(function(b) * 2**unit_bits)) for a, b in edges]
        return cls(tuple(low for low, _ in ends), tuple(high - low for low, high in ends), fraction_bits)

    @property
    def index_bits(self) -> int:
        return (len(self.base) - 1).bit_length()

    @property
    def input_bits(self) -> int:
        return self.index_bits + self.fraction_bits

    def at(self, u: int) -> int:
        """The table at ``u``, as an integer of `base_bits` bits."""
        index, fraction = u >> self.fraction_bits, u & ((1 << self.fraction_bits) - 1)
        return self.base[index] + ((self.slope[index] * fraction + (1 << self.fraction_bits >> 1)) >> self.fraction_bits)

    @property
    def base_bits(self) -> int:
        """Bits of the unsigned base, which is also the width of the result: a segment is largest at one of its ends."""
        ends = (self.at((i << self.fraction_bits) + end) for i in range(len(self.base)) for end in (0, (1 << self.fraction_bits) - 1))
        return max(ends).bit_length()

    @property
    def slope_bits(self) -> int:
        """Bits of the signed slope."""
        return 1 + max(s.bit_length() if s >= 0 else (-s - 1).bit_length() for s in self.slope)


def _uniform(start: float, stop: float, count: int) -> list[tuple[float, float]]:
    step = (stop - start) / count
    return [(start + i * step, start + (i + 1) * step) for i in range(count)]


@cache
def exp2_table(input_bits: int, unit_bits: int) -> LinearTable:
    """2**x for x in [0, 1) with ``input_bits`` bits, to ``unit_bits`` bits of fraction. Segments: at most a quarter of a unit."""
    index_bits = unit_bits // 2 - (unit_bits % 2 == 0)
    return LinearTable.sample(lambda x: 2.0**x, _uniform(0, 1, 1 << index_bits), unit_bits=unit_bits, fraction_bits=input_bits - index_bits)


@cache
def reciprocal_table(bits: int) -> LinearTable:
    """1 / x for x in [1, 2) with ``bits`` bits of fraction in and out, the result in (1/2, 1]. Segments: at most one unit."""
    index_bits = -(-bits // 2) - 1
    return LinearTable.sample(lambda x: 1 / x, _uniform(1, 2, 1 << index_bits), unit_bits=bits, fraction_bits=bits - index_bits)


# 1 / sqrt(x) for x in [1, 4): the top index bit is the parity of the exponent, then 7 + 12 bits of the mantissa below its
# leading one; 18 bits of fraction out, in (2**17, 2**18): one itself is a unit too small, and so fits 18 bits, a multiplier's operand.
RSQRT_MANTISSA_BITS = 19
RSQRT_FRACTION_BITS = 18
RSQRT = LinearTable.sample(
    lambda x: min(1 / math.sqrt(x), 1 - 2.0**-RSQRT_FRACTION_BITS),
    _uniform(1, 2, 128) + _uniform(2, 4, 128),
    unit_bits=RSQRT_FRACTION_BITS,
    fraction_bits=12,
)

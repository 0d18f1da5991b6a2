"""Piecewise-linear tables: the one approximation behind exp2, reciprocal, reciprocal square root and GELU.

A table takes an unsigned ``u`` of ``index_bits + fraction_bits`` bits. Its high bits choose a segment, its low bits
interpolate: ``base[index] + round(slope[index] * fraction / 2**fraction_bits)``, rounded half up.

With a function f sampled at steps of h, linear interpolation is off by at most h**2 / 8 * max|f''| plus one unit in the
last place (half from rounding the samples, half from rounding the product).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self


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

    @property
    def base_bits(self) -> int:
        """Bits of the unsigned base, which is also the width of the result."""
        return max(max(self.base), max(b + s for b, s in zip(self.base, self.slope, strict=True))).bit_length()

    @property
    def slope_bits(self) -> int:
        """Bits of the signed slope."""
        return 1 + max(s.bit_length() if s >= 0 else (-s - 1).bit_length() for s in self.slope)


def _uniform(start: float, stop: float, count: int) -> list[tuple[float, float]]:
    step = (stop - start) / count
    return [(start + i * step, start + (i + 1) * step) for i in range(count)]


# 2**x for x in [0, 1), 14 bits in; 17 bits out with 16 of fraction. Error: 2**-17 from the segments, 2**-16 from rounding.
EXP2_FRACTION_BITS = 14
EXP2 = LinearTable.sample(lambda x: 2.0**x, _uniform(0, 1, 128), unit_bits=16, fraction_bits=7)

# 1 / x for x in [1, 2), 18 bits of fraction in; 17 bits of fraction out, in (2**16, 2**17].
RECIPROCAL_FRACTION_BITS = 18
RECIPROCAL = LinearTable.sample(lambda x: 1 / x, _uniform(1, 2, 256), unit_bits=17, fraction_bits=10)

# 1 / sqrt(x) for x in [1, 4): the top index bit is the parity of the exponent, then 7 + 12 bits of the mantissa below its
# leading one; 17 bits of fraction out, in (2**16, 2**17].
RSQRT_MANTISSA_BITS = 19
RSQRT_FRACTION_BITS = 17
RSQRT = LinearTable.sample(
    lambda x: 1 / math.sqrt(x), _uniform(1, 2, 128) + _uniform(2, 4, 128), unit_bits=RSQRT_FRACTION_BITS, fraction_bits=12
)

# relu(x) - gelu(x) = |x| * (1 - Phi(|x|)) in steps of 1/32 up to 8, 14 bits of fraction in and out (Edge-MoE; beyond 5.5 all zero).
GELU_FRACTION_BITS = 14
GELU_CORRECTION = LinearTable.sample(
    lambda x: x * 0.5 * math.erfc(x / math.sqrt(2)), _uniform(0, 8, 256), unit_bits=GELU_FRACTION_BITS, fraction_bits=9
)

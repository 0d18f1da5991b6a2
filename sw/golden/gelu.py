"""GELU as ReLU minus a small table (Edge-MoE, arXiv 2305.18691): gelu(x) = relu(x) - d(|x|), d(x) = x * (1 - Phi(x)).

The input is first brought to a fixed point of 14 fraction bits and 24 bits in all. Before the output's own rounding the error
is at most 3.2 * 2**-14: 1.6 from the table's segments (h**2 / 8 * 0.8, h = 1/32), 1 from its rounding and 0.5 * 1.13 from the
input's, plus the two multipliers' 2**-16 of the value.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from ...rtl.arch.blocks import GELU_FIXED as FIXED
from ...rtl.arch.formats import Format, Multiplier
from ...rtl.arch.tables import GELU_CORRECTION, GELU_FRACTION_BITS
from .requantize import Int, round_shift
from .table import interpolate


@dataclass(frozen=True, kw_only=True)
class GeluParameters:
    """Run-time integers: zero points int16, multipliers uint16, shifts 0..47."""

    in_zero_point: int
    in_multiplier: int
    in_shift: int
    out_multiplier: int
    out_shift: int
    out_zero_point: int
    low: int
    high: int

    @classmethod
    def from_scales(
        cls, *, in_scale: float, in_zero_point: int, out_scale: float, out_zero_point: int, source: Format, out: Format
    ) -> Self:
        """Raises ValueError if the input range exceeds the fixed point's 512 or a scale its multiplier's range."""
        if (source.max - source.min) * in_scale > FIXED.max / 2**GELU_FRACTION_BITS:
            raise ValueError(f"in_scale must keep the input below 512, not {in_scale!r}")
        to_fixed = Multiplier.from_real(in_scale * 2**GELU_FRACTION_BITS)
        to_out = Multiplier.from_real(1 / (out_scale * 2**GELU_FRACTION_BITS))
        return cls(
            in_zero_point=in_zero_point,
            in_multiplier=to_fixed.value,
            in_shift=to_fixed.shift,
            out_multiplier=to_out.value,
            out_shift=to_out.shift,
            out_zero_point=out_zero_point,
            low=out.min,
            high=out.max,
        )


def gelu(q: ArrayLike, parameters: GeluParameters) -> Int:
    """Elementwise over int8 or int16 values, any shape."""
    p = parameters
    x = round_shift((np.asarray(q, np.int64) - p.in_zero_point) * p.in_multiplier, p.in_shift)
    x = np.clip(x, -FIXED.max, FIXED.max)
    magnitude = np.abs(x)
    inside = magnitude < 1 << GELU_CORRECTION.input_bits
    correction = np.where(inside, interpolate(GELU_CORRECTION, np.where(inside, magnitude, 0)), 0)
    y = np.maximum(x, 0) - correction
    return np.clip(round_shift(y * p.out_multiplier, p.out_shift) + p.out_zero_point, p.low, p.high)

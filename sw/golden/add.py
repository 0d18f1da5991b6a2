"""Residual add, and requantize between scales (the same with no second operand)."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from ...rtl.arch.formats import MULTIPLIER_BITS, Format, Multiplier
from .requantize import Int, round_shift


@dataclass(frozen=True, kw_only=True)
class AddParameters:
    """Run-time integers: ``clamp(round_half_even(((a - a_zp) * a_mult + (b - b_zp) * b_mult) / 2**shift) + out_zp, low, high)``.

    Zero points: int16. Multipliers: uint16, with one shift (0..47) for both; b_multiplier = 0 ignores b.
    """

    a_zero_point: int
    a_multiplier: int
    b_zero_point: int = 0
    b_multiplier: int = 0
    shift: int
    out_zero_point: int
    low: int
    high: int

    @classmethod
    def from_scales(
        cls,
        *,
        a_scale: float,
        a_zero_point: int,
        b_scale: float = 0.0,
        b_zero_point: int = 0,
        out_scale: float,
        out_zero_point: int,
        out: Format,
        relu: bool = False,
    ) -> Self:
        """The larger of the two factors is normalised to 16 bits, the other shares its shift.

        The error before rounding is at most (|a - a_zp| + |b - b_zp|) * 2**-17 * max(factor) output units.

        Raises
        ------
        ValueError
            If a scale ratio is 2**16 or above.
        """
        factors = a_scale / out_scale, b_scale / out_scale
        shift = Multiplier.from_real(max(factors)).shift
        a, b = (min(round(math.ldexp(f, shift)), (1 << MULTIPLIER_BITS) - 1) for f in factors)
        return cls(
            a_zero_point=a_zero_point,
            a_multiplier=a,
            b_zero_point=b_zero_point,
            b_multiplier=b,
            shift=shift,
            out_zero_point=out_zero_point,
            low=max(out.min, out_zero_point) if relu else out.min,
            high=out.max,
        )


def add(a: ArrayLike, b: ArrayLike, parameters: AddParameters) -> Int:
    """Elementwise over int8 or int16 values; ``b`` broadcasts against ``a``."""
    p = parameters
    total = (np.asarray(a, np.int64) - p.a_zero_point) * p.a_multiplier
    total = total + (np.asarray(b, np.int64) - p.b_zero_point) * p.b_multiplier
    return np.clip(round_shift(total, p.shift) + p.out_zero_point, p.low, p.high)


def rescale(a: ArrayLike, parameters: AddParameters) -> Int:
    """Requantize ``a`` (int8 or int16 values) from its scale to another; the parameters have no second operand."""
    return add(a, parameters.b_zero_point, parameters)

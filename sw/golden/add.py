"""Residual add, and requantize between scales (the same with no second operand)."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from typing_extensions import Self

from ...rtl.arch.blocks import ADD_LEFT_BITS
from ...rtl.arch.formats import MULTIPLIER_BITS, Format, Multiplier
from .requantize import Int, round_shift

MAX_LEFT = (1 << ADD_LEFT_BITS) - 1


@dataclass(frozen=True, kw_only=True)
class AddParameters:
    """Run-time integers: ``clamp(round_half_even((A * 2**a_left + B * 2**b_left) / 2**shift) + out_zero_point, low, high)``,
    with ``A = (a - a_zero_point) * a_multiplier`` and B likewise.

    Zero points: int16. Multipliers: uint16; b_multiplier = 0 ignores b. shift: 0..47. a_left, b_left: 0..15, of the operand with
    the larger factor, so that both multipliers keep 16 bits.
    """

    a_zero_point: int
    a_multiplier: int
    b_zero_point: int = 0
    b_multiplier: int = 0
    a_left: int = 0
    b_left: int = 0
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
        """Each factor is normalised to 16 bits, unless it is less than 2**-15 of the other.

        The error before rounding is at most 2**-16 of each operand's share, or 2**-32 of the larger factor where that is more.

        Raises
        ------
        ValueError
            If a scale ratio is 2**16 or above.
        """
        factors = a_scale / out_scale, b_scale / out_scale
        shifts = [Multiplier.from_real(factor).shift for factor in factors]
        shift = min(max(shifts), min(shifts) + MAX_LEFT) if b_scale else shifts[0]
        lefts = [max(0, shift - s) for s in shifts] if b_scale else [0, 0]
        a, b = (min(round(math.ldexp(f, shift - left)), (1 << MULTIPLIER_BITS) - 1) for f, left in zip(factors, lefts, strict=True))
        return cls(
            a_zero_point=a_zero_point,
            a_multiplier=a,
            a_left=lefts[0],
            b_zero_point=b_zero_point,
            b_multiplier=b,
            b_left=lefts[1],
            shift=shift,
            out_zero_point=out_zero_point,
            low=max(out.min, out_zero_point) if relu else out.min,
            high=out.max,
        )


def add(a: ArrayLike, b: ArrayLike, parameters: AddParameters) -> Int:
    """Elementwise over int8 or int16 values; ``b`` broadcasts against ``a``."""
    p = parameters
    left = (np.asarray(a, np.int64) - p.a_zero_point) * p.a_multiplier << p.a_left
    right = (np.asarray(b, np.int64) - p.b_zero_point) * p.b_multiplier << p.b_left
    total = left + right
    return np.clip(round_shift(total, p.shift) + p.out_zero_point, p.low, p.high)


def rescale(a: ArrayLike, parameters: AddParameters) -> Int:
    """Requantize ``a`` (int8 or int16 values) from its scale to another; the parameters have no second operand."""
    return add(a, parameters.b_zero_point, parameters)

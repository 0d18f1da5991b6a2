"""Elementwise product, requantized."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from typing_extensions import Self

from ...rtl.arch.formats import Format, Multiplier
from .requantize import Int, round_shift


@dataclass(frozen=True, kw_only=True)
class MultiplyParameters:
    """Run-time integers: ``clamp(round_half_even(A * B * multiplier / 2**shift) + out_zero_point, low, high)``, with
    ``A = a - a_zero_point`` and B likewise.

    Zero points: int16. multiplier: uint16. shift: 0..47.
    """

    a_zero_point: int
    b_zero_point: int
    multiplier: int
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
        b_scale: float,
        b_zero_point: int,
        out_scale: float,
        out_zero_point: int,
        out: Format,
    ) -> Self:
        """The factor ``a_scale * b_scale / out_scale`` is normalised to 16 bits, unless it is less than 2**-32.

        The error before rounding is at most 2**-16 of the exact product, or of a step where that is more: a normalised multiplier is
        2**15 or more, and off by at most 1/2; a smaller factor is off by at most 2**-48, and A * B is below 2**32.

        Raises
        ------
        ValueError
            If the factor is 2**16 or above.
        """
        factor = Multiplier.from_real(a_scale * b_scale / out_scale)
        return cls(
            a_zero_point=a_zero_point,
            b_zero_point=b_zero_point,
            multiplier=factor.value,
            shift=factor.shift,
            out_zero_point=out_zero_point,
            low=out.min,
            high=out.max,
        )


def multiply(a: ArrayLike, b: ArrayLike, parameters: MultiplyParameters) -> Int:
    """Elementwise over int8 or int16 values; ``b`` broadcasts against ``a``."""
    p = parameters
    product = (np.asarray(a, np.int64) - p.a_zero_point) * (np.asarray(b, np.int64) - p.b_zero_point)
    return np.clip(round_shift(product * p.multiplier, p.shift) + p.out_zero_point, p.low, p.high)

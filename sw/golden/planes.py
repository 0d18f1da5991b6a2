"""The bits of int8 numbers in two planes of 4 bits, so that the high ones can be fetched alone (SpAtten, arXiv 2012.09852)."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from .requantize import Int

HIGH_BITS: Final = 4  # a step of the high plane is 2**HIGH_BITS


def to_planes(values: ArrayLike) -> tuple[Int, Int]:
    """High and low, each in -8..7: high is value / 16, rounded, so 16 * high is within 8 of the value, and 16 * high + low is the value.
    Only 120 to 127 are too large for that: they count as 119."""
    numbers = np.asarray(values, np.int64)
    high = np.clip((numbers + 8) >> HIGH_BITS, -8, 7)
    return high, np.minimum(numbers - (high << HIGH_BITS), 7)

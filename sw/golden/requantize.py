"""Requantize: from an integer of one scale to an integer of another."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...rtl.arch.formats import Format

Int = NDArray[np.int64]


def round_shift(x: ArrayLike, shift: ArrayLike) -> Int:
    """``round_half_even(x / 2**shift)``, exactly. ``x``: int64, any shape; ``shift``: 0..62, broadcast against x."""
    x, shift = np.asarray(x, np.int64), np.asarray(shift, np.int64)
    floor = x >> shift
    remainder = x - (floor << shift)
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), np.int64(1))
    return floor + ((remainder > half) | ((remainder == half) & ((floor & 1) == 1)))


def saturate(x: ArrayLike, to: Format) -> Int:
    """``x`` limited to the range of ``to``, as int64."""
    return np.clip(np.asarray(x, np.int64), to.min, to.max)


def requantize(
    accumulator: ArrayLike,
    bias: ArrayLike,
    multiplier: ArrayLike,
    shift: ArrayLike,
    zero_point: int,
    low: int,
    high: int,
) -> Int:
    """``clamp(round_half_even((accumulator + bias) * multiplier / 2**shift) + zero_point, low, high)``.

    accumulator: int32, [..., channels]; bias: int32; multiplier: uint16; shift: 0..47, each a scalar or [channels].
    accumulator + bias must fit int32, which the compiler proves (see `matmul.accumulator_bound`).
    """
    total = np.asarray(accumulator, np.int64) + np.asarray(bias, np.int64)
    scaled = round_shift(total * np.asarray(multiplier, np.int64), shift)
    return np.clip(scaled + zero_point, low, high)

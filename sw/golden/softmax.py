"""Single-pass softmax: running maximum and rescaled running sum while the row streams in (Edge-MoE, arXiv 2305.18691).

Scores are taken to base 2: t = q * scale * log2(e), with 14 fraction bits; t = e + f with an integer e and f in [0, 1), so that
exp(x) = 2**e * m with a mantissa m = 2**f from a table. The running maximum is that of e, an integer: rescaling the running
sum is a shift (Softermax, arXiv 2103.09301). The stored row is (m, e); once the sum is known its reciprocal, times the
output scale, multiplies each m.

The hardware adds `lanes` elements at a time and truncates at each rescale, so the group size is part of the numbers: results
for different lanes may differ in the last place.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...rtl.arch.blocks import SOFTMAX_GUARD_BITS as GUARD_BITS
from ...rtl.arch.blocks import SOFTMAX_MANTISSA_BITS as MANTISSA_BITS
from ...rtl.arch.blocks import SOFTMAX_OUT_SHIFT_BIAS as OUT_SHIFT_BIAS
from ...rtl.arch.formats import Format, Multiplier
from ...rtl.arch.tables import EXP2, EXP2_FRACTION_BITS, RECIPROCAL, RECIPROCAL_FRACTION_BITS
from .requantize import Int, round_shift
from .table import interpolate


@dataclass(frozen=True, kw_only=True)
class SoftmaxParameters:
    """Run-time integers: ``t = round(q * multiplier / 2**shift)``; the output is scaled by out_multiplier * 2**-out_shift.

    Multipliers uint16, shifts 0..63, out_zero_point int16. The input's zero point cancels.
    """

    multiplier: int
    shift: int
    out_multiplier: int
    out_shift: int
    out_zero_point: int
    low: int
    high: int

    @classmethod
    def from_scales(cls, *, in_scale: float, out_scale: float, out_zero_point: int, out: Format) -> Self:
        """Raises ValueError if in_scale is 2.77 or above (a step of e**2.77 between neighbouring scores)."""
        to_log2 = Multiplier.from_real(in_scale * math.log2(math.e) * 2**EXP2_FRACTION_BITS)
        to_out = Multiplier.from_real(1 / (out_scale * 2**OUT_SHIFT_BIAS))
        return cls(
            multiplier=to_log2.value,
            shift=to_log2.shift,
            out_multiplier=to_out.value,
            out_shift=to_out.shift,
            out_zero_point=out_zero_point,
            low=out.min,
            high=out.max,
        )


def _shift_right(x: Int, by: Int) -> Int:
    return x >> np.minimum(by, 63)


def running_sum(mantissa: NDArray[np.int64], exponent: NDArray[np.int64], lanes: int) -> tuple[Int, Int]:
    """Maximum exponent and sum (in units of 2**-(MANTISSA_BITS + GUARD_BITS)) of rows [R, n], `lanes` elements at a time."""
    rows, n = mantissa.shape
    maximum = np.full(rows, np.iinfo(np.int32).min, np.int64)
    total = np.zeros(rows, np.int64)
    for start in range(0, n, lanes):
        m, e = mantissa[:, start : start + lanes], exponent[:, start : start + lanes]
        group_maximum = e.max(axis=1)
        group = _shift_right(m << GUARD_BITS, group_maximum[:, None] - e).sum(axis=1)
        new = np.maximum(maximum, group_maximum)
        total = _shift_right(total, new - maximum) + _shift_right(group, new - group_maximum)
        maximum = new
    return maximum, total


def softmax(q: ArrayLike, parameters: SoftmaxParameters, lanes: int) -> Int:
    """Over the last axis. q: [..., n], int8 or int16 values; returns the output format, same shape."""
    p = parameters
    q = np.asarray(q, np.int64)
    rows = q.reshape(-1, q.shape[-1])
    t = round_shift(rows * p.multiplier, p.shift)
    exponent, fraction = t >> EXP2_FRACTION_BITS, t & ((1 << EXP2_FRACTION_BITS) - 1)
    mantissa = interpolate(EXP2, fraction)
    maximum, total = running_sum(mantissa, exponent, lanes)
    # total = s * 2**k in units of the mantissa, s in [1, 2)
    leading = np.array([int(x).bit_length() - 1 for x in total], np.int64)
    k = leading - (MANTISSA_BITS + GUARD_BITS)
    s = total >> (leading - RECIPROCAL_FRACTION_BITS)
    reciprocal = interpolate(RECIPROCAL, s & ((1 << RECIPROCAL_FRACTION_BITS) - 1))
    weight = round_shift(reciprocal * p.out_multiplier, 16)
    shift = p.out_shift + (k + maximum)[:, None] - exponent
    y = round_shift(mantissa * weight[:, None], np.minimum(shift, 62))
    return np.clip(y + p.out_zero_point, p.low, p.high).reshape(q.shape)

"""LayerNorm and RMSNorm in one pass over the row for its statistics, with an integer reciprocal square root.

With S = sum(x) and Q = sum(x**2), both exact, V = n * Q - S**2 + E is n**2 times the variance plus epsilon, and
(n * x - S) / sqrt(V) is the normalised value: the input's scale and zero point cancel in all but E = n**2 * epsilon / scale**2.
RMSNorm (arXiv 1910.07467) is the same with S = 0, for inputs whose zero point is 0. V = v * 4**e with v in [1, 4); r = 1 / sqrt(v) comes
from a table.

One product an element is enough for that: with m, the mean rounded to an integer, z = (x - m) * A + B, where the row has a scale
A = n / sqrt(V), rounded to 17 bits, and an offset B = (n * m - S) / sqrt(V), exact but for r. z has 15 fraction bits.

Error of z: |z| * 2**-16 from the table, |z| * 2**-16 from A, 2**-18 from B's last place and 2**-16 from z's. A is off by at most
A * 2**-17, which counts x - m times; where that is not 0 it is at most twice x less the exact mean, since m is within a half of it.

Error before the output's rounding: that of z times gamma / out_scale, |z| times half a unit of gamma's last place, and half a unit of
beta's. So an output is within 1 step on 8 bits, and within 2 on 16 bits where its range is at least one standard deviation times gamma.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from ...rtl.arch.formats import INT16, Format
from ...rtl.arch.layernorm import BETA_SHIFT_BITS, ELEMENTS_BITS, EPSILON_BITS, GUARD_BITS, SCALE_BITS, Z_FRACTION_BITS
from ...rtl.arch.tables import RSQRT, RSQRT_FRACTION_BITS, RSQRT_MANTISSA_BITS
from .requantize import Int, round_shift
from .table import interpolate

_PRODUCT_BITS = ELEMENTS_BITS + RSQRT_FRACTION_BITS


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerNormParameters:
    """Run-time integers: ``clamp(round_half_even((z * gamma + beta * 2**beta_shift) / 2**shift) + out_zero_point, low, high)``.

    gamma, beta: int16, one per channel. shift: 0..47. beta_shift: 0..31. epsilon: E above, 0..2**48 - 1. rms: 1 for RMSNorm.
    out_zero_point, low, high: int16, of the signed number.
    """

    gamma: NDArray[np.int64]
    beta: NDArray[np.int64]
    shift: int
    beta_shift: int
    epsilon: int
    out_zero_point: int
    low: int
    high: int
    rms: int = 0

    @classmethod
    def from_scales(
        cls,
        *,
        in_scale: float,
        gamma: ArrayLike,
        beta: ArrayLike = 0.0,
        epsilon: float,
        out_scale: float,
        out_zero_point: int,
        out: Format,
        rms: bool = False,
    ) -> Self:
        """gamma, beta: real values, [n], or one for all channels of beta. Raises ValueError where a value does not fit its field."""
        for name, scale in (("in_scale", in_scale), ("out_scale", out_scale)):
            if not 0 < scale < math.inf:
                raise ValueError(f"{name} must be positive and finite, not {scale!r}")
        gamma = np.asarray(gamma, np.float64) / out_scale
        beta = np.broadcast_to(np.asarray(beta, np.float64) / out_scale, gamma.shape)
        largest = float(np.abs(gamma).max())
        if not (math.isfinite(largest) and np.isfinite(beta).all()):
            raise ValueError("gamma and beta must be finite")
        # gamma / out_scale * 2**-15 = gamma_int * 2**-shift with the largest gamma_int in [2**14, 2**15)
        shift = min(47, 15 - math.frexp(largest)[1] + Z_FRACTION_BITS) if largest else Z_FRACTION_BITS
        if shift < 0:
            raise ValueError(f"gamma must be below 2**30 output steps, not {largest!r}")
        gamma_int = np.clip(np.rint(gamma * 2.0 ** (shift - Z_FRACTION_BITS)), INT16.min, INT16.max)
        beta_largest = float(np.abs(beta).max())
        beta_shift = max(0, math.frexp(beta_largest * 2.0**shift)[1] - 15) if beta_largest else 0
        if beta_shift >= 1 << BETA_SHIFT_BITS:
            raise ValueError(f"beta must be below 2**46 units of gamma's last place, not {beta_largest!r} output steps")
        beta_int = np.clip(np.rint(beta * 2.0 ** (shift - beta_shift)), INT16.min, INT16.max)
        e = round(len(gamma) ** 2 * epsilon / in_scale**2)
        if not 0 <= e < 1 << EPSILON_BITS:
            raise ValueError(f"epsilon * (n / in_scale)**2 must be in 0..2**{EPSILON_BITS} - 1, not {e!r}")
        return cls(
            gamma=gamma_int.astype(np.int64),
            beta=beta_int.astype(np.int64),
            shift=shift,
            beta_shift=beta_shift,
            epsilon=e,
            out_zero_point=out_zero_point - out.offset,
            low=out.min - out.offset,
            high=out.max - out.offset,
            rms=int(rms),
        )


def normalise(rows: NDArray[np.int64], epsilon: int, rms: int = 0) -> Int:
    """z of each row, 15 fraction bits. rows: [R, n], int16 values, n up to 8,192."""
    n = rows.shape[1]
    total, squares = rows.sum(axis=1) * (1 - rms), (rows**2).sum(axis=1)
    mean = (total + n // 2) // n
    # n * Q - S**2 is at most n**2 * 2**30 = 2**56 for n = 2**13
    v = np.maximum(n * squares - total**2 + epsilon, 1)
    leading = np.array([int(x).bit_length() - 1 for x in v], np.int64)
    shift = leading - RSQRT_MANTISSA_BITS
    mantissa = np.where(shift >= 0, v >> np.maximum(shift, 0), v << np.maximum(-shift, 0))
    index = (mantissa & ((1 << RSQRT_MANTISSA_BITS) - 1)) | ((leading & 1) << RSQRT_MANTISSA_BITS)
    # with the leading one of n at the top, that of n * r is there or one place below
    rise = ELEMENTS_BITS - n.bit_length()
    reciprocal = interpolate(RSQRT, index) << rise
    below = (n * reciprocal >> (_PRODUCT_BITS - 1)) ^ 1
    scale, offset = n * reciprocal << below, (n * mean - total) * reciprocal << below
    dropped = _PRODUCT_BITS - SCALE_BITS
    scale = np.minimum((scale + (1 << dropped >> 1)) >> dropped, (1 << SCALE_BITS) - 1)
    offset >>= dropped - GUARD_BITS
    # it is negative for rows of equal values alone, whose z is zero
    shift = np.maximum((leading >> 1) + rise + below + (RSQRT_FRACTION_BITS - dropped + GUARD_BITS - Z_FRACTION_BITS), 0)
    return round_shift(((rows - mean[:, None]) * scale[:, None] << GUARD_BITS) + offset[:, None], shift[:, None])


def error_bound(z: ArrayLike) -> NDArray[np.float64]:
    """Largest error of a normalised value that is exactly ``z``."""
    return np.abs(np.asarray(z, np.float64)) * 2.0**-15 + 2.0**-16 + 2.0**-18


def layernorm(q: ArrayLike, parameters: LayerNormParameters, out: Format = INT16) -> Int:
    """Over the last axis. q: [..., n], int8 or int16 values; returns numbers of the format ``out``, same shape."""
    p = parameters
    q = np.asarray(q, np.int64)
    z = normalise(q.reshape(-1, q.shape[-1]), p.epsilon, p.rms)
    y = round_shift(z * p.gamma + (p.beta << p.beta_shift), p.shift)
    return (np.clip(y + p.out_zero_point, p.low, p.high) + out.offset).reshape(q.shape)

"""The compute unit's matrix product: int8 operands, int32 accumulators, requantized per output channel."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from ...rtl.arch.formats import INT32, MAX_FACTOR, Format, Multiplier
from .requantize import Int, requantize


@dataclass(frozen=True, kw_only=True, eq=False)
class MatMulParameters:
    """Run-time integers of one product. Arrays have one entry per output channel (N).

    a_zero_point, b_zero_point: of the int8 operands, -128..127.
    bias: int32. multiplier: uint16. shift: 0..47. out_zero_point, low, high: in the output format; ReLU is low = out_zero_point.
    factors: uint8 [G, N], what the sums over each of G equal groups of consecutive k are multiplied with; None: by 1.
    """

    a_zero_point: int
    b_zero_point: int
    bias: NDArray[np.int64]
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    out_zero_point: int
    low: int
    high: int
    factors: Int | None = None

    @classmethod
    def from_scales(
        cls,
        *,
        a_scale: float,
        a_zero_point: int,
        b_scale: ArrayLike,
        b_zero_point: int,
        bias: ArrayLike,
        out_scale: float,
        out_zero_point: int,
        out: Format,
        channels: int,
        relu: bool = False,
    ) -> Self:
        """``b_scale``: a scalar or [N], or [G, N] for G groups along K, as `split_scales` says; ``bias``: real values, a scalar or [N];
        rounded to int32 of scale a_scale * b_scale.

        Raises
        ------
        ValueError
            If a scale ratio is 2**16 or above, or a bias does not fit int32.
        """
        channel_scale, factors = split_scales(b_scale) if np.ndim(b_scale) == 2 else (b_scale, None)
        scale = np.broadcast_to(np.asarray(channel_scale, np.float64) * a_scale, channels)
        bias_int = np.rint(np.broadcast_to(np.asarray(bias, np.float64), channels) / scale)
        if not (np.abs(bias_int) <= INT32.max).all():
            raise ValueError(f"bias must fit int32 at scale a_scale * b_scale, not {bias_int[np.abs(bias_int).argmax()]!r}")
        multipliers = [Multiplier.from_real(s / out_scale) for s in scale]
        return cls(
            a_zero_point=a_zero_point,
            b_zero_point=b_zero_point,
            bias=bias_int.astype(np.int64),
            multiplier=np.array([m.value for m in multipliers], np.int64),
            shift=np.array([m.shift for m in multipliers], np.int64),
            out_zero_point=out_zero_point,
            low=max(out.min, out_zero_point) if relu else out.min,
            high=out.max,
            factors=factors,
        )

    def of_channels(self, first: int, count: int) -> Self:
        """Of so many channels from the first on."""
        some, factors = slice(first, first + count), self.factors
        arrays = {"bias": self.bias[some], "multiplier": self.multiplier[some], "shift": self.shift[some]}
        return replace(self, **arrays, factors=None if factors is None else factors[:, some])


def split_scales(scales: ArrayLike) -> tuple[NDArray[np.float64], Int]:
    """Positive scales [G, N] of the groups along K as ``scale[n] * factors[g, n]``, with factors of 0..255, 255 for a channel's largest.

    Rounding the factors changes no scale by more than ``scale[n] / 2``, which is 1 / 510 of the channel's largest scale. So a product is
    off by at most ``a_scale * scale[n] / 2 * sum over g |sum over k of g of (a - a_zero_point) * (b - b_zero_point)|``.
    """
    scales = np.asarray(scales, np.float64)
    scale = scales.max(axis=0) / MAX_FACTOR
    return scale, np.rint(scales / scale).astype(np.int64)


def accumulate(a: ArrayLike, b: ArrayLike, a_zero_point: int, b_zero_point: int, factors: Int | None = None) -> Int:
    """``(a - a_zero_point) @ (b - b_zero_point)``, with the sum over each group of k times its factor. a: [M, K], b: [K, N], int8 values;
    factors: [G, N]. Exact."""
    # float64 products and sums of integers below 2**53 are exact, and use the fast BLAS path.
    left = np.asarray(a, np.float64) - a_zero_point
    return (left @ _weights(b, b_zero_point, factors)).astype(np.int64)


def accumulator_bound(b: ArrayLike, b_zero_point: int, a_zero_point: int, bias: ArrayLike, factors: Int | None = None) -> int:
    """The largest magnitude that any partial sum plus bias can reach, for constant ``b`` ([K, N]) and any int8 ``a``."""
    magnitude = max(127 - a_zero_point, 128 + a_zero_point)
    column = np.abs(_weights(b, b_zero_point, factors)).sum(axis=0) * magnitude
    return int((column + np.abs(np.asarray(bias, np.int64))).max())


def _weights(b: ArrayLike, zero_point: int, factors: Int | None) -> NDArray[np.float64]:
    """b [K, N] less its zero point, times the factors [G, N] of its groups."""
    weights = np.asarray(b, np.float64) - zero_point
    return weights if factors is None else weights * np.repeat(factors, len(weights) // len(factors), axis=0)


def matmul(a: ArrayLike, b: ArrayLike, parameters: MatMulParameters) -> Int:
    """a: [M, K], b: [K, N], int8 values; returns [M, N] in the output format. Raises as `requantize_sums`."""
    return requantize_sums(accumulate(a, b, parameters.a_zero_point, parameters.b_zero_point, parameters.factors), parameters)


def requantize_sums(total: Int, parameters: MatMulParameters) -> Int:
    """Bias and requantization of the sums [M, N].

    Raises
    ------
    OverflowError
        If an accumulator does not fit int32; a compiled network never does (`accumulator_bound`).
    """
    p = parameters
    if np.abs(total + p.bias).max(initial=0) > INT32.max:
        raise OverflowError("an accumulator exceeds int32")
    return requantize(total, p.bias, p.multiplier, p.shift, p.out_zero_point, p.low, p.high)

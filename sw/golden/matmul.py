"""The compute unit's matrix product: int8 operands, int32 accumulators, requantized per output channel."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...rtl.arch.formats import INT32, Format, Multiplier
from .requantize import Int, requantize


@dataclass(frozen=True, kw_only=True, eq=False)
class MatMulParameters:
    """Run-time integers of one product. Arrays have one entry per output channel (N).

    a_zero_point, b_zero_point: of the int8 operands, -128..127.
    bias: int32. multiplier: uint16. shift: 0..47. out_zero_point, low, high: in the output format; ReLU is low = out_zero_point.
    """

    a_zero_point: int
    b_zero_point: int
    bias: NDArray[np.int64]
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    out_zero_point: int
    low: int
    high: int

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
        """``b_scale``: a scalar or [N]; ``bias``: real values, a scalar or [N]; rounded to int32 of scale a_scale * b_scale.

        Raises
        ------
        ValueError
            If a scale ratio is 2**16 or above, or a bias does not fit int32.
        """
        scale = np.broadcast_to(np.asarray(b_scale, np.float64) * a_scale, channels)
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
        )


def accumulate(a: ArrayLike, b: ArrayLike, a_zero_point: int, b_zero_point: int) -> Int:
    """``(a - a_zero_point) @ (b - b_zero_point)``. a: [M, K], b: [K, N], int8 values. Exact."""
    # float64 products and sums of integers below 2**53 are exact, and use the fast BLAS path.
    left = np.asarray(a, np.float64) - a_zero_point
    right = np.asarray(b, np.float64) - b_zero_point
    return (left @ right).astype(np.int64)


def accumulator_bound(b: ArrayLike, b_zero_point: int, a_zero_point: int, bias: ArrayLike) -> int:
    """The largest magnitude that any partial sum plus bias can reach, for constant ``b`` ([K, N]) and any int8 ``a``."""
    magnitude = max(127 - a_zero_point, 128 + a_zero_point)
    column = np.abs(np.asarray(b, np.int64) - b_zero_point).sum(axis=0) * magnitude
    return int((column + np.abs(np.asarray(bias, np.int64))).max())


def matmul(a: ArrayLike, b: ArrayLike, parameters: MatMulParameters) -> Int:
    """a: [M, K], b: [K, N], int8 values; returns [M, N] in the output format. Raises as `requantize_sums`."""
    return requantize_sums(accumulate(a, b, parameters.a_zero_point, parameters.b_zero_point), parameters)


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

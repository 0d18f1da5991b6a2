"""Streaming attention: for each query its scores and the values of their keys, one key after the other, to the weighted mean of the
values; no row of scores is stored (Edge-MoE, arXiv 2305.18691; FlashAttention, arXiv 2205.14135).

It is softmax (softmax.py) with the values inside of the sum: weights m * 2**(e - 8 * C) relative to the running maximum C, and for each
column of the values a running sum of weight times value, which is shifted down by bytes when the maximum rises, like the sum of the
weights. Behind the last key, each is multiplied with the reciprocal of the sum and the ratio of the scales.

Error before the output's rounding, for values v of at most 128 steps and an output step of a value step: 2 * d * 128 from the exps, with
d as in softmax.py; n * 2**-28 [2**-20 on 8 bits] from truncation; and 128 times softmax's error of a row's factor. So the result
is within 1 step of the exact one on 8 bits, and within 1 / 128 of a value step on 16 bits, at which a 16-bit output has 2 steps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from typing_extensions import Self

from ...rtl.arch.attention import AttentionCircuit
from ...rtl.arch.formats import MAX_SHIFT, round_shift
from ...rtl.arch.softmax import BELOW_BITS, COARSE_BITS
from .requantize import Int
from .softmax import SoftmaxParameters, relations, row_weight, running_sum

_BYTE = 1 << COARSE_BITS
_FURTHEST = (1 << BELOW_BITS) - 1


@dataclass(frozen=True, kw_only=True)
class AttentionParameters(SoftmaxParameters):
    """Run-time integers: softmax's, with an output step of value_scale * 2**(out_shift - mantissa_bits) / out_multiplier.

    value_zero_point: int8.
    """

    value_zero_point: int = 0

    @classmethod
    def of(
        cls,
        circuit: AttentionCircuit,
        *,
        in_scale: float,
        value_scale: float,
        value_zero_point: int = 0,
        out_scale: float,
        out_zero_point: int = 0,
    ) -> Self:
        """For real scales. Raises ValueError if one is zero, not finite or beyond what the widths carry."""
        if not 0 < value_scale < float("inf"):
            raise ValueError(f"value_scale must be positive and finite, not {value_scale!r}")
        return cls(
            **vars(
                SoftmaxParameters.from_scales(
                    circuit.weights, in_scale=in_scale, out_scale=out_scale / value_scale, out_zero_point=out_zero_point
                )
            ),
            value_zero_point=value_zero_point,
        )


def attention(scores: ArrayLike, values: ArrayLike, parameters: AttentionParameters, circuit: AttentionCircuit) -> Int:
    """scores: [R, n]. values: int8, [n, d], or [R, n, d] for others in each row. Returns [R, d] numbers of the output format."""
    p, weights = parameters, circuit.weights
    rows = np.asarray(scores, np.int64)
    values = np.broadcast_to(np.asarray(values, np.int64) - p.value_zero_point, (len(rows), rows.shape[1], np.shape(values)[-1]))
    mantissa, fine, below, maximum = relations(rows, p, weights)
    weight, shift = row_weight(running_sum(mantissa, fine, below, maximum, weights), p, weights)
    extra = circuit.total_fraction_bits - weights.precision.mantissa_bits
    totals = np.zeros((len(rows), values.shape[2]), np.int64)
    for key in range(rows.shape[1]):
        rise = np.minimum(maximum[:, key] - maximum[:, max(key - 1, 0)], _FURTHEST)
        terms = (mantissa[:, key, None] * values[:, key]) << (extra + fine[:, key, None])
        totals = (totals >> (_BYTE * rise)[:, None]) + (terms >> (_BYTE * below[:, key, None]))
    dropped = weights.precision.weight_bits - circuit.weight_bits
    weight, shift = weight >> dropped, shift - dropped
    products = totals.astype(object) * weight[:, None].astype(object)  # beyond 64 bits
    y = np.frompyfunc(round_shift, 2, 1)(products, np.clip(shift + extra, 0, MAX_SHIFT)[:, None].astype(object))
    return np.clip(y + p.out_zero_point, p.low, p.high).astype(np.int64) + circuit.out.offset

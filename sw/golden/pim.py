"""What DRAM banks that compute do: multiply a column of theirs with one of the global buffer and add the sum to an accumulator.

INT8: signed bytes; the accumulator is int32 and wraps around.

BF16: patterns in uint16, the upper halves of FP32 numbers; the accumulator is FP32. All is IEEE 754 in round to nearest even, subnormals
kept. Each product is rounded once: it has 16 bits, so it is exact unless it lies below 2**-126 or overflows. Products are added in a tree,
2i and 2i + 1 of each level first, and their sum to the accumulator. A NaN becomes 0x7FC00000.

Error of BF16, with u = 2**-24: a product is in the way of the log2(lanes) additions of its tree and of one a column, n together. Each
changes its sum by at most a part u of it (results that are subnormal are exact), so all are at most n u / (1 - n u) times the sum of the
absolute products off (Higham, Accuracy and Stability of Numerical Algorithms, 4.2), the start value among them. A product below 2**-126 is
off by 2**-150 at most, before that. `error_bound` computes it; it holds where nothing overflows.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def to_bf16(x: ArrayLike) -> NDArray[np.uint16]:
    """The nearest patterns of FP32 numbers, of two equally near ones the even; a NaN becomes 0x7FC0."""
    x = np.asarray(x, np.float32)
    bits = x.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x), 0x7FC0, rounded).astype(np.uint16)


def from_bf16(patterns: ArrayLike) -> NDArray[np.float32]:
    """The numbers of patterns, exactly."""
    return (np.asarray(patterns, np.uint16).astype(np.uint32) << 16).view(np.float32)


def mac(accumulator: NDArray[Any], weights: NDArray[Any], vector: NDArray[Any]) -> NDArray[Any]:
    """``accumulator + weights . vector`` of one column.

    accumulator: int32 or float32, [...]. weights: [..., lanes], vector: [lanes], both int8 or both uint16 patterns.
    """
    if weights.dtype == np.int8:
        products = weights.astype(np.int64) * vector.astype(np.int64)
        return (accumulator + products.sum(axis=-1)).astype(np.int32)
    with np.errstate(all="ignore"):
        sums = from_bf16(weights) * from_bf16(vector)
        while sums.shape[-1] > 1:
            sums = sums[..., 0::2] + sums[..., 1::2]
        return _canonical(accumulator + sums[..., 0])


def relu(accumulator: NDArray[Any]) -> NDArray[Any]:
    """int32: max(x, 0). FP32: what is below zero, and -0, become +0; a NaN becomes 0x7FC00000."""
    positive = np.where(accumulator > 0, accumulator, accumulator.dtype.type(0))
    return positive if accumulator.dtype == np.int32 else _canonical(np.where(np.isnan(accumulator), accumulator, positive))


def _canonical(x: NDArray[Any]) -> NDArray[Any]:
    return np.where(np.isnan(x), np.float32(np.nan), x)


def columns(elements: NDArray[Any], lanes: int) -> NDArray[Any]:
    """Elements [..., k] cut into columns, [..., columns, lanes]; zeros fill the last one."""
    *outer, k = elements.shape
    whole = np.zeros((*outer, -(-k // lanes) * lanes), elements.dtype)
    whole[..., :k] = elements
    return whole.reshape(*outer, -1, lanes)


def matrix_vector(weights: NDArray[Any], vector: NDArray[Any], lanes: int, start: NDArray[Any] | None = None) -> NDArray[Any]:
    """``start + weights @ vector`` as a bank adds it up: column by column.

    weights: [m, k], vector: [k], both int8 or both uint16 patterns. start: [m], int32 or float32, as the result; zeros if there is none.
    """
    if start is None:
        start = np.zeros(len(weights), np.int32 if weights.dtype == np.int8 else np.float32)
    accumulator, rows = start, columns(weights, lanes)
    for index, column in enumerate(columns(vector, lanes)):
        accumulator = mac(accumulator, rows[:, index], column)
    return accumulator


def error_bound(weights: NDArray[np.uint16], vector: NDArray[np.uint16], lanes: int, start: ArrayLike = 0) -> NDArray[np.float64]:
    """How far `matrix_vector` of BF16 patterns is from the exact result at most, [m]: see above."""
    absolute = np.abs(from_bf16(weights).astype(np.float64)) @ np.abs(from_bf16(vector).astype(np.float64))
    k = len(vector)
    n = (lanes.bit_length() - 1 + -(-k // lanes)) * 2.0**-24
    return n / (1 - n) * (absolute + np.abs(np.asarray(start, np.float64))) + (1 + n / (1 - n)) * k * 2.0**-150

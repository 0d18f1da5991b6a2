"""The golden model of the banks' products: against exact fractions, its bound, and numbers at the edges of the formats."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from bf16 import patterns
from celosia.sw.golden.pim import error_bound, from_bf16, mac, matrix_vector, relu, to_bf16
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

INF, NAN, ONE, LARGEST, TINY = 0x7F80, 0x7FC0, 0x3F80, 0x7F7F, 0x0001
CANONICAL = 0x7FC00000


def exact(weights: NDArray[np.uint16], vector: NDArray[np.uint16], start: NDArray[np.float32]) -> list[Fraction]:
    row, *others = (list(map(Fraction, from_bf16(x).tolist())) for x in (vector, *weights))
    return [sum(map(Fraction.__mul__, other, row), Fraction(first)) for other, first in zip(others, start.tolist(), strict=True)]


def bits(x: NDArray[Any]) -> list[int]:
    return x.astype(np.float32).view(np.uint32).tolist()


@given(st.floats(width=32))
@example(-0.0)
@example(1 + 2.0**-8)
@example(1 + 3 * 2.0**-8)
@example(float(np.finfo(np.float32).max))
@example(2.0**-149)
def test_to_bf16_is_nearest_even(x: float) -> None:
    pattern = int(to_bf16(x))
    if np.isnan(x):
        assert pattern == NAN
        return
    assert pattern >> 15 == np.signbit(x)
    magnitude = pattern & 0x7FFF
    if np.isinf(x):
        assert magnitude == INF
        return
    distances = {p: abs(_number(p) - abs(Fraction(x))) for p in range(max(magnitude - 1, 0), min(magnitude + 1, INF) + 1)}
    nearest = [p for p, distance in distances.items() if distance == min(distances.values())]
    assert magnitude in nearest
    assert len(nearest) == 1 or magnitude % 2 == 0


def _number(magnitude: int) -> Fraction:
    """Of a pattern; infinity stands where the next number would be."""
    return Fraction(2) ** 128 if magnitude == INF else Fraction(float(from_bf16(magnitude)))


@pytest.mark.parametrize("lanes", [8, 16, 32, 64])
def test_int8_is_exact_and_wraps(lanes: int) -> None:
    rng = np.random.default_rng(lanes)
    weights, vector = rng.integers(-128, 128, (9, 70), np.int8), rng.integers(-128, 128, 70, np.int8)
    start = rng.integers(-(2**31), 2**31, 9).astype(np.int32)
    start[:2] = 2**31 - 1, -(2**31)
    weights[:2] = vector, -np.maximum(vector, -127)
    total = start.astype(object) + weights.astype(object) @ vector.astype(object)
    assert matrix_vector(weights, vector, lanes, start).tolist() == [(x + 2**31) % 2**32 - 2**31 for x in total]
    assert any(not -(2**31) <= x < 2**31 for x in total)


@pytest.mark.parametrize("exponents", [(120, 134), (60, 190), (0, 80), (0, 66), (0, 1)])
@pytest.mark.parametrize(("k", "lanes"), [(1, 4), (16, 16), (37, 8), (500, 16), (300, 32)])
def test_bf16_is_within_its_bound(k: int, lanes: int, exponents: tuple[int, int]) -> None:
    rng = np.random.default_rng(k)
    weights, vector = patterns(rng, (20, k), exponents), patterns(rng, (k,), exponents)
    start = from_bf16(patterns(rng, (20,), exponents))
    result = matrix_vector(weights, vector, lanes, start)
    bound = error_bound(weights, vector, lanes, start)
    for x, y, most in zip(result.tolist(), exact(weights, vector, start), bound.tolist(), strict=True):
        assert abs(Fraction(x) - y) <= Fraction(most)


def test_bound_is_within_twice_the_worst() -> None:
    """2**24 loses the one that each of four columns adds."""
    ones, sparse = np.full((1, 64), ONE, np.uint16), np.where(np.arange(64) % 16 == 0, ONE, 0).astype(np.uint16)
    start = np.array([2.0**24], np.float32)
    assert matrix_vector(ones, sparse, 16, start).tolist() == [2.0**24]
    assert 4 <= error_bound(ones, sparse, 16, start)[0] < 2 * 4 + 0.1


def test_products_are_added_in_pairs() -> None:
    large, small = int(to_bf16(2.0**24)), ONE
    column = np.array([large, large ^ 0x8000, small, small], np.uint16)
    ones = np.full(4, ONE, np.uint16)
    zero = np.zeros((), np.float32)
    assert float(mac(zero, column, ones)) == 2
    assert float(mac(zero, column[[0, 2, 1, 3]], ones)) == 1  # 2**24 + 1 is a tie
    assert float(mac(np.array(2.0**24, np.float32), column[[2, 3, 2, 3]], ones)) == 2.0**24 + 4  # the tree first, then the accumulator
    assert float(matrix_vector(column[None, [0, 2, 1, 3]], ones, 2)[0]) == 1


@pytest.mark.parametrize(
    ("weight", "factor", "start", "result"),
    [
        (INF, ONE, 0.0, 0x7F800000),
        (INF, 0, 0.0, CANONICAL),
        (INF, ONE, -np.inf, CANONICAL),
        (0xFF81, ONE, 0.0, CANONICAL),  # a signalling NaN with a sign
        (ONE, ONE, np.nan, CANONICAL),
        (LARGEST, LARGEST, 0.0, 0x7F800000),
        (LARGEST, 0xFF7F, 0.0, 0xFF800000),
        (TINY, ONE, 0.0, 0x00010000),  # 2**-133
        (0x1A00, 0x1A40, 0.0, 0x00000001),  # 1.5 * 2**-150
        (0x1A00, 0x1A00, 0.0, 0),  # a tie
        (TINY, TINY, 0.0, 0),
        (0x8000, ONE, -0.0, 0x00000000),
        (0x8000, 0, -0.0, 0x00000000),
    ],
)
def test_bf16_at_the_edges(weight: int, factor: int, start: float, result: int) -> None:
    weights, vector = np.zeros((1, 2), np.uint16), np.zeros(2, np.uint16)
    weights[0, 0], vector[0] = weight, factor
    assert bits(matrix_vector(weights, vector, 2, np.array([start], np.float32))) == [result]


def test_relu() -> None:
    assert relu(np.array([-(2**31), -1, 0, 7, 2**31 - 1], np.int32)).tolist() == [0, 0, 0, 7, 2**31 - 1]
    odd = np.array([0xFF800001, 0x7F812345], np.uint32).view(np.float32)
    numbers = np.array([-np.inf, -1, -(2.0**-149), -0.0, 0, 2.0**-149, 3.5, np.inf], np.float32)
    assert bits(relu(numbers)) == [0, 0, 0, 0, 0, 1, 0x40600000, 0x7F800000]
    assert bits(relu(odd)) == [CANONICAL, CANONICAL]

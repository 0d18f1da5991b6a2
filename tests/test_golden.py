"""The golden models against exact fractions and float64, within the bounds that their docstrings state."""

import math
import zlib
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from celosia.rtl.arch import tables
from celosia.rtl.arch.formats import INT8, INT16, MAX_FACTOR, UINT8, Format
from celosia.rtl.arch.layernorm import EPSILON_BITS, MOST_ELEMENTS, Z_FRACTION_BITS
from celosia.rtl.arch.softmax import PRECISION
from celosia.rtl.arch.tables import LinearTable
from celosia.sw.golden.add import AddParameters, add, rescale
from celosia.sw.golden.layernorm import LayerNormParameters, error_bound, layernorm, normalise
from celosia.sw.golden.matmul import MatMulParameters, accumulate, accumulator_bound, matmul, split_scales
from celosia.sw.golden.multiply import MultiplyParameters, multiply
from celosia.sw.golden.requantize import requantize, round_shift, saturate
from celosia.sw.golden.table import interpolate
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

FORMATS = pytest.mark.parametrize("source", [INT8, INT16], ids=["int8", "int16"])
OUT = pytest.mark.parametrize("out", [INT8, INT16], ids=["to8", "to16"])


def every(source: Format) -> NDArray[np.int64]:
    return np.arange(source.min, source.max + 1)


def rows_of(source: Format, n: int) -> NDArray[np.int64]:
    """Random rows of n elements, and the extreme ones: equal values, one value apart, both ends."""
    random = np.random.default_rng(n)
    alternating = np.where(np.arange(n) % 2, source.min, source.max)
    one = np.full(n, source.min)
    one[n // 2] = source.max
    step = np.full(n, 5)
    step[-1] = 6
    extremes = [np.full(n, value) for value in (source.min, -1, 0, source.max)]
    uniform = random.integers(source.min, source.max + 1, (20, n))
    narrow = random.integers(-20, 21, (10, n))
    return np.stack([*extremes, alternating, one, -1 - one, step, *uniform, *narrow])


def test_round_shift_at_small_widths() -> None:
    for shift in range(8):
        x = np.arange(-512, 513)
        assert round_shift(x, shift).tolist() == [round(Fraction(int(v), 1 << shift)) for v in x]


@given(st.integers(-(2**62), 2**62), st.integers(0, 62))
def test_round_shift_of_large_values(x: int, shift: int) -> None:
    assert int(round_shift(x, shift)) == round(Fraction(x, 1 << shift))


@given(st.integers(-(2**20), 2**20), st.integers(1, 40))
def test_round_shift_at_ties(x: int, shift: int) -> None:
    tie = (2 * x + 1) << (shift - 1)
    assert int(round_shift(tie, shift)) == round(Fraction(2 * x + 1, 2)) == x + x % 2
    assert int(round_shift(tie + 1, shift + 8)) == round(Fraction(tie + 1, 1 << (shift + 8)))


@given(st.integers(-(2**31) + 1, 2**31 - 1), st.integers(0, 2**16 - 1), st.integers(0, 47), st.integers(-128, 127))
def test_requantize(accumulator: int, multiplier: int, shift: int, zero_point: int) -> None:
    bias = accumulator // 3
    exact = round(Fraction((accumulator - bias + bias) * multiplier, 1 << shift)) + zero_point
    found = int(requantize(accumulator - bias, bias, multiplier, shift, zero_point, -100, 127))
    assert found == min(max(exact, -100), 127)


def test_saturate() -> None:
    assert saturate([-(2**40), -129, -128, 127, 128], INT8).tolist() == [-128, -128, -128, 127, 127]


def rsqrt_argument(u: NDArray[np.int64]) -> NDArray[np.float64]:
    parity, mantissa = u >> tables.RSQRT_MANTISSA_BITS, u & ((1 << tables.RSQRT_MANTISSA_BITS) - 1)
    return (1 + mantissa / 2**tables.RSQRT_MANTISSA_BITS) * (1 + parity)


# The argument of each table's function, the function, its unit, and h**2 / 8 * max|f''|, to which one unit is added.
TABLES: dict[str, tuple[LinearTable, Callable, Callable, float, float]] = {
    "exp2_8": (PRECISION[8].exp2, lambda u: u / 2**10, np.exp2, 2.0**-11, 2.0**-13),
    "exp2_16": (PRECISION[16].exp2, lambda u: u / 2**17, np.exp2, 2.0**-17, 2.0**-19),
    "reciprocal_8": (PRECISION[8].reciprocal, lambda u: 1 + u / 2**14, lambda x: 1 / x, 2.0**-14, 2.0**-14),
    "reciprocal_16": (PRECISION[16].reciprocal, lambda u: 1 + u / 2**20, lambda x: 1 / x, 2.0**-20, 2.0**-20),
    "rsqrt": (tables.RSQRT, rsqrt_argument, lambda x: np.minimum(x**-0.5, 1 - 2.0**-18), 2.0**-18, (1 / 128) ** 2 / 8 * 0.75),
}


@pytest.mark.parametrize("name", TABLES)
def test_table_over_its_whole_input_range(name: str) -> None:
    table, argument, function, unit, segments = TABLES[name]
    u = np.arange(1 << table.input_bits)
    u = u[:: max(1, len(u) >> 17)] if name == "rsqrt" else u
    found = interpolate(table, u)
    assert found.min() >= 0
    assert int(found.max()).bit_length() <= table.base_bits
    assert np.abs(found * unit - function(argument(u))).max() <= segments + unit


def test_table_is_exact_at_its_samples() -> None:
    for table, argument, function, unit, _ in TABLES.values():
        u = np.arange(len(table.base)) << table.fraction_bits
        assert interpolate(table, u).tolist() == [round(float(v) / unit) for v in function(argument(u))]


def test_refused_table() -> None:
    for base, slope, message in (
        ((1, 2, 3), (0, 0, 0), "base must have a power of two of entries, not 3"),
        ((1,), (0,), "base must have a power of two of entries, not 1"),
        ((1, 2), (0,), r"slope must have as many entries as base \(2\), not 1"),
    ):
        with pytest.raises(ValueError, match=rf"^{message}$"):
            LinearTable(base, slope, 4)


SCALES = [(0.05, 0.07, 0.09), (0.05, 0.0004, 0.05), (3e-5, 0.2, 0.2), (0.1, 0.1, 0.1), (1.0, 2.0**-17, 0.01)]


@FORMATS
@OUT
@pytest.mark.parametrize(("a_scale", "b_scale", "out_scale"), SCALES)
def test_add(source: Format, out: Format, a_scale: float, b_scale: float, out_scale: float) -> None:
    random = np.random.default_rng(zlib.crc32(repr((a_scale, b_scale)).encode()))
    a = np.concatenate([every(source)[:: source.bits**2 // 64], [source.min, source.min, source.max, source.max]])
    b = random.integers(source.min, source.max + 1, a.size)
    b[-4:] = source.min, source.max, source.min, source.max
    parameters = AddParameters.from_scales(
        a_scale=a_scale, a_zero_point=3, b_scale=b_scale, b_zero_point=-7, out_scale=out_scale, out_zero_point=5, out=out
    )
    left, right = (a - 3) * a_scale / out_scale, (b + 7) * b_scale / out_scale
    larger = max(a_scale, b_scale) / out_scale
    error = sum(np.maximum(np.abs(share) * 2.0**-16, np.abs(q) * larger * 2.0**-32) for share, q in ((left, a - 3), (right, b + 7)))
    assert_close(add(a, b, parameters), left + right + 5, error, out)


def assert_close(found: NDArray[np.int64], exact: NDArray[np.float64], error: NDArray | float, out: Format) -> None:
    """``found`` is ``exact`` rounded and limited to ``out``, where ``exact`` may be off by ``error`` before that."""
    assert found.min() >= out.min
    assert found.max() <= out.max
    assert (np.abs(found - np.clip(exact, out.min, out.max)) <= 0.5 + error + 1e-9).all()


@FORMATS
@OUT
@pytest.mark.parametrize(
    ("a_scale", "b_scale", "out_scale"), [(0.05, 0.07, 0.03), (1e-4, 1e-4, 2e-4), (1.0, 0.5, 100.0), (1e-5, 1e-5, 0.1)]
)
def test_multiply(source: Format, out: Format, a_scale: float, b_scale: float, out_scale: float) -> None:
    """Every pair of int8; of int16 some, the largest products among them."""
    numbers = every(source)[:: 1 << (source.bits - 8)]
    a, b = np.append(numbers, source.max)[:, None], np.append(numbers, source.max)
    parameters = MultiplyParameters.from_scales(
        **{"a_scale": a_scale, "a_zero_point": source.min, "b_scale": b_scale, "b_zero_point": 7},
        **{"out_scale": out_scale, "out_zero_point": -5, "out": out},
    )
    exact = (a - source.min) * a_scale * ((b - 7) * b_scale) / out_scale
    assert_close(multiply(a, b, parameters), exact - 5, np.maximum(np.abs(exact), 1) * 2.0**-16, out)


def test_multiply_of_a_row() -> None:
    parameters = MultiplyParameters.from_scales(
        a_scale=1, a_zero_point=1, b_scale=1, b_zero_point=-1, out_scale=1, out_zero_point=2, out=INT8
    )
    assert multiply([[1, 2], [3, 4]], [[10, 20]], parameters).tolist() == [[2, 23], [24, 65]]


@FORMATS
def test_add_of_equal_scales_is_exact(source: Format) -> None:
    parameters = AddParameters.from_scales(
        a_scale=0.3, a_zero_point=0, b_scale=0.3, b_zero_point=0, out_scale=0.3, out_zero_point=0, out=source
    )
    a = every(source)
    for shift in (0, 1, source.max // 2, source.max):
        b = np.roll(a, shift)
        assert add(a, b, parameters).tolist() == np.clip(a + b, source.min, source.max).tolist()


def test_add_broadcasts_a_row() -> None:
    parameters = AddParameters.from_scales(a_scale=1, a_zero_point=0, b_scale=1, b_zero_point=0, out_scale=1, out_zero_point=0, out=INT8)
    assert add([[1, 2], [3, 4]], [[10, 20]], parameters).tolist() == [[11, 22], [13, 24]]


@FORMATS
@OUT
@pytest.mark.parametrize("ratio", [1.0, 0.3, 1 / 256, 7.7, 200.0])
def test_rescale_over_the_whole_range(source: Format, out: Format, ratio: float) -> None:
    parameters = AddParameters.from_scales(a_scale=0.02 * ratio, a_zero_point=-4, out_scale=0.02, out_zero_point=11, out=out)
    q = every(source)
    exact = np.asarray((q + 4) * ratio, np.float64)
    assert_close(rescale(q, parameters), exact + 11, np.abs(exact) * 2.0**-16, out)


def test_rescale_with_relu() -> None:
    parameters = AddParameters.from_scales(a_scale=1, a_zero_point=2, out_scale=1, out_zero_point=-128, out=INT8, relu=True)
    q = every(INT8)
    assert rescale(q, parameters).tolist() == np.clip(np.maximum(q - 2, 0) - 128, -128, 127).tolist()


def test_refused_ratio() -> None:
    with pytest.raises(ValueError, match=r"^real must be below 2\*\*16, not 100000.0$"):
        AddParameters.from_scales(a_scale=1e5, a_zero_point=0, out_scale=1, out_zero_point=0, out=INT8)


@pytest.mark.parametrize("name", TABLES)
def test_one_number_is_the_same_as_an_array_of_them(name: str) -> None:
    table = TABLES[name][0]
    u = np.random.default_rng(1).integers(0, 1 << table.input_bits, 200)
    assert [table.at(int(x)) for x in u] == interpolate(table, u).tolist()


LENGTHS = pytest.mark.parametrize("n", [1, 2, 16, 100, 1000])


@FORMATS
@OUT
@LENGTHS
@pytest.mark.parametrize("epsilon", [1e-5, 1e-12])
def test_layernorm(source: Format, out: Format, n: int, epsilon: float) -> None:
    random = np.random.default_rng(n)
    in_scale, out_scale = 4 / source.max, 6 / out.max
    gamma, beta = random.normal(1, 0.3, n), random.normal(0, 0.5, n)
    rows = rows_of(source, n)
    parameters = LayerNormParameters.from_scales(
        in_scale=in_scale, gamma=gamma, beta=beta, epsilon=epsilon, out_scale=out_scale, out_zero_point=2, out=out
    )
    x = rows * in_scale
    # epsilon as the machine has it, an integer of the input's own units: part of the operator's definition here
    variance = x.var(axis=1, keepdims=True) + parameters.epsilon * (in_scale / n) ** 2
    z = np.divide(x - x.mean(axis=1, keepdims=True), np.sqrt(variance), out=np.zeros_like(x), where=variance > 1e-15)
    exact = (z * gamma + beta) / out_scale + 2
    gamma_unit, beta_unit = (2.0 ** (places - parameters.shift) for places in (Z_FRACTION_BITS, parameters.beta_shift))  # in output steps
    error = error_bound(z) * np.abs(gamma) / out_scale + (np.abs(z) * gamma_unit + beta_unit) / 2
    assert_close(layernorm(rows, parameters, out), exact, error, out)
    steps = np.clip(np.rint(exact), out.min, out.max)
    assert np.abs(layernorm(rows, parameters, out) - steps).max() <= (1 if out.bits == 8 else 2)


@FORMATS
@pytest.mark.parametrize("out", [UINT8, INT16], ids=str)
@LENGTHS
def test_rmsnorm(source: Format, out: Format, n: int) -> None:
    in_scale, out_scale = 4 / source.max, 6 / (1 << (out.bits - 1))
    gamma, rows = np.random.default_rng(n).normal(1, 0.3, n), rows_of(source, n)
    parameters = LayerNormParameters.from_scales(
        in_scale=in_scale, gamma=gamma, epsilon=1e-5, out_scale=out_scale, out_zero_point=out.offset, out=out, rms=True
    )
    x = rows * in_scale
    variance = (x**2).mean(axis=1, keepdims=True) + parameters.epsilon * (in_scale / n) ** 2
    z = np.divide(x, np.sqrt(variance), out=np.zeros_like(x), where=variance > 0)
    exact = z * gamma / out_scale + out.offset
    steps = np.clip(np.rint(exact), out.min, out.max)
    assert np.abs(layernorm(rows, parameters, out) - steps).max() <= (1 if out.bits == 8 else 2)


def rows_around(centre: int, spread: float, n: int) -> NDArray[np.int64]:
    """Values near the centre, and one step above it alone: once, at one of ``spread`` places, everywhere but once."""
    random = np.random.default_rng(n)
    near = np.rint(random.normal(centre, spread, (8, n)))
    above = np.stack([np.arange(n) == n - 1, random.random(n) < 1 / (1 + spread), np.arange(n) > 0])
    return np.clip(np.concatenate([near, centre + above]), INT16.min, INT16.max).astype(np.int64)


@pytest.mark.parametrize("rms", [0, 1], ids=["layernorm", "rmsnorm"])
@pytest.mark.parametrize("n", [1, 2, 3, 100, MOST_ELEMENTS - 1, MOST_ELEMENTS])
def test_normalised_values(n: int, rms: int) -> None:
    """Of rows of every spread, from one element that differs by 1 to both ends, wherever the mean lies between two integers."""
    spreads = [0.1, 0.3, 1, 3, 10, 1000, 30000]
    rows = np.concatenate([rows_of(INT16, n), *(rows_around(c, s, n) for c in (INT16.min, 0, 7, INT16.max - 1) for s in spreads)])
    total = rows.sum(axis=1, keepdims=True) * (1 - rms)
    for epsilon in (0, 1, n, n**2 << 20, (1 << EPSILON_BITS) - 1):
        variance = np.maximum(n * (rows**2).sum(axis=1, keepdims=True) - total**2 + epsilon, 1)  # times n**2
        z = (n * rows - total) / np.sqrt(variance)
        assert (np.abs(normalise(rows, epsilon, rms) * 2.0**-Z_FRACTION_BITS - z) <= error_bound(z)).all()


def test_normalised_rows_of_equal_values_are_zero() -> None:
    rows = np.repeat(np.array([[-32768], [-1], [0], [32767]]), 1000, axis=1)
    assert not normalise(rows, 0).any()
    assert not normalise(rows, 12345).any()


def test_layernorm_takes_leading_axes() -> None:
    parameters = LayerNormParameters.from_scales(
        in_scale=0.1, gamma=np.ones(6), beta=np.zeros(6), epsilon=1e-5, out_scale=0.05, out_zero_point=0, out=INT8
    )
    q = np.random.default_rng(5).integers(-128, 128, (2, 3, 6))
    assert layernorm(q, parameters).tolist() == layernorm(q.reshape(6, 6), parameters).reshape(2, 3, 6).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_scale": 0.0}, "in_scale must be positive and finite, not 0.0"),
        ({"out_scale": math.nan}, "out_scale must be positive and finite, not nan"),
        ({"gamma": [math.inf, 1]}, "gamma and beta must be finite"),
        ({"beta": [math.nan, 1]}, "gamma and beta must be finite"),
        ({"gamma": [1e12, 1]}, r"gamma must be below 2\*\*30 output steps, not 1000000000000.0"),
        ({"beta": [1e12, 1]}, r"beta must be below 2\*\*46 units of gamma's last place, not 1000000000000.0 output steps"),
        ({"epsilon": 1e15}, r"epsilon \* \(n / in_scale\)\*\*2 must be in 0\.\.2\*\*48 - 1, not 4000000000000000"),
    ],
)
def test_refused_layernorm(change: dict, message: str) -> None:
    values = {"in_scale": 1, "gamma": [1, 1], "beta": [0, 0], "epsilon": 1e-5, "out_scale": 1, "out_zero_point": 0, "out": INT8}
    with pytest.raises(ValueError, match=rf"^{message}$"):
        LayerNormParameters.from_scales(**(values | change))


def product_parameters(n: int, **changes: object) -> MatMulParameters:
    values = {
        **{"a_scale": 0.02, "a_zero_point": -3, "b_scale": np.linspace(0.001, 0.01, n), "b_zero_point": 0, "bias": np.linspace(-1, 1, n)},
        **{"out_scale": 0.05, "out_zero_point": 4, "out": INT8, "channels": n},
    }
    return MatMulParameters.from_scales(**(values | changes))  # pyright: ignore[reportArgumentType]


@OUT
@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (3, 17, 5), (16, 1000, 9)])
def test_matmul(out: Format, m: int, k: int, n: int) -> None:
    random = np.random.default_rng(k)
    a, b = random.integers(-128, 128, (m, k)), random.integers(-128, 128, (k, n))
    a[0], b[:, 0] = -128, -128
    out_scale = 0.05 if out is INT8 else 0.0003
    parameters = product_parameters(n, out=out, out_scale=out_scale)
    b_scale = np.linspace(0.001, 0.01, n)
    exact = ((a + 3) * 0.02) @ (b * b_scale) + np.linspace(-1, 1, n)
    error = (np.abs(exact) * 2.0**-16 + 0.02 * b_scale / 2) / out_scale  # of the multiplier, and of the bias' rounding
    assert_close(matmul(a, b, parameters), exact / out_scale + 4, error, out)


def test_matmul_at_the_accumulators_limit() -> None:
    k = 2**31 // 255**2
    parameters = product_parameters(1, a_zero_point=127, b_zero_point=127, bias=0.0)
    a, b = np.full((1, k), -128), np.full((k, 1), -128)
    assert matmul(a, b, parameters).tolist() == [[127]]
    a, b = np.full((1, k + 1), -128), np.full((k + 1, 1), -128)
    with pytest.raises(OverflowError, match=r"^an accumulator exceeds int32$"):
        matmul(a, b, parameters)


@given(st.integers(-128, 127), st.integers(-128, 127), st.integers(0, 2**32), st.sampled_from((0, 1, 3)))
def test_accumulator_bound_is_reached(a_zero_point: int, b_zero_point: int, seed: int, groups: int) -> None:
    random = np.random.default_rng(seed)
    b, factors = random.integers(-128, 128, (6, 3)), random.integers(0, 256, (groups, 3)) if groups else None
    bound = accumulator_bound(b, b_zero_point, a_zero_point, [0, 0, 0], factors)
    extreme = -128 if 128 + a_zero_point >= 127 - a_zero_point else 127
    worst = accumulate(np.full((1, 6), extreme), np.abs(b - b_zero_point), a_zero_point, 0, factors)
    assert bound == np.abs(worst).max()


def scales_of_groups(least: float, most: float) -> st.SearchStrategy[list[list[float]]]:
    """[N][G]"""
    channel = lambda groups: st.lists(st.floats(least, most), min_size=groups, max_size=groups)  # noqa: E731
    return st.integers(1, 6).flatmap(lambda groups: st.lists(channel(groups), min_size=1, max_size=4))


@given(scales_of_groups(1e-6, 1e3))
def test_scales_of_groups(scales: list[list[float]]) -> None:
    wanted = np.array(scales).T
    scale, factors = split_scales(wanted)
    assert factors.min() >= 0
    assert (factors.max(axis=0) == MAX_FACTOR).all()
    assert (np.abs(factors * scale - wanted) <= scale / 2 * (1 + 1e-12)).all()
    assert np.allclose(scale / 2, wanted.max(axis=0) / 510, rtol=1e-12)


@given(scales_of_groups(1e-3, 1), st.integers(1, 40), st.integers(-128, 127), st.integers(-128, 127), st.integers(0, 2**32))
def test_product_of_groups(scales: list[list[float]], k: int, a_zero_point: int, b_zero_point: int, seed: int) -> None:
    random, b_scale = np.random.default_rng(seed), np.array(scales).T
    groups, n = b_scale.shape
    a, b = random.integers(-128, 128, (4, groups, k)), random.integers(-128, 128, (groups, k, n))
    sums = np.einsum("mgk,gkn->mgn", a - a_zero_point, b - b_zero_point) * 0.02
    out_scale = b_scale.max() * k
    zero_points = {"a_zero_point": a_zero_point, "b_zero_point": b_zero_point}
    parameters = product_parameters(n, b_scale=b_scale, out_scale=out_scale, bias=0.0, out=INT16, **zero_points)
    exact = (sums * b_scale).sum(axis=1)
    rounding = np.abs(sums).sum(axis=1) * b_scale.max(axis=0) / 510
    error = (rounding + (np.abs(exact) + rounding) * 2.0**-16) / out_scale  # of the factors, and of the multiplier
    assert_close(matmul(a.reshape(4, -1), b.reshape(-1, n), parameters), exact / out_scale + 4, error, INT16)


def test_product_with_relu() -> None:
    parameters = product_parameters(3, relu=True)
    assert (parameters.low, parameters.high) == (4, 127)


def test_refused_product() -> None:
    with pytest.raises(ValueError, match=r"^bias must fit int32 at scale a_scale \* b_scale, not "):
        product_parameters(1, bias=1e6)
    with pytest.raises(ValueError, match=r"^real must be below 2\*\*16, not "):
        product_parameters(1, out_scale=1e-10)

"""Softmax's golden model against float64, within the bound that is derived in its docstring; masks; refused scales."""

import math
import re

import numpy as np
import pytest
from celosia.rtl.arch.formats import INT8, INT16, INT32, UINT8, UINT16, Format
from celosia.rtl.arch.softmax import Mask, SoftmaxCircuit
from celosia.sw.golden.softmax import SoftmaxParameters, error_bound, softmax
from numpy.typing import NDArray

SOURCES = pytest.mark.parametrize("source", [INT8, INT16, INT32], ids=str)
OUTS = pytest.mark.parametrize("out", [INT8, UINT8, INT16, UINT16], ids=str)


def rows_of(source: Format, n: int, scale: float) -> NDArray[np.int64]:
    """Random rows of n scores; equal ones; both extremes; sorted both ways; and one large score over n that add up to as much."""
    random = np.random.default_rng(n)
    one = np.full(n, source.min)
    one[n // 2] = source.max
    uniform = random.integers(source.min, source.max + 1, (4, n))
    narrow = random.integers(-20, 21, (2, n))
    equal = [np.full(n, value) for value in (source.min, 0, source.max)]
    rows = [*equal, one, -1 - one, np.where(np.arange(n) % 2, source.min, source.max), *uniform, *narrow]
    for distance in (math.log(n) - 0.7, math.log(n), math.log(n) + 0.7):
        below = np.clip(source.max - round(distance / scale) + random.integers(0, 3, n), source.min, source.max)
        below[-1] = source.max
        rows += [below, below[::-1]]
    return np.stack([*rows, np.sort(uniform[0]), np.sort(uniform[0])[::-1]])


def exact_softmax(rows: NDArray[np.int64], scale: float) -> NDArray[np.float64]:
    x = rows * scale
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@SOURCES
@OUTS
@pytest.mark.parametrize("n", [1, 2, 17, 100, 4096])
@pytest.mark.parametrize("reach", [0.5, 12.0, 100.0, 600.0])
@pytest.mark.parametrize("lanes", [1, 16])
def test_error(source: Format, out: Format, n: int, reach: float, lanes: int) -> None:
    """At most the derived bound, which is at most half a step more on 8 bits, 1.5 on 16; rows sum to 1 within the bound."""
    circuit = SoftmaxCircuit(lanes=lanes, source=source, out=out)
    scale = reach / (source.max - source.min)
    rows = rows_of(source, n, scale)
    steps = out.max - out.min
    found = softmax(rows, SoftmaxParameters.from_scales(circuit, in_scale=scale), circuit) - out.min
    exact = exact_softmax(rows, scale)
    bound = np.vectorize(lambda p: error_bound(p, n, out.bits))(exact) * steps + 0.5 + 1e-9
    assert (np.abs(found - exact * steps) <= bound).all()
    assert np.abs(found - np.rint(exact * steps)).max() <= (1 if out.bits == 8 else 2)
    assert (np.abs(found.sum(axis=1) - steps) <= bound.sum(axis=1)).all()


@pytest.mark.parametrize(("bits", "steps"), [(8, 1), (16, 2)])
def test_bound_of_the_longest_rows(bits: int, steps: int) -> None:
    worst = max(error_bound(p, 65536, bits) for p in np.linspace(0, 1, 10001))
    assert worst * ((1 << bits) - 1) + 0.5 <= steps


@pytest.mark.parametrize("out", [UINT8, UINT16], ids=str)
def test_longest_rows(out: Format) -> None:
    circuit = SoftmaxCircuit(lanes=8, row_elements=65536, source=INT16, out=out)
    scale = 30 / 65535
    rows = rows_of(INT16, 65536, scale)
    found = softmax(rows, SoftmaxParameters.from_scales(circuit, in_scale=scale), circuit)
    assert np.abs(found - np.rint(exact_softmax(rows, scale) * out.max)).max() <= (1 if out.bits == 8 else 2)


def test_what_is_added_to_a_row_changes_nothing() -> None:
    circuit = SoftmaxCircuit(source=INT8, out=UINT8)
    parameters = SoftmaxParameters.from_scales(circuit, in_scale=math.log(2) / 4)
    rows = np.random.default_rng(3).integers(-60, 61, (20, 30))
    assert softmax(rows + 32, parameters, circuit).tolist() == softmax(rows, parameters, circuit).tolist()


def test_length_mask_is_the_softmax_of_the_shorter_row() -> None:
    circuit = SoftmaxCircuit(source=INT8, out=UINT8, mask=Mask.LENGTH)
    rows = np.random.default_rng(4).integers(-128, 128, (3, 40))
    for length in (0, 1, 7, 40, 50):
        found = softmax(rows, SoftmaxParameters.from_scales(circuit, in_scale=0.03, length=length), circuit)
        whole = SoftmaxParameters.from_scales(circuit, in_scale=0.03, length=1000)
        assert not found[:, length:].any()
        if length:
            assert found[:, :length].tolist() == softmax(rows[:, :length], whole, circuit).tolist()


def test_causal_mask() -> None:
    circuit = SoftmaxCircuit(source=INT8, out=UINT8, mask=Mask.CAUSAL)
    plain = SoftmaxCircuit(source=INT8, out=UINT8)
    rows = np.random.default_rng(5).integers(-128, 128, (10, 12))
    found = softmax(rows, SoftmaxParameters.from_scales(circuit, in_scale=0.03, length=3, rows=5), circuit)
    parameters = SoftmaxParameters.from_scales(plain, in_scale=0.03)
    for i, row in enumerate(rows):
        length = 3 + i % 5
        assert found[i].tolist() == [*softmax(row[:length], parameters, plain), *([0] * (12 - length))]


@pytest.mark.parametrize(
    ("circuit", "scales", "message"),
    [
        ({"source": INT16}, {"in_scale": 0.0}, "in_scale must be above 0 and below 0.1733 for int16 scores, not 0.0"),
        ({"source": INT16}, {"in_scale": math.nan}, "in_scale must be above 0 and below 0.1733 for int16 scores, not nan"),
        ({"source": INT16}, {"in_scale": 0.2}, "in_scale must be above 0 and below 0.1733 for int16 scores, not 0.2"),
        ({"source": INT8}, {"in_scale": 2.8}, "in_scale must be above 0 and below 2.773 for int8 scores, not 2.8"),
        ({"source": INT32}, {"in_scale": 1.0}, "in_scale must be above 0 and below 0.002708 for int32 scores, not 1.0"),
        ({"source": INT8}, {"in_scale": 1e-30}, "in_scale must be above 1.084e-19, not 1e-30"),
        ({"out": UINT16}, {"in_scale": 0.01, "out_scale": 0.0}, "out_scale must be above 2.91e-11 and below 1.049e+06, not 0.0"),
        ({"out": UINT8}, {"in_scale": 0.01, "out_scale": math.nan}, "out_scale must be above 1.863e-09 and below 1.049e+06, not nan"),
    ],
)
def test_refused_scales(circuit: dict, scales: dict, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        SoftmaxParameters.from_scales(SoftmaxCircuit(**circuit), **scales)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lanes": 0}, "lanes must be an integer in 1..64, not 0"),
        ({"lanes": 65}, "lanes must be an integer in 1..64, not 65"),
        ({"row_elements": 100}, "row_elements must be a power of two in 16..65536, not 100"),
        ({"row_elements": 1 << 17}, "row_elements must be a power of two in 16..65536, not 131072"),
        ({"source": "uint8"}, "source must be int8, int16 or int32, not 'uint8'"),
        ({"source": "int9"}, "source must be one of int8, uint8, int16, uint16, int32, uint32, not 'int9'"),
        ({"out": "int32"}, "out must be int8, uint8, int16 or uint16, not 'int32'"),
        ({"mask": "upper"}, "mask must be one of none, length, causal, not 'upper'"),
        ({"width": 3}, "parameter name must be one of lanes, row_elements, source, out, mask, column_sums, not 'width'"),
    ],
)
def test_refused_circuit(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        SoftmaxCircuit.from_dict(values)


def test_circuit_from_its_plain_form() -> None:
    circuit = SoftmaxCircuit(lanes=3, source=INT32, out=UINT16, mask=Mask.CAUSAL, column_sums=True)
    assert SoftmaxCircuit.from_dict(circuit.as_dict()) == circuit

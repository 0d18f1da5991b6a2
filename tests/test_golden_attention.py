"""Streaming attention's golden model against float64, and refused parameters."""

import math
import re

import numpy as np
import pytest
from celosia.rtl.arch.attention import AttentionCircuit
from celosia.rtl.arch.formats import INT8, INT16, INT32, UINT8, UINT16, Format
from celosia.sw.golden.attention import AttentionParameters, attention


@pytest.mark.parametrize("source", [INT8, INT16, INT32], ids=str)
@pytest.mark.parametrize("out", [INT8, UINT8, INT16, UINT16], ids=str)
@pytest.mark.parametrize("n", [1, 2, 10, 197])
@pytest.mark.parametrize("reach", [1.0, 10.0, 300.0])
def test_error(source: Format, out: Format, n: int, reach: float) -> None:
    """Within 1 step on 8 bits, of a value's step; within 2 on 16 bits, of a 128th of it."""
    circuit = AttentionCircuit(source=source, out=out)
    in_scale, value_scale = reach / (source.max - source.min), 0.02
    out_scale = value_scale if out.bits == 8 else value_scale / 128
    parameters = AttentionParameters.of(
        circuit, in_scale=in_scale, value_scale=value_scale, value_zero_point=-5, out_scale=out_scale, out_zero_point=out.offset
    )
    random = np.random.default_rng(n)
    wide, narrow = random.integers(source.min, source.max + 1, (6, n)), random.integers(-5, 6, (3, n))
    rows = np.concatenate([wide, narrow, np.sort(wide[:2]), np.sort(wide[:2])[:, ::-1]])
    values = random.integers(-128, 128, (n, 20))
    values[:, 0], values[:, 1] = 127, -128
    x = rows * in_scale
    weights = np.exp(x - x.max(axis=1, keepdims=True))
    exact = weights / weights.sum(axis=1, keepdims=True) @ ((values + 5) * value_scale) / out_scale + out.offset
    steps = np.clip(np.rint(exact), out.min, out.max)
    assert np.abs(attention(rows, values, parameters, circuit) - steps).max() <= (1 if out.bits == 8 else 2)


def test_values_of_each_row() -> None:
    circuit = AttentionCircuit(source=INT8, out=INT8)
    parameters = AttentionParameters.of(circuit, in_scale=0.05, value_scale=0.02, out_scale=0.02)
    random = np.random.default_rng(1)
    rows, values = random.integers(-128, 128, (3, 9)), random.integers(-128, 128, (3, 9, 4))
    one_by_one = [attention(row[None], value, parameters, circuit)[0].tolist() for row, value in zip(rows, values, strict=True)]
    assert attention(rows, values, parameters, circuit).tolist() == one_by_one


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"head_elements": 0}, "head_elements must be an integer in 1..1024, not 0"),
        ({"head_elements": 1025}, "head_elements must be an integer in 1..1024, not 1025"),
        ({"source": "uint8"}, "source must be int8, int16 or int32, not 'uint8'"),
        ({"out": "int32"}, "out must be int8, uint8, int16 or uint16, not 'int32'"),
    ],
)
def test_refused_circuit(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        AttentionCircuit.from_dict(values)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_refused_value_scale(scale: float) -> None:
    with pytest.raises(ValueError, match=rf"^value_scale must be positive and finite, not {scale!r}$"):
        AttentionParameters.of(AttentionCircuit(), in_scale=0.01, value_scale=scale, out_scale=0.02)

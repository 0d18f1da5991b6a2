"""The activation block in all its forms, against its golden model and the rules of streams."""

from dataclasses import asdict

import pytest
from celosia.rtl.activation import Activation
from celosia.rtl.arch.activation import ActivationCircuit, Function
from celosia.rtl.arch.formats import INT8, INT16, UINT8, UINT16, Format
from celosia.sw.golden.activation import ActivationParameters, ActivationTable
from celosia.tb.paths import stream_path_faults
from celosia.tb.runner import run_bench

FORMS = [
    (1, Function.GELU, INT8, INT8, True),
    (3, Function.SIGMOID, INT8, UINT16, False),
    (16, Function.EXP, INT8, INT16, False),
    (64, Function.SILU, INT8, UINT8, True),
    (1, Function.GELU, INT16, INT16, False),
    (3, Function.EXP, INT16, UINT16, False),
    (2, Function.SILU, INT16, INT8, True),
    (3, Function.SIGMOID, INT16, UINT16, False),
    (16, Function.TANH, INT16, UINT8, True),
    (3, Function.ERF, INT16, INT16, False),
]


@pytest.mark.parametrize(("lanes", "function", "source", "out", "fixed"), FORMS, ids=str)
def test_activation(lanes: int, function: Function, source: Format, out: Format, fixed: bool) -> None:
    error = 1e-3 if lanes == 2 else 5e-6
    circuit = ActivationCircuit(lanes=lanes, function=function, source=source, out=out, error=error)
    scales = {
        "in_scale": 6 / source.max,
        "in_zero_point": -11,
        "out_scale": 2 / (out.max - out.min),
        "out_zero_point": out.min + out.max // 3,
    }
    if circuit.tabulated:
        values = ActivationTable.from_scales(circuit, **scales).entries
    else:
        values = asdict(ActivationParameters.from_scales(circuit, **scales))
    component = Activation(circuit, values if fixed else None)
    assert stream_path_faults(component) == []
    case = {
        **{"lanes": lanes, "function": function.value, "error": error, "fixed": fixed, "scales": scales},
        **{"source": [source.bits, source.signed], "out": [out.bits, out.signed]},
    }
    run_bench(component, "celosia.tb.test_activation", case)

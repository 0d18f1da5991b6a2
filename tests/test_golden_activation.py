"""The activation functions against exact decimals, on every input, within the bounds that the golden model states."""

import math
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import cache
from itertools import product

import numpy as np
import pytest
from celosia.rtl.arch.activation import LINEAR, MACHINE_GELU, ODD, REAL, ActivationCircuit, Function
from celosia.rtl.arch.checks import ParameterError
from celosia.rtl.arch.formats import INT8, INT16, UINT8, UINT16, Format
from celosia.sw.golden.activation import ActivationParameters, ActivationTable, activation, real
from celosia.sw.golden.table import interpolate
from numpy.typing import NDArray

FUNCTIONS = pytest.mark.parametrize("function", Function, ids=lambda f: f.value)
EVERY = np.arange(INT16.min, INT16.max + 1)


@cache
def exact(function: Function, x: Decimal) -> Decimal:
    """The function to some 50 digits."""
    with localcontext() as context:
        context.prec = 60
        match function:
            case Function.EXP:
                return x.exp()
            case Function.SIGMOID:
                return 1 / (1 + (-x).exp())
            case Function.SILU:
                return x / (1 + (-x).exp())
            case Function.TANH:
                return 1 - 2 / (1 + (2 * x).exp())
            case Function.ERF:
                return _erf(x)
            case Function.GELU:
                return x * (1 + _erf(x / Decimal(2).sqrt())) / 2


def _erf(x: Decimal) -> Decimal:
    """By its Taylor series, whose terms cancel: with more digits for a larger argument, and 1 where 50 digits show no difference."""
    if abs(x) > 12:
        return Decimal(1).copy_sign(x)
    with localcontext() as context:
        context.prec = 200
        term, total, n = x, x, 0
        while abs(term) > Decimal(10) ** -60:
            n += 1
            term *= -x * x / n
            total += term / (2 * n + 1)
        return total / PI.sqrt() * 2


PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651")

IN_SCALES = (0.003, 0.02, 1 / 16, 0.11, 1.7)
OUT_SCALES = (1 / 255, 1 / 127, 0.0071, 0.05)


@FUNCTIONS
@pytest.mark.parametrize("out", [INT8, UINT8, INT16, UINT16], ids=str)
def test_table_is_exact(function: Function, out: Format) -> None:
    """All 256 results of every scale pair; where float64 can't tell on which side of a tie a result lies, it may be either."""
    circuit = ActivationCircuit(function=function, source=INT8, out=out)
    for in_scale, out_scale, in_zero_point, out_zero_point in product(IN_SCALES, OUT_SCALES, (-128, 0, 9), (out.min, out.min + 100)):
        scale = out_scale if out.bits == 8 else out_scale / 256
        table = ActivationTable.from_scales(
            circuit, in_scale=in_scale, in_zero_point=in_zero_point, out_scale=scale, out_zero_point=out_zero_point
        )
        found = activation(np.arange(-128, 128), table, circuit)
        for q, result in zip(range(-128, 128), found.tolist(), strict=True):
            steps = exact(function, (q - in_zero_point) * Decimal(in_scale)) / Decimal(scale)
            allowed = {
                min(max(int((steps + nudge).to_integral_value(ROUND_HALF_EVEN)) + out_zero_point, out.min), out.max)
                for nudge in (abs(steps) * Decimal("-1e-14"), abs(steps) * Decimal("1e-14"))
            }
            assert result in allowed, (q, steps)


def circuit_of(function: Function, out: Format = INT16, error: float = 5e-6) -> ActivationCircuit:
    return ActivationCircuit(function=function, out=out, error=error)


ERRORS = pytest.mark.parametrize("error", [1e-6, 5e-6, 2.0**-13, 1e-3, 1e-2])


@FUNCTIONS
@ERRORS
def test_interpolated_table(function: Function, error: float) -> None:
    circuit = circuit_of(function, error=error)
    table, bits = circuit.table, circuit.fraction_bits
    u = np.arange(0, 1 << table.input_bits, 1 << max(0, table.input_bits - 17) | 1)
    x, found = u / 2**bits, interpolate(table, u) / 2**bits
    assert found.min() >= 0
    if function is Function.EXP:
        assert np.abs(found - np.exp2(x)).max() <= error
    else:
        tends_to = (lambda x: x) if function in LINEAR else np.ones_like
        assert np.abs(found - (tends_to(x) - real(function, x))).max() <= error
        beyond = 2.0 ** (table.input_bits - bits)
        assert (beyond if function in LINEAR else 1.0) - REAL[function](beyond) <= error


def bound(circuit: ActivationCircuit, x: NDArray, step: float) -> NDArray:
    """The golden model's, in output steps."""
    unit, y = 2.0**-circuit.fraction_bits, real(circuit.function, x)
    if circuit.function is Function.EXP:
        return 0.5 + y / step * (circuit.error + unit * math.log(2) / 2 + np.abs(x) * 2.0**-24 + 2.0**-18)
    slope = {Function.GELU: 0.3, Function.SILU: 0.44, Function.SIGMOID: 0.23, Function.TANH: 0.45, Function.ERF: 0.49}[circuit.function]
    return 0.5 + (np.abs(y) * 2.0**-16 + circuit.error + 0.57 * unit + slope * 2.0**-16) / step


def check(circuit: ActivationCircuit, *, in_scale: float, in_zero_point: int, out_scale: float, out_zero_point: int) -> float:
    """The largest error over all inputs in output steps, against the bound before the result is limited."""
    out = circuit.out
    parameters = ActivationParameters.from_scales(
        circuit, in_scale=in_scale, in_zero_point=in_zero_point, out_scale=out_scale, out_zero_point=out_zero_point
    )
    found = activation(EVERY, parameters, circuit)
    assert found.min() >= out.min
    assert found.max() <= out.max
    x = (EVERY - in_zero_point) * in_scale
    with np.errstate(over="ignore"):
        steps = np.clip(real(circuit.function, x) / out_scale + out_zero_point, out.min, out.max)
        assert (np.abs(found - steps) <= bound(circuit, x, out_scale) + 1e-9).all()
    return float(np.abs(found - np.rint(steps)).max())


@FUNCTIONS
@pytest.mark.parametrize("out", [INT16, UINT16], ids=str)
@pytest.mark.parametrize("reach", [1.0, 5.3, 8.0, 100.0])
def test_two_steps_of_16_bits_at_most(function: Function, out: Format, reach: float) -> None:
    for in_zero_point, share in product((0, INT16.min, 1234), (1.0, 0.37)):
        in_scale = reach * share / INT16.max
        if function in LINEAR or function is Function.EXP:
            out_scale, zero_points = reach / INT16.max, (0 if out.signed else 1 << 15, out.min, out.min + 5000)
        else:
            out_scale, zero_points = 1 / 32767, (out.offset,) if function in ODD else (out.min,)
        for out_zero_point in zero_points:
            assert (
                check(
                    circuit_of(function, out),
                    in_scale=in_scale,
                    in_zero_point=in_zero_point,
                    out_scale=out_scale,
                    out_zero_point=out_zero_point,
                )
                <= 2
            )


@FUNCTIONS
def test_coarse_table_keeps_its_bound(function: Function) -> None:
    for error, out in product((1e-6, 1e-4, 1e-2), (INT8, INT16)):
        check(circuit_of(function, out, error), in_scale=2.0**-11, in_zero_point=-9, out_scale=4 / out.max, out_zero_point=3)


@pytest.mark.parametrize("source", [INT8, INT16], ids=str)
@pytest.mark.parametrize("out", [INT8, INT16], ids=str)
@pytest.mark.parametrize("reach", [1.0, 8.0, 100.0])
def test_gelu_of_the_machine(source: Format, out: Format, reach: float) -> None:
    """8-bit numbers in 16-bit elements."""
    in_scale, out_scale = reach / source.max, reach / out.max
    parameters = ActivationParameters.from_scales(
        MACHINE_GELU, in_scale=in_scale, in_zero_point=50, out_scale=out_scale, out_zero_point=-9, source=source, out=out
    )
    q = np.arange(source.min, source.max + 1)
    steps = np.rint(real(Function.GELU, (q - 50) * in_scale) / out_scale) - 9
    wrong = np.abs(activation(q, parameters, MACHINE_GELU) - np.clip(steps, out.min, out.max))
    assert wrong.max() <= (1 if out == INT8 else 2)


def test_large_arguments_are_no_fault_where_the_result_is_limited() -> None:
    for function in Function:
        check(circuit_of(function, INT8), in_scale=1.0, in_zero_point=0, out_scale=0.1, out_zero_point=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"function": "gelu"}, "function must be one of gelu, silu, sigmoid, tanh, exp, erf, not 'gelu'"),
        ({"source": UINT8}, "source must be int8 or int16, not 'uint8'"),
        ({"out": Format(32)}, "out must be int8, uint8, int16 or uint16, not 'int32'"),
        ({"error": 1e-7}, "error must be a real number in 1e-6..1e-2, not 1e-07"),
        ({"error": math.nan}, "error must be a real number in 1e-6..1e-2, not nan"),
        ({"lanes": 0}, "lanes must be an integer in 1..64, not 0"),
        ({"lanes": 65}, "lanes must be an integer in 1..64, not 65"),
    ],
)
def test_refused_circuit(change: dict, message: str) -> None:
    with pytest.raises(ParameterError) as error:
        ActivationCircuit(**change)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("source", "change", "message"),
    [
        (INT8, {"in_scale": 0.0}, "in_scale must be in 2**-64..2**64, not 0.0"),
        (INT8, {"out_scale": math.nan}, "out_scale must be in 2**-64..2**64, not nan"),
        (INT8, {"in_zero_point": 128}, "in_zero_point must be in -128..127, not 128"),
        (INT8, {"out_zero_point": -1}, "out_zero_point must be in 0..255, not -1"),
        (INT16, {"in_scale": 0.0}, "in_scale must be in 2**-40..2**2, not 0.0"),
        (INT16, {"in_scale": math.nan}, "in_scale must be in 2**-40..2**2, not nan"),
        (INT16, {"in_scale": 4.1}, "in_scale must be in 2**-40..2**2, not 4.1"),
        (INT16, {"out_scale": 0.0}, "out_scale must be in 2**-34..2**25, not 0.0"),
        (INT16, {"out_scale": math.inf}, "out_scale must be in 2**-34..2**25, not inf"),
        (INT16, {"in_zero_point": 32768}, "in_zero_point must be in -32768..32767, not 32768"),
        (INT16, {"out_zero_point": 256}, "out_zero_point must be in 0..255, not 256"),
        (
            INT16,
            {"in_scale": 0.1, "out_scale": 3.0},
            "in_scale must be such that the arguments or the results stay below 512, not 0.1",
        ),
    ],
)
def test_refused_scales(source: Format, change: dict, message: str) -> None:
    circuit = ActivationCircuit(source=source, out=UINT8)
    values = {"in_scale": 0.01, "in_zero_point": 0, "out_scale": 0.01, "out_zero_point": 0} | change
    with pytest.raises(ParameterError) as error:
        (ActivationTable if circuit.tabulated else ActivationParameters).from_scales(circuit, **values)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("source", "fixed", "message"),
    [
        (INT8, [0] * 255, "fixed must be 256 entries for an int8 source, not 255"),
        (INT8, {"in_multiplier": 1}, "fixed must be 256 entries for an int8 source, not 0"),
        (INT8, [0] * 255 + [128], "an entry of fixed must be int8, not 128"),
        (INT16, {"in_multiplier": 0, "out_multiplier": 1}, "in_multiplier must be above 0 where it is fixed, not 0"),
        (INT16, {"in_multiplier": 1, "out_multiplier": 0}, "out_multiplier must be above 0 where it is fixed, not 0"),
    ],
)
def test_refused_fixed_values(source: Format, fixed: dict[str, int] | list[int], message: str) -> None:
    with pytest.raises(ParameterError) as error:
        ActivationCircuit(source=source, out=INT8).check_fixed(fixed)
    assert str(error.value) == message


def test_scales_at_the_limits() -> None:
    for function, error in product(Function, (1e-6, 1e-2)):
        circuit = circuit_of(function, error=error)
        scales = product((2.0**-40, 2.0**-9), (2.0 ** (-15 - circuit.fraction_bits), 2.0 ** (44 - circuit.fraction_bits)))
        for in_scale, out_scale in scales:
            p = ActivationParameters.from_scales(circuit, in_scale=in_scale, in_zero_point=0, out_scale=out_scale, out_zero_point=0)
            assert (p.in_multiplier.bit_length(), p.out_multiplier.bit_length()) == circuit.multiplier_bits

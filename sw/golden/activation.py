"""GELU, SiLU, sigmoid, tanh, exp and erf of each element (functions and method: rtl/arch/activation.py).

From int8 the result is an entry of a table: exact, which here means computed in float64 and rounded once, half to even.

From int16, with F = circuit.fraction_bits, a unit of 2**-F and an output step of s:

    x = clamp(round((q - in_zero_point) * in_factor))     F bits of fraction; for exp times log2(e)
    y = what the function tends to -/+ the table at |x|   F bits of fraction
    result = clamp(round(y * out_factor) + out_zero_point)

Error of the result, in output steps:

- 1/2 from its rounding.
- |y| / s * 2**-16 from the output's factor: at most 1, at the end of 65,536 steps; 0 where the factor is exact, as for s = 1 / 65535.
- circuit.error / s from the table.
- 0.57 units / s from the rounding of x: half a unit times the largest slope, 1.13.
- c / s * 2**-16 from the input's factor, c the largest x * f'(x): 0.23 for sigmoid, 0.45 for tanh, 0.49 for erf. For GELU and SiLU
  it would grow with x, so there the output's factor makes up for it, and c is the largest x * d'(x) - d(x): 0.30 and 0.44.

So with the default error at most 2 steps of a 16-bit output: of GELU, SiLU and sigmoid for s >= 2**-15, of sigmoid for s = 1 / 65535,
too, of tanh and erf for s >= 1 / 32767. Finer steps need a smaller error.

exp = m * 2**e has relative errors: circuit.error from the table, ln(2) / 2 units from the rounding of x, x * 2**-24 and 2**-18 from the
factors. With x up to 45 and 65,536 steps that is less than 1, and 1/2 from the rounding of the result: at most 2 steps.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from ...rtl.arch.activation import LINEAR, ODD, REAL, ActivationCircuit, Function
from ...rtl.arch.checks import require
from ...rtl.arch.formats import MAX_SHIFT, Format, Multiplier
from .requantize import Int, round_shift
from .table import interpolate


def real(function: Function, x: ArrayLike) -> NDArray[np.float64]:
    """The function itself, of any shape."""
    x = np.asarray(x, np.float64)
    return np.array([REAL[function](value) for value in x.ravel().tolist()], np.float64).reshape(x.shape)


def _check(circuit: ActivationCircuit, source: Format, out: Format, **values: float) -> None:
    """Raises ParameterError where the circuit can't carry scales or zero points."""
    bits = circuit.fraction_bits
    scales = ((-64, 64), (-64, 64)) if circuit.tabulated else ((-40, 2), (-15 - bits, 44 - bits))
    for name, (low, high) in zip(("in_scale", "out_scale"), scales, strict=True):
        require(2.0**low <= values[name] <= 2.0**high, name, f"in 2**{low}..2**{high}", values[name])
    for name, number in (("in_zero_point", source), ("out_zero_point", out)):
        require(number.min <= values[name] <= number.max, name, f"in {number.min}..{number.max}", values[name])


@dataclass(frozen=True)
class ActivationTable:
    """For a circuit with an int8 source. entries: the results for -128..127, numbers of the output format."""

    entries: tuple[int, ...]

    @classmethod
    def from_scales(cls, circuit: ActivationCircuit, *, in_scale: float, in_zero_point: int, out_scale: float, out_zero_point: int) -> Self:
        """For ``(q - zero_point) * scale`` on both sides. Raises ParameterError where a scale or zero point is out of range."""
        source, out = circuit.source, circuit.out
        _check(circuit, source, out, in_scale=in_scale, in_zero_point=in_zero_point, out_scale=out_scale, out_zero_point=out_zero_point)
        x = (np.arange(source.min, source.max + 1) - in_zero_point) * in_scale
        with np.errstate(over="ignore"):  # of exp: it is limited below
            steps = np.rint(real(circuit.function, x) / out_scale) + out_zero_point
        return cls(tuple(np.clip(steps, out.min, out.max).astype(np.int64).tolist()))


@dataclass(frozen=True, kw_only=True)
class ActivationParameters:
    """For a circuit with an int16 source: run-time integers. multipliers: not zero, uint16 (exp: uint24, uint18). shifts: 0..63.
    Zero points, low and high: int16, those of the output for the signed number."""

    in_zero_point: int
    in_multiplier: int
    in_shift: int
    out_multiplier: int
    out_shift: int
    out_zero_point: int
    low: int
    high: int

    @classmethod
    def from_scales(
        cls,
        circuit: ActivationCircuit,
        *,
        in_scale: float,
        in_zero_point: int,
        out_scale: float,
        out_zero_point: int,
        source: Format | None = None,
        out: Format | None = None,
    ) -> Self:
        """For ``(q - zero_point) * scale`` on both sides.

        source, out: signed formats within the circuit's that limit arguments and result; by default the circuit's own.

        Raises
        ------
        ParameterError
            Where a scale or zero point is out of range, or where GELU or SiLU has both arguments and results beyond the fixed point's 512.
        """
        source, out = source or circuit.source, out or circuit.out
        _check(circuit, source, out, in_scale=in_scale, in_zero_point=in_zero_point, out_scale=out_scale, out_zero_point=out_zero_point)
        unit = 2.0**-circuit.fraction_bits
        if circuit.function in LINEAR:
            reach = min((source.max - in_zero_point) * in_scale, (out.max - out_zero_point) * out_scale)
            limit = circuit.fixed.max * unit
            require(reach <= limit, "in_scale", f"such that the arguments or the results stay below {round(limit)}", in_scale)
        in_bits, out_bits = circuit.multiplier_bits
        in_unit = math.ldexp(unit, circuit.in_left) * (math.log(2) if circuit.function is Function.EXP else 1)
        to_fixed = Multiplier.from_real(in_scale / in_unit, bits=in_bits, max_shift=MAX_SHIFT - 1)
        argument = to_fixed.real * in_unit if circuit.function in LINEAR else in_scale  # what x has of it: y has the same too much
        to_out = Multiplier.from_real(in_scale / argument * unit / out_scale, bits=out_bits, max_shift=MAX_SHIFT - 1)
        return cls(
            in_zero_point=in_zero_point,
            in_multiplier=to_fixed.value,
            in_shift=to_fixed.shift,
            out_multiplier=to_out.value,
            out_shift=to_out.shift,
            out_zero_point=out_zero_point - out.offset,
            low=out.min - out.offset,
            high=out.max - out.offset,
        )


def activation(q: ArrayLike, parameters: ActivationTable | ActivationParameters, circuit: ActivationCircuit) -> Int:
    """Elementwise. q: numbers of the circuit's source format, any shape; returns numbers of its output format."""
    p, q = parameters, np.asarray(q, np.int64)
    if isinstance(p, ActivationTable):
        return np.array(p.entries, np.int64)[q - circuit.source.min]
    x = round_shift((q - p.in_zero_point) * p.in_multiplier << circuit.in_left, p.in_shift)
    x = np.clip(x, -circuit.fixed.max, circuit.fixed.max)
    y, shift = _exp(x, p, circuit) if circuit.function is Function.EXP else (_corrected(x, circuit), p.out_shift)
    steps = round_shift(y * p.out_multiplier, shift)
    return np.clip(steps + p.out_zero_point, p.low, p.high) + circuit.out.offset


def _corrected(x: Int, circuit: ActivationCircuit) -> Int:
    """What the function tends to, less the correction, at ``x``; both with ``circuit.fraction_bits`` bits of fraction."""
    function, table, magnitude = circuit.function, circuit.table, np.abs(x)
    inside = magnitude < 1 << table.input_bits
    correction = np.where(inside, interpolate(table, np.where(inside, magnitude, 0)), 0)
    if function in LINEAR:
        return np.maximum(x, 0) - correction
    limit = 1 << circuit.fraction_bits
    below = correction - limit if function in ODD else correction
    return np.where(x < 0, below, limit - correction)


def _exp(x: Int, parameters: ActivationParameters, circuit: ActivationCircuit) -> tuple[Int, Int]:
    """``(m, shift)``: 2**x is m, which has ``circuit.fraction_bits`` bits of fraction, and the shift has the power of two."""
    bits = circuit.fraction_bits
    return interpolate(circuit.table, x & ((1 << bits) - 1)), np.clip(parameters.out_shift - (x >> bits), 0, MAX_SHIFT)

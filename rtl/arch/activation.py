"""Activation functions: parameters of the circuit, its tables, and the run-time record.

An 8-bit source has so few values that each result is an entry of one table. From a 16-bit source a function is computed as what it
tends to, less a correction that vanishes (as in Edge-MoE, arXiv 2305.18691, for GELU), or, for exp, from a table of 2**x:

    gelu, silu:  max(x, 0) - d(|x|)
    sigmoid:     1 - d(x) from 0 on, d(-x) below
    tanh, erf:   sign(x) * (1 - d(|x|))
    exp:         2**(t - floor(t)) * 2**floor(t) with t = x * log2(e)
"""

import enum
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from .blocks import OUT_FIELDS, LaneCircuit, signed_fields
from .checks import require
from .formats import INT8, INT16, UINT8, UINT16, Format
from .record import Field, Record
from .tables import LinearTable, exp2_table


class Function(enum.Enum):
    GELU = "gelu"
    SILU = "silu"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    EXP = "exp"
    ERF = "erf"


def _sigmoid(x: float) -> float:
    e = math.exp(-abs(x))
    return (1.0 if x >= 0 else e) / (1 + e)


REAL: Mapping[Function, Callable[[float], float]] = {
    Function.GELU: lambda x: 0.5 * x * math.erfc(-x / math.sqrt(2)),
    Function.SILU: lambda x: x * _sigmoid(x),
    Function.SIGMOID: _sigmoid,
    Function.TANH: math.tanh,
    Function.EXP: lambda x: math.exp(x) if x < 709 else math.inf,
    Function.ERF: math.erf,
}

LINEAR = (Function.GELU, Function.SILU)  # tend to x, the others to 1
ODD = (Function.TANH, Function.ERF)

# The largest second derivative of the correction.
_CURVATURE: Mapping[Function, float] = {
    Function.GELU: math.sqrt(2 / math.pi),
    Function.SILU: 1 / 2,
    Function.SIGMOID: 1 / (6 * math.sqrt(3)),
    Function.TANH: 4 / (3 * math.sqrt(3)),
    Function.ERF: math.sqrt(8 / (math.pi * math.e)),
}

TABLE_ENTRIES = 256  # of the table for an 8-bit source
_IN_INTEGER_BITS = 3  # of the input's factor
_LINEAR_INTEGER_BITS = 9  # of the argument of a function that tends to x
_EXP_INTEGER_BITS = 6  # of x * log2(e): what lies beyond 2**64 or below 2**-64 is no number of any output


@dataclass(frozen=True, kw_only=True)
class ActivationCircuit(LaneCircuit):
    """function: gelu, silu, sigmoid, tanh, exp or erf.
    source: format of the arguments: int8 or int16.
    out: format of the result: int8, uint8, int16 or uint16.
    error: largest absolute error of the table for an int16 source, 1e-6..1e-2 (exp: of the mantissa, which lies in 1..2).
    """

    function: Function = Function.GELU
    source: Format = INT16
    out: Format = INT16
    error: float = 5e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        require(isinstance(self.function, Function), "function", f"one of {', '.join(f.value for f in Function)}", self.function)
        require(self.source in (INT8, INT16), "source", "int8 or int16", str(self.source))
        require(self.out in (INT8, UINT8, INT16, UINT16), "out", "int8, uint8, int16 or uint16", str(self.out))
        require(type(self.error) is float and 1e-6 <= self.error <= 1e-2, "error", "a real number in 1e-6..1e-2", self.error)

    @property
    def tabulated(self) -> bool:
        """Whether each result is an entry of one table."""
        return self.source == INT8

    @property
    def fraction_bits(self) -> int:
        """Of argument and result before requantization: a unit is at most half of the error."""
        return 2 - math.frexp(self.error)[1]

    @property
    def table(self) -> LinearTable:
        """Of the correction, or of 2**x."""
        if self.function is Function.EXP:
            return exp2_table(self.fraction_bits, self.fraction_bits)
        return _correction(self.function, self.error, self.fraction_bits)

    @property
    def fixed(self) -> Format:
        """Of the argument in fixed point, to whose symmetric range it is limited."""
        if self.function is Function.EXP:
            return Format(1 + _EXP_INTEGER_BITS + self.fraction_bits)
        return Format(1 + (_LINEAR_INTEGER_BITS + self.fraction_bits if self.function in LINEAR else self.table.input_bits))

    @property
    def value(self) -> Format:
        """Of the result in fixed point."""
        if self.function is Function.EXP:
            return Format(self.table.base_bits, signed=False)
        return self.fixed if self.function in LINEAR else Format(2 + self.fraction_bits)

    @property
    def multiplier_bits(self) -> tuple[int, int]:
        """Of the input's and of the output's factor. exp, of an argument up to 2**6 and a result that is all mantissa, needs more."""
        return (24, 18) if self.function is Function.EXP else (16, 16)

    @property
    def in_left(self) -> int:
        """A fixed shift to the left, for factors of the input up to 2**_IN_INTEGER_BITS."""
        return max(0, self.fraction_bits + _IN_INTEGER_BITS - self.multiplier_bits[0])

    @property
    def record(self) -> Record:
        """Run-time parameters for an int16 source."""
        return _record(*self.multiplier_bits)

    def check_fixed(self, fixed: Mapping[str, int] | Sequence[int] | None) -> None:
        """Raise ParameterError unless the values can be built in: a table's entries for an int8 source, else those of the record."""
        if fixed is None:
            return
        if self.tabulated:
            entries = fixed if isinstance(fixed, Sequence) else ()
            require(len(entries) == TABLE_ENTRIES, "fixed", f"{TABLE_ENTRIES} entries for an int8 source", len(entries))
            for entry in entries:
                require(self.out.min <= entry <= self.out.max, "an entry of fixed", str(self.out), entry)
        else:
            values = fixed if isinstance(fixed, Mapping) else {}
            for name in ("in_multiplier", "out_multiplier"):
                require(values.get(name, 0) > 0, name, "above 0 where it is fixed", values.get(name, 0))


# The numbers of the vector engine's GELU and of its table, which don't depend on its lanes.
MACHINE_GELU = ActivationCircuit()
MACHINE_TABLE = ActivationCircuit(source=INT8)


@cache
def _record(in_bits: int, out_bits: int) -> Record:
    scales = Field("in_multiplier", in_bits), Field("in_shift", 6), Field("out_multiplier", out_bits), Field("out_shift", 6)
    return Record("activation", (*signed_fields("in_zero_point"), *scales, *OUT_FIELDS))


@cache
def _correction(function: Function, error: float, fraction_bits: int) -> LinearTable:
    """d(x) for x >= 0, in and out with ``fraction_bits`` bits of fraction, off by at most ``error``, which is taken as 0 beyond.

    A chord over a step of h is off by h**2 / 8 * max|d''| on one side; moved by half of that, by h**2 / 16 * max|d''|. Rounding its
    ends and what is between takes one unit. The range is the power of two where d is small enough to be left out.
    """
    rest = error - 2.0**-fraction_bits
    range_bits = next(bits for bits in range(8) if _distance(function, 2.0**bits) <= rest)
    step_bits = math.ceil(math.log2(math.sqrt(_CURVATURE[function] / (16 * rest))))
    base, slope = [], []
    for start, stop in ((i * 2.0**-step_bits, (i + 1) * 2.0**-step_bits) for i in range(1 << (range_bits + step_bits))):
        low, middle, high = (_distance(function, x) for x in (start, (start + stop) / 2, stop))
        moved = ((low + high) / 2 - middle) / 2
        low, high = (max(0, round((end - moved) * 2**fraction_bits)) for end in (low, high))
        base.append(low)
        slope.append(high - low)
    return LinearTable(tuple(base), tuple(slope), fraction_bits - step_bits)


def _distance(function: Function, x: float) -> float:
    """From the function to what it tends to, for x >= 0."""
    return (x if function in LINEAR else 1.0) - REAL[function](x)

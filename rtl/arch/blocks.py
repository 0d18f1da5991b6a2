"""Parameters of the blocks that are useful alone: at build time, and the run-time records (fields as in the golden models)."""

from dataclasses import dataclass

from .formats import Format
from .parameters import require
from .record import Field, Record


@dataclass(frozen=True, kw_only=True)
class LaneParameters:
    """lanes: elements per cycle."""

    lanes: int = 4

    def __post_init__(self) -> None:
        require(type(self.lanes) is int and 1 <= self.lanes <= 64, "lanes", "an integer in 1..64", self.lanes)


@dataclass(frozen=True, kw_only=True)
class RowParameters(LaneParameters):
    """row_elements: longest row that the block can hold, a power of two."""

    row_elements: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        elements = self.row_elements
        allowed = type(elements) is int and 16 <= elements <= 8192 and elements & (elements - 1) == 0
        require(allowed, "row_elements", "a power of two in 16..8192", elements)


def _signed(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, 16, signed=True) for name in names)


def _scale(prefix: str = "") -> tuple[Field, ...]:
    return Field(f"{prefix}multiplier", 16), Field(f"{prefix}shift", 6)


_OUT = _signed("out_zero_point", "low", "high")

ADD_LEFT_BITS = 4  # of the left shift that brings the operand with the larger factor to the other's units


def _operand(name: str) -> tuple[Field, ...]:
    return (*_signed(f"{name}_zero_point"), Field(f"{name}_multiplier", 16), Field(f"{name}_left", ADD_LEFT_BITS))


ADD = Record("add", (*_operand("a"), *_operand("b"), Field("shift", 6), *_OUT))
GELU = Record("gelu", (*_signed("in_zero_point"), *_scale("in_"), *_scale("out_"), *_OUT))
SOFTMAX = Record("softmax", (*_scale(), *_scale("out_"), *_OUT))
LAYERNORM = Record("layernorm", (Field("shift", 6), Field("beta_shift", 6), Field("epsilon", 48), *_OUT))

GELU_FIXED = Format(24)  # of the argument and the result before requantization, GELU_FRACTION_BITS of fraction
SOFTMAX_MANTISSA_BITS = 16  # fraction bits of the mantissa, which lies in [1, 2)
SOFTMAX_GUARD_BITS = 14  # of the running sum below the mantissa's last place
SOFTMAX_OUT_SHIFT_BIAS = 17  # keeps the output shift positive for output scales down to 2**-32
LAYERNORM_Z_FRACTION_BITS = 14  # of the normalised value
LAYERNORM_EPSILON_BITS = 48

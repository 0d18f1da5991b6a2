"""Parameters of the blocks that are useful alone: at build time, and the run-time records (fields as in the golden models)."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from typing_extensions import Self

from .checks import require
from .formats import FORMATS, Format
from .record import Field, Record


class BlockError(enum.IntFlag):
    """Sticky bits of a block: what was wrong with packets, most of which are dropped then."""

    EMPTY = 1  # a packet without elements, or with gaps between them
    LONG = 2  # a row longer than row_elements
    PARAMETER = 4  # a run-time scale of zero; or more elements asked for than a row has, which is not dropped


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """Parameters that can be written as numbers and names."""

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """From numbers and the names of formats and other choices, as `as_dict` gives them. Raises ParameterError."""
        kinds = {field.name: field.type for field in fields(cls)}
        for name in values:
            require(name in kinds, "parameter name", f"one of {', '.join(kinds)}", name)
        chosen: dict[str, Any] = {name: _chosen(name, kinds[name], value) for name, value in values.items()}
        return cls(**chosen)

    def as_dict(self) -> dict[str, object]:
        """All parameters as numbers and names."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {n: str(v) if isinstance(v, Format) else v.value if isinstance(v, enum.Enum) else v for n, v in values.items()}


@dataclass(frozen=True, kw_only=True)
class LaneCircuit(Circuit):
    """lanes: elements per cycle."""

    lanes: int = 4

    def __post_init__(self) -> None:
        require(type(self.lanes) is int and 1 <= self.lanes <= 64, "lanes", "an integer in 1..64", self.lanes)


def require_scores(circuit: LaneCircuit, source: Format) -> None:
    """Raise ParameterError unless a circuit that ranks scores of this format can have these lanes."""
    require(circuit.lanes & (circuit.lanes - 1) == 0, "lanes", "a power of two in 1..64", circuit.lanes)
    require(8 <= source.bits <= 32, "source", "of 8 to 32 bits", str(source))


def choices(kind: object) -> Mapping[str, object] | None:
    """What a parameter of type ``kind`` can be chosen from, by name; None for a number."""
    if kind is Format:
        return FORMATS
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {member.value: member for member in kind}
    return None


def _chosen(name: str, kind: object, value: object) -> object:
    options = choices(kind)
    if options is None:
        return value
    require(value in options, name, f"one of {', '.join(options)}", value)
    return options[str(value)]


@dataclass(frozen=True, kw_only=True)
class RowCircuit(LaneCircuit):
    """row_elements: longest row that the block can hold, a power of two."""

    row_elements: int = 4096

    def __post_init__(self) -> None:
        super().__post_init__()
        elements = self.row_elements
        allowed = type(elements) is int and 16 <= elements <= 65536 and elements & (elements - 1) == 0
        require(allowed, "row_elements", "a power of two in 16..65536", elements)


def signed_fields(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, 16, signed=True) for name in names)


OUT_FIELDS = signed_fields("out_zero_point", "low", "high")

ADD_LEFT_BITS = 4  # of the left shift that brings the operand with the larger factor to the other's units


def _operand(name: str) -> tuple[Field, ...]:
    return (*signed_fields(f"{name}_zero_point"), Field(f"{name}_multiplier", 16), Field(f"{name}_left", ADD_LEFT_BITS))


ADD = Record("add", (*_operand("a"), *_operand("b"), Field("shift", 6), *OUT_FIELDS))
MULTIPLY = Record("multiply", (*signed_fields("a_zero_point", "b_zero_point"), Field("multiplier", 16), Field("shift", 6), *OUT_FIELDS))

"""Packed records of integer fields: written by the compiler, read by the hardware, from one definition."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """An integer of ``bits`` bits."""

    name: str
    bits: int
    signed: bool = False

    @property
    def min(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        return (1 << (self.bits - self.signed)) - 1


@dataclass(frozen=True)
class Record:
    """Fields from the least significant bit up, without gaps."""

    name: str
    fields: tuple[Field, ...]

    @property
    def bits(self) -> int:
        return sum(field.bits for field in self.fields)

    def pack(self, values: Mapping[str, int]) -> int:
        """One integer from a value for each field. Raises ValueError where a name or a value does not fit."""
        unknown = set(values) - {field.name for field in self.fields}
        if unknown:
            raise ValueError(f"{self.name} has no field {sorted(unknown)[0]}")
        packed, offset = 0, 0
        for field in self.fields:
            value = values.get(field.name, 0)
            if not field.min <= value <= field.max:
                raise ValueError(f"{self.name}.{field.name} must be in {field.min}..{field.max}, not {value!r}")
            packed |= (value & ((1 << field.bits) - 1)) << offset
            offset += field.bits
        return packed

    def unpack(self, packed: int) -> dict[str, int]:
        values, offset = {}, 0
        for field in self.fields:
            value = packed >> offset & ((1 << field.bits) - 1)
            values[field.name] = value - (1 << field.bits) if field.signed and value > field.max else value
            offset += field.bits
        return values

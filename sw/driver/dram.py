"""DRAM that computes in C++ (dram.cpp), through ctypes: chips, as they lie behind a simulated model's pins, and the referee's rules."""

import ctypes
import weakref
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from ...rtl.arch.dram import POSTPONED_REFRESHES, Command, Dram, command_record
from .dram_rules import Rule, rules
from .library import INT, POINTER, TEXT, U32, U64, declare_functions


def declare(lib: ctypes.CDLL) -> ctypes.CDLL:
    """The library with the types of dram.cpp's functions. Raises AttributeError if it holds none."""
    functions = (
        ("command_name", TEXT, [U32]),
        ("chip_open", POINTER, [POINTER]),
        ("chip_close", None, [POINTER]),
        ("chip_clock", POINTER, [POINTER, POINTER, TEXT, U64]),
        ("chip_mute", None, [POINTER, INT]),
        ("chip_row", POINTER, [POINTER, U32, U32]),
        ("chip_row_to_write", POINTER, [POINTER, U32, U32]),
        ("chip_count", U64, [POINTER, U32]),
        ("chip_violations", U64, [POINTER]),
        ("chip_violation", TEXT, [POINTER]),
        ("checker_open", POINTER, [U32, U32, POINTER, U32, U32, U32]),
        ("checker_close", None, [POINTER]),
        ("checker_check", None, [POINTER, ctypes.c_int64, U32, U32]),
        ("checker_broken", U64, [POINTER, U32]),
        ("checker_late_refreshes", U64, [POINTER]),
        ("checker_violations", U64, [POINTER]),
        ("checker_violation", TEXT, [POINTER]),
        ("open", POINTER, [POINTER, POINTER, U32]),
        ("close", None, [POINTER]),
        ("chip", POINTER, [POINTER, U32]),
        ("violation", TEXT, [POINTER]),
    )
    return declare_functions(lib, "celosia_dram_", functions)


class _Rule(ctypes.Structure):
    _fields_ = (("name", TEXT), *((field, U32) for field in ("earlier", "later", "scope", "delay", "window")))


def rule_table(table: Sequence[Rule]) -> "ctypes.Array[_Rule]":
    """For the referee, which looks at the names in it as long as it lasts."""
    return (_Rule * len(table))(*((rule.name.encode(), *rule[1:]) for rule in table))


def geometry(dram: Dram) -> tuple[int, ...]:
    """What a chip is told: Geometry of dram_chip.h."""
    d = dram
    return d.bank_groups, d.group_banks, d.rows, d.columns, d.column_bytes, d.buffer_columns, d.timing.cl, d.timing.cwl


class Pins(NamedTuple):
    """Of a module's channels, which may be none: how many, and of each one the bits of a command and the bytes of the data bus."""

    channels: int
    command_bits: int
    column_bytes: int

    @classmethod
    def of(cls, dram: Dram | None) -> Self:
        return cls(dram.channels, command_record(dram).bits, dram.column_bytes) if dram else cls(0, 0, 0)

    def __str__(self) -> str:
        if not self.channels:
            return "no DRAM"
        return f"DRAM of {self.channels} channels, commands of {self.command_bits} bits and columns of {self.column_bytes} bytes"


class Chip:
    """One channel's DRAM, as it can be looked at while it is at work. lib: with dram.cpp in it."""

    def __init__(self, dram: Dram, lib: ctypes.CDLL, handle: int) -> None:
        self._dram, self._lib, self._handle = dram, lib, handle

    def mute(self, on: bool) -> None:
        """While muted, the chip takes commands but answers none."""
        self._lib.celosia_dram_chip_mute(self._handle, on)

    def read_row(self, bank: int, row: int) -> bytes:
        """A row's bytes, in no time. Raises IndexError if there is no such row."""
        return ctypes.string_at(self._found(self._lib.celosia_dram_chip_row(self._handle, bank, row), bank, row), self._dram.row_bytes)

    def write_row(self, bank: int, row: int, data: bytes) -> None:
        """Replace a row's first bytes, in no time. Raises IndexError if there is no such row, ValueError if it has not that many."""
        if len(data) > self._dram.row_bytes:
            raise ValueError(f"a row has {self._dram.row_bytes} bytes, not {len(data)}")
        ctypes.memmove(self._found(self._lib.celosia_dram_chip_row_to_write(self._handle, bank, row), bank, row), data, len(data))

    @property
    def counts(self) -> Counter[Command]:
        """How often each command was on the bus."""
        return Counter({c: self._lib.celosia_dram_chip_count(self._handle, c) for c in Command})

    def _found(self, address: int | None, bank: int, row: int) -> int:
        if address is None:
            raise IndexError(f"there is no row {row} of bank {bank}")
        return address


class Channels:
    """The DRAM of all channels: a chip and a referee on the pins of each, in the library ``lib`` of the model that has the pins.

    refresh: whether a late one is a violation. handle: what the model is given; it must not outlive this.
    """

    def __init__(self, dram: Dram, lib: ctypes.CDLL, *, refresh: bool = True) -> None:
        self._dram, self._lib = dram, declare(lib)
        self._table = rule_table(rules(dram))
        *widths, _ = (field.bits for field in command_record(dram).fields)
        numbers = (dram.channels, *widths, *geometry(dram), dram.timing.refi if refresh else 0, POSTPONED_REFRESHES)
        self.handle: int = lib.celosia_dram_open((U32 * len(numbers))(*numbers), self._table, len(self._table))
        weakref.finalize(self, lib.celosia_dram_close, self.handle)
        self.chips = [Chip(dram, lib, lib.celosia_dram_chip(self.handle, channel)) for channel in range(dram.channels)]

    def row(self, channel: int, bank: int, row: int) -> NDArray[np.uint8]:
        """[columns, column_bytes], in no time. Raises IndexError if there is no such row."""
        data = self.chips[channel].read_row(bank, row)
        return np.frombuffer(data, np.uint8).reshape(self._dram.columns, self._dram.column_bytes)

    @property
    def counts(self) -> Counter[Command]:
        """How often each command was on any channel's bus."""
        return sum((chip.counts for chip in self.chips), Counter())

    @property
    def violation(self) -> str:
        """The first one, "" if there is none."""
        return self._lib.celosia_dram_violation(self.handle).decode()

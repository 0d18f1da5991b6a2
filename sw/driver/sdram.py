"""SDRAM chips in C++ (sdram.cpp), through ctypes."""

import ctypes
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.sdram import INITIAL_REFRESHES, Sdram
from .dram import rule_table
from .dram_rules import Rule
from .library import POINTER, TEXT, U32, U64, declare_functions
from .sdram_rules import rules

SDRAM_SOURCES = [Path(__file__).with_name(name) for name in ("sdram.cpp", "sdram_chip.h", "dram_checker.h", "dram_command.h")]
PINS = ("cke", "cs_n", "ras_n", "cas_n", "we_n", "ba", "a", "dqm", "dq", "oe")  # Pins of sdram_chip.h


def declare(lib: ctypes.CDLL) -> ctypes.CDLL:
    """The library with the types of sdram.cpp's functions. Raises AttributeError if it holds none."""
    functions = (
        ("open", POINTER, [POINTER, POINTER, U32]),
        ("close", None, [POINTER]),
        ("clock", U64, [POINTER, POINTER]),
        ("data", POINTER, [POINTER]),
        ("violations", U64, [POINTER]),
        ("violation", TEXT, [POINTER]),
    )
    return declare_functions(lib, "celosia_sdram_", functions)


class Chip:
    """A chip before its power-up time, zeroed, of a library that was declared.

    handle: the library's. data: its bytes, by the controller's addresses. table: the rules of times between commands; the chip's if there
    is none.
    """

    def __init__(self, chip: Sdram, lib: ctypes.CDLL, table: Sequence[Rule] | None = None) -> None:
        self._lib, self._mask = lib, (1 << chip.data_bytes) - 1
        # Kept, since the library looks at the names in it.
        self._table = rule_table(rules(chip) if table is None else table)
        numbers = (
            *(chip.banks, chip.rows, chip.columns, chip.data_bytes, chip.cas_latency, chip.mode),
            *(INITIAL_REFRESHES, chip.power_up_cycles, chip.refi_cycles),
        )
        self.handle = lib.celosia_sdram_open((U32 * len(numbers))(*numbers), self._table, len(self._table))
        weakref.finalize(self, lib.celosia_sdram_close, self.handle)
        at = ctypes.cast(lib.celosia_sdram_data(self.handle), ctypes.POINTER(ctypes.c_uint8))
        self.data: NDArray[np.uint8] = np.ctypeslib.as_array(at, (chip.size,))

    def clock(self, pins: Sequence[int]) -> int | None:
        """One clock cycle with PINS at its edge: what the data bus carries from the chip in the next one, None if not all of a word."""
        answer = self._lib.celosia_sdram_clock(self.handle, (U32 * len(PINS))(*pins))
        return answer & 0xFFFF_FFFF if answer >> 32 == self._mask else None

    @property
    def violations(self) -> int:
        return self._lib.celosia_sdram_violations(self.handle)

    @property
    def violation(self) -> str:
        """The first one, with its cycle and the rule's name; "" if there is none."""
        return self._lib.celosia_sdram_violation(self.handle).decode()

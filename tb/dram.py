"""The behavioural DRAM channel (sw/driver/dram_chip.h) and the referee of its commands (dram_checker.h), for benches and Python."""

import ctypes
import functools
import hashlib
import platform
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..gen.simulation import publish
from ..gen.verilator import ToolError, cache_folder, run_tool
from ..rtl.arch.dram import POSTPONED_REFRESHES, Command, Dram
from ..sw import driver
from ..sw.driver import dram_rules

_SOURCES = [Path(driver.__file__).parent / f"dram_{name}" for name in ("chip.cpp", "chip.h", "checker.h", "command.h", "mac.h")]
_OPTIONS = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden")
_INT, _U32, _U64, _POINTER, _TEXT = ctypes.c_int, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_char_p


class RuleRecord(ctypes.Structure):
    _fields_ = (("name", _TEXT), *((field, _U32) for field in ("earlier", "later", "scope", "delay", "window")))


def build() -> Path:
    """The library of dram_chip.cpp, from the cache if it was built before. Raises ToolError without g++, or when it fails."""
    if shutil.which("g++") is None:
        raise ToolError("the DRAM model needs g++: install it (Debian, Ubuntu: apt install g++)")
    compiler = run_tool(["g++", "-dumpfullversion"], folder=Path.cwd(), environment={})
    made_from = repr((compiler, platform.machine(), _OPTIONS, [source.read_bytes() for source in _SOURCES]))
    library = cache_folder() / "dram" / f"{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="celosia-") as folder:
            made = Path(folder) / "dram.so"
            run_tool(["g++", *_OPTIONS, str(_SOURCES[0]), "-o", str(made)], folder=Path(folder), environment={})
            publish(made, library)
    return library


@functools.cache
def _library() -> ctypes.CDLL:
    """With the types of its functions, as dram_chip.cpp has them."""
    lib = ctypes.CDLL(str(build()))
    for name, result, arguments in (
        ("command_name", _TEXT, [_U32]),
        ("chip_open", _POINTER, [_POINTER]),
        ("chip_close", None, [_POINTER]),
        ("chip_clock", _POINTER, [_POINTER, _POINTER, _TEXT, _U64]),
        ("chip_mute", None, [_POINTER, _INT]),
        ("chip_row", _POINTER, [_POINTER, _U32, _U32]),
        ("chip_row_to_write", _POINTER, [_POINTER, _U32, _U32]),
        ("chip_count", _U64, [_POINTER, _U32]),
        ("chip_violations", _U64, [_POINTER]),
        ("chip_violation", _TEXT, [_POINTER]),
        ("checker_open", _POINTER, [_U32, _U32, _POINTER, _U32, _U32, _U32]),
        ("checker_close", None, [_POINTER]),
        ("checker_check", None, [_POINTER, ctypes.c_int64, _U32, _U32]),
        ("checker_broken", _U64, [_POINTER, _U32]),
        ("checker_late_refreshes", _U64, [_POINTER]),
        ("checker_violations", _U64, [_POINTER]),
        ("checker_violation", _TEXT, [_POINTER]),
    ):
        function = getattr(lib, f"celosia_dram_{name}")
        function.restype, function.argtypes = result, arguments
    return lib


def command_names() -> list[str]:
    """Of the library's commands, by opcode."""
    names = []
    while name := _library().celosia_dram_command_name(len(names)):
        names.append(name.decode())
    return names


class Chip:
    """A channel of a device after reset: zeroed, all banks closed, memory mode, format off."""

    def __init__(self, dram: Dram) -> None:
        self._dram, self._lib = dram, _library()
        d, t = dram, dram.timing
        numbers = (d.bank_groups, d.group_banks, d.rows, d.columns, d.column_bytes, d.buffer_columns, t.cl, t.cwl)
        self._handle = self._lib.celosia_dram_chip_open((_U32 * len(numbers))(*numbers))
        weakref.finalize(self, self._lib.celosia_dram_chip_close, self._handle)

    def clock(
        self,
        command: int = Command.NOP,
        *,
        bank: int = 0,
        row: int = 0,
        column: int = 0,
        buffer: int = 0,
        data: bytes | None = None,
        mask: int = 0,
    ) -> bytes | None:
        """One clock cycle, with what the command bus and the data bus (column_bytes; zeros if None) carry to the chip in it. mask: a bit
        for each byte that a WR leaves as it is.

        Returns what the data bus carries from the chip in the next cycle, None if nothing: so a bench samples the buses at the clock's
        edge, calls this and drives the answer.
        """
        size = self._dram.column_bytes
        if data is not None and len(data) != size:
            raise ValueError(f"the data bus carries {size} bytes, not {len(data)}")
        answer = self._lib.celosia_dram_chip_clock(self._handle, (_U32 * 5)(command, bank, row, column, buffer), data or bytes(size), mask)
        return ctypes.string_at(answer, size) if answer else None

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

    @property
    def violations(self) -> int:
        """Commands that the chip's state forbade; they did nothing."""
        return self._lib.celosia_dram_chip_violations(self._handle)

    @property
    def violation(self) -> str:
        """The first one, "" if there is none."""
        return self._lib.celosia_dram_chip_violation(self._handle).decode()

    def _found(self, address: int | None, bank: int, row: int) -> int:
        if address is None:
            raise IndexError(f"there is no row {row} of bank {bank}")
        return address


class Checker:
    """The referee of a channel's commands.

    rules: the device's if there are none. refresh: whether a late one is a violation.
    """

    def __init__(self, dram: Dram, rules: Sequence[dram_rules.Rule] | None = None, *, refresh: bool = True) -> None:
        self.rules = dram_rules.rules(dram) if rules is None else rules
        self._lib = _library()
        # Kept, since the library looks at the names in it.
        self._table = (RuleRecord * len(self.rules))(*((rule.name.encode(), *rule[1:]) for rule in self.rules))
        self._handle = self._lib.celosia_dram_checker_open(
            dram.bank_groups, dram.group_banks, self._table, len(self.rules), dram.timing.refi if refresh else 0, POSTPONED_REFRESHES
        )
        weakref.finalize(self, self._lib.celosia_dram_checker_close, self._handle)

    def check(self, cycle: int, command: int = Command.NOP, bank: int = 0) -> None:
        """The command of a cycle; cycles come in their order, and may be left out where it is NOP."""
        self._lib.celosia_dram_checker_check(self._handle, cycle, command, bank)

    @property
    def broken(self) -> Counter[dram_rules.Rule]:
        """How often each rule of the table was broken, those that never were left out."""
        counts = ((rule, self._lib.celosia_dram_checker_broken(self._handle, i)) for i, rule in enumerate(self.rules))
        return Counter({rule: count for rule, count in counts if count})

    @property
    def late_refreshes(self) -> int:
        return self._lib.celosia_dram_checker_late_refreshes(self._handle)

    @property
    def violations(self) -> int:
        """Rules that were broken, each time, and late refreshes."""
        return self._lib.celosia_dram_checker_violations(self._handle)

    @property
    def violation(self) -> str:
        """The first one, "" if there is none."""
        return self._lib.celosia_dram_checker_violation(self._handle).decode()

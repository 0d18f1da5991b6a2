"""One channel's DRAM (sw/driver/dram_chip.h) and the referee of its commands (dram_checker.h), without the hardware that gives them."""

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

from ..gen.dram_pins import DRAM_SOURCES
from ..gen.simulation import publish
from ..gen.verilator import ToolError, cache_folder, run_tool
from ..rtl.arch.dram import POSTPONED_REFRESHES, Command, Dram
from ..sw.driver import dram as driver
from ..sw.driver import dram_rules
from ..sw.driver.dram import declare, geometry, rule_table
from ..sw.driver.library import U32

_OPTIONS = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden")


def build(sources: Sequence[Path] = DRAM_SOURCES) -> Path:
    """The library of the first of the sources, which includes the others; from the cache if it was built before. Raises ToolError without
    g++, or when it fails."""
    if shutil.which("g++") is None:
        raise ToolError("the DRAM model needs g++: install it (Debian, Ubuntu: apt install g++)")
    compiler = run_tool(["g++", "-dumpfullversion"], folder=Path.cwd(), environment={})
    made_from = repr((compiler, platform.machine(), _OPTIONS, [source.read_bytes() for source in sources]))
    library = cache_folder() / "dram" / f"{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="celosia-") as folder:
            made = Path(folder) / "dram.so"
            run_tool(["g++", *_OPTIONS, str(sources[0]), "-o", str(made)], folder=Path(folder), environment={})
            publish(made, library)
    return library


@functools.cache
def _library() -> ctypes.CDLL:
    return declare(ctypes.CDLL(str(build())))


def command_names() -> list[str]:
    """Of the library's commands, by opcode."""
    names = []
    while name := _library().celosia_dram_command_name(len(names)):
        names.append(name.decode())
    return names


class Chip(driver.Chip):
    """A channel of a device after reset: zeroed, all banks closed, memory mode, format off."""

    def __init__(self, dram: Dram) -> None:
        lib, numbers = _library(), geometry(dram)
        super().__init__(dram, lib, lib.celosia_dram_chip_open((U32 * len(numbers))(*numbers)))
        weakref.finalize(self, lib.celosia_dram_chip_close, self._handle)

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
        answer = self._lib.celosia_dram_chip_clock(self._handle, (U32 * 5)(command, bank, row, column, buffer), data or bytes(size), mask)
        return ctypes.string_at(answer, size) if answer else None

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
        self._table = rule_table(self.rules)
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

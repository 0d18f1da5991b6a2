"""A Verilated board (boards/system.py, block_system.py) and its serial line: at a pseudo-terminal the driver sees what it would of a real
one."""

import ctypes
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from ..boards.block_system import BlockSystem
from ..boards.system import System
from ..gen.simulation import compile_library
from ..gen.verilog import to_verilog
from ..rtl.arch.sdram import Sdram
from ..rtl.arch.serial import SerialParameters
from ..sw.driver.library import POINTER, TEXT, U32, U64, declare_functions
from ..sw.driver.sdram import SDRAM_SOURCES, Chip, declare
from .runner import own_folder

CYCLES = 4_000  # in one call: as long as some dozen bytes take
ROOM = 4096  # bytes, more than come in that time
NAME = "board"
_HERE = Path(__file__).parent
_SOURCES = [_HERE / "board.cpp", _HERE / "board.h"]


def build_board(system: System | BlockSystem) -> Path:
    """The library of this board; built unless that was done before."""
    chip = "chip" in system.signature.members
    verilog = to_verilog(system, name=NAME)
    return build_netlist(verilog.replace(f"module {NAME}(", "module simulation("), chip=chip)


def build_netlist(verilog: str, *, chip: bool = False) -> Path:
    """The same of a board's Verilog, whose module is ``simulation``. chip: it has the pins of an SDRAM chip."""
    sources = [*_SOURCES, *(SDRAM_SOURCES if chip else [])]
    flags = "-DBOARD_SDRAM" if chip else ""
    with own_folder(verilog) as folder:
        return compile_library(verilog, NAME, sources, folder, flags=flags, optimise="-O1")


class VerilatedBoard:
    """Out of reset. chip: on its memory's pins."""

    def __init__(self, library: Path, serial: SerialParameters, chip: Sdram | None = None) -> None:
        functions = (
            ("open", POINTER, [U32, U32, POINTER]),
            ("close", None, [POINTER]),
            ("run", U64, [POINTER, U64, TEXT, U64, POINTER, U64]),
            ("cycles", U64, [POINTER]),
            ("lights", U32, [POINTER]),
        )
        self._lib = declare_functions(ctypes.CDLL(str(library)), "celosia_board_", functions)
        self._chip = Chip(chip, declare(self._lib)) if chip else None
        self._handle = self._lib.celosia_board_open(serial.clock, serial.baud, self._chip.handle if self._chip else None)
        self._room = ctypes.create_string_buffer(ROOM)

    def run(self, data: bytes, *, cycles: int = CYCLES) -> bytes:
        """Send bytes, some of which may still be under way when this returns; what came back in so many cycles, at most CYCLES."""
        count = self._lib.celosia_board_run(self._handle, cycles, data, len(data), self._room, ROOM)
        assert count <= ROOM
        return self._room.raw[:count]

    @property
    def cycles(self) -> int:
        return self._lib.celosia_board_cycles(self._handle)

    @property
    def lights(self) -> int:
        return self._lib.celosia_board_lights(self._handle)

    @property
    def violation(self) -> str:
        """What it did wrong on the chip's pins, "" when nothing."""
        return self._chip.violation if self._chip else ""

    def close(self) -> None:
        if self._handle:
            self._lib.celosia_board_close(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

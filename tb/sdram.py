"""An SDRAM chip (sw/driver/sdram_chip.h) without the hardware around it, and on a controller's pins in a bench."""

import ctypes
import functools
from collections import deque
from collections.abc import Sequence
from typing import Any

from ..rtl.arch.sdram import Sdram
from ..sw.driver import sdram as driver
from ..sw.driver.dram_rules import Rule
from .dram import build


@functools.cache
def _library() -> ctypes.CDLL:
    return driver.declare(ctypes.CDLL(str(build(driver.SDRAM_SOURCES))))


class Chip(driver.Chip):
    """A chip of the library, which is built unless that was done before."""

    def __init__(self, chip: Sdram, table: Sequence[Rule] | None = None) -> None:
        super().__init__(chip, _library(), table)


class OnPins:
    """A chip on the pins of a bench's dut, whose data comes so many cycles later. A violation raises AssertionError."""

    def __init__(self, dut: Any, chip: Chip, *, capture: int) -> None:
        self.chip = chip
        self._pins = [getattr(dut, f"chip__{name}") for name in (*driver.PINS[:-2], "dq__o", "dq__oe")]
        self._dq, self._coming = dut.chip__dq__i, deque([0] * (capture + 1))

    def drive(self) -> None:
        self._dq.value = self._coming.popleft()

    def sample(self) -> None:
        answer = self.chip.clock([int(pin.value) for pin in self._pins])
        assert not self.chip.violations, self.chip.violation
        self._coming.append(0 if answer is None else answer)

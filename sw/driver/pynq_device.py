"""An accelerator beside a processor that runs PYNQ: registers and memory are the processor's."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from ...rtl.arch.registers import OFFSETS
from .device import Device, DeviceError

CELL = "accelerator"  # its name in the block design
ENDED = 0b110  # of the status register: the last run ended, with an error or without
POLL_SECONDS = 0.0001
ADDRESSES = 1 << 32  # bytes that the accelerator can address


class PynqDevice(Device):
    """Its memory is a contiguous buffer of ``memory_bytes``, zeroed, from address ``base`` on: that of the bus, not 0. What the caches hold
    of it is written back or dropped with each access. The interrupt is not waited for: PYNQ brings no interrupt to Python without a
    controller in the FPGA. The status register is asked instead, so it must be a run's end that is waited for.

    bitstream: what Vivado made, with its .hwh beside it; it is loaded.

    Raises DeviceError where PYNQ is missing or can't load it, or has no such buffer.
    """

    def __init__(self, bitstream: Path, *, memory_bytes: int) -> None:
        try:
            import pynq  # pyright: ignore[reportMissingImports]
        except ImportError as e:
            raise DeviceError(f"no {e.name}: a pynq: device is opened on the board, in PYNQ's Python") from None
        try:
            overlay = pynq.Overlay(str(bitstream.resolve()))
            self._registers = getattr(overlay, CELL).mmio
        except (OSError, RuntimeError, ValueError, AttributeError) as e:
            raise DeviceError(f"{bitstream} can't be loaded: {e}") from None
        self._hz = 1e6 * pynq.Clocks.fclk0_mhz
        self._opened = time.monotonic()
        try:
            self._buffer = pynq.allocate(shape=(memory_bytes,), dtype=np.uint8)
        except (OSError, RuntimeError, MemoryError) as e:
            raise DeviceError(f"no buffer of {memory_bytes:,} bytes: {e}") from None
        self.base: int = self._buffer.physical_address
        if self.base + memory_bytes > ADDRESSES:
            self.close()
            raise DeviceError(f"the buffer lies at {self.base:#x}, which the accelerator can't address")
        self.write_memory(self.base, bytes(memory_bytes))

    def read_register(self, offset: int) -> int:
        self._open()
        return self._registers.read(offset)

    def write_register(self, offset: int, value: int) -> None:
        if not 0 <= value < 1 << 32:
            raise DeviceError(f"register {offset:#x} must be written with 0 to 2**32-1, not {value!r}")
        self._open()
        self._registers.write(offset, value)

    def read_memory(self, address: int, size: int) -> bytes:
        part = self._part(address, size)
        if size:
            part.invalidate()
        return part.tobytes()

    def write_memory(self, address: int, data: bytes | bytearray | memoryview | np.ndarray) -> None:
        raw = np.frombuffer(bytes(data), np.uint8)
        part = self._part(address, raw.size)
        part[:] = raw
        if raw.size:
            part.flush()

    def wait_interrupt(self, timeout_cycles: int) -> bool:
        deadline = time.monotonic() + timeout_cycles / self._hz
        while not self.read_register(OFFSETS["status"]) & ENDED:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    @property
    def cycles(self) -> int:
        """By the processor's clock, since the bitstream was loaded."""
        self._open()
        return round((time.monotonic() - self._opened) * self._hz)

    def close(self) -> None:
        if self._buffer is not None:
            self._buffer.freebuffer()
            self._buffer = None

    def _open(self) -> Any:
        if self._buffer is None:
            raise DeviceError("the device is closed")
        return self._buffer

    def _part(self, address: int, size: int) -> Any:
        buffer, start = self._open(), address - self.base
        if size < 0 or not 0 <= start <= start + size <= buffer.size:
            raise DeviceError(f"{size} bytes at {address:#x} are beyond the memory of {buffer.size} bytes at {self.base:#x}")
        return buffer[start : start + size]

"""PYNQ in small: an overlay whose accelerator is a Verilated one, and buffers whose caches are as stale as a processor's can be."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from celosia.sw.driver.device import Device


class Buffer(np.ndarray):
    """What is written to it comes to the memory with `flush`, what is in memory to it with `invalidate`; so it is as cached. Parts know
    where they lie."""

    memory: Device
    physical_address: int
    freed: list[int]

    def __array_finalize__(self, whole: Any) -> None:
        if isinstance(whole, Buffer):
            first, place = (array.__array_interface__["data"][0] for array in (whole, self))
            self.memory, self.physical_address, self.freed = whole.memory, whole.physical_address + place - first, whole.freed

    def flush(self) -> None:
        self.memory.write_memory(self.physical_address, self.tobytes())

    def invalidate(self) -> None:
        self[:] = np.frombuffer(self.memory.read_memory(self.physical_address, self.size), np.uint8)

    def freebuffer(self) -> None:
        self.freed.append(self.physical_address)


@dataclass
class FakePynq:
    """The module. device: the accelerator with its memory. address: of the next buffer. room: bytes that buffers may have.
    freed: addresses of buffers that were given back."""

    device: Device
    address: int
    room: int = 1 << 20
    cell: str = "accelerator"
    freed: list[int] = field(default_factory=list)
    Clocks: Any = field(default_factory=lambda: SimpleNamespace(fclk0_mhz=50.0))

    def Overlay(self, bitfile_name: str) -> Any:
        for suffix in (".bit", ".hwh"):
            if not Path(bitfile_name).with_suffix(suffix).is_file():
                raise OSError(f"Bitstream file {bitfile_name} does not exist.")
        registers = SimpleNamespace(read=self.device.read_register, write=self.device.write_register)
        return SimpleNamespace(**{self.cell: SimpleNamespace(mmio=registers)})

    def allocate(self, shape: Sequence[int], dtype: Any) -> Buffer:
        (size,) = shape
        if size > self.room:
            raise RuntimeError("Failed to allocate Memory!")
        buffer = np.full(shape, 0xAA, dtype).view(Buffer)
        buffer.memory, buffer.physical_address, buffer.freed = self.device, self.address, self.freed
        return buffer

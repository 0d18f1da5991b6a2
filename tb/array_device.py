"""A device of arrays, for what needs some device."""

import numpy as np

from ..sw.driver.device import Device, DeviceError


class ArrayDevice(Device):
    """Registers and memory that keep what is written. starts: how often register 0 was written. interrupt: its level."""

    def __init__(self, *, registers: int, memory_bytes: int) -> None:
        self.registers, self.memory = [0] * registers, bytearray(memory_bytes)
        self.starts, self.interrupt, self._cycles = 0, False, 1 << 33

    def read_register(self, offset: int) -> int:
        return self.registers[self._place(offset)]

    def write_register(self, offset: int, value: int) -> None:
        self.registers[self._place(offset)] = value
        self.starts += offset == 0

    def read_memory(self, address: int, size: int) -> bytes:
        return bytes(self.memory[self._span(address, size)])

    def write_memory(self, address: int, data: bytes | bytearray | memoryview | np.ndarray) -> None:
        raw = bytes(data)
        self.memory[self._span(address, len(raw))] = raw

    def wait_interrupt(self, timeout_cycles: int) -> bool:
        return self.interrupt

    @property
    def cycles(self) -> int:
        self._cycles += 1
        return self._cycles

    def close(self) -> None:
        pass

    def _place(self, offset: int) -> int:
        if offset >= 4 * len(self.registers):
            raise DeviceError(f"no register {offset:#x}")
        return offset // 4

    def _span(self, address: int, size: int) -> slice:
        if address + size > len(self.memory):
            raise DeviceError(f"{address:#x} is beyond the memory")
        return slice(address, address + size)

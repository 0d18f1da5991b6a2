"""The bus-level interface that the driver works on: registers, memory and an interrupt, whatever is behind them."""

from abc import ABC, abstractmethod
from types import TracebackType

import numpy as np
from typing_extensions import Self


class DeviceError(ValueError):
    """The device can't be used, or did not answer as it must."""


class Device(ABC):
    """An accelerator with its memory. Register offsets and memory addresses are in bytes; registers hold 32 bits."""

    @abstractmethod
    def read_register(self, offset: int) -> int:
        """The register's value, unsigned. Raises DeviceError when the device answers with an error or not at all."""

    @abstractmethod
    def write_register(self, offset: int, value: int) -> None:
        """Write an unsigned 32-bit value. Raises DeviceError as read_register does."""

    @abstractmethod
    def read_memory(self, address: int, size: int) -> bytes:
        """``size`` bytes from ``address`` on. Raises DeviceError beyond the memory."""

    @abstractmethod
    def write_memory(self, address: int, data: bytes | bytearray | memoryview | np.ndarray) -> None:
        """Store the bytes of ``data``, an array's in C order, from ``address`` on. Raises DeviceError beyond the memory."""

    @abstractmethod
    def wait_interrupt(self, timeout_cycles: int) -> bool:
        """Wait until the interrupt line is high; False when it still isn't after ``timeout_cycles`` cycles of the device."""

    @property
    @abstractmethod
    def cycles(self) -> int:
        """Cycles of the device so far."""

    @abstractmethod
    def close(self) -> None:
        """Give the device back; it can't be used any more. Closing twice is harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

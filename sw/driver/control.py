"""What drivers of all circuits have in common: an open device, and its first registers."""

from collections.abc import Mapping
from types import TracebackType

from typing_extensions import Self

from ...rtl.arch.parameters import VERSION
from ...rtl.arch.registers import OFFSETS
from .device import Device, DeviceError

START, RESET, ACKNOWLEDGE = 1, 2, 4  # of the control register
ERROR = 4  # of the status register


class Driver:
    """Of a circuit on an open device, which it owns. offsets: of its registers, by name."""

    def __init__(self, device: Device, offsets: Mapping[str, int]) -> None:
        self.device, self._offsets = device, offsets

    def close(self) -> None:
        """Close the device."""
        self.device.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _read(self, name: str) -> int:
        return self.device.read_register(self._offsets[name])

    def _write(self, name: str, value: int) -> None:
        self.device.write_register(self._offsets[name], value)


def check_identity(device: Device, identity: int, configuration: int, *, kind: str, wanted: str) -> None:
    """Raise DeviceError unless the device is a ``kind`` of this format version, generated for this configuration, ``wanted``."""
    found = device.read_register(OFFSETS["identity"])
    if found != identity:
        raise DeviceError(f"the device is not a Celosia {kind}: its identity register reads {found:#010x}")
    version = divmod(device.read_register(OFFSETS["version"]), 1 << 16)
    if version != VERSION:
        raise DeviceError(f"the device has format version {version[0]}.{version[1]}, this library {VERSION[0]}.{VERSION[1]}")
    found = device.read_register(OFFSETS["hash_low"]) | device.read_register(OFFSETS["hash_high"]) << 32
    if found != configuration:
        raise DeviceError(f"the device was generated for configuration {found:016x}, but {wanted} {configuration:016x}")


def wait_for_end(device: Device, timeout_cycles: int) -> int:
    """The status register, once the interrupt has come; it is acknowledged. Raises DeviceError."""
    if not device.wait_interrupt(timeout_cycles):
        raise DeviceError(f"no interrupt within {timeout_cycles} cycles")
    status = device.read_register(OFFSETS["status"])
    device.write_register(OFFSETS["control"], ACKNOWLEDGE)
    return status

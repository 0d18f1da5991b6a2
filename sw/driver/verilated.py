"""The accelerator simulated by Verilator: a shared library, called through ctypes, that clocks the model by itself."""

import ctypes
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...rtl.arch.dram import Command, Dram
from .device import Device, DeviceError
from .dram import Channels, Pins
from .library import INT, POINTER, TEXT, U32, U64, declare_functions

_OK, _TIMEOUT, _BUS_ERROR, _RANGE, _PROTOCOL, _NO_TRACE = range(6)  # as in verilated_device.h
_REGISTER_LIMIT = 1000  # cycles for a register access
_WAIT_STEP = 1_000_000  # cycles in one call of the library: between calls Python sees Ctrl-C


def _load(library: Path) -> ctypes.CDLL:
    """The library with the types of its functions, as verilated_device.h has them."""
    functions = (
        ("dram_pins", None, [POINTER]),
        ("open", POINTER, [U64, POINTER]),
        ("close", None, [POINTER]),
        ("read_register", INT, [POINTER, U32, ctypes.POINTER(U32), U64]),
        ("write_register", INT, [POINTER, U32, U32, U64]),
        ("read_memory", INT, [POINTER, U64, POINTER, U64]),
        ("write_memory", INT, [POINTER, U64, POINTER, U64]),
        ("wait", INT, [POINTER, U64]),
        ("cycles", U64, [POINTER]),
        ("memory_timing", None, [POINTER, U32, U32, U32]),
        ("memory_mute", None, [POINTER, INT]),
        ("violation", TEXT, [POINTER]),
        ("trace", INT, [POINTER, TEXT, U64, U64]),
        ("record_activity", None, [POINTER]),
        ("activity", U64, [POINTER, ctypes.POINTER(U64), U64]),
    )
    try:
        return declare_functions(ctypes.CDLL(str(library.resolve())), "celosia_", functions)
    except (OSError, AttributeError) as e:
        raise DeviceError(f"{library} is not a simulation library: {e}") from None


class VerilatedDevice(Device):
    """A simulated device out of reset with ``memory_bytes`` of zeroed memory from address 0 on.

    library: built by gen/simulation.py.
    latency: cycles from an address to the memory's first beat or to a write's response, at least 1.
    bandwidth: beats per cycle in each direction, at most 1.
    dram: what lies on the pins of the accelerator that has some: zeroed, one cycle of its commands in each of the accelerator's.

    AXI accesses beyond the memory are answered with SLVERR. When the model breaks a rule of AXI or of the DRAM, a late refresh among
    these, or fails an assertion of its own, this and every later access raise DeviceError with the rule's name.
    """

    def __init__(
        self, library: Path, *, memory_bytes: int, latency: int = 1, bandwidth: Fraction = Fraction(1), dram: Dram | None = None
    ) -> None:
        self._handle = None
        if not 0 < memory_bytes <= 1 << 32:
            raise DeviceError(f"memory_bytes must be 1 to 2**32, not {memory_bytes!r}")
        self._lib = _load(library)
        self._dram = self._on_pins(dram)
        self._handle = self._lib.celosia_open(memory_bytes, self._dram.handle if self._dram else None)
        if not self._handle:
            raise DeviceError(f"no room for a simulated memory of {memory_bytes} bytes")
        try:
            self.set_memory_timing(latency=latency, bandwidth=bandwidth)
        except DeviceError:
            self.close()
            raise

    def read_register(self, offset: int) -> int:
        value = U32()
        status = self._lib.celosia_read_register(self._open(), offset, ctypes.byref(value), _REGISTER_LIMIT)
        self._check(status, f"read of register {offset:#x}")
        return value.value

    def write_register(self, offset: int, value: int) -> None:
        if not 0 <= value < 1 << 32:
            raise DeviceError(f"register {offset:#x} must be written with 0 to 2**32-1, not {value!r}")
        status = self._lib.celosia_write_register(self._open(), offset, value, _REGISTER_LIMIT)
        self._check(status, f"write to register {offset:#x}")

    def read_memory(self, address: int, size: int) -> bytes:
        self._check_range(address, size)
        data = bytearray(size)
        status = self._lib.celosia_read_memory(self._open(), address, (ctypes.c_char * size).from_buffer(data), size)
        self._check(status, f"read of {size} bytes at {address:#x}")
        return bytes(data)

    def write_memory(self, address: int, data: bytes | bytearray | memoryview | np.ndarray) -> None:
        raw = bytes(data)
        self._check_range(address, len(raw))
        status = self._lib.celosia_write_memory(self._open(), address, raw, len(raw))
        self._check(status, f"write of {len(raw)} bytes at {address:#x}")

    def wait_interrupt(self, timeout_cycles: int) -> bool:
        handle = self._open()
        while True:
            step = min(timeout_cycles, _WAIT_STEP)
            status = self._lib.celosia_wait(handle, step)
            timeout_cycles -= step
            if status != _TIMEOUT or timeout_cycles == 0:
                break
        if status == _TIMEOUT:
            return False
        self._check(status, "run")
        return True

    @property
    def cycles(self) -> int:
        return self._lib.celosia_cycles(self._open())

    def set_memory_timing(self, *, latency: int, bandwidth: Fraction) -> None:
        """Change the memory's timing from now on: see the class."""
        if not 1 <= latency < 1 << 31:
            raise DeviceError(f"latency must be at least 1 cycle, not {latency!r}")
        rate = Fraction(bandwidth).limit_denominator(1 << 16)
        if not 0 < rate <= 1:
            raise DeviceError(f"bandwidth must be above 0 and at most 1 beat per cycle, not {bandwidth!r}")
        self._lib.celosia_memory_timing(self._open(), latency, rate.numerator, rate.denominator)

    def mute_memory(self, mute: bool) -> None:
        """While muted, the memory takes addresses and write data but never answers."""
        self._lib.celosia_memory_mute(self._open(), mute)

    def mute_dram(self, channel: int, mute: bool) -> None:
        """While muted, the channel's DRAM takes commands but never answers."""
        self._open_dram().chips[channel].mute(mute)

    def dram_row(self, channel: int, bank: int, row: int) -> NDArray[np.uint8]:
        """[columns, column_bytes], in no time. Raises IndexError if there is no such row."""
        return self._open_dram().row(channel, bank, row)

    def dram_counts(self) -> Mapping[Command, int]:
        """How often each command was on any channel's bus."""
        return self._open_dram().counts

    def trace(self, path: Path, *, first: int, last: int) -> None:
        """Write a waveform (FST) of cycles ``first`` to ``last`` to ``path``; complete once ``last`` is passed or at close().
        Cycle n is at times 10 n to 10 n + 9. Raises DeviceError if the file can't be written or the library was built without waveforms."""
        if not 0 <= first <= last < 1 << 60:
            raise DeviceError(f"the traced cycles must be in order, not {first!r} to {last!r}")
        try:
            path.write_bytes(b"")
        except OSError as e:
            raise DeviceError(f"waveform {path}: {e.strerror}") from None
        self._check(self._lib.celosia_trace(self._open(), str(path).encode(), first, last), f"waveform {path}")

    def record_activity(self) -> None:
        """From now on record the cycles in which a step starts or ends, forgetting what was recorded before."""
        self._lib.celosia_record_activity(self._open())

    def activity(self) -> list[tuple[int, int]]:
        """The recorded cycles: (cycle, activity of the accelerator in it)."""
        count = self._lib.celosia_activity(self._open(), None, 0)
        numbers = (U64 * count)()
        self._lib.celosia_activity(self._open(), numbers, count)
        return list(zip(numbers[::2], numbers[1::2], strict=True))

    def close(self) -> None:
        if self._handle:
            self._lib.celosia_close(self._handle)
            self._handle = None

    def __del__(self) -> None:
        self.close()

    def _open(self) -> int:
        if not self._handle:
            raise DeviceError("the device is closed")
        return self._handle

    def _open_dram(self) -> Channels:
        self._open()
        if self._dram is None:
            raise DeviceError("the accelerator has no DRAM")
        return self._dram

    def _on_pins(self, dram: Dram | None) -> Channels | None:
        """The DRAM for the pins that the library has."""
        numbers = (U32 * len(Pins._fields))()
        self._lib.celosia_dram_pins(numbers)
        found, given = Pins(*numbers), Pins.of(dram)
        if found != given:
            raise DeviceError(f"the simulated accelerator has pins for {found}, not {given}")
        return Channels(dram, self._lib) if dram else None

    def _check_range(self, address: int, size: int) -> None:
        if address < 0 or size < 0:
            raise DeviceError(f"address and size must not be negative, not {address!r} and {size!r}")

    def _check(self, status: int, what: str) -> None:
        if status == _OK:
            return
        reason = {
            _TIMEOUT: f"no answer within {_REGISTER_LIMIT} cycles",
            _BUS_ERROR: "answered with an error",
            _RANGE: "beyond the memory",
            _PROTOCOL: self._lib.celosia_violation(self._open()).decode(),
            _NO_TRACE: "the library was built without waveforms",
        }[status]
        raise DeviceError(f"{what}: {reason}")

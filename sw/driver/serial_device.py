"""A board behind a serial link (rtl/arch/serial.py)."""

import contextlib
import secrets
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import serial

from ...rtl.arch.serial import (
    ABOUT,
    ABOUT_BYTES,
    COMMAND,
    COMMAND_BYTES,
    CRC_BYTES,
    HEADER_BYTES,
    PROTOCOL,
    READ_WORDS,
    WORD_BYTES,
    Kind,
    Operation,
    Status,
)
from .device import Device, DeviceError
from .serial_frames import Deframer, Frame

BAUD = 3_000_000
BITS_OF_BYTE = 10  # on the wire, with start and stop
WAIT_SECONDS = 0.1  # that a board waits for its interrupt in one request
LARGEST_PAYLOAD = 1 << 15  # until the board has said what it takes
STUFFED = 2  # bytes on the wire for one, at most


@dataclass(frozen=True, kw_only=True)
class _Command:
    """what: for error messages. words: that are written. reads: that come back."""

    operation: Operation
    address: int
    what: str
    words: bytes = b""
    reads: int = 0

    @property
    def payload(self) -> bytes:
        counted = 0 if self.operation in READ_WORDS else self.reads or len(self.words) // WORD_BYTES
        packed = COMMAND.pack({"operation": self.operation, "words": counted, "address": self.address})
        return packed.to_bytes(COMMAND_BYTES, "little") + self.words

    @property
    def reply_bytes(self) -> int:
        return WORD_BYTES * self.reads + 1


class SerialDevice(Device):
    """Writes are collected, and sent with the next read or when a request is full; so an error in one may be raised by a later call.

    port: of the operating system, as /dev/ttyUSB0. timeout: seconds without a reply, beside what wire and board need, after which a
    request is sent again, `attempts` times in all. resent: requests that were.

    Raises DeviceError, here and in all methods, where the port can't be used, no board answers, or it speaks another protocol. A device
    whose board did not answer can only be closed.
    """

    def __init__(self, port: str, *, baud: int = BAUD, timeout: float = 0.5, attempts: int = 5) -> None:
        self.resent = 0
        self._name, self._baud, self._timeout, self._attempts = port, baud, timeout, attempts
        self._deframer = Deframer(LARGEST_PAYLOAD)
        self._session = self._sequence = 0
        self._posted, self._most = list[_Command](), 0
        self._lost = ""
        try:
            self._port = serial.Serial(port, baud, timeout=0.001, write_timeout=timeout, exclusive=True)
        except (OSError, ValueError) as e:
            raise DeviceError(f"{port} can't be opened: {e}") from None
        with contextlib.suppress(OSError, ValueError, AttributeError, NotImplementedError):  # an adapter may have no such mode
            self._port.set_low_latency_mode(True)
        try:
            self._open()
        except DeviceError:
            self._port.close()
            raise

    def read_register(self, offset: int) -> int:
        read = _Command(operation=Operation.READ_REGISTERS, address=offset, what=f"read of register {offset:#x}", reads=1)
        return self._words(read)[0]

    def write_register(self, offset: int, value: int) -> None:
        if not 0 <= value < 1 << 32:
            raise DeviceError(f"register {offset:#x} must be written with 0 to 2**32-1, not {value!r}")
        what = f"write to register {offset:#x}"
        self._post(_Command(operation=Operation.WRITE_REGISTERS, address=offset, what=what, words=struct.pack("<I", value)))

    def read_memory(self, address: int, size: int) -> bytes:
        self._check_range(address, size)
        first, end = address // WORD_BYTES * WORD_BYTES, -(-(address + size) // WORD_BYTES) * WORD_BYTES
        step = (self._most - 2) // WORD_BYTES * WORD_BYTES
        found = bytearray()
        for at in range(first, end, step):
            count, what = min(step, end - at), f"read of {size} bytes at {address:#x}"
            words = self._words(_Command(operation=Operation.READ_MEMORY, address=at, what=what, reads=count // WORD_BYTES))
            found += struct.pack(f"<{len(words)}I", *words)
        return bytes(found[address - first :][:size])

    def write_memory(self, address: int, data: bytes | bytearray | memoryview | np.ndarray) -> None:
        raw = bytes(data)
        self._check_range(address, len(raw))
        before, behind = address % WORD_BYTES, -(address + len(raw)) % WORD_BYTES
        if raw and (before or behind):  # of words at the ends the other bytes stay
            raw = self.read_memory(address - before, before) + raw + self.read_memory(address + len(raw), behind)
        first, step = address - before, self._most - COMMAND_BYTES
        for start in range(0, len(raw), step):
            what = f"write of {len(raw)} bytes at {address:#x}"
            words = raw[start : start + step]
            self._post(_Command(operation=Operation.WRITE_MEMORY, address=first + start, what=what, words=words))

    def wait_interrupt(self, timeout_cycles: int) -> bool:
        most = max(1, int(WAIT_SECONDS * self._clock))
        for start in range(0, timeout_cycles, most):
            cycles = min(most, timeout_cycles - start)
            if self._words(_Command(operation=Operation.WAIT, address=cycles, what="wait for the interrupt", reads=1))[0]:
                return True
        return False

    @property
    def cycles(self) -> int:
        low, high = self._words(_Command(operation=Operation.CYCLES, address=0, what="read of the cycles", reads=2))
        return low | high << 32

    def close(self) -> None:
        try:
            if not self._lost:
                self._exchange()
        finally:
            self._lost = self._lost or "it is closed"
            with contextlib.suppress(OSError):
                self._port.close()

    def _open(self) -> None:
        """A session of a new number for each attempt: the board may have opened one before."""

        def opens() -> Frame:
            self._session, self._sequence = secrets.randbelow(1 << 16), secrets.randbelow(1 << 8)
            return Frame(self._session, self._sequence, Kind.OPEN)

        reply = self._asked(opens, ABOUT_BYTES, 0.0)
        if reply is None:
            raise DeviceError(f"{self._name}: no board answers at {self._baud} baud")
        about = ABOUT.unpack(int.from_bytes(reply[:ABOUT_BYTES], "little"))
        if len(reply) != ABOUT_BYTES or about["protocol"] != PROTOCOL:
            raise DeviceError(f"{self._name}: the board speaks version {about['protocol']} of the protocol, this library {PROTOCOL}")
        self._most, self._clock, self._memory_bytes = about["payload_bytes"], about["clock"], about["memory_bytes"]
        self._deframer = Deframer(self._most)

    def _post(self, command: _Command) -> None:
        """Together with those that wait, if there is room for it."""
        commands = [*self._posted, command]
        fits = sum(len(c.payload) for c in commands) <= self._most and sum(c.reply_bytes for c in commands) < self._most
        if not fits:
            self._exchange()
        self._posted.append(command)

    def _words(self, command: _Command) -> Sequence[int]:
        self._post(command)
        return self._exchange()

    def _exchange(self) -> Sequence[int]:
        """Do what was posted; the words that the last command read."""
        commands, self._posted = self._posted, []
        if not commands:
            return ()
        self._sequence = (self._sequence + 1) % 256
        frame = Frame(self._session, self._sequence, Kind.COMMANDS, b"".join(command.payload for command in commands))
        waits = sum(command.address / self._clock for command in commands if command.operation is Operation.WAIT)
        reply = self._asked(lambda: frame, sum(command.reply_bytes for command in commands), waits)
        if reply is None:
            self._lost = f"the board did not answer {self._attempts} times"
            raise DeviceError(f"{self._name}: {self._lost}")
        return self._read(commands, reply)

    def _read(self, commands: Sequence[_Command], reply: bytes) -> Sequence[int]:
        words = ()
        for command in commands:
            if len(reply) < command.reply_bytes:
                raise DeviceError(f"{self._name}: {command.what}: the board knows no such command")
            *words, status = struct.unpack_from(f"<{command.reads}IB", reply)
            if status != Status.OK:
                raise DeviceError(f"{self._name}: {command.what}: the bus answered with an error")
            reply = reply[command.reply_bytes :]
        return words

    def _asked(self, frame: Callable[[], Frame], reply_bytes: int, waits: float) -> bytes | None:
        """The reply to one of the attempts, each with the frame that is made for it; None where none comes."""
        for attempt in range(self._attempts):
            self.resent += attempt > 0
            reply = self._sent(frame(), reply_bytes, waits)
            if reply is not None:
                return reply
        return None

    def _sent(self, frame: Frame, reply_bytes: int, waits: float) -> bytes | None:
        """Send it, and wait for its reply; None where none comes."""
        if self._lost:
            raise DeviceError(f"{self._name}: {self._lost}; open it again")
        wire = STUFFED * (len(frame.payload) + reply_bytes + 2 * (HEADER_BYTES + CRC_BYTES)) * BITS_OF_BYTE / self._baud
        try:
            self._port.write(frame.encode())
            deadline = time.monotonic() + self._timeout + wire + waits
            while time.monotonic() < deadline:
                for found in self._deframer.feed(self._port.read(max(1, self._port.in_waiting))):
                    if (found.session, found.sequence, found.kind) == (frame.session, frame.sequence, Kind.REPLY):
                        return found.payload
        except serial.SerialTimeoutException:
            return None
        except (OSError, TypeError) as e:  # TypeError: pyserial, of a port that was closed meanwhile
            self._lost = f"the connection was lost: {e}"
            raise DeviceError(f"{self._name}: {self._lost}") from None
        return None

    def _check_range(self, address: int, size: int) -> None:
        if address < 0 or address + size > self._memory_bytes:
            raise DeviceError(f"{size} bytes at {address:#x} are beyond the memory of {self._memory_bytes} bytes")

"""Boards behind pseudo-terminals: the golden model of a board's end, and a line that damages what goes over it."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from celosia.rtl.arch.serial import SerialParameters
from celosia.sw.driver.device import Device
from celosia.sw.golden.serial import SerialBoard
from celosia.tb.array_device import ArrayDevice
from celosia.tb.terminal import Terminal, terminal

MEMORY_BYTES = 1 << 14
REGISTER_BYTES = 64
PARAMETERS = SerialParameters(clock=50_000_000, payload_bytes=64, memory_bytes=MEMORY_BYTES)


def array_device() -> ArrayDevice:
    return ArrayDevice(registers=REGISTER_BYTES // 4, memory_bytes=MEMORY_BYTES)


@dataclass
class Line:
    """What a wire does to the bytes of a message. rates: of each byte. held: what it brings later, before or behind other messages."""

    rng: random.Random
    dropped: float = 0.0
    doubled: float = 0.0
    flipped: float = 0.0
    held_back: float = 0.0
    held: bytes = field(default=b"", init=False)

    def __call__(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            if self.rng.random() < self.dropped:
                continue
            flips = 1 << self.rng.randrange(8) if self.rng.random() < self.flipped else 0
            out += bytes((byte ^ flips,)) * (1 + (self.rng.random() < self.doubled))
        if self.rng.random() < self.held_back:
            out, self.held = bytearray(self.held), bytes(out)
        return bytes(out)


def whole(data: bytes) -> bytes:
    return data


@contextmanager
def golden_board(
    device: Device, to_board: Callable[[bytes], bytes] = whole, to_host: Callable[[bytes], bytes] = whole
) -> Iterator[Terminal]:
    board = SerialBoard(PARAMETERS, device)
    with terminal(lambda data: to_host(board.receive(to_board(data))), idle=0.01) as found:
        yield found

"""Frames of the serial link (rtl/arch/serial.py) as bytes."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from ...rtl.arch.serial import CRC, ESCAPE, ESCAPED, FLAG, HEADER, Kind

_STUFFED = {byte: bytes((ESCAPE, byte ^ ESCAPED)) for byte in (FLAG, ESCAPE)}


@dataclass(frozen=True)
class Frame:
    session: int
    sequence: int
    kind: Kind
    payload: bytes = b""

    def encode(self) -> bytes:
        """As it is sent, FLAGs included."""
        body = HEADER.pack(self.session, self.sequence, self.kind, len(self.payload)) + self.payload
        body += CRC.pack(zlib.crc32(body))
        return bytes((FLAG,)) + b"".join(_STUFFED.get(byte) or bytes((byte,)) for byte in body) + bytes((FLAG,))


def _decoded(body: bytes) -> Frame | None:
    """None where it is damaged."""
    if len(body) < HEADER.size + CRC.size or zlib.crc32(body[: -CRC.size]) != CRC.unpack(body[-CRC.size :])[0]:
        return None
    session, sequence, kind, length = HEADER.unpack_from(body)
    payload = body[HEADER.size : -CRC.size]
    return Frame(session, sequence, Kind(kind), payload) if length == len(payload) and kind in [*Kind] else None


class Deframer:
    """Finds frames in bytes as they come; what is damaged is dropped. most: bytes of a payload."""

    def __init__(self, most: int) -> None:
        self._most = HEADER.size + most + CRC.size
        self._body: bytearray | None  # None until a FLAG comes, and where it is too long
        self.restart()

    def restart(self) -> None:
        """Look at nothing until the next FLAG."""
        self._body, self._escaped = None, False

    def feed(self, data: bytes) -> Iterator[Frame]:
        for byte in data:
            if byte == FLAG:
                frame = _decoded(bytes(self._body)) if self._body and not self._escaped else None
                self._body, self._escaped = bytearray(), False
                if frame:
                    yield frame
            elif self._body is None:
                continue
            elif byte == ESCAPE and not self._escaped:
                self._escaped = True
            elif len(self._body) == self._most:
                self._body = None
            else:
                self._body.append(byte ^ ESCAPED if self._escaped else byte)
                self._escaped = False

"""Frames of the serial link (rtl/arch/serial.py) as bytes."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from ...rtl.arch.serial import CRC_BYTES, ESCAPE, ESCAPED, FLAG, HEADER, HEADER_BYTES, Kind

_STUFFED = {byte: bytes((ESCAPE, byte ^ ESCAPED)) for byte in (FLAG, ESCAPE)}


@dataclass(frozen=True)
class Frame:
    session: int
    sequence: int
    kind: Kind
    payload: bytes = b""

    def encode(self) -> bytes:
        """As it is sent, FLAGs included."""
        fields = {"session": self.session, "sequence": self.sequence, "kind": self.kind, "length": len(self.payload)}
        body = HEADER.pack(fields).to_bytes(HEADER_BYTES, "little") + self.payload
        body += zlib.crc32(body).to_bytes(CRC_BYTES, "little")
        return bytes((FLAG,)) + b"".join(_STUFFED.get(byte) or bytes((byte,)) for byte in body) + bytes((FLAG,))


def _decoded(body: bytes) -> Frame | None:
    """None where it is damaged."""
    framed, crc = body[:-CRC_BYTES], body[-CRC_BYTES:]
    if len(framed) < HEADER_BYTES or zlib.crc32(framed) != int.from_bytes(crc, "little"):
        return None
    header, payload = HEADER.unpack(int.from_bytes(framed[:HEADER_BYTES], "little")), framed[HEADER_BYTES:]
    if header["length"] != len(payload) or header["kind"] not in [*Kind]:
        return None
    return Frame(header["session"], header["sequence"], Kind(header["kind"]), payload)


class Deframer:
    """Finds frames in bytes as they come; what is damaged is dropped. most: bytes of a payload."""

    def __init__(self, most: int) -> None:
        self._most = HEADER_BYTES + most + CRC_BYTES
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

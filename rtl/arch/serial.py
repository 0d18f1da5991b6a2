"""The serial link between a host and a board: frames on the wire, and what requests and replies hold.

**On the wire**: bytes of 8 bits, no parity, one stop bit. A frame lies between two FLAGs; in it FLAG and ESCAPE are sent as ESCAPE and
the byte with `ESCAPED` inverted, as in asynchronous HDLC (RFC 1662, section 4). Numbers are little endian:

    session     2  chosen by the host as it opens the link
    sequence    1  of the request; a reply has its request's
    kind        1  Kind
    length      2  of the payload in bytes
    payload
    crc         4  CRC-32 of all before it (RFC 1662, appendix C.3)

**Once each**: the host has one request under way, and sends it again while no reply comes. The board does the request whose sequence
follows the last one's, modulo 256, gives its last reply again to the last one, and drops all else: other sequences, a wrong CRC, a wrong
length, other frames of a session that is not open. OPEN opens one, with the sequence that it has.

**Requests**: OPEN has no payload; its reply has `ABOUT`. COMMANDS are done one after the other. A command is `COMMAND`, and for a write the
words. Its reply is the words that it reads, and a byte with the Status; what follows one that is not OK is not done.
"""

import enum
from dataclasses import dataclass

from .checks import power_of_two, require
from .record import Field, Record

FLAG, ESCAPE, ESCAPED = 0x7E, 0x7D, 0x20
PROTOCOL = 1  # version
WORD_BYTES = 4

HEADER = Record("header", (Field("session", 16), Field("sequence", 8), Field("kind", 8), Field("length", 16)))
HEADER_BYTES, CRC_BYTES = HEADER.bits // 8, 4
COMMAND = Record("command", (Field("operation", 8), Field("reserved", 8), Field("words", 16), Field("address", 32)))
COMMAND_BYTES = COMMAND.bits // 8
REGISTER_SPACE = 1 << 16  # bytes
ABOUT = Record(
    "about",
    (
        Field("protocol", 16),
        Field("payload_bytes", 16),  # at most, of a request and of a reply
        Field("clock", 32),  # Hz
        Field("memory_bytes", 32),
    ),
)
ABOUT_BYTES = ABOUT.bits // 8


class Kind(enum.IntEnum):
    OPEN = 0
    COMMANDS = 1
    REPLY = 2  # to either


class Operation(enum.IntEnum):
    """Addresses are in bytes, of whole words."""

    READ_REGISTERS = 0
    WRITE_REGISTERS = 1
    READ_MEMORY = 2
    WRITE_MEMORY = 3
    WAIT = 4  # until the interrupt is high, or for `address` cycles: reads a word, whether it is
    CYCLES = 5  # since the board's reset: reads two words, the lower one first


READ_WORDS = {Operation.WAIT: 1, Operation.CYCLES: 2}  # of those without a number of words, which is 0


class Status(enum.IntEnum):
    OK = 0
    BUS_ERROR = 1  # registers or memory answered with an error: what was read is of no use
    # No such operation; none or more words than the request has, or the reply holds beside another status; an address within a word, or
    # beyond the registers'.
    ILLEGAL = 2


@dataclass(frozen=True, kw_only=True)
class SerialParameters:
    """Of a board's end. clock: Hz. baud: bits a second; a bit takes whole cycles, one more for some. payload_bytes: of a frame, at most, a
    power of two. memory_bytes: behind the bus, for the host to know. bus_bytes: of the memory's bus."""

    clock: int
    baud: int = 3_000_000
    payload_bytes: int = 1024
    memory_bytes: int = 0
    bus_bytes: int = 8

    def __post_init__(self) -> None:
        require(8 * self.baud <= self.clock < 1 << 32, "clock", f"8 times {self.baud} baud or more, below 2**32", self.clock)
        require(self.baud > 0, "baud", "positive", self.baud)
        size = self.payload_bytes
        require(power_of_two(size) and 32 <= size <= 1 << 15, "payload_bytes", "a power of two in 32..2**15", size)
        require(0 <= self.memory_bytes < 1 << 32, "memory_bytes", "below 2**32", self.memory_bytes)
        require(self.bus_bytes in (4, 8, 16, 32), "bus_bytes", "4, 8, 16 or 32", self.bus_bytes)

    @property
    def about(self) -> int:
        """What the board says of itself: an ABOUT."""
        found = {"protocol": PROTOCOL, "payload_bytes": self.payload_bytes, "clock": self.clock, "memory_bytes": self.memory_bytes}
        return ABOUT.pack(found)

"""The board's end of the serial link: the golden model of rtl/serial/, on any device."""

from collections.abc import Iterator
from struct import pack, unpack_from

from ...rtl.arch.serial import (
    ABOUT_BYTES,
    COMMAND,
    COMMAND_BYTES,
    READ_WORDS,
    REGISTER_SPACE,
    WORD_BYTES,
    Kind,
    Operation,
    SerialParameters,
    Status,
)
from ..driver.device import Device, DeviceError
from ..driver.serial_frames import Deframer, Frame

_WORD = 0xFFFF_FFFF
_WRITES = (Operation.WRITE_REGISTERS, Operation.WRITE_MEMORY)
_OF_REGISTERS = (Operation.READ_REGISTERS, Operation.WRITE_REGISTERS)


class SerialBoard:
    """What the board answers. device: its registers, memory, interrupt and cycles."""

    def __init__(self, parameters: SerialParameters, device: Device) -> None:
        self._p, self._device = parameters, device
        self._deframer = Deframer(parameters.payload_bytes)
        self._session: int | None = None
        self._reply = Frame(0, 0, Kind.REPLY)

    def receive(self, data: bytes) -> bytes:
        """The replies to the requests that end in these bytes. They come while the board does nothing else."""
        replies = bytearray()
        for frame in self._deframer.feed(data):
            if reply := self._answer(frame):
                replies += reply.encode()
                self._deframer.restart()  # it was not looked at what came meanwhile
        return bytes(replies)

    def _answer(self, frame: Frame) -> Frame | None:
        """None where the frame is dropped."""
        same = frame.session == self._session
        ahead = (frame.sequence - self._reply.sequence) % 256
        match frame.kind:
            case Kind.OPEN if not frame.payload and not same:
                self._session, payload = frame.session, self._p.about.to_bytes(ABOUT_BYTES, "little")
            case Kind.OPEN | Kind.COMMANDS if same and ahead == 0:
                return self._reply
            case Kind.COMMANDS if same and ahead == 1:
                payload = b"".join(self._commands(frame.payload))
            case _:
                return None
        self._reply = Frame(frame.session, frame.sequence, Kind.REPLY, payload)
        return self._reply

    def _commands(self, payload: bytes) -> Iterator[bytes]:
        position, room = 0, self._p.payload_bytes
        while position < len(payload):
            done, words, status = self._command(payload[position:], room)
            yield pack(f"<{len(words)}IB", *words, status)
            if status is not Status.OK:
                return
            position, room = position + done, room - WORD_BYTES * len(words) - 1

    def _command(self, payload: bytes, room: int) -> tuple[int, list[int], Status]:
        """Bytes of the command, the words that it reads, and how it ended. room: bytes that the reply may still have."""
        fields = COMMAND.unpack(int.from_bytes(payload[:COMMAND_BYTES], "little"))
        words, address = fields["words"], fields["address"]
        if len(payload) < COMMAND_BYTES or fields["operation"] not in [*Operation] or fields["reserved"]:
            return 0, [], Status.ILLEGAL
        operation = Operation(fields["operation"])
        writes, counted = operation in _WRITES, operation not in READ_WORDS
        read = 0 if writes else READ_WORDS.get(operation, words)
        size, end = COMMAND_BYTES + WORD_BYTES * words * writes, address + WORD_BYTES * words
        beyond = operation in _OF_REGISTERS and end > REGISTER_SPACE
        misplaced = counted and (not words or address % WORD_BYTES or beyond)
        if misplaced or (words and not counted) or size > len(payload) or WORD_BYTES * read + 2 > room:
            return 0, [], Status.ILLEGAL
        given = list(unpack_from(f"<{words * writes}I", payload, COMMAND_BYTES))
        return size, *self._done(operation, address, given, read)

    def _done(self, operation: Operation, address: int, given: list[int], read: int) -> tuple[list[int], Status]:
        found, status = [0] * read, Status.OK
        for i in range(max(len(given), read)):
            try:
                at = (address + WORD_BYTES * i) & _WORD
                match operation:
                    case Operation.READ_REGISTERS:
                        found[i] = self._device.read_register(at)
                    case Operation.WRITE_REGISTERS:
                        self._device.write_register(at, given[i])
                    case Operation.READ_MEMORY:
                        found[i] = int.from_bytes(self._device.read_memory(at, WORD_BYTES), "little")
                    case Operation.WRITE_MEMORY:
                        self._device.write_memory(at, pack("<I", given[i]))
                    case Operation.WAIT:
                        found[i] = int(self._device.wait_interrupt(address))
                    case Operation.CYCLES:
                        found = [self._device.cycles >> shift & _WORD for shift in (0, 32)]
                        break
            except DeviceError:
                status = Status.BUS_ERROR
        return found, status

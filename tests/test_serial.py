"""The driver of a serial link against the golden board, over a pseudo-terminal, with a line that damages what it brings."""

import random
from collections.abc import Callable

import pytest
from celosia.rtl.arch.checks import ParameterError
from celosia.rtl.arch.serial import ESCAPE, FLAG, Kind, SerialParameters
from celosia.sw.driver.device import DeviceError
from celosia.sw.driver.serial_device import SerialDevice
from celosia.sw.driver.serial_frames import Deframer, Frame
from celosia.sw.golden.serial import SerialBoard
from celosia.tb.array_device import ArrayDevice
from celosia.tb.terminal import terminal
from hypothesis import given
from hypothesis import strategies as st

from tests.serial_boards import MEMORY_BYTES, PARAMETERS, REGISTER_BYTES, Line, array_device, golden_board

frames = st.builds(
    Frame, st.integers(0, 0xFFFF), st.integers(0, 255), st.sampled_from(Kind), st.binary(max_size=64) | st.just(bytes((FLAG, ESCAPE)) * 9)
)


@given(st.lists(frames, max_size=4), st.integers(1, 20), st.binary(max_size=20).map(lambda noise: noise.replace(bytes((FLAG,)), b"")))
def test_frames_round_trip(sent: list[Frame], size: int, noise: bytes) -> None:
    """In pieces of any size, behind noise."""
    deframer, data = Deframer(64), noise + b"".join(frame.encode() for frame in sent)
    assert [frame for start in range(0, len(data), size) for frame in deframer.feed(data[start : start + size])] == sent


@given(frames, st.data())
def test_no_flipped_burst_is_accepted(frame: Frame, data: st.DataObject) -> None:
    """A CRC of 32 bits finds all bursts that are not longer; of those that make a FLAG the length is wrong, too."""
    wire = bytearray(frame.encode())
    first = data.draw(st.integers(1, len(wire) - 2))
    burst = data.draw(st.integers(1, (1 << min(25, 8 * (len(wire) - 1 - first))) - 1)) << data.draw(st.integers(0, 7))
    flips = burst.to_bytes(5, "little")[: len(wire) - 1 - first]
    changed = wire[:first] + bytes(a ^ b for a, b in zip(wire[first:], flips, strict=False)) + wire[first + len(flips) :]
    if changed != wire:
        assert not list(Deframer(64).feed(bytes(changed)))


def test_a_frame_that_is_too_long_is_dropped() -> None:
    deframer = Deframer(64)
    assert not list(deframer.feed(Frame(1, 2, Kind.OPEN, bytes(65)).encode()))
    assert list(deframer.feed(Frame(1, 2, Kind.OPEN, bytes(64)).encode()))


def exercise(device: SerialDevice, board: ArrayDevice, rng: random.Random, rounds: int) -> None:
    """Random accesses, each of whose results is checked against arrays of our own."""
    registers, memory = [0] * (REGISTER_BYTES // 4), bytearray(MEMORY_BYTES)
    starts = board.starts
    for _ in range(rounds):
        address, size = rng.randrange(MEMORY_BYTES - 300), rng.choice((0, 1, 2, 3, 4, 7, 64, 300))
        data, place, value = rng.randbytes(size), rng.randrange(len(registers)), rng.getrandbits(32)
        match rng.randrange(5):
            case 0:
                device.write_memory(address, data)
                memory[address : address + size] = data
            case 1:
                assert device.read_memory(address, size) == memory[address : address + size]
            case 2:
                device.write_register(4 * place, value)
                registers[place], starts = value, starts + (place == 0)
            case 3:
                assert device.read_register(4 * place) == registers[place]
            case _:
                board.interrupt = bool(value & 1)
                assert device.wait_interrupt(1000) == board.interrupt
    assert device.read_memory(0, MEMORY_BYTES) == memory
    assert board.starts == starts  # nothing was done twice


def test_a_good_line() -> None:
    board = array_device()
    with golden_board(board) as line, SerialDevice(line.port, timeout=10) as device:
        exercise(device, board, random.Random(1), 100)
        assert device.cycles < device.cycles
        assert not device.resent


DAMAGES = {
    "dropped": {"dropped": 0.002},
    "doubled": {"doubled": 0.002},
    "flipped": {"flipped": 0.002},
    "delayed": {"held_back": 0.1},
    "all": {"dropped": 0.001, "doubled": 0.001, "flipped": 0.001, "held_back": 0.05},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_line(damage: str) -> None:
    """Nothing wrong is accepted, nothing done twice, and what is lost is sent again."""
    board, rng = array_device(), random.Random(damage)
    to_board, to_host = (Line(rng, **DAMAGES[damage]) for _ in range(2))
    with golden_board(board, to_board, to_host) as line, SerialDevice(line.port, timeout=0.02, attempts=500) as device:
        exercise(device, board, rng, 60)
        assert device.resent


def test_sessions_follow_each_other() -> None:
    with golden_board(array_device()) as line:
        with SerialDevice(line.port) as device:
            device.write_register(0, 1)
            with pytest.raises(DeviceError, match=r" can't be opened: "):  # by one at a time
                SerialDevice(line.port)
        with SerialDevice(line.port) as device:
            assert device.read_register(0) == 1
        with pytest.raises(DeviceError, match=r"^/dev/.*: it is closed; open it again$"):
            device.read_register(0)


def errors(use: Callable[[SerialDevice], object]) -> str:
    with golden_board(array_device()) as line, SerialDevice(line.port) as device:
        with pytest.raises(DeviceError) as found:
            use(device)
        assert device.read_register(0) == 0  # the next access works
        return str(found.value).removeprefix(f"{line.port}: ")


def test_errors_of_the_board() -> None:
    assert errors(lambda d: d.read_register(REGISTER_BYTES)) == "read of register 0x40: the bus answered with an error"
    assert errors(lambda d: d.read_register(2)) == "read of register 0x2: the board knows no such command"
    posted = errors(lambda d: (d.write_register(REGISTER_BYTES, 1), d.read_register(0)))
    assert posted == "write to register 0x40: the bus answered with an error"
    assert errors(lambda d: d.read_memory(MEMORY_BYTES, 1)) == "1 bytes at 0x4000 are beyond the memory of 16384 bytes"
    assert errors(lambda d: d.write_register(0, -1)) == "register 0x0 must be written with 0 to 2**32-1, not -1"


def test_no_board() -> None:
    with pytest.raises(DeviceError, match=r"^/dev/nothing can't be opened: "):
        SerialDevice("/dev/nothing")
    with terminal(lambda data: data) as line, pytest.raises(DeviceError, match=r": no board answers at 3000000 baud$"):
        SerialDevice(line.port, timeout=0.01)


def test_another_protocol() -> None:
    def answer(data: bytes) -> bytes:
        found = Deframer(64).feed(data)
        return b"".join(Frame(frame.session, frame.sequence, Kind.REPLY, (99).to_bytes(12, "little")).encode() for frame in found)

    with terminal(answer) as line, pytest.raises(DeviceError, match=r": the board speaks version 99 of the protocol, this library 1$"):
        SerialDevice(line.port)


def test_unplugged() -> None:
    with golden_board(array_device()) as line, SerialDevice(line.port) as device:
        device.write_register(0, 1)
        line.unplug()
        with pytest.raises(DeviceError, match=r": the connection was lost: "):
            device.read_register(0)
        with pytest.raises(DeviceError, match=r"; open it again$"):
            device.read_register(0)


def test_a_silent_board() -> None:
    answers, board = [True], SerialBoard(PARAMETERS, array_device())
    with terminal(lambda data: board.receive(data) if answers else b"") as line, SerialDevice(line.port, timeout=0.1) as device:
        answers.clear()
        with pytest.raises(DeviceError, match=r": the board did not answer 5 times$"):
            device.read_register(0)
        answers.append(True)
        with pytest.raises(DeviceError, match=r": the board did not answer 5 times; open it again$"):
            device.read_register(0)
        device.close()
        with SerialDevice(line.port) as other:
            assert other.read_register(0) == 0


@given(st.binary(max_size=64))
def test_any_payload_is_answered(payload: bytes) -> None:
    """Whatever it says, the board answers in frames, and takes the next request."""
    board, deframer = SerialBoard(PARAMETERS, array_device()), Deframer(64)
    assert len(list(deframer.feed(board.receive(Frame(7, 255, Kind.OPEN).encode())))) == 1
    for sequence in (0, 1):
        found = list(deframer.feed(board.receive(Frame(7, sequence, Kind.COMMANDS, payload).encode())))
        assert [(frame.session, frame.sequence, frame.kind) for frame in found] == [(7, sequence, Kind.REPLY)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"baud": 0}, "baud must be positive, not 0"),
        ({"clock": 20_000_000}, "clock must be 8 times 3000000 baud or more, below 2**32, not 20000000"),
        ({"payload_bytes": 48}, "payload_bytes must be a power of two in 32..2**15, not 48"),
        ({"bus_bytes": 3}, "bus_bytes must be 4, 8, 16 or 32, not 3"),
    ],
)
def test_parameters(change: dict[str, int], message: str) -> None:
    with pytest.raises(ParameterError) as found:
        SerialParameters(**{"clock": 50_000_000, **change})
    assert str(found.value) == message

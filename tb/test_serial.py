"""The serial bridge answers as its golden model does, byte for byte, whatever comes over the line and however the buses stall."""

import random
from collections.abc import Iterable
from itertools import count
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.queue import Queue
from cocotb.triggers import ClockCycles, FallingEdge, with_timeout
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteSlave, AxiSlave

from ..rtl.arch.serial import COMMAND, COMMAND_BYTES, ESCAPE, FLAG, Kind, Operation, SerialParameters
from ..sw.driver.serial_frames import Deframer, Frame
from ..sw.golden.serial import SerialBoard
from .array_device import ArrayDevice
from .runner import parameters

REGISTERS, MEMORY_BYTES = 8, 256
NANOSECONDS = 2  # of a cycle
STALLS = (0.0, 0.5, 0.9)
QUIET = 30  # bytes, after which nothing more comes
ROUNDS = 40


class Target:
    """An AXI slave's: a device's registers, or its memory."""

    def __init__(self, device: ArrayDevice, *, registers: bool) -> None:
        self._device, self._registers = device, registers

    async def read(self, address: int, size: int) -> bytes:
        if self._registers:
            return self._device.read_register(address).to_bytes(4, "little")
        return self._device.read_memory(address, size)

    async def write(self, address: int, data: bytes) -> None:
        if self._registers:
            self._device.write_register(address, int.from_bytes(data, "little"))
        else:
            self._device.write_memory(address, data)


class Board:
    """The bridge out of reset, with a device's arrays behind it, and the line's other end."""

    def __init__(self, dut: Any, p: SerialParameters, seed: int) -> None:
        self._dut, self._bit = dut, p.clock // p.baud
        self.device, self.rng = ArrayDevice(registers=REGISTERS, memory_bytes=MEMORY_BYTES), random.Random(seed)
        self.received: Queue[int] = Queue()
        registers: Any = AxiLiteSlave(AxiLiteBus.from_prefix(dut, "m_axil"), dut.clk, dut.rst, target=Target(self.device, registers=True))
        memory: Any = AxiSlave(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, target=Target(self.device, registers=False))
        channels = [(side.write_if, ("aw", "w", "b")) for side in (registers, memory)]
        channels += [(side.read_if, ("ar", "r")) for side in (registers, memory)]
        for interface, names in channels:
            for name in names:
                stall = self.rng.choice(STALLS)
                getattr(interface, f"{name}_channel").set_pause_generator(self.rng.random() < stall for _ in count())

    async def start(self) -> None:
        self._dut.rx.value = 1
        self._dut.irq.value = 0
        self._dut.rst.value = 1
        cocotb.start_soon(Clock(self._dut.clk, NANOSECONDS, "ns").start(start_high=False))
        await ClockCycles(self._dut.clk, 4)
        self._dut.rst.value = 0
        await ClockCycles(self._dut.clk, 2)
        cocotb.start_soon(self._receive())

    async def send(self, data: Iterable[int], *, stop: int = 1) -> None:
        for byte in data:
            for bit in (0, *(byte >> i & 1 for i in range(8)), stop, 1):
                self._dut.rx.value = bit
                await ClockCycles(self._dut.clk, self._bit)

    async def _receive(self) -> None:
        while True:
            await FallingEdge(self._dut.tx)
            await ClockCycles(self._dut.clk, self._bit // 2)
            byte = 0
            for i in range(9):
                await ClockCycles(self._dut.clk, self._bit)
                byte |= int(self._dut.tx.value) << i
            assert byte >> 8, "no stop bit"
            self.received.put_nowait(byte & 0xFF)

    async def expect(self, data: bytes) -> None:
        for i, byte in enumerate(data):
            found = await with_timeout(self.received.get(), 100_000, "ns")
            assert found == byte, f"byte {i} of {data.hex()} is {found:#x}"

    async def quiet(self) -> None:
        """Nothing more comes."""
        await ClockCycles(self._dut.clk, QUIET * 10 * self._bit)
        assert self.received.empty()


def command(rng: random.Random, payload_bytes: int) -> bytes:
    """Mostly a legal one; CYCLES, which the model has no clock for, comes elsewhere."""
    operation = rng.choice([*Operation])
    if operation is Operation.CYCLES:
        operation = Operation.WAIT
    words = 0 if operation is Operation.WAIT else rng.choice((1, 2, 5, rng.randrange(payload_bytes // 4)))
    address = 4 * rng.randrange(REGISTERS if operation < Operation.READ_MEMORY else MEMORY_BYTES // 4)
    fields = {"operation": operation, "words": words, "address": 50 if operation is Operation.WAIT else address}
    match rng.randrange(12):
        case 0:
            fields["address"] = rng.choice((address + 1, 0xFFFC, 0x10000, 0xFFFF_FFFC))
        case 1:
            fields["operation"] = rng.randrange(6, 256)
        case 2:
            fields["reserved"] = 1
        case 3:
            fields["words"] = rng.choice((0, 1, 0xFFFF))
    if fields["operation"] == Operation.CYCLES or (fields["operation"] == Operation.WAIT and fields["address"] > 100):
        fields["address"], fields["words"] = 0, 1
    writes = fields["operation"] in (Operation.WRITE_REGISTERS, Operation.WRITE_MEMORY)
    data = rng.choice((rng.randbytes(4 * words), bytes((FLAG, ESCAPE, ESCAPE, FLAG)) * words)) if writes else b""
    return COMMAND.pack(fields).to_bytes(COMMAND_BYTES, "little") + data


def request(rng: random.Random, p: SerialParameters, session: int, sequence: int) -> bytes:
    """Frames and what damages them."""
    payload = b"".join(command(rng, p.payload_bytes) for _ in range(rng.randrange(4)))[: p.payload_bytes - rng.choice((0, 0, 0, 1, 5))]
    frame = Frame(session, sequence, Kind.COMMANDS, payload)
    match rng.randrange(20):
        case 0:
            frame = Frame(rng.choice((session, rng.getrandbits(16))), rng.getrandbits(8), Kind.OPEN)
        case 1:
            frame = Frame(session, sequence, rng.choice([*Kind]), payload)
        case 2:
            frame = Frame(session, sequence, Kind.COMMANDS, rng.randbytes(p.payload_bytes + rng.randrange(4)))
        case 3:
            frame = Frame(session, rng.choice((sequence + 1, sequence - 2)) % 256, Kind.COMMANDS, payload)
        case 4:
            frame = Frame(session ^ 1 << rng.randrange(16), sequence, Kind.COMMANDS, payload)
    wire = bytearray(frame.encode())
    match rng.randrange(12):
        case 0:
            wire[rng.randrange(len(wire))] ^= 1 << rng.randrange(8)
        case 1:
            del wire[rng.randrange(len(wire))]
        case 2:
            wire.insert(rng.randrange(len(wire)), rng.choice((FLAG, ESCAPE, 0)))
    return bytes(wire)


@cocotb.test()
async def answers_are_the_models(dut: Any) -> None:
    p = SerialParameters(**parameters())
    board = Board(dut, p, seed=1)
    device = ArrayDevice(registers=REGISTERS, memory_bytes=MEMORY_BYTES)
    model, rng, answered = SerialBoard(p, device), board.rng, 0
    await board.start()
    session, sequence = 3, 254
    for number in range(ROUNDS):
        device.interrupt = rng.random() < 0.5
        dut.irq.value = int(device.interrupt)
        wire = request(rng, p, session, (sequence + 1) % 256 if rng.random() < 0.8 else sequence)
        if number in (1, 2):  # frames of no session, then OPEN, twice
            wire = Frame(session, sequence, Kind.OPEN).encode()
        expected = model.receive(wire)
        await board.send(wire)
        await board.expect(expected)
        answered += bool(expected)
        if not expected:
            await board.quiet()
        for reply in Deframer(p.payload_bytes).feed(expected):
            session, sequence = reply.session, reply.sequence
        assert (board.device.registers, board.device.memory) == (device.registers, device.memory)
        assert board.device.starts == device.starts
    assert ROUNDS // 3 < answered < ROUNDS - 5
    await board.quiet()


async def opened(dut: Any) -> tuple[Board, SerialParameters]:
    p = SerialParameters(**parameters())
    board = Board(dut, p, seed=2)
    await board.start()
    await board.send(Frame(5, 0, Kind.OPEN).encode())
    model = SerialBoard(p, ArrayDevice(registers=REGISTERS, memory_bytes=MEMORY_BYTES))
    await board.expect(model.receive(Frame(5, 0, Kind.OPEN).encode()))
    return board, p


def waits(sequence: int, cycles: int) -> bytes:
    payload = COMMAND.pack({"operation": Operation.WAIT, "address": cycles}).to_bytes(COMMAND_BYTES, "little")
    return Frame(5, sequence, Kind.COMMANDS, payload).encode()


@cocotb.test()
async def wait_ends_with_the_interrupt_or_its_time(dut: Any) -> None:
    board, _ = await opened(dut)
    await board.send(waits(1, 1 << 30))
    await board.quiet()
    assert dut.active.value
    await board.send(waits(2, 0))  # is not seen
    dut.irq.value = 1
    await board.expect(Frame(5, 1, Kind.REPLY, bytes((1, 0, 0, 0, 0))).encode())
    dut.irq.value = 0
    await board.send(waits(2, 3000))
    await ClockCycles(dut.clk, 2000)
    assert board.received.empty()
    await board.expect(Frame(5, 2, Kind.REPLY, bytes(5)).encode())
    await board.quiet()
    assert not dut.active.value


@cocotb.test()
async def cycles_are_counted(dut: Any) -> None:
    board, p = await opened(dut)
    found = []
    payload = COMMAND.pack({"operation": Operation.CYCLES}).to_bytes(COMMAND_BYTES, "little")
    for sequence in (1, 2):
        before = get_sim_time("ns")
        await board.send(Frame(5, sequence, Kind.COMMANDS, payload).encode())
        deframer, replies = Deframer(p.payload_bytes), list[Frame]()
        while not replies:
            replies = list(deframer.feed(bytes((await board.received.get(),))))
        assert replies[0].payload[8] == 0
        found.append((int.from_bytes(replies[0].payload[:8], "little"), before / NANOSECONDS))
    (first, sent), (second, sent_again) = found
    assert abs((second - first) - (sent_again - sent)) < 100


@cocotb.test()
async def a_byte_without_a_stop_bit_spoils_its_frame(dut: Any) -> None:
    board, _ = await opened(dut)
    wire = waits(1, 0)
    await board.send(wire[:5])
    await board.send(wire[5:6], stop=0)
    await board.send(wire[6:])
    await board.quiet()
    await board.send(wire)
    await board.expect(Frame(5, 1, Kind.REPLY, bytes(5)).encode())

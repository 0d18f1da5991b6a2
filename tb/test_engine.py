"""An engine leaves scratchpad and memory as the machine's golden model does, whatever disturbs it."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from cocotbext.axi import AxiBus, AxiRam
from numpy.typing import NDArray

from ..rtl.arch.dram import Dram, command_record
from ..rtl.arch.parameters import MachineParameters
from ..rtl.arch.pim import Macro
from ..rtl.arch.registers import ErrorCode
from ..rtl.arch.steps import ADDRESS_BITS, COMMANDS, PRODUCT, Engine, Step
from ..rtl.banks import READ_LATENCY
from ..rtl.engine import CHECK_CYCLES
from ..sw.golden.machine import Machine
from ..sw.golden.pim_device import PimDevice
from .commands import CASES
from .dram import Checker, Chip
from .engine_bench import MEMORY_BASE, MEMORY_BYTES
from .runner import parameters

LIMIT = 20_000  # cycles of a command
_PINS = "command", "write_data", "write_mask", "read_data", "read_valid"
# Commands that the PIM engine or its controller refuses, and how.
_REFUSED = (
    ({"operation": Macro.WRITE, "channels": 1, "row": 1 << 20, "count": 5, "length": 77}, ErrorCode.MACRO_FAILED),
    ({"operation": PRODUCT, "channels": 1, "groups": 2, "row": 1 << 20, "count": 2, "n": 3}, ErrorCode.MACRO_FAILED),
    (
        {"operation": PRODUCT, "channels": 1, "groups": 1, "count": 2, "buffer": 5, "again": 1, "again_buffer": 999, "n": 3},
        ErrorCode.MACRO_FAILED,
    ),
    ({"operation": Macro.SCATTER, "channels": 1 << 31, "length": 9}, ErrorCode.MACRO_FAILED),
    ({"operation": Macro.MAC_ALL, "channels": 1, "length": 9}, ErrorCode.MACRO_FAILED),
    ({"operation": Macro.READ, "channels": 1, "count": 1}, ErrorCode.ILLEGAL_STEP),
    ({"operation": Macro.WRITE, "channels": 1}, ErrorCode.ILLEGAL_STEP),
    ({"operation": Macro.SCATTER}, ErrorCode.ILLEGAL_STEP),
    ({"operation": PRODUCT, "channels": 1, "count": 1, "n": 1}, ErrorCode.ILLEGAL_STEP),
    ({"operation": PRODUCT, "channels": 1, "count": 1, "groups": 1}, ErrorCode.ILLEGAL_STEP),
    ({"operation": PRODUCT, "channels": 1, "count": 1, "groups": 1, "n": 17}, ErrorCode.ILLEGAL_STEP),
    ({"operation": Macro.WRITE_BUFFER, "channels": 1, "count": 1, "length": (1 << 24) - 1}, ErrorCode.ILLEGAL_STEP),
)
ROWS = 7  # of a bank, that a case may write to
DRAIN = READ_LATENCY + 3  # until the words of two requests that wait have come


class _Host:
    """The bench's side of the scratchpad ports."""

    def __init__(self, dut: Any, p: MachineParameters, rng: random.Random) -> None:
        self.dut, self.p, self.rng = dut, p, rng

    async def fill(self, scratchpad: NDArray[np.uint8]) -> None:
        self.dut.host_write__write__valid.value = 1
        for address, word in enumerate(scratchpad):
            self.dut.host_write__write__payload.value = self._write(address, int.from_bytes(word.tobytes(), "little"), enable=True)
            await RisingEdge(self.dut.clk)
        self.dut.host_write__write__valid.value = 0

    async def dump(self) -> NDArray[np.uint8]:
        dut, words, asked = self.dut, [], 0
        while len(words) < self.p.scratchpad_words:
            dut.host_read__address__valid.value = int(asked < self.p.scratchpad_words)
            dut.host_read__address__payload.value = min(asked, self.p.scratchpad_words - 1)
            await ReadOnly()
            asked += bool(dut.host_read__address__ready.value)
            if dut.host_read__valid.value:
                words.append(int(dut.host_read__word.value).to_bytes(self.p.word_bytes, "little"))
            await RisingEdge(dut.clk)
        return np.frombuffer(b"".join(words), np.uint8).reshape(self.p.scratchpad_words, -1)

    async def disturb(self, rate: float) -> None:
        """Contend for banks until killed: reads whose words nobody takes, writes that enable no byte."""
        dut, rng = self.dut, self.rng
        while True:
            for name in ("host_read__address", "host_write__write"):
                valid, ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
                if not valid.value or ready.value:
                    address = rng.randrange(self.p.scratchpad_words)
                    valid.value = int(rng.random() < rate)
                    getattr(dut, f"{name}__payload").value = self._write(address, 0, enable=False) if "write" in name else address
            await RisingEdge(dut.clk)

    def quiet(self) -> None:
        self.dut.host_read__address__valid.value = 0
        self.dut.host_write__write__valid.value = 0

    def _write(self, address: int, word: int, *, enable: bool) -> int:
        mask = (1 << self.p.word_bytes) - 1 if enable else 0
        return address | word << ADDRESS_BITS | mask << (ADDRESS_BITS + 8 * self.p.word_bytes)


class _Channel:
    """A channel of the PIM engine's DRAM, and its referee."""

    def __init__(self, dut: Any, dram: Dram, channel: int) -> None:
        self._dut, self._clk, self._dram = [getattr(dut, f"dfi{channel}__{pin}") for pin in _PINS], dut.clk, dram
        self.chip, self.checker = Chip(dram), Checker(dram)

    async def run(self) -> None:
        """Answer until killed."""
        command, write_data, write_mask, read_data, read_valid = self._dut
        record = command_record(self._dram)
        for cycle in itertools.count():
            await ReadOnly()
            given = record.unpack(int(command.value))
            octets = int(write_data.value).to_bytes(self._dram.column_bytes, "little")
            answer = self.chip.clock(**given, data=octets, mask=int(write_mask.value))
            self.checker.check(cycle, given["command"], given["bank"])
            await RisingEdge(self._clk)
            read_valid.value = int(answer is not None)
            read_data.value = int.from_bytes(answer or bytes(1), "little")


async def _upset(dut: Any, commands: Sequence[Mapping[str, int]], rng: random.Random) -> None:
    """Give the PIM engine commands, and reset it in their midst; or let one of them be refused, after which it must complete all, and reset
    it then. Of its DRAM only what no rule allows is wrong from then on."""
    (bad, code), at = rng.choice([*_REFUSED, (None, None), (None, None)]), rng.randint(1, len(commands))
    given = [COMMANDS[Engine.PIM].pack(c) for c in (*commands[:at], *([bad] if bad else []), *commands[at:])]
    taken, done, errors = 0, 0, list[int]()
    for _ in range(LIMIT if bad else rng.randint(1, 1500)):
        dut.command__valid.value = int(taken < len(given))
        dut.command__payload.value = given[min(taken, len(given) - 1)]
        await ReadOnly()
        taken += taken < len(given) and bool(dut.command__ready.value)
        done += bool(dut.done.value)
        errors += [int(dut.error.value)] if dut.error.value else []
        await RisingEdge(dut.clk)
        if done == len(given):
            break
    assert errors == ([code] if bad else []), f"errors {errors} where {bad} was refused"
    assert not bad or done == len(given), f"{done} of {len(given)} commands are done, one of them {bad}"
    dut.command__valid.value = 0
    dut.flush.value = 1
    for _ in range(DRAIN + 3):
        await RisingEdge(dut.clk)
    dut.flush.value = 0
    await _settle(dut)


async def _settle(dut: Any) -> None:
    """Until nothing is under way in the PIM controller."""
    await RisingEdge(dut.clk)
    while not dut.pim_idle.value:
        await RisingEdge(dut.clk)


async def _assert_equal(dut: Any, pim: PimDevice, channels: Sequence[_Channel], commands: object) -> None:
    """The DRAM, as it is when all is done, is the model's, and no rule was broken."""
    await _settle(dut)
    for _ in range(pim.dram.timing.write_end + 1):
        await RisingEdge(dut.clk)
    for channel in channels:
        assert not channel.chip.violation + channel.checker.violation
    for (channel, bank, row), columns in pim.rows.items():
        found = np.frombuffer(channels[channel].chip.read_row(bank, row), np.uint8).reshape(columns.shape)
        wrong = np.flatnonzero((found != columns).any(axis=1))
        assert not wrong.size, f"columns {wrong[:8]} of row {row} of bank {bank} of channel {channel} differ after {commands}"


def _pauses(rng: random.Random, rate: float) -> Iterator[bool]:
    return (rng.random() < rate for _ in itertools.count())


async def _memory(dut: Any, rng: random.Random) -> AxiRam:
    """The memory, every channel stalling at random."""
    ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=MEMORY_BASE + MEMORY_BYTES + 0x1000)
    for side, channels in ((ram.write_if, ("aw", "w", "b")), (ram.read_if, ("ar", "r"))):
        for name in channels:
            getattr(side, f"{name}_channel").set_pause_generator(_pauses(rng, 0.3))
    return ram


async def _run(dut: Any, commands: Sequence[int], check_cycles: int) -> None:
    """Each command as soon as the engine takes it, until all are done; nothing may go wrong. check_cycles: it is there before it is
    valid."""
    taken = done = shown = 0
    for _ in range(LIMIT):
        valid = taken < len(commands) and shown >= check_cycles
        dut.command__valid.value = int(valid)
        dut.command__payload.value = commands[min(taken, len(commands) - 1)]
        await ReadOnly()
        assert not dut.error.value
        assert not dut.out_of_range.value
        fires = valid and bool(dut.command__ready.value)
        taken, shown = taken + fires, 0 if fires else shown + 1
        done += bool(dut.done.value)
        await RisingEdge(dut.clk)
        if done == len(commands):
            return
    raise AssertionError(f"not done within {LIMIT} cycles")


@cocotb.test()
async def leaves_what_the_model_leaves(dut: Any) -> None:
    """Random commands, each on a scratchpad of noise, alone and with contention for the banks."""
    about = parameters()
    p, engine = MachineParameters(**about["machine"]), Engine[about["engine"]]
    rng = random.Random(about["seed"])
    host = _Host(dut, p, rng)
    host.quiet()
    dut.command__valid.value = 0
    if engine is Engine.PIM:
        dut.flush.value = 0
    dut.rst.value = 1
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    ram = await _memory(dut, rng)
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    machine = Machine(p, MEMORY_BYTES)
    channels = [_Channel(dut, p.dram, channel) for channel in range(p.pim_channels)] if p.dram and engine is Engine.PIM else []
    for channel in channels:
        cocotb.start_soon(channel.run())
    for case in range(about["cases"]):
        commands, scratchpad = CASES[engine](rng, p)
        if machine.pim and channels:
            await _upset(dut, commands, rng)
            for _ in range(machine.pim.dram.timing.write_end + 1):
                await RisingEdge(dut.clk)
            for number, bank, row in itertools.product(range(len(channels)), range(machine.pim.dram.banks), range(ROWS)):
                columns = machine.pim.row(number, bank, row)
                columns[:] = np.frombuffer(channels[number].chip.read_row(bank, row), np.uint8).reshape(columns.shape)
        machine.scratchpad[:] = scratchpad
        machine.memory[:] = np.frombuffer(rng.randbytes(MEMORY_BYTES), np.uint8)
        ram.write(MEMORY_BASE, machine.memory.tobytes())
        await host.fill(scratchpad)
        disturbance = cocotb.start_soon(host.disturb(0.6 * (case % 2)))
        await _run(dut, [COMMANDS[engine].pack(command) for command in commands], CHECK_CYCLES.get(engine, 0))
        disturbance.cancel()
        host.quiet()
        machine.run(Step(engine, command) for command in commands)
        for _ in range(DRAIN):
            await RisingEdge(dut.clk)
        found = await host.dump()
        wrong = np.flatnonzero((found != machine.scratchpad).any(axis=1))
        assert not wrong.size, f"case {case}: scratchpad words {wrong[:8]} differ after {commands}"
        if engine is Engine.VECTOR and p.pruning:
            assert int(dut.flags.value) == sum(1 << flag - 1 for flag in machine.flags), f"case {case}: flags differ after {commands}"
        if machine.pim and channels:
            await _assert_equal(dut, machine.pim, channels, commands)
        assert ram.read(MEMORY_BASE, MEMORY_BYTES) == machine.memory.tobytes(), f"case {case}: memory differs after {commands}"

"""An accelerator in a cocotb bench: a memory with faults behind its AXI4 master, and the driver's device in front of it."""

import random
from collections.abc import Collection
from itertools import count
from typing import Any

import numpy as np
from cocotb import start_soon
from cocotb.clock import Clock
from cocotb.task import resume
from cocotb.triggers import ClockCycles, FallingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiResp, AxiSlave

from ..sw.driver.device import Device, DeviceError

LIMIT = 200_000  # cycles that no run here may take
CHANNELS = [f"{side}_{channel}" for side in ("m_axi", "s_axil") for channel in ("aw", "w", "b", "ar", "r")]
_MASTER = {
    "m_axi_aw": ("awid", "awaddr", "awlen", "awsize", "awburst"),
    "m_axi_w": ("wdata", "wstrb", "wlast"),
    "m_axi_ar": ("arid", "araddr", "arlen", "arsize", "arburst"),
}
_SLAVE = {"s_axil_b": ("bresp",), "s_axil_r": ("rdata", "rresp")}


class Memory:
    """What the AXI4 slave reads and writes: the driver's buffer. Any access beside it is noted in ``outside``.

    faults: addresses at which it answers with an error.
    """

    def __init__(self, base: int, size: int) -> None:
        self.base, self.data = base, bytearray(size)
        self.faults = range(0)
        self.outside: list[str] = []

    def span(self, address: int, size: int) -> slice:
        start = address - self.base
        if not 0 <= start <= start + size <= len(self.data):
            self.outside.append(f"{size} bytes at {address:#x}")
            raise DeviceError(self.outside[-1])
        return slice(start, start + size)

    async def read(self, address: int, size: int) -> bytes:
        self._fail(address)
        return bytes(self.data[self.span(address, size)])

    async def write(self, address: int, data: bytes) -> None:
        self._fail(address)
        self.data[self.span(address, len(data))] = data

    def _fail(self, address: int) -> None:
        if address in self.faults:
            raise DeviceError("a fault of the test's")


class System(Device):
    """The accelerator out of reset, as the driver sees it: its methods block, and are for a function under cocotb.bridge.

    violations: of the rule that valid and payload hold until ready, on the AXI channels that the accelerator drives.
    """

    def __init__(self, dut: Any, memory: Memory) -> None:
        self.dut, self.memory = dut, memory
        self._memory_side: Any = AxiSlave(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, target=memory)
        self._register_side: Any = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self._cycles = 0
        self.violations: list[str] = []

    @classmethod
    async def start(cls, dut: Any, memory: Memory) -> "System":
        """Clock and reset the accelerator, and watch its AXI channels."""
        start_soon(Clock(dut.clk, 2, "ns").start(start_high=False))
        dut.rst.value = 1
        system = cls(dut, memory)
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        await ClockCycles(dut.clk, 2)
        start_soon(system._watch())
        return system

    def stall(self, probability: float, seed: int, *, channels: Collection[str] = CHANNELS) -> None:
        """From now on these channels, named as ``m_axi_w``, stall at random, each with this probability in a cycle."""
        for name in channels:
            prefix, channel = name.rsplit("_", 1)
            side = self._memory_side if prefix == "m_axi" else self._register_side
            interface = side.read_if if channel in ("ar", "r") else side.write_if
            rng = random.Random(f"{seed} {name}")
            getattr(interface, f"{channel}_channel").set_pause_generator(rng.random() < probability for _ in count())

    async def _watch(self) -> None:
        """On every channel that the accelerator drives, valid and all that belongs to it must hold until ready."""
        channels = []
        for prefix, names in (_MASTER | _SLAVE).items():
            side = prefix[: prefix.rindex("_") + 1]
            payload = [getattr(self.dut, side + name) for name in names]
            channels.append((prefix, getattr(self.dut, f"{prefix}valid"), getattr(self.dut, f"{prefix}ready"), payload))
        waiting: dict[str, list[int]] = {}
        while True:
            await FallingEdge(self.dut.clk)  # inputs change after rising edges: what holds here holds at the next one
            self._cycles += 1
            for name, valid, ready, payload in channels:
                if name not in waiting and not valid.value:
                    continue
                values = [int(signal.value) for signal in payload]
                if name in waiting:
                    if not valid.value:
                        self.violations.append(f"{name}: valid was taken back before ready, in cycle {self._cycles}")
                    elif values != waiting[name]:
                        self.violations.append(f"{name}: payload changed before ready, in cycle {self._cycles}")
                    del waiting[name]
                if valid.value and not ready.value:
                    waiting[name] = values

    def read_register(self, offset: int) -> int:
        answer = resume(self._register_side.read)(offset, 4)
        if answer.resp != AxiResp.OKAY:
            raise DeviceError(f"read of register {offset:#x}: {answer.resp}")
        return int.from_bytes(answer.data, "little")

    def write_register(self, offset: int, value: int) -> None:
        self.write_bytes(offset, value.to_bytes(4, "little"))

    def write_bytes(self, offset: int, data: bytes) -> None:
        """Write some bytes of a register."""
        answer = resume(self._register_side.write)(offset, data)
        if answer.resp != AxiResp.OKAY:
            raise DeviceError(f"write to register {offset:#x}: {answer.resp}")

    def read_memory(self, address: int, size: int) -> bytes:
        return bytes(self.memory.data[self.memory.span(address, size)])

    def write_memory(self, address: int, data: bytes | bytearray | memoryview | np.ndarray) -> None:
        raw = bytes(data)
        self.memory.data[self.memory.span(address, len(raw))] = raw

    def wait_interrupt(self, timeout_cycles: int) -> bool:
        return resume(self._wait_interrupt)(min(timeout_cycles, LIMIT))

    async def _wait_interrupt(self, cycles: int) -> bool:
        for _ in range(cycles):
            await FallingEdge(self.dut.clk)
            if self.dut.irq.value:
                return True
        return False

    def wait_cycles(self, cycles: int) -> None:
        resume(self._wait_cycles)(cycles)

    async def _wait_cycles(self, cycles: int) -> None:
        await ClockCycles(self.dut.clk, cycles)

    @property
    def cycles(self) -> int:
        return self._cycles

    def close(self) -> None:
        pass

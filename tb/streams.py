"""Streams in a cocotb bench: packets in, packets out, with seeded random stalls, and the rules checked in every cycle."""

import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cocotb.handle import LogicArrayObject, LogicObject
from cocotb.triggers import Timer


@dataclass(kw_only=True)
class Transfers:
    """What went through one stream: payloads (as unsigned bits) and the cycles in which they did."""

    payloads: list[int] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)

    @property
    def bubbles(self) -> int:
        """Cycles without a transfer between the first and the last one."""
        return self.cycles[-1] - self.cycles[0] + 1 - len(self.cycles) if self.cycles else 0


@dataclass(frozen=True, kw_only=True)
class Stalls:
    """How the bench stalls: the probabilities that it withholds an input's valid or an output's ready in a cycle.

    lazy: an output's ready is given only after its valid has been seen.
    """

    inputs: float = 0.0
    outputs: float = 0.0
    lazy: bool = False


class _Port:
    def __init__(self, dut: Any, name: str) -> None:
        self.name = name
        self.payload: LogicArrayObject = getattr(dut, f"{name}__payload")
        self.valid: LogicObject = getattr(dut, f"{name}__valid")
        self.ready: LogicObject = getattr(dut, f"{name}__ready")
        self.transfers = Transfers()

    def record(self, cycle: int) -> bool:
        """Note the transfer of this cycle, if there is one."""
        transferred = bool(self.valid.value) and bool(self.ready.value)
        if transferred:
            self.transfers.payloads.append(int(self.payload.value))
            self.transfers.cycles.append(cycle)
        return transferred


class Source(_Port):
    """Feeds an input with ``todo``, which may grow. Its own valid holds until ready, too."""

    def __init__(self, dut: Any, name: str, payloads: Sequence[int] = ()) -> None:
        super().__init__(dut, name)
        self.todo = deque(payloads)
        self._offered = False

    def drive(self, stall: bool, noise: int) -> None:
        if not self._offered:
            self._offered = bool(self.todo) and not stall
            # While not valid the payload is noise, which the block must not look at.
            self.payload.value = self.todo[0] if self._offered else noise & ((1 << len(self.payload)) - 1)
            self.valid.value = self._offered

    def sample(self, cycle: int) -> None:
        if self.record(cycle):
            self.todo.popleft()
            self._offered = False


class Sink(_Port):
    """Takes an output and checks that valid and payload hold."""

    def __init__(self, dut: Any, name: str) -> None:
        super().__init__(dut, name)
        self._waiting: int | None = None

    def drive(self, stall: bool, lazy: bool) -> None:
        self.ready.value = not stall and not (lazy and self._waiting is None)

    def sample(self, cycle: int) -> None:
        valid, payload = bool(self.valid.value), int(self.payload.value)
        if self._waiting is not None:
            assert valid, f"{self.name}: valid was taken back before ready, in cycle {cycle}"
            assert payload == self._waiting, f"{self.name}: payload changed before ready, in cycle {cycle}"
        self._waiting = payload if valid and not self.record(cycle) else None


async def cycle(dut: Any) -> None:
    """Up to just before the next rising edge of clk, with all signals settled; the bench samples, then calls edge()."""
    dut.clk.value = 0
    await Timer(1, "ns")


async def edge(dut: Any) -> None:
    """The rising edge of clk, and up to before the falling one, at which the bench sets inputs."""
    dut.clk.value = 1
    await Timer(1, "ns")


async def reset(dut: Any) -> None:
    dut.rst.value = 1
    for _ in range(2):
        await cycle(dut)
        await edge(dut)
    dut.rst.value = 0


async def transfer(
    dut: Any,
    *,
    inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, int],
    stalls: Stalls,
    seed: int,
    limit: int,
    spare: int = 16,
) -> dict[str, Transfers]:
    """Reset, feed ``inputs`` (payloads as unsigned bits), take ``outputs`` (how many of each are expected), clock ``spare`` cycles
    more, in which more outputs may come, and return what went through each stream.

    Fails when the outputs haven't come after ``limit`` cycles or when an output breaks the rule to hold.
    """
    rng = random.Random(seed)
    sources = [Source(dut, name, payloads) for name, payloads in inputs.items()]
    sinks = [Sink(dut, name) for name in outputs]
    for source in sources:
        source.valid.value = 0
    for sink in sinks:
        sink.ready.value = 0
    await reset(dut)
    now, left = 0, spare
    while left:
        for source in sources:
            source.drive(rng.random() < stalls.inputs, rng.getrandbits(32) * 0x1_0000_0001_0000_0001_0000_0001_0000_0001)
        for sink in sinks:
            sink.drive(rng.random() < stalls.outputs, stalls.lazy)
        await cycle(dut)
        for port in (*sources, *sinks):
            port.sample(now)
        await edge(dut)
        now += 1
        missing = {s.name: outputs[s.name] - len(s.transfers.payloads) for s in sinks if len(s.transfers.payloads) < outputs[s.name]}
        left -= not missing
        assert now < limit or not missing, f"after {limit} cycles with {stalls}, outputs are missing: {missing}"
    return {port.name: port.transfers for port in (*sources, *sinks)}

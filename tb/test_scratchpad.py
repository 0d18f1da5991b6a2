"""The scratchpad's ports under random traffic: each gets its words in order, and each word is one that was there meanwhile."""

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import cocotb

from ..rtl.arch.links import Connections
from ..rtl.arch.parameters import MachineParameters
from ..rtl.arch.steps import ADDRESS_BITS
from ..rtl.banks import READ_LATENCY
from .runner import parameters
from .streams import cycle, edge, reset

CYCLES = 3000
DRAIN = 50  # cycles in which all that was asked for comes


@dataclass
class _Write:
    """A word that was asked to be written. written: in which cycle it was."""

    address: int
    word: int
    last: int
    taken: int = 0
    written: int | None = None


@dataclass
class _Read:
    address: int
    asked: int
    taken: int = 0


@dataclass
class _Waits:
    """Of a port: in which cycles a request had to wait, and in which it said so."""

    granted: int = -1
    waited: list[int] = field(default_factory=list)
    told: list[int] = field(default_factory=list)

    def grant(self, request: _Read | _Write, granted: int) -> None:
        """It is the first in its port from the cycle after it was taken, or after the one before it was granted."""
        self.waited += range(max(request.taken, self.granted) + 1, granted)
        self.granted = granted


def _reaches(p: MachineParameters, banks: list[int], address: int) -> bool:
    """Whether a port that reaches these banks reaches the address."""
    region, place = divmod(address, p.region_words)
    return address < p.scratchpad_words and region * p.interleaved + place % p.interleaved in banks


def _address(rng: random.Random, p: MachineParameters) -> int:
    """Often the same few words, so that ports collide; sometimes beyond the last."""
    if rng.random() < 0.1:
        return rng.choice((p.scratchpad_words, (1 << ADDRESS_BITS) - 1, rng.randint(p.scratchpad_words, (1 << ADDRESS_BITS) - 1)))
    return rng.choice((0, 1, p.region_words - 1, p.scratchpad_words - 1, rng.randrange(p.scratchpad_words)))


def _possible(writes: list[_Write], read: _Read) -> set[int]:
    """What the word can have been, from when the read was asked for until now: what was written last before that, and all that was asked
    to be written since. Writers' words don't overlap: all of one address are of one writer, in order."""
    before = [write.word for write in writes if write.written is not None and write.written < read.asked]
    return {*before[-1:], *([] if before else [0]), *(write.word for write in writes[len(before) :])}


@cocotb.test()
async def answers_in_order(dut: Any) -> None:
    about = parameters()
    p, rng = MachineParameters(**about["machine"]), random.Random(1)
    readers, writers = (range(len(about[kind])) for kind in ("readers", "writers"))
    connections = Connections(reach=about["reach"])
    banks = [connections.banks_of(name, p) for name in about["readers"] + about["writers"]]
    names = [f"read{i}__address" for i in readers] + [f"write{i}__write" for i in writers]
    for name in names:
        getattr(dut, f"{name}__valid").value = 0
    await reset(dut)
    history: dict[int, list[_Write]] = {}
    reads: list[deque[_Read]] = [deque() for _ in readers]
    writes: list[deque[_Write]] = [deque() for _ in writers]
    offered: list[_Read | _Write | None] = [None for _ in names]
    first_writer = len(readers)
    waits = [_Waits() for _ in names[: first_writer + 1]]  # of the other writers, words that are not the last of anything are not seen
    for now in range(CYCLES + DRAIN):
        rate = (0.9, 0.3, 1.0, 0.0)[3 * now // CYCLES]
        for i, name in enumerate(names):
            if offered[i] is None and rng.random() < rate:
                address = _address(rng, p)
                if i in readers:
                    offered[i] = _Read(address, now)
                elif address % len(writers) == i - first_writer:
                    last = rng.randint(1, 3) if i == first_writer else rng.getrandbits(2)
                    offered[i] = _Write(address, rng.getrandbits(8 * p.word_bytes), last)
            request = offered[i]
            getattr(dut, f"{name}__valid").value = int(request is not None)
            payload = request.address if request else 0
            if isinstance(request, _Write):
                mask = (1 << p.word_bytes) - 1
                payload |= (request.word | (mask | request.last << p.word_bytes) << (8 * p.word_bytes)) << ADDRESS_BITS
            getattr(dut, f"{name}__payload").value = payload
        await cycle(dut)
        conflicts = int(dut.read_conflict.value) | int(dut.write_conflict.value) << first_writer
        for i, port in enumerate(waits):
            if conflicts >> i & 1:
                port.told.append(now)
        for i, waiting in enumerate(writes):
            if written := int(getattr(dut, f"write{i}__written").value):
                while waiting and not waiting[0].last:
                    waiting.popleft().written = now
                assert waiting, f"write{i}: {written} came, but nothing was the last one"
                assert written == waiting[0].last, f"write{i}: {written}, not {waiting[0].last}"
                if i == 0:
                    waits[first_writer].grant(waiting[0], now - 1)
                waiting.popleft().written = now
        for i, waiting in enumerate(reads):
            if getattr(dut, f"read{i}__valid").value:
                read, word = waiting.popleft(), int(getattr(dut, f"read{i}__word").value)
                waits[i].grant(read, now - READ_LATENCY)
                possible = _possible(history.get(read.address, []), read) if _reaches(p, banks[i], read.address) else {0}
                assert word in possible, f"read{i}: {word:#x} at {read.address}, not one of {possible}"
        for i, (name, request) in enumerate(zip(names, offered, strict=True)):
            taken = request is not None and bool(getattr(dut, f"{name}__ready").value)
            outside = taken and request is not None and not _reaches(p, banks[i], request.address)
            assert bool(int(dut.out_of_range.value) >> i & 1) == outside, f"{name}: out_of_range at {request}"
            if request is None or not taken:
                continue
            offered[i] = None
            request.taken = now
            if isinstance(request, _Read):
                reads[i].append(request)
            elif isinstance(request, _Write):
                writes[i - first_writer].append(request)
                if not outside:
                    history.setdefault(request.address, []).append(request)
        await edge(dut)
    assert not any(reads), "some words did not come"
    assert not any(write.last for waiting in writes for write in waiting), "some words were not written"
    for name, port in zip(names, waits, strict=False):
        assert port.told == port.waited, f"{name}: a conflict is told in other cycles than a request waits in"
    assert any(port.waited for port in waits), "no request had to wait"

"""The scratchpad's ports under random traffic: each gets its words in order, and each word is one that was there meanwhile."""

import random
from collections import deque
from dataclasses import dataclass
from typing import Any

import cocotb

from ..rtl.arch.parameters import MachineParameters
from ..rtl.arch.steps import ADDRESS_BITS
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
    written: int | None = None


@dataclass(frozen=True)
class _Read:
    address: int
    asked: int


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
    readers, writers = range(about["read_ports"]), range(about["write_ports"])
    names = [f"read{i}__address" for i in readers] + [f"write{i}__write" for i in writers]
    for name in names:
        getattr(dut, f"{name}__valid").value = 0
    await reset(dut)
    history: dict[int, list[_Write]] = {}
    reads: list[deque[_Read]] = [deque() for _ in readers]
    writes: list[deque[_Write]] = [deque() for _ in writers]
    offered: list[_Read | _Write | None] = [None for _ in names]
    for now in range(CYCLES + DRAIN):
        rate = (0.9, 0.3, 1.0, 0.0)[3 * now // CYCLES]
        for i, name in enumerate(names):
            if offered[i] is None and rng.random() < rate:
                address = _address(rng, p)
                if i in readers:
                    offered[i] = _Read(address, now)
                elif address % len(writers) == i - len(readers):
                    offered[i] = _Write(address, rng.getrandbits(8 * p.word_bytes), rng.getrandbits(2))
            request = offered[i]
            getattr(dut, f"{name}__valid").value = int(request is not None)
            payload = request.address if request else 0
            if isinstance(request, _Write):
                mask = (1 << p.word_bytes) - 1
                payload |= (request.word | (mask | request.last << p.word_bytes) << (8 * p.word_bytes)) << ADDRESS_BITS
            getattr(dut, f"{name}__payload").value = payload
        await cycle(dut)
        for i, waiting in enumerate(writes):
            if written := int(getattr(dut, f"write{i}__written").value):
                while waiting and not waiting[0].last:
                    waiting.popleft().written = now
                assert waiting, f"write{i}: {written} came, but nothing was the last one"
                assert written == waiting[0].last, f"write{i}: {written}, not {waiting[0].last}"
                waiting.popleft().written = now
        for i, waiting in enumerate(reads):
            if getattr(dut, f"read{i}__valid").value:
                read, word = waiting.popleft(), int(getattr(dut, f"read{i}__word").value)
                possible = _possible(history.get(read.address, []), read)
                assert word in possible, f"read{i}: {word:#x} at {read.address}, not one of {possible}"
        for i, (name, request) in enumerate(zip(names, offered, strict=True)):
            taken = request is not None and bool(getattr(dut, f"{name}__ready").value)
            outside = taken and request is not None and request.address >= p.scratchpad_words
            assert bool(int(dut.out_of_range.value) >> i & 1) == outside, f"{name}: out_of_range at {request}"
            if not taken:
                continue
            offered[i] = None
            if isinstance(request, _Read):
                reads[i].append(request)
            elif isinstance(request, _Write):
                writes[i - len(readers)].append(request)
                if not outside:
                    history.setdefault(request.address, []).append(request)
        await edge(dut)
    assert not any(reads), "some words did not come"
    assert not any(write.last for waiting in writes for write in waiting), "some words were not written"

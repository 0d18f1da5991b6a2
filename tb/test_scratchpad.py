"""The scratchpad under random traffic on all ports: its words equal a list's, each bank serves one request a cycle, nobody
starves but for a walker behind another."""

import random
from dataclasses import dataclass, field
from typing import Any

import cocotb

from ..rtl.arbiter import Holding
from ..rtl.arch.parameters import MachineParameters
from ..rtl.arch.steps import ADDRESS_BITS
from ..rtl.scratchpad import READ_LATENCY
from .runner import parameters
from .streams import cycle, edge, reset

CYCLES = 2000


@dataclass
class _Port:
    """A requester. waited: cycles that its request has waited. due: for a reader, (cycle, word) of each read under way."""

    request: str
    address: int | None = None
    word: int = 0
    mask: int = 0
    waited: int = 0
    due: list[tuple[int, int]] = field(default_factory=list)


def _address(rng: random.Random, p: MachineParameters) -> int:
    """Often the same few words, so that ports collide; sometimes beyond the last."""
    if rng.random() < 0.1:
        return rng.choice((p.scratchpad_words, (1 << ADDRESS_BITS) - 1, rng.randint(p.scratchpad_words, (1 << ADDRESS_BITS) - 1)))
    return rng.choice((0, 1, p.region_words - 1, p.scratchpad_words - 1, rng.randrange(p.scratchpad_words)))


def _bank(p: MachineParameters, address: int) -> int:
    """Words that follow each other lie in the banks of a region in turn."""
    return address // p.region_words * p.units % p.banks + address % p.units


@dataclass
class _Hold:
    """Of a bank: the walker that holds it, and for how long that has not asked for it."""

    holder: int | None = None
    idle: int = 0


def _check_grants(p: MachineParameters, ports: list[_Port], taken: list[bool], walkers: list[int], holds: list[_Hold]) -> None:
    """Of the requests of one kind: each bank that is asked serves one, those out of range too; but of the walkers only its holder."""
    for bank, hold in enumerate(holds):
        of_port = [None if port.address is None else _bank(p, port.address) for port in ports]
        asked = [i for i, at in enumerate(of_port) if at == bank]
        served = [i for i in asked if taken[i]]
        if hold.holder is not None and of_port[hold.holder] not in (None, bank):
            hold.holder = None
        may = [i for i in asked if i not in walkers or hold.holder in (None, i)]
        assert len(served) == bool(may), f"bank {bank}: {len(served)} of {len(asked)} requests were served"
        assert set(served) <= set(may), f"bank {bank}: {served} before {hold.holder}, which holds it"
        if served and served[0] in walkers:
            hold.holder, hold.idle = served[0], 0
        elif hold.idle == Holding.PATIENCE - 1:
            hold.holder = None
        elif hold.holder is not None and hold.holder not in asked:
            hold.idle += 1
    for i, (port, served) in enumerate(zip(ports, taken, strict=True)):
        port.waited = 0 if served or port.address is None else port.waited + 1
        assert i in walkers or port.waited < len(ports), f"{port.request}: waited {port.waited} cycles"


@cocotb.test()
async def equals_a_list(dut: Any) -> None:
    about = parameters()
    p, rng = MachineParameters(**about["machine"]), random.Random(1)
    readers = [_Port(f"read{i}__address") for i in range(about["readers"])]
    writers = [_Port(f"write{i}__write") for i in range(about["writers"])]
    ports, bits = readers + writers, 8 * p.word_bytes
    for port in ports:
        getattr(dut, f"{port.request}__valid").value = 0
    await reset(dut)
    words = [0] * p.scratchpad_words
    read_holds, write_holds = ([_Hold() for _ in range(p.banks)] for _ in range(2))
    for now in range(CYCLES):
        rate = (0.9, 0.3, 1.0)[3 * now // CYCLES]
        for port in ports:
            if port.address is None and rng.random() < rate:
                port.address, port.word, port.mask = _address(rng, p), rng.getrandbits(bits), rng.getrandbits(p.word_bytes)
            getattr(dut, f"{port.request}__valid").value = int(port.address is not None)
            payload = port.address or 0
            if port in writers:
                payload |= port.word << ADDRESS_BITS | port.mask << (ADDRESS_BITS + bits)
            getattr(dut, f"{port.request}__payload").value = payload
        await cycle(dut)
        taken = [port.address is not None and bool(getattr(dut, f"{port.request}__ready").value) for port in ports]
        conflicts = int(dut.read_conflict.value) | int(dut.write_conflict.value) << len(readers)
        for i, port in enumerate(ports):
            outside = port.address is not None and port.address >= p.scratchpad_words
            assert bool(int(dut.out_of_range.value) >> i & 1) == outside, f"{port.request}: out_of_range at {port.address}"
            assert bool(conflicts >> i & 1) == (port.address is not None and not taken[i]), f"{port.request}: conflict"
        for i, port in enumerate(readers):
            found = [(now, int(getattr(dut, f"read{i}__word").value))] if getattr(dut, f"read{i}__valid").value else []
            assert found == [read for read in port.due if read[0] == now], f"read{i}: {found}, not {port.due}"
            port.due = [read for read in port.due if read[0] > now]
            if taken[i]:
                inside = port.address is not None and port.address < p.scratchpad_words
                port.due.append((now + READ_LATENCY, words[port.address] if inside and port.address is not None else 0))
        _check_grants(p, readers, taken[: len(readers)], about["walkers"], read_holds)
        _check_grants(p, writers, taken[len(readers) :], [], write_holds)
        for port, served in zip(ports, taken, strict=True):
            if served and port in writers and port.address is not None and port.address < p.scratchpad_words:
                enabled = sum(0xFF << (8 * i) for i in range(p.word_bytes) if port.mask >> i & 1)
                words[port.address] = words[port.address] & ~enabled | port.word & enabled
            if served:
                port.address = None
        await edge(dut)

"""The scratchpad under random traffic on all ports: its words equal a list's, each bank serves one request a cycle, nobody
starves but behind one of its group."""

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
    return address // p.region_words * p.interleaved % p.banks + address % p.interleaved


@dataclass
class _Hold:
    """Of a bank: the port of a group that holds it, and for how long that has not asked for it."""

    holder: int | None = None
    idle: int = 0


class _Grants:
    """What may be granted to requests of one kind, of which ``groups`` hold banks."""

    def __init__(self, p: MachineParameters, groups: list[list[int]]) -> None:
        self._p, self._groups = p, groups
        self._holds = {(bank, g): _Hold() for bank in range(p.banks) for g in range(len(groups))}

    def check(self, ports: list[_Port], taken: list[bool]) -> None:
        """Each bank that is asked serves one, those out of range too; but of a group only its holder."""
        of_port = [None if port.address is None else _bank(self._p, port.address) for port in ports]
        in_group = {i for group in self._groups for i in group}
        for bank in range(self._p.banks):
            asked = {i for i, at in enumerate(of_port) if at == bank}
            served, may = {i for i in asked if taken[i]}, asked - in_group
            for g, group in enumerate(self._groups):
                hold = self._holds[bank, g]
                if hold.holder is not None and of_port[hold.holder] not in (None, bank):
                    hold.holder = None
                may |= {i for i in asked & {*group} if hold.holder in (None, i)}
                self._move_on(hold, served & {*group}, asked)
            assert len(served) == bool(may), f"bank {bank}: {len(served)} of {len(asked)} requests were served"
            assert served <= may, f"bank {bank}: {served} were served, not one of {may}"
        for i, (port, served) in enumerate(zip(ports, taken, strict=True)):
            port.waited = 0 if served or port.address is None else port.waited + 1
            assert i in in_group or port.waited < len(ports), f"{port.request}: waited {port.waited} cycles"

    def _move_on(self, hold: _Hold, served: set[int], asked: set[int]) -> None:
        if served:
            hold.holder, hold.idle = *served, 0
        elif hold.idle == Holding.PATIENCE - 1:
            hold.holder = None
        elif hold.holder is not None and hold.holder not in asked:
            hold.idle += 1


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
    read_grants, write_grants = (_Grants(p, about[f"{kind}_groups"]) for kind in ("read", "write"))
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
        read_grants.check(readers, taken[: len(readers)])
        write_grants.check(writers, taken[len(readers) :])
        for port, served in zip(ports, taken, strict=True):
            if served and port in writers and port.address is not None and port.address < p.scratchpad_words:
                enabled = sum(0xFF << (8 * i) for i in range(p.word_bytes) if port.mask >> i & 1)
                words[port.address] = words[port.address] & ~enabled | port.word & enabled
            if served:
                port.address = None
        await edge(dut)

"""The banks under random traffic on all ports: their words equal a list's, each bank serves one request a cycle, nobody starves but
behind one of its group."""

import random
from dataclasses import dataclass, field
from typing import Any

import cocotb

from ..rtl.arbiter import Holding
from ..rtl.arch.links import Connections
from ..rtl.arch.parameters import MachineParameters
from ..rtl.banks import READ_LATENCY
from .runner import parameters
from .streams import cycle, edge, reset

CYCLES = 2000


@dataclass(frozen=True)
class _Place:
    """bank: None where it is nowhere."""

    bank: int | None
    offset: int

    def bits(self, banks: list[int]) -> int:
        """banks: that the port reaches."""
        which = len(banks) if self.bank is None else banks.index(self.bank)
        return 1 << which | self.offset << (len(banks) + 1)


@dataclass
class _Port:
    """A requester. banks: that it reaches. waited: cycles that its request has waited. due: for a reader, (cycle, word) of each read under
    way."""

    name: str
    banks: list[int]
    place: _Place | None = None
    word: int = 0
    mask: int = 0
    waited: int = 0
    due: list[tuple[int, int]] = field(default_factory=list)


def _place(rng: random.Random, p: MachineParameters, banks: list[int]) -> _Place:
    """Often the same few words, so that ports collide; sometimes nowhere."""
    offset = rng.choice((0, 1, p.bank_words - 1, rng.randrange(p.bank_words)))
    return _Place(rng.choice(rng.choice((banks[:2], banks))) if banks and rng.random() < 0.9 else None, offset)


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
        """Each bank that is asked serves one, but of a group only its holder; and what is nowhere does not wait."""
        of_port = [port.place and port.place.bank for port in ports]
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
        assert all(served for port, served in zip(ports, taken, strict=True) if port.place and port.place.bank is None)
        for i, (port, served) in enumerate(zip(ports, taken, strict=True)):
            port.waited = 0 if served or port.place is None else port.waited + 1
            assert i in in_group or port.waited < len(ports), f"{port.name}: waited {port.waited} cycles"

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
    connections = Connections(reach=about["reach"])
    readers, writers = ([_Port(name, connections.banks_of(name, p)) for name in about[kind]] for kind in ("readers", "writers"))
    ports, bits = readers + writers, 8 * p.word_bytes
    for port in ports:
        getattr(dut, f"{port.name}__place").value = 0
    await reset(dut)
    words: dict[_Place, int] = {}
    read_grants, write_grants = (_Grants(p, about[f"{kind}_groups"]) for kind in ("read", "write"))
    for now in range(CYCLES):
        rate = (0.9, 0.3, 1.0)[3 * now // CYCLES]
        for port in ports:
            if port.place is None and rng.random() < rate:
                port.place, port.word, port.mask = _place(rng, p, port.banks), rng.getrandbits(bits), rng.getrandbits(p.word_bytes)
            getattr(dut, f"{port.name}__place").value = port.place.bits(port.banks) if port.place else 0
            if port in writers:
                getattr(dut, f"{port.name}__word").value = port.word
                getattr(dut, f"{port.name}__mask").value = port.mask
        await cycle(dut)
        granted = [bool(getattr(dut, f"{port.name}__granted").value) for port in ports]
        for i, port in enumerate(readers):
            found = [(now, int(getattr(dut, f"read{i}__word").value))] if getattr(dut, f"read{i}__valid").value else []
            assert found == [read for read in port.due if read[0] == now], f"read{i}: {found}, not {port.due}"
            port.due = [read for read in port.due if read[0] > now]
            if granted[i]:
                assert port.place is not None
                port.due.append((now + READ_LATENCY, words.get(port.place, 0)))
        read_grants.check(readers, granted[: len(readers)])
        write_grants.check(writers, granted[len(readers) :])
        for port, served in zip(ports, granted, strict=True):
            if served and port in writers and port.place is not None and port.place.bank is not None:
                enabled = sum(0xFF << (8 * i) for i in range(p.word_bytes) if port.mask >> i & 1)
                words[port.place] = words.get(port.place, 0) & ~enabled | port.word & enabled
            if served:
                port.place = None
        await edge(dut)

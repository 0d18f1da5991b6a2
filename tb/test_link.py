"""Links between ports of the scratchpad: whatever stalls, each step reads what steps before it in the program have written."""

import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cocotb

from ..rtl.arch.links import Connections, Link, link_address
from ..rtl.arch.parameters import MachineParameters
from ..rtl.arch.steps import ADDRESS_BITS, COUNT_BITS
from .runner import parameters
from .streams import cycle, edge, reset

STEPS = 150
LIMIT = 20_000  # cycles
DRAIN = 5  # cycles until the last words that were taken are written


@dataclass
class _Ring:
    """A link in program order: its words, and which of them are filled."""

    number: int
    link: Link
    words: dict[int, int] = field(default_factory=dict)
    first_filled: int = 0
    filled: int = 0

    def address(self, rng: random.Random, place: int) -> int:
        """Of a place, some rounds further on: an offset may pass the ring's end."""
        return link_address(self.number) + place % self.link.words + self.link.words * rng.randrange((1 << 16) // self.link.words)


@dataclass
class _Request:
    """What a port asks for: its payload, and the word that must come for a read; None where any will do. outside: it is out of range."""

    payload: int
    word: int | None = None
    outside: bool = False


class _Program:
    """Random steps of a machine, as the requests of each port in program order."""

    def __init__(self, rng: random.Random, p: MachineParameters, connections: Connections) -> None:
        self._rng, self._p, self._connections = rng, p, connections
        self._rings = [_Ring(number, link) for number, link in enumerate(connections.links)]
        self.requests: dict[str, deque[_Request]] = {port: deque() for link in connections.links for port in (link.writer, link.reader)}
        for _ in range(STEPS):
            ring = rng.choice(self._rings)
            free = ring.link.words - ring.filled
            writes = [self._write_step] * (free > 0) + [self._read_step] * (ring.filled > 0)
            rng.choice(writes)(ring, rng.choice((1, free, rng.randint(1, max(1, free)))))
        for ring in self._rings:
            if ring.filled:
                self._read_step(ring, 0)

    def _write_step(self, ring: _Ring, count: int) -> None:
        """Words from the first free one on, in any order, each whole or in two parts; sometimes another word in between."""
        rng, octets = self._rng, self._p.word_bytes
        whole = (1 << octets) - 1
        parts: list[tuple[int, int]] = []
        for place in range(ring.first_filled + ring.filled, ring.first_filled + ring.filled + count):
            mask = rng.choice((whole, rng.getrandbits(octets)))
            parts += [(place, part) for part in {mask, whole & ~mask} - {0}]
        rng.shuffle(parts)
        for i, (place, mask) in enumerate(parts):
            word, enabled = rng.getrandbits(8 * octets), sum(0xFF << (8 * octet) for octet in range(octets) if mask >> octet & 1)
            at = place % ring.link.words
            ring.words[at] = ring.words.get(at, 0) & ~enabled | word & enabled
            self._ask_to_write(ring.link.writer, ring.address(rng, place), word, mask, last=i == len(parts) - 1)
            if rng.random() < 0.05 and i < len(parts) - 1:
                address, outside = self._elsewhere(ring.link.writer)
                self._ask_to_write(ring.link.writer, address, word, mask, last=False, outside=outside)
        ring.filled += count

    def _read_step(self, ring: _Ring, _: int) -> None:
        """Filled words in any order, some twice, some absent, and other words; the last one frees some of the first filled ones."""
        rng = self._rng
        frees = rng.choice((0, ring.filled, rng.randint(0, ring.filled)))
        for i in reversed(range(rng.randint(1, 2 * ring.filled))):
            absent, place = rng.random() < 0.2, ring.first_filled + rng.randrange(ring.filled)
            word = None if absent else ring.words[place % ring.link.words]
            place += absent * rng.randrange(ring.link.words)
            self._ask_to_read(ring.link.reader, ring.address(rng, place), word, frees=0 if i else frees, absent=absent)
            if rng.random() < 0.05:
                absent, (address, outside) = rng.random() < 0.5, self._elsewhere(ring.link.reader)
                self._ask_to_read(ring.link.reader, address, 0 if outside else None, absent=absent, outside=outside and not absent)
        ring.first_filled, ring.filled = (ring.first_filled + frees) % ring.link.words, ring.filled - frees

    def _elsewhere(self, port: str) -> tuple[int, bool]:
        """An address in a bank, beyond the banks, or in a link that there isn't; and whether it is out of the port's range."""
        address = self._rng.choice((0, self._p.scratchpad_words, link_address(len(self._rings)), (1 << ADDRESS_BITS) - 1))
        return address, address > 0 or not self._connections.banks_of(port, self._p)

    def _ask_to_write(self, port: str, address: int, word: int, mask: int, *, last: bool, outside: bool = False) -> None:
        octets = self._p.word_bytes
        payload = address | word << ADDRESS_BITS | (mask | last << octets) << (ADDRESS_BITS + 8 * octets)
        self.requests[port].append(_Request(payload, outside=outside))

    def _ask_to_read(
        self, port: str, address: int, word: int | None, *, frees: int = 0, absent: bool = False, outside: bool = False
    ) -> None:
        payload = address | (frees | absent << COUNT_BITS) << ADDRESS_BITS
        self.requests[port].append(_Request(payload, word, outside))


async def _run(dut: Any, rng: random.Random, names: Mapping[str, str], requests: dict[str, deque[_Request]], order: list[str]) -> None:
    """Every port asks for its words, each as fast as it likes, until all have come. names: of the ports' streams."""
    rates = {port: rng.choice((0.1, 0.5, 1.0)) for port in requests}
    offered: dict[str, bool] = dict.fromkeys(requests, False)
    awaited: dict[str, deque[_Request]] = {port: deque() for port in requests}
    for _ in range(LIMIT):
        if not any(requests.values()) and not any(awaited.values()):
            return
        for port, stream in names.items():
            offered[port] = offered[port] or bool(requests[port] and rng.random() < rates[port])
            getattr(dut, f"{stream}__valid").value = int(offered[port])
            getattr(dut, f"{stream}__payload").value = requests[port][0].payload if offered[port] else 0
        await cycle(dut)
        assert not int(dut.read_conflict.value), "to wait for a link is no conflict"
        assert not int(dut.write_conflict.value), "to wait for a link is no conflict"
        for port, stream in names.items():
            if stream.endswith("address") and getattr(dut, stream.replace("address", "valid")).value:
                wanted, found = awaited[port].popleft().word, int(getattr(dut, stream.replace("address", "word")).value)
                assert wanted in (None, found), f"{port}: {found:#x}, not {wanted:#x}"
            taken = offered[port] and bool(getattr(dut, f"{stream}__ready").value)
            outside = taken and requests[port][0].outside
            assert bool(int(dut.out_of_range.value) >> order.index(port) & 1) == outside, f"{port}: out_of_range"
            if taken:
                offered[port] = False
                request = requests[port].popleft()
                if stream.endswith("address"):
                    awaited[port].append(request)
        await edge(dut)
    raise AssertionError(f"not done within {LIMIT} cycles: { ({port: len(left) for port, left in requests.items()}) }")


@cocotb.test()
async def steps_wait_for_each_other(dut: Any) -> None:
    """Programs one after the other, each of which leaves words in the links: before the next they are emptied."""
    about = parameters()
    p, rng = MachineParameters(**about["machine"]), random.Random(1)
    connections = Connections(links=tuple(Link(**link) for link in about["links"]), reach=about["reach"])
    order = about["readers"] + about["writers"]
    streams = [f"read{i}__address" for i in range(len(about["readers"]))] + [f"write{i}__write" for i in range(len(about["writers"]))]
    for stream in streams:
        getattr(dut, f"{stream}__valid").value = 0
    await reset(dut)
    for _ in range(4):
        for empties in (0,) * DRAIN + (1, 0):
            dut.empties.value = empties
            await cycle(dut)
            await edge(dut)
        program = _Program(rng, p, connections)
        names = {port: stream for port, stream in zip(order, streams, strict=True) if port in program.requests}
        await _run(dut, rng, names, program.requests, order)

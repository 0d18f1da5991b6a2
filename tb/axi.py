"""Random AXI4 traffic of several masters on a memory, against its bytes."""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from amaranth.lib import data

from .memory import channels
from .streams import Sink, Source, cycle, edge

OKAY, SLVERR = 0, 2
PAGE = 4096  # no burst crosses its end
_BURSTS_UNDER_WAY = 6  # of a master, in each direction


@dataclass(kw_only=True)
class _Burst:
    """first, end: its bytes. answers: the beats that a read still expects: data, or None where there is none, and resp."""

    master: int
    write: bool
    id: int
    first: int
    end: int
    answers: deque[tuple[int | None, int]] = field(default_factory=deque)

    def meets(self, other: "_Burst") -> bool:
        """Whether the two have bytes in common and AXI4 says nothing of who is first."""
        in_order = self.write and other.write and (self.master, self.id) == (other.master, other.id)
        return self.first < other.end and other.first < self.end and (self.write or other.write) and not in_order


class _Pins(Protocol):
    """Inputs of the dut, which it sets at the begin of a cycle, and outputs, which it looks at before the edge."""

    def drive(self) -> None: ...

    def sample(self) -> None: ...


class _Master:
    """The streams of one master, and what it waits for."""

    def __init__(self, dut: Any, prefix: str) -> None:
        self.sources = {name: Source(dut, f"{prefix}{name}") for name in ("ar", "aw", "w")}
        self.sinks = {name: Sink(dut, f"{prefix}{name}") for name in ("r", "b")}
        self.reads: list[deque[_Burst]] = [deque(), deque()]  # by id
        self.writes: list[deque[_Burst]] = [deque(), deque()]
        self.quiet()

    def quiet(self) -> None:
        for source in self.sources.values():
            source.valid.value = 0
        for sink in self.sinks.values():
            sink.ready.value = 0

    def under_way(self, write: bool) -> int:
        return sum(map(len, self.writes if write else self.reads))


class Traffic:
    """Masters on a memory of ``size`` bytes, which are ``golden``. Bytes that are under way in a burst are left alone by those that might
    pass it, so what a read gives is known.

    chip: what else is on the dut's pins. pages: where addresses are more often than elsewhere.
    """

    def __init__(
        self,
        dut: Any,
        prefixes: Sequence[str],
        golden: bytearray,
        *,
        bus_bytes: int,
        seed: int,
        chip: _Pins | None = None,
        pages: Sequence[int] = (),
    ) -> None:
        self.golden, self.cycles = golden, 0
        self.masters = [_Master(dut, prefix) for prefix in prefixes]
        self._dut, self._bus_bytes, self._chip = dut, bus_bytes, chip
        self._pages, self._rng = [*pages, 0, len(golden) // PAGE - 1], random.Random(seed)
        self._layouts: dict[str, data.StructLayout] = channels(bus_bytes)
        self._bursts: list[_Burst] = []

    def read(self, master: int, address: int, beats: int, *, id: int = 0) -> bool:
        """Ask for a burst, unless what is under way forbids it."""
        burst = self._begin(master, address, beats, write=False, id=id)
        if burst is None:
            return False
        for first in range(burst.first, burst.end, self._bus_bytes):
            inside = first + self._bus_bytes <= len(self.golden)
            word = int.from_bytes(self.golden[first : first + self._bus_bytes], "little")
            burst.answers.append((word, OKAY) if inside else (None, SLVERR))
        self.masters[master].reads[id].append(burst)
        return True

    def write(self, master: int, address: int, words: Sequence[tuple[int, int]], *, id: int = 0) -> bool:
        """The same; words: data and strobes of each beat."""
        burst = self._begin(master, address, len(words), write=True, id=id)
        if burst is None:
            return False
        for i, (word, strobes) in enumerate(words):
            self.masters[master].sources["w"].todo.append(self._pack("w", data=word, strb=strobes, last=i + 1 == len(words)))
            octets = word.to_bytes(self._bus_bytes, "little")
            for lane, place in enumerate(range(burst.first + i * self._bus_bytes, burst.first + (i + 1) * self._bus_bytes)):
                if strobes >> lane & 1 and place < len(self.golden):
                    self.golden[place] = octets[lane]
        self.masters[master].writes[id].append(burst)
        return True

    def _begin(self, master: int, address: int, beats: int, *, write: bool, id: int) -> _Burst | None:
        first = address - address % self._bus_bytes
        burst = _Burst(master=master, write=write, id=id, first=first, end=first + beats * self._bus_bytes)
        if any(burst.meets(other) for other in self._bursts):
            return None
        self._bursts.append(burst)
        channel = "aw" if write else "ar"
        self.masters[master].sources[channel].todo.append(self._pack(channel, address=address, len=beats - 1, id=id))
        return burst

    def _pack(self, channel: str, **fields: int) -> int:
        return self._layouts[channel].const(fields).as_bits()

    def ask_at_random(self, master: int) -> bool:
        """A burst of any kind, anywhere; beats beyond the memory, too. False if there are enough, or it would meet another one."""
        rng, most = self._rng, PAGE // self._bus_bytes
        write, id = rng.random() < 0.5, rng.randrange(2)
        if self.masters[master].under_way(write) >= _BURSTS_UNDER_WAY:
            return False
        beats = min(most, rng.choice((1, 1, 2, rng.randint(1, 16), rng.randint(1, 64), 64, 256)))
        beats = min(beats, rng.choice((1, 256, 256)))
        inside, outside = (
            rng.randrange(len(self.golden) // PAGE),
            rng.choice((len(self.golden) // PAGE, rng.randrange(1 << 20), (1 << 20) - 1)),
        )
        page = rng.choices((rng.choice(self._pages), inside, outside), (0.6, 0.3, 0.1))[0]
        address = PAGE * page + self._bus_bytes * rng.randint(0, most - beats) + rng.choice((0, 0, 0, rng.randrange(self._bus_bytes)))
        if not write:
            return self.read(master, address, beats, id=id)
        full = (1 << self._bus_bytes) - 1
        strobes = rng.choice(([full], [full, 0, rng.getrandbits(self._bus_bytes), 1 << rng.randrange(self._bus_bytes)]))
        words = [(rng.getrandbits(8 * self._bus_bytes), rng.choice(strobes)) for _ in range(beats)]
        return self.write(master, address, words, id=id)

    async def run_at_random(self, bursts: int, *, limit: int) -> None:
        """So many, of all masters together, each of whose channels goes at a speed of its own."""
        left, rng = bursts, self._rng
        rates = {port.name: rng.choice((0.05, 0.5, 0.9, 1.0)) for port in self._ports()}
        eager = [rng.choice((0.01, 0.3, 1.0)) for _ in self.masters]
        for _ in range(limit):
            for i in range(len(self.masters)):
                left -= bool(left and rng.random() < eager[i] and self.ask_at_random(i))
            if not left and not self._bursts:
                return
            await self.step(rates)
        raise AssertionError(f"not done within {limit} cycles: {left} bursts not begun; under way {self._bursts}")

    async def finish(self, *, limit: int) -> int:
        """Without a stall, to where nothing is under way: the cycles that it took."""
        first = self.cycles
        while self._bursts:
            assert self.cycles - first < limit, f"not done within {limit} cycles: {self._bursts}"
            await self.step({})
        return self.cycles - first

    async def stall_one_direction(self, write: bool, *, limit: int) -> None:
        """Bursts of all masters in both directions, the data of one of which stands still: the others are done before it goes on."""
        stalled = {(master.sources["w"] if write else master.sinks["r"]).name: 0.0 for master in self.masters}
        for i in range(len(self.masters)):
            at, full = 2 * i * PAGE, (1 << self._bus_bytes) - 1
            assert self.write(i, at, [(j, full) for j in range(64)])
            for j in range(3):
                assert self.read(i, at + PAGE + 64 * self._bus_bytes * j, 64)
        for _ in range(limit):
            if not any(master.under_way(not write) for master in self.masters):
                break
            await self.step(stalled)
        else:
            raise AssertionError(f"{'reads' if write else 'writes'} wait for the others: {self._bursts}")
        assert all(master.under_way(write) for master in self.masters)
        await self.finish(limit=limit)

    def _ports(self) -> list[Source | Sink]:
        return [port for master in self.masters for port in (*master.sources.values(), *master.sinks.values())]

    async def step(self, rates: dict[str, float]) -> None:
        """A cycle. rates: of ports, with which they are ready in it; the others always are."""
        rng = self._rng
        for master in self.masters:
            for port in master.sources.values():
                port.drive(rng.random() >= rates.get(port.name, 1), rng.getrandbits(128))
            for port in master.sinks.values():
                port.drive(rng.random() >= rates.get(port.name, 1), False)
        if self._chip:
            self._chip.drive()
        await cycle(self._dut)
        for master in self.masters:
            for port in (*master.sources.values(), *master.sinks.values()):
                port.sample(self.cycles)
            self._check(master)
        if self._chip:
            self._chip.sample()
        await edge(self._dut)
        self.cycles += 1

    def _check(self, master: _Master) -> None:
        """What came in this cycle."""
        for name, waiting in ("r", master.reads), ("b", master.writes):
            transfers = master.sinks[name].transfers
            if not transfers.cycles or transfers.cycles[-1] != self.cycles:
                continue
            answer = self._layouts[name].from_bits(transfers.payloads[-1])
            where = f"{master.sinks[name].name} in cycle {self.cycles}"
            assert waiting[answer.id], f"{where}: an answer that nobody asked for, id {answer.id}"
            burst = waiting[answer.id][0]
            if name == "r":
                word, resp = burst.answers.popleft()
                assert answer.resp == resp, f"{where}: resp {answer.resp}, not {resp}, of {burst}"
                assert word in (None, answer.data), f"{where}: {answer.data:#x}, not {word:#x}, of {burst}"
                assert answer.last == (not burst.answers), f"{where}: last {answer.last} of {burst}"
                if burst.answers:
                    continue
            else:
                resp = OKAY if burst.end <= len(self.golden) else SLVERR
                assert answer.resp == resp, f"{where}: resp {answer.resp}, not {resp}, of {burst}"
            waiting[answer.id].popleft()
            self._bursts.remove(burst)

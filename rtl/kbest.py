"""The k best of an unbounded stream of scores, in one pass: argmax, gating, beam search.

beats -> sorter -> cell -> cell -> ... cell      one cell for each of the k best
                     \\       \\         \\
                      results, one per cycle, once a packet's last beat has passed the cell

Cell j holds the best element but j of those that have come to it. Of a sorted beat it takes the first one if that is better, and puts its
own back in order, for the next cell; so all that the cells need of each other goes forward. Of a beat cell j needs the best k - j.
"""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from .arch.kbest import KBestCircuit
from .delay import delay
from .elements import beat_layout, element_shape, turned
from .places import Places
from .select import select_one_hot
from .sorter import Sorter
from .streams import Queue


def result_element(circuit: KBestCircuit) -> data.StructLayout:
    """An element and its place in its packet."""
    return data.StructLayout({"index": circuit.index_bits, "score": element_shape(circuit.source)})


@dataclass(frozen=True)
class _Element:
    """there: whether it is an element at all. key: its score, as an unsigned number of the same order. older: it was held by a cell."""

    there: Value
    key: Value
    older: Value
    index: Value

    @property
    def rank(self) -> Value:
        """Of elements that are equally good, those that were held came first."""
        return Cat(self.older, self.key, self.there)

    @property
    def bits(self) -> Value:
        return Cat(self.there, self.key, self.older, self.index)


class KBest(wiring.Component):
    """Packets of any length, ``lanes`` scores per cycle.

    Members
    -------
    i: packets of scores; those without ``keep`` don't count, wherever they are, but have an index.
    o: for each packet one beat for each of its k best, the best one first, of equal ones the first one first; of a packet with fewer scores
    all of them, of one with none a beat without an element. A packet ends no earlier than k cycles after the one before.
    """

    throughput = "scores a cycle; a packet takes k cycles at the least"

    def __init__(self, circuit: KBestCircuit) -> None:
        self._circuit = c = circuit
        # Largest first: there, score, and of equal ones the lowest lane.
        self._sorter = Sorter(1 + c.source.bits + exact_log2(c.lanes), c.lanes)
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(c.lanes, element_shape(c.source)))),
                "o": Out(stream.Signature(beat_layout(1, result_element(c)))),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a packet's last beat to its first result."""
        return 1 + self._sorter.latency + 3 + Queue.latency

    @property
    def _under_way(self) -> int:
        """Packets whose results may wait or be under way: as many as can end in the time in which the first one passes."""
        return 2 + -(-self.latency // self._circuit.k)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c = self._circuit
        places, taken = Places(self._under_way), self.i.valid & self.i.ready
        ends, given = taken & self.i.payload.last, self.o.valid & self.o.ready & self.o.payload.last
        m.d.sync += places.change(taken=ends, given=given)
        pause = Signal(c.k - 1)  # after the end of a packet, one bit for each cycle in which there may be no other
        m.d.sync += pause.eq(Cat(pause[1:], 0) | ends.replicate(c.k - 1))
        m.d.comb += self.i.ready.eq(~self.i.payload.last | (places.any & ~pause[:1].any()))

        beat, ends = self._sorted(m, taken, ends)
        results, gives = [], Cat(delay(m, ends, 1 + place, reset_less=False) for place in range(c.k))
        for place in range(c.k):
            held, beat = self._cell(m, beat, gives[place], number=place)
            results.append(held)
        self._give(m, results, gives)
        return m

    def _sorted(self, m: Module, taken: Value, ends: Value) -> tuple[list[_Element], Value]:
        """The elements of a beat, the best first, and whether it ends a packet."""
        c, latency = self._circuit, 1 + self._sorter.latency
        m.submodules.sorter = self._sorter
        beat, lane_bits = self.i.payload, exact_log2(c.lanes)
        for lane in range(c.lanes):
            rank = Cat(Const(c.lanes - 1 - lane, lane_bits), turned(beat.values[lane], c.source), beat.keep[lane])
            m.d.sync += self._sorter.i[lane].eq(rank)
        number = Signal(c.index_bits - lane_bits)  # of the beat in its packet
        with m.If(taken):
            m.d.sync += number.eq(Mux(beat.last, 0, number + 1))
        number, there = delay(m, number, latency), delay(m, taken, latency, reset_less=False)
        elements = [
            _Element(rank[-1] & there, rank[lane_bits:-1], Const(0, 1), Cat(~rank[:lane_bits], number))
            for rank in map(Value.cast, self._sorter.o)
        ]
        return elements, delay(m, ends, latency, reset_less=False)

    def _cell(self, m: Module, beat: list[_Element], empties: Value, *, number: int) -> tuple[_Element, list[_Element]]:
        """What it holds, and the beat that goes on. empties: what it holds is of a packet that has ended."""
        own = self._register(f"held{number}")
        held = _Element(own.there & ~empties, own.key, Const(0, 1), own.index)
        needed = self._circuit.k - number
        better = [element.rank > held.rank for element in beat[:needed]]
        _set(m, own, _either(better[0], beat[0], held))
        passed = []
        for place, element in enumerate(beat[: needed - 1]):
            displaced = _either(better[place], _Element(held.there, held.key, Const(1, 1), held.index), element)
            following = beat[place + 1 : place + 2]
            later = self._register(f"passed{number}_{place}")
            _set(m, later, _either(better[place + 1], following[0], displaced) if following else displaced)
            passed.append(later)
        return own, passed

    def _register(self, name: str) -> _Element:
        parts = {"key": self._circuit.source.bits, "older": 1, "index": self._circuit.index_bits}
        return _Element(
            Signal(name=f"{name}_there"), *(Signal(bits, name=f"{name}_{part}", reset_less=True) for part, bits in parts.items())
        )

    def _give(self, m: Module, results: list[_Element], gives: Value) -> None:
        """One after the other, when the next one is known: it says whether this one is the last."""
        c = self._circuit
        m.submodules.queue = queue = Queue(self.o.payload.shape(), depth=c.k * self._under_way)
        connect(m, flipped(self.o), queue.o)
        following = delay(m, select_one_hot(gives, [result.bits for result in results]), 1)
        given = delay(m, following, 1)
        there, key, index = given[0], given[1 : 1 + c.source.bits], given[-c.index_bits :]
        known, first, last = (delay(m, flag, 2, reset_less=False) for flag in (gives.any(), gives[0], gives[-1]))
        result = queue.i.payload.values[0]
        m.d.comb += [
            queue.i.valid.eq(known & (there | first)),
            queue.i.payload.keep.eq(there),
            queue.i.payload.last.eq(last | ~following[0]),
            result.index.eq(index),
            result.score.eq(turned(key, c.source)),
        ]


def _either(condition: Value, one: _Element, other: _Element) -> _Element:
    pairs = ((one.there, other.there), (one.key, other.key), (one.older, other.older), (one.index, other.index))
    return _Element(*(Mux(condition, a, b) for a, b in pairs))


def _set(m: Module, register: _Element, element: _Element) -> None:
    m.d.sync += [register.there.eq(element.there), register.key.eq(element.key), register.older.eq(element.older)]
    m.d.sync += register.index.eq(element.index)

"""The skeleton of a block that must read a row whole before it gives the row's first result, such as softmax and LayerNorm.

rows -> guard -> front -> row memory -> back -> rows
                     \\-> factors -----/

The front looks at a row as it streams in; the row's factor follows its last beat; the back combines both as the row streams out,
while the next ones stream in. A beat is taken when the row memory has a place for it, so the front never stalls; the back
stands still while its result is not taken. The factors have a memory of their own: each lies at the address of its row's first
beat.

A malformed row is dropped whole: the next one takes its places in the memory.
"""

from typing import Any, Protocol

from amaranth.hdl import EnableInserter, Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.blocks import BlockError, RowCircuit
from .delay import delay
from .row_guard import guard
from .row_memory import RowMemory


class Front(Protocol):
    """What looks at the rows as they come: a component with the ports of `front_ports`.

    ``stored`` follows a beat by `latency` cycles, ``factor`` a row's last beat by `factor_latency`, which is not smaller.
    """

    signature: Any
    i: Any
    valid: Any
    first: Any
    stored: Any
    factor: Any

    @property
    def latency(self) -> int: ...

    @property
    def factor_latency(self) -> int: ...


def front_ports(beat: data.StructLayout, stored: ShapeLike, factor: ShapeLike) -> dict[str, wiring.Member]:
    """``i`` counts in cycles with ``valid``; ``first`` marks a row's first beat."""
    return {"i": In(beat), "valid": In(1), "first": In(1), "stored": Out(stored), "factor": Out(factor)}


class Back(Protocol):
    """What makes the results: a component with the ports of `back_ports`. ``o`` follows ``i`` by `latency` cycles."""

    signature: Any
    i: Any
    valid: Any
    first: Any
    enable: Any
    o: Any

    @property
    def latency(self) -> int: ...


def back_ports(stored: ShapeLike, factor: ShapeLike, values: data.ArrayLayout) -> dict[str, wiring.Member]:
    """``i`` counts in cycles with ``valid``; ``first`` marks a row's first beat, ``keep`` its elements, as in a beat. ``enable``: that of
    the EnableInserter around."""
    operands = data.StructLayout({"stored": stored, "factor": factor, "keep": values.length})
    return {"i": In(operands), "valid": In(1), "first": In(1), "enable": In(1), "o": Out(values)}


class Rowwise(wiring.Component):
    """Rows of 1 to ``row_elements`` elements through ``front`` and ``back``, one beat per cycle whatever the rows' lengths.

    Members
    -------
    i, o: rows. hold: no beat leaves the row memory while it is high. moves: the back moves on. refuse: a row that comes while it is high
    is dropped.
    errors: BlockError bits of the rows that have been dropped since ``clear``; a refused row counts as PARAMETER.
    """

    def __init__(self, circuit: RowCircuit, front: Front, back: Back) -> None:
        self._front, self._back, self._lanes = front, back, circuit.lanes
        self._row_elements, self._row_beats = circuit.row_elements, -(-circuit.row_elements // circuit.lanes)
        self._beat = front.signature.members["i"].shape
        out = data.StructLayout({"values": back.signature.members["o"].shape, "keep": circuit.lanes, "last": 1})
        super().__init__(
            {
                "i": In(stream.Signature(self._beat)),
                "o": Out(stream.Signature(out)),
                "hold": In(1),
                "moves": Out(1),
                "refuse": In(1),
                "errors": Out(len(BlockError)),
                "clear": In(1),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a row's last beat to its first result when nothing waits."""
        return 1 + self._front.factor_latency + 4 + self._back.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.front = front = self._front
        stored, factor = (front.signature.members[name].shape for name in ("stored", "factor"))
        # Places for the longest row, for a beat too many, and for what comes until the longest row begins to leave.
        depth = self._row_beats + front.factor_latency + 8
        m.submodules.beats = beats = RowMemory(data.StructLayout({"stored": stored, "last": 1}), depth=depth)
        m.submodules.factors = factors = RowMemory(data.StructLayout({"factor": factor, "tail": self._lanes}), depth=depth)
        beat = guard(m, self.i, row_elements=self._row_elements, refuse=self.refuse, errors=self.errors, clear=self.clear)
        m.d.comb += [front.i.eq(beat.beat), front.valid.eq(beat.valid), front.first.eq(beat.first)]
        completed, ready_end, freed = self._store(m, beat, beats, factors, depth)
        given = self._give(m, beats, factors, completed, ready_end, depth)
        places, room = Signal(range(depth + 1), init=depth), Signal(init=1)
        m.d.sync += places.eq(places - beat.valid + freed + delay(m, given, 1, reset_less=False))
        m.d.sync += room.eq(places >= 3)  # two of them may be taken by the beat in the guard and the one that comes now
        m.d.comb += self.i.ready.eq(room)
        return m

    def _store(self, m: Module, beat: data.View, beats: RowMemory, factors: RowMemory, depth: int) -> tuple[Value, Value, Value]:
        """Fill the memories. Gives whether a row's factor comes, the address behind the last row whose factor is there, and the places
        that a dropped row gives back."""
        front = self._front
        arrived = delay(m, beat.valid, front.latency, reset_less=False)
        last, bad = (delay(m, bit, front.latency) for bit in (beat.beat.last, beat.bad))
        address, row_start, following = (Signal.like(beats.write_address) for _ in range(3))
        in_row, freed = Signal(range(self._row_beats + 2), init=1), Signal(range(self._row_beats + 2))
        m.d.comb += [
            beats.write.eq(arrived),
            beats.write_address.eq(address),
            beats.write_data.stored.eq(front.stored),
            beats.write_data.last.eq(last),
            following.eq(_next(address, depth)),
        ]
        m.d.sync += freed.eq(0)
        with m.If(arrived):
            m.d.sync += [address.eq(following), in_row.eq(in_row + 1)]
            with m.If(last):
                m.d.sync += in_row.eq(1)
                with m.If(bad):
                    m.d.sync += [address.eq(row_start), freed.eq(in_row)]
                with m.Else():
                    m.d.sync += row_start.eq(following)
        rest = front.factor_latency - front.latency
        completed = delay(m, arrived & last & ~bad, rest, reset_less=False)
        ready_end, row_end = Signal.like(address), delay(m, following, rest)
        m.d.comb += [
            factors.write.eq(completed),
            factors.write_address.eq(ready_end),  # behind the last row: where this one starts
            factors.write_data.factor.eq(front.factor),
            factors.write_data.tail.eq(delay(m, beat.beat.keep, front.factor_latency)),
        ]
        with m.If(completed):
            m.d.sync += ready_end.eq(row_end)
        return completed, ready_end, freed

    def _give(self, m: Module, beats: RowMemory, factors: RowMemory, completed: Value, ready_end: Value, depth: int) -> Value:
        """Send the rows through the back to the output; high for each beat that leaves the memory."""
        back, moves = self._back, self.moves
        m.submodules.give = EnableInserter(moves)(give := Module())
        give.submodules.back = back
        # A register says whether the address is that of a row whose factor is there: a comparison takes time.
        address, following, there, leaves = Signal.like(ready_end), Signal.like(ready_end, init=1), Signal(), Signal()
        m.d.comb += [moves.eq(~self.o.valid | self.o.ready), leaves.eq(there & ~self.hold)]
        with m.If(completed):
            m.d.sync += there.eq(1)
        with m.Elif(leaves & moves):
            m.d.sync += there.eq(following != ready_end)
        for source in (beats, factors):
            m.d.comb += [source.read_address.eq(address), source.read.eq(moves)]
        with give.If(leaves):
            give.d.sync += [address.eq(following), following.eq(_next(following, depth))]
        # The register behind the memories keeps the factor of the row's first beat.
        fetched, valid = Signal.like(beats.read_data, reset_less=True), delay(give, leaves, 3, reset_less=False)
        row, starts, first = Signal.like(factors.read_data, reset_less=True), Signal(init=1), Signal()
        give.d.sync += [fetched.eq(beats.read_data), first.eq(starts)]
        with give.If(delay(give, leaves, 2, reset_less=False)):
            give.d.sync += starts.eq(beats.read_data.last)
            with give.If(starts):
                give.d.sync += row.eq(factors.read_data)
        keep = Mux(fetched.last, row.tail, ~0)[: self._lanes]
        m.d.comb += [
            back.i.stored.eq(fetched.stored),
            back.i.factor.eq(row.factor),
            back.i.keep.eq(keep),
            back.valid.eq(valid),
            back.enable.eq(moves),
            back.first.eq(first),
            self.o.valid.eq(delay(give, valid, back.latency, reset_less=False)),
            self.o.payload.values.eq(back.o),
            self.o.payload.keep.eq(delay(give, keep, back.latency)),
            self.o.payload.last.eq(delay(give, fetched.last, back.latency)),
        ]
        return leaves & moves


def _next(address: Value, depth: int) -> Value:
    return Mux(address == depth - 1, 0, address + 1)

"""The k largest of a row of scores, in their order: SpAtten's top-k engine (arXiv 2012.09852), but by a radix selection.

rows -> guard -> scores -> look -> digit counts -> decision
                            \\ \\-> compactor -> survivors -> look
                             \\-> choice -> compactor -> results

While a row comes, its scores are counted by their highest digit. The counts say which digit the k-th largest has: what has a larger one is
chosen, what has a smaller one is not. A pass over the row puts aside those that have this digit, and counts them by the next digit that
they are known to differ in; the next pass takes these, and so on until all that are left are equal. A last pass over the row gives what is
above the k-th largest, and the first of those that equal it.
"""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, ShapeLike, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from .arch.blocks import BlockError
from .arch.topk import INDEX_BITS, Result, TopKCircuit
from .choice import Choice
from .compactor import Compactor
from .countdown import Countdown
from .delay import delay
from .digit_counts import digits
from .elements import beat_layout, element_shape, turned
from .layouts import record_layout
from .radix_selector import RadixSelector
from .row_guard import guard
from .row_memory import RowMemory
from .select import select
from .streams import Queue

_ROOM = 4  # results that wait before no more scores are looked at: as many as a queue holds in passing


def _result_element(circuit: TopKCircuit) -> ShapeLike:
    return {
        Result.INDICES: unsigned(INDEX_BITS),
        Result.PAIRS: data.StructLayout({"index": INDEX_BITS, "score": element_shape(circuit.source)}),
        Result.MASK: unsigned(8),
    }[circuit.result]


class _Walk:
    """Reads a row, or what is left of it, beat by beat.

    valid, keep, first, last: of the beat that comes out of the memories, which ``address`` went into.
    """

    def __init__(self, m: Module, circuit: TopKCircuit, *, hold: Value) -> None:
        lanes, latency = circuit.lanes, RowMemory.latency
        self._left = Countdown(circuit.row_elements.bit_length(), name="walk", step=lanes)
        self._reading = Signal(name="reading")
        self.address = Signal(range(circuit.row_elements // lanes), name="read_address")
        reads = self._reading & ~hold
        with m.If(reads):
            m.d.sync += [self.address.eq(self.address + 1), *self._left.advance(), self._reading.eq(~self._left.ends)]
        self.valid = delay(m, reads, latency, reset_less=False)
        self.first, self.last = delay(m, self.address == 0, latency), delay(m, self._left.ends, latency)
        left = self._left.left[: lanes.bit_length()]
        self.keep = delay(m, Cat(~self._left.ends | (lane < left) for lane in range(lanes)), latency)

    def start(self, elements: Value) -> list[Any]:
        """From the next cycle on."""
        return [*self._left.start(elements), self._reading.eq(1), self.address.eq(0)]


class TopK(wiring.Component):
    """Rows of 1 to ``row_elements`` scores, ``lanes`` per cycle; one row after the other.

    A row of n takes n / lanes cycles to come, as many for what has the first digit of the k-th largest to be put aside, and as many to
    give the results; in between, what is left is looked at once for each further digit that it differs in. `pass_latency` is added to each.

    Members
    -------
    i: rows of the circuit's format; where ``labelled``, each score with a label. o: for each row the indices of its k largest, rising (with
    their scores, where pairs are asked for; in place of the indices their labels, where ``labelled``), or for each score 1 if it is one of
    them, else 0. Of equal scores the first ones are chosen. With k = 0 a row's only beat is empty.
    threshold: where a mask is asked for, the k-th largest score of each row; the largest number with k = 0, the lowest one where k is
    larger than the row.
    parameters: k; constant while rows are under way.
    errors: BlockError bits since ``clear``: of rows that have been dropped, and PARAMETER where k was larger than a row, all of which is
    then chosen.
    """

    throughput = "scores a cycle in each pass over a row: as it comes, once more and for its results, and over what is left of it"

    def __init__(self, circuit: TopKCircuit, *, labelled: bool = False) -> None:
        self._circuit, self._labelled = circuit, labelled
        c, score = circuit, element_shape(circuit.source)
        element = data.StructLayout({"score": score, "label": INDEX_BITS}) if labelled else score
        sizes = {"key_bits": c.source.bits, "lanes": c.lanes, "row_elements": c.row_elements}
        self._selector, self._choice = RadixSelector(**sizes), Choice(**sizes)
        # It packs keys, then results.
        packed = max(c.source.bits, 0 if c.result is Result.MASK else Shape.cast(_result_element(c)).width)
        self._compactor = Compactor(packed, c.lanes)
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(c.lanes, element))),
                "o": Out(stream.Signature(beat_layout(c.lanes, _result_element(c)))),
                **({"threshold": Out(stream.Signature(score))} if c.result is Result.MASK else {}),
                "parameters": In(record_layout(c.record)),
                "errors": Out(len(BlockError)),
                "clear": In(1),
            }
        )

    @property
    def pass_latency(self) -> int:
        """Cycles from the last beat of a pass to the first one of the next."""
        return RowMemory.latency + 1 + self._selector.latency + 1

    @property
    def latency(self) -> int:
        """Cycles from a row's last beat to its first result, at the least: of a row that fits a beat, of equal scores."""
        packed = 0 if self._circuit.result is Result.MASK else self._compactor.latency
        return 3 + self.pass_latency + self._choice.latency + packed

    @property
    def _in_flight(self) -> int:
        """Beats on their way from the scores to the results, at the most."""
        return RowMemory.latency + 1 + self._choice.latency + self._compactor.latency + 3

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c, selector, compactor, choice = self._circuit, self._selector, self._compactor, self._choice
        lanes = range(c.lanes)
        m.submodules.selector, m.submodules.compactor, m.submodules.choice = selector, compactor, choice
        # A row comes; then, of it or of what is left of it, what has a digit is put aside, until the k-th largest is known; then it is
        # looked at for its results, until these are all on their way out.
        passing, giving, finished = Signal(), Signal(), Signal()
        whole, ready = Signal(init=1), Signal(init=1)
        row_faults, room = Signal.like(self.errors), Signal()
        row = guard(m, self.i, row_elements=c.row_elements, refuse=Const(0), errors=row_faults, clear=self.clear)
        walk = _Walk(m, c, hold=giving & ~room)
        with m.If(selector.decided):
            m.d.sync += [passing.eq(~selector.found), giving.eq(selector.found), whole.eq(selector.whole), *walk.start(selector.length)]
        with m.If(finished):
            m.d.sync += giving.eq(0)
        excess = Signal()  # as an error bit
        m.d.sync += excess.eq((excess & ~self.clear) | (selector.decided & selector.excess))
        with m.If(self.i.valid & self.i.ready & self.i.payload.last):
            m.d.sync += ready.eq(0)
        with m.Elif(finished | (row.valid & row.beat.last & row.bad)):
            m.d.sync += ready.eq(1)
        m.d.comb += [
            *(self.i.ready.eq(ready), selector.restart.eq(finished), selector.k.eq(self.parameters.k)),
            self.errors.eq(row_faults | Mux(excess, BlockError.PARAMETER.value, 0)),
        ]

        elements = [row.beat.values[lane] for lane in lanes]
        arrived = [turned(element.score if self._labelled else element, c.source) for element in elements]
        m.submodules.scores = scores = self._memory(m, "scores", walk, row.valid, arrived, row.beat.last)
        # What is put aside is in its memory when the next pass begins: the compactor takes no more cycles than the selector.
        aside = [compactor.o.values[lane][: c.source.bits] for lane in lanes]
        m.submodules.survivors = survivors = self._memory(m, "survivors", walk, passing & compactor.o_valid, aside, compactor.o.last)
        looked, valid, first = Signal(beat_layout(c.lanes, c.source.bits)), Signal(), Signal()
        aside_keep = Signal(c.lanes)  # as looked.keep, but none while the row is looked at for its results
        m.d.sync += [
            *(valid.eq(row.valid | walk.valid), first.eq(Mux(row.valid, row.first, walk.first))),
            looked.last.eq(Mux(row.valid, row.beat.last & ~row.bad, walk.last)),
        ]
        for lane in lanes:
            stored = Mux(whole, scores.read_data[lane], survivors.read_data[lane])
            fits = giving | (select(selector.place, digits(stored)) == selector.value)
            m.d.sync += [
                looked.values[lane].eq(Mux(row.valid, arrived[lane], stored)),
                looked.keep[lane].eq(Mux(row.valid, row.beat.keep[lane], walk.keep[lane] & fits)),
                aside_keep[lane].eq(~giving & walk.keep[lane] & fits),
            ]
        m.d.comb += [
            *(selector.i.eq(looked), selector.i_valid.eq(valid & ~giving), selector.first.eq(first)),
            *(choice.i.eq(looked), choice.i_valid.eq(valid & giving), choice.threshold.eq(selector.threshold)),
            *(choice.ties.eq(selector.wanted), choice.start.eq(delay(m, selector.decided, 1, reset_less=False))),
        ]

        # What is chosen is known some cycles after it is looked at.
        m.submodules.results = results = Queue(self.o.payload.shape(), depth=self._in_flight + _ROOM, latency=1)
        m.d.sync += room.eq(results.level < _ROOM)
        connect(m, flipped(self.o), results.o)
        beat = data.View(looked.shape(), delay(m, looked.as_value(), choice.latency))
        known = delay(m, choice.i_valid, choice.latency, reset_less=False)
        put_aside = valid & passing
        if c.result is Result.MASK:
            self._give_mask(m, results.i, beat, known, finished)
            m.d.comb += [compactor.i.eq(looked), compactor.i_valid.eq(put_aside)]
        else:
            labels = list[Value]()
            if self._labelled:
                names = [element.label for element in elements]
                m.submodules.labels = kept = self._memory(m, "labels", walk, row.valid, names, row.beat.last)
                labels = [delay(m, kept.read_data[lane], choice.latency + 1) for lane in lanes]  # as ``beat``
            packed = self._give_packed(m, results.i, beat, labels, known, giving, finished)
            m.d.comb += [
                *(Value.cast(compactor.i.values[lane]).eq(Mux(giving, packed[lane], looked.values[lane])) for lane in lanes),
                compactor.i.keep.eq(choice.chosen | aside_keep),  # without a choice by a signal that all lanes need
                compactor.i.last.eq(Mux(giving, beat.last, looked.last)),
                compactor.i_valid.eq(Mux(giving, known, put_aside)),
            ]
        return m

    def _memory(self, m: Module, name: str, walk: _Walk, write: Value, keys: Sequence[Value], last: Value) -> RowMemory:
        """Of the beats of a row, from its start on."""
        c = self._circuit
        memory = RowMemory(data.ArrayLayout(len(keys[0]), c.lanes), depth=c.row_elements // c.lanes)
        address = Signal.like(memory.write_address, name=f"{name}_address")
        with m.If(write):
            m.d.sync += address.eq(Mux(last, 0, address + 1))
        m.d.comb += [
            *(memory.write.eq(write), memory.write_address.eq(address)),
            *(memory.write_data[lane].eq(key) for lane, key in enumerate(keys)),
            *(memory.read.eq(1), memory.read_address.eq(walk.address)),
        ]
        return memory

    def _give_mask(self, m: Module, results: stream.Interface, beat: data.View, known: Value, finished: Signal) -> None:
        """For each score whether it is chosen; and the threshold, which the next row waits for."""
        c, selector = self._circuit, self._selector
        closing = Signal()
        with m.If(selector.decided & selector.found):
            m.d.sync += self.threshold.valid.eq(1)
        with m.Elif(self.threshold.ready):
            m.d.sync += self.threshold.valid.eq(0)
        m.d.sync += closing.eq((closing | (known & beat.last)) & ~finished)
        m.d.comb += [
            *(self.threshold.payload.eq(turned(selector.threshold, c.source)), finished.eq(closing & ~self.threshold.valid)),
            *(results.valid.eq(known), results.payload.keep.eq(beat.keep), results.payload.last.eq(beat.last)),
            *(results.payload.values[lane].eq(self._choice.chosen[lane]) for lane in range(c.lanes)),
        ]

    def _give_packed(
        self,
        m: Module,
        results: stream.Interface,
        beat: data.View,
        labels: list[Value],
        known: Value,
        giving: Value,
        finished: Signal,
    ) -> list[Value]:
        """The chosen ones side by side, as the compactor has them; gives what goes into it. labels: if there are any."""
        c, selector, packed = self._circuit, self._selector, self._compactor
        beats, complete = Signal(range(c.row_elements // c.lanes), name="beats"), Signal()
        left = Countdown(c.row_elements.bit_length(), name="results", step=c.lanes)
        sends = packed.o_valid & giving & ~complete  # behind its last result a row may leave an empty beat
        with m.If(known):
            m.d.sync += beats.eq(Mux(beat.last, 0, beats + 1))
        with m.If(selector.decided & ~selector.continues):
            m.d.sync += [*left.start(selector.wanted), complete.eq(0)]
        with m.Elif(sends):
            m.d.sync += [*left.advance(), complete.eq(left.ends)]
        width = Shape.cast(self.o.payload.shape()["values"].shape.elem_shape).width
        m.d.comb += [
            finished.eq(packed.o_valid & packed.o.last & giving),
            *(results.valid.eq(sends), results.payload.keep.eq(packed.o.keep), results.payload.last.eq(left.ends)),
            *(Value.cast(results.payload.values[lane]).eq(packed.o.values[lane][:width]) for lane in range(c.lanes)),
        ]
        indices = labels or [Cat(Const(lane, exact_log2(c.lanes)), beats)[:INDEX_BITS] for lane in range(c.lanes)]
        if c.result is Result.INDICES:
            return indices
        return [Cat(index, Const(0, INDEX_BITS - len(index)), turned(beat.values[lane], c.source)) for lane, index in enumerate(indices)]

"""Where the compute unit's results lie in a row-major matrix, in their order: rows of cols channels, tile row by tile row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.parameters import MachineParameters
from .arch.steps import ADDRESS_BITS, COUNT_BITS, STRIDE_BITS
from .countdown import Countdown


@dataclass(frozen=True, kw_only=True)
class Form:
    """How rows of ``cols`` results of ``octets`` bytes lie in words of ``word`` bytes: a row takes ``words``, or ``slots`` share one."""

    octets: int
    cols: int
    word: int

    @property
    def words(self) -> int:
        return max(1, self.cols * self.octets // self.word)

    @property
    def slots(self) -> int:
        return max(1, self.word // (self.cols * self.octets))

    def last_part(self, n: Value, before: int) -> Value:
        """The last word of a row of n - before results."""
        return Value.cast(sum(n > before + part * self.word // self.octets for part in range(1, self.words)))


def result_forms(p: MachineParameters) -> list[Form]:
    """Of results of 8 and of 16 bits."""
    return [Form(octets=octets, cols=p.cols, word=p.word_bytes) for octets in (1, 2)]


def of_form(values: Sequence[Value | int], wide: Value) -> Value:
    """The value of the form of ``wide`` results or of the other."""
    return Mux(wide, values[1], values[0])


def part_layout(p: MachineParameters) -> data.StructLayout:
    """A word's place: the ``part``-th of a row, or one in which the row is the ``slot``-th."""
    forms = result_forms(p)
    return data.StructLayout(
        {"part": range(max(form.words for form in forms)), "slot": range(max(form.slots for form in forms)), "wide": 1, "ends_row": 1}
    )


MATRIX = data.StructLayout({"address": ADDRESS_BITS, "stride": STRIDE_BITS, "wide": 1, **dict.fromkeys(("m", "lines", "n"), COUNT_BITS)})


class ResultWalk(wiring.Component):
    """Members
    -------
    matrix: of a command's lines * m results of n channels, taken with the last word of the one before.
    words: the address of each, its place, which of the tile's channels count, and whether it is the last one of a tile and of all.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = p = parameters
        word = {"address": ADDRESS_BITS, "place": part_layout(p), "counts": p.cols, "ends_tile": 1, "ends": 1}
        super().__init__({"matrix": In(stream.Signature(MATRIX)), "words": Out(stream.Signature(data.StructLayout(word)))})

    def start(self, command: data.View, matrix: str) -> list[Any]:
        """Give it the ``matrix`` of a compute command: its out, or its r."""
        names = {"address": matrix, "stride": f"{matrix}_stride", "wide": f"{matrix}_wide", "m": "m", "lines": "lines", "n": "n"}
        return [self.matrix.payload[name].eq(command[field]) for name, field in names.items()]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, forms = self._p, result_forms(self._p)
        c, given, word = Signal.like(self.matrix.payload), self.matrix.payload, self.words.payload
        running = Signal()
        rows, lines, n = (Countdown(COUNT_BITS, step=step, name=name) for name, step in (("rows", 1), ("lines", 1), ("n", p.cols)))
        counts = Signal(p.cols)
        column, row = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)  # word of the tile's first channel in row 0, and in this row
        part, last_part = (Signal.like(word.place.part, name=name) for name in ("part", "last_part"))
        slot = Signal.like(word.place.slot)

        def begin_tile(n: Value, before: int, wide: Value) -> None:
            """With n - before channels left. Both are compared without the difference, which would take more time."""
            m.d.sync += [
                counts.eq(Cat(n > before + i for i in range(p.cols))),
                last_part.eq(of_form([form.last_part(n, before) for form in forms], wide)),
            ]

        ends_tile = rows.ends & lines.ends
        m.d.comb += [
            word.address.eq(row + part),
            *(word.place.part.eq(part), word.place.slot.eq(slot), word.place.wide.eq(c.wide), word.place.ends_row.eq(part == last_part)),
            *(word.counts.eq(counts), word.ends_tile.eq(word.place.ends_row & ends_tile), word.ends.eq(word.ends_tile & n.ends)),
            self.words.valid.eq(running),
            self.matrix.ready.eq(~running | (self.words.ready & word.ends)),
        ]
        with m.If(running & self.words.ready & ~word.place.ends_row):
            m.d.sync += part.eq(part + 1)
        with m.Elif(running & self.words.ready):
            m.d.sync += [part.eq(0), row.eq(row + c.stride), *rows.advance()]
            with m.If(rows.ends):
                m.d.sync += [rows.start(c.m), lines.advance()]
            with m.If(ends_tile):
                last_slot = slot == of_form([form.slots - 1 for form in forms], c.wide)
                following = (column + Mux(last_slot, of_form([form.words for form in forms], c.wide), 0))[:ADDRESS_BITS]
                m.d.sync += [lines.start(c.lines), n.advance(), column.eq(following), row.eq(following)]
                m.d.sync += slot.eq(Mux(last_slot, 0, slot + 1))
                begin_tile(n.left, p.cols, c.wide)
        with m.If(self.matrix.ready):
            m.d.sync += [
                *(c.eq(given), running.eq(self.matrix.valid)),
                *(part.eq(0), slot.eq(0), column.eq(given.address), row.eq(given.address)),
                *(rows.start(given.m), lines.start(given.lines), n.start(given.n)),
            ]
            begin_tile(given.n, 0, given.wide)
        return m

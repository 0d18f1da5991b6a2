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
    """Of results of 8 and of 16 bits, which is also that of packed and repeated ones; and of pooled ones."""
    forms = [(1, p.cols), (2, p.cols), *([(1, p.cols // 2)] if p.pools else [])]
    return [Form(octets=octets, cols=cols, word=p.word_bytes) for octets, cols in forms]


def of_form(values: Sequence[Value | int], place: data.View) -> Value:
    """The value of the form that ``wide`` and ``pooled`` of a place or a matrix name."""
    narrow_or_wide = Mux(place.wide, values[1], values[0])
    return Mux(place.pooled, values[2], narrow_or_wide) if len(values) > 2 else narrow_or_wide


def part_layout(p: MachineParameters) -> data.StructLayout:
    """A word's place: the ``part``-th of a row, or one in which the row is the ``slot``-th."""
    forms = result_forms(p)
    counts = {"part": range(max(1 + p.packing, *(form.words for form in forms))), "slot": range(max(form.slots for form in forms))}
    return data.StructLayout({**counts, **dict.fromkeys(("wide", "pooled", "repeated", "ends_row"), 1)})


_FLAGS = "wide", "packed", "pooled", "repeated"
MATRIX = data.StructLayout(
    {
        "address": ADDRESS_BITS,
        "stride": STRIDE_BITS,
        "line": STRIDE_BITS,
        **dict.fromkeys(("m", "lines", "n"), COUNT_BITS),
        **dict.fromkeys(_FLAGS, 1),
    }
)


class ResultWalk(wiring.Component):
    """Members
    -------
    matrix: of a command's lines * m results of n channels, taken with the last word of the one before. What is packed, pooled or
    repeated is said at COMPUTE (rtl/arch/steps.py).
    words: the address of each, its place, which of the tile's channels count, and whether it is the last one of a tile and of all.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = p = parameters
        word = {"address": ADDRESS_BITS, "place": part_layout(p), "counts": p.cols, "ends_tile": 1, "ends": 1}
        super().__init__({"matrix": In(stream.Signature(MATRIX)), "words": Out(stream.Signature(data.StructLayout(word)))})

    def start(self, command: data.View, matrix: str) -> list[Any]:
        """Give it the ``matrix`` of a compute command: its out, or its r."""
        names = {"address": matrix, "stride": f"{matrix}_stride", "wide": f"{matrix}_wide", "m": "m", "n": "n"}
        if self._p.packing:
            names |= {"packed": "packed", "pooled": "pooled"}
        if matrix == "out":
            names |= {"line": "out_line", "repeated": "repeated"}
        lines = Mux(command.pooled, command.lines >> 1, command.lines) if self._p.pools else command.lines
        return [self.matrix.payload.lines.eq(lines), *(self.matrix.payload[name].eq(command[field]) for name, field in names.items())]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, forms = self._p, result_forms(self._p)
        c, given, word = Signal.like(self.matrix.payload), self.matrix.payload, self.words.payload
        running = Signal()
        rows, lines, n = (Countdown(COUNT_BITS, step=step, name=name) for name, step in (("rows", 1), ("lines", 1), ("n", p.cols)))
        counts = Signal(p.cols)
        # Word of the tile's first channel in row 0, and in this row; of packed rows, that of the line's first one.
        column, row, line = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        part, last_part = (Signal.like(word.place.part, name=name) for name in ("part", "last_part"))
        slot = Signal.like(word.place.slot)
        # What is repeated: packed rows in two places, others in four: at their place, a line below, behind that, and above it.
        twice, copies, copy = c.packed & c.repeated, c.repeated & ~c.packed, Signal(2)

        def begin_tile(n: Value, before: int, matrix: data.View) -> None:
            """With n - before channels left. Both are compared without the difference, which would take more time."""
            m.d.sync += [
                counts.eq(Cat(n > before + i for i in range(p.cols))),
                last_part.eq(Mux(matrix.repeated & matrix.packed, 1, of_form([form.last_part(n, before) for form in forms], matrix))),
            ]

        ends_tile, ends_copy = rows.ends & lines.ends, part == last_part
        m.d.comb += [
            word.address.eq(row + Mux(twice, Mux(part.any(), c.stride, 0), part)),
            *(word.place.pooled.eq(c.pooled), word.place.repeated.eq(twice)),
            *(word.place.part.eq(Mux(twice, 0, part)), word.place.slot.eq(slot), word.place.wide.eq(c.wide | twice)),
            word.place.ends_row.eq(ends_copy & (~copies | copy.all())),
            *(word.counts.eq(counts), word.ends_tile.eq(word.place.ends_row & ends_tile), word.ends.eq(word.ends_tile & n.ends)),
            self.words.valid.eq(running),
            self.matrix.ready.eq(~running | (self.words.ready & word.ends)),
        ]
        with m.If(running & self.words.ready & ~ends_copy):
            m.d.sync += part.eq(part + 1)
        with m.Elif(running & self.words.ready & ~word.place.ends_row):
            to_next = Mux(copy == 0, c.line, Mux(copy == 1, c.stride, -c.line))
            m.d.sync += [part.eq(0), copy.eq(copy + 1), row.eq(row + to_next)]
        with m.Elif(running & self.words.ready):
            m.d.sync += [part.eq(0), copy.eq(0), row.eq(row + c.stride), *rows.advance()]
            with m.If(rows.ends):
                m.d.sync += [rows.start(c.m), lines.advance()]
            last_slot = slot == of_form([form.slots - 1 for form in forms], word.place)
            next_slot, next_line = Mux(last_slot, 0, slot + 1), line + (Mux(c.packed, c.stride, c.line) << c.repeated)
            with m.If(copies & rows.ends):
                m.d.sync += [address.eq(next_line) for address in (row, line)]
            if p.packing:
                with m.If(c.packed):
                    m.d.sync += [row.eq(row + last_slot), slot.eq(next_slot)]
                    with m.If(rows.ends):
                        m.d.sync += [*(address.eq(next_line) for address in (row, line)), slot.eq(0)]
            with m.If(ends_tile):
                following = (column + Mux(last_slot, of_form([form.words for form in forms], word.place), 0))[:ADDRESS_BITS]
                m.d.sync += [lines.start(c.lines), n.advance(), slot.eq(next_slot)]
                m.d.sync += [address.eq(following) for address in (column, row, line)]
                begin_tile(n.left, p.cols, c)
        with m.If(self.matrix.ready):
            m.d.sync += [
                *(c.eq(given), running.eq(self.matrix.valid)),
                *(part.eq(0), copy.eq(0), slot.eq(0), *(address.eq(given.address) for address in (column, row, line))),
                *(rows.start(given.m), lines.start(given.lines), n.start(given.n)),
            ]
            begin_tile(given.n, 0, given)
        return m

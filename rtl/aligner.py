"""Cuts rows of bytes that start at any byte out of a stream of words."""

from amaranth.hdl import Cat, Module, Mux, ShapeLike, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .select import select
from .skid import Skid


def cut_layout(rows: int, note: ShapeLike) -> data.StructLayout:
    """How a word is used. prime: it is kept alone, the next one gives a row. again: it is the word before it. advance: the word before it
    becomes the one that the row starts in, else that stays. start: the row's first byte in that word; 0: the row is the word itself.
    first, end: bytes first to end - 1 of the row lie inside of the map."""
    bound = range(rows + 1)
    return data.StructLayout({"prime": 1, "again": 1, "advance": 1, "start": range(rows), "first": bound, "end": bound, "note": note})


def row_layout(rows: int, note: ShapeLike) -> data.StructLayout:
    return data.StructLayout({"octets": data.ArrayLayout(8, rows), "inside": rows, "note": note})


class Aligner(wiring.Component):
    """A row for each word that is not a ``prime``, a cycle later: ``rows`` bytes from ``start`` of the word before on, this one behind it.

    any_byte: false where every row is a word.

    Members
    -------
    i: words, with what `cut_layout` says of each. o: rows, and for each byte whether it is inside.
    """

    def __init__(self, rows: int, note: ShapeLike, *, any_byte: bool) -> None:
        self._rows, self._any_byte = rows, any_byte
        word = data.StructLayout({"word": 8 * rows, "note": cut_layout(rows, note)})
        super().__init__({"i": In(stream.Signature(word)), "o": Out(stream.Signature(row_layout(rows, note)))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows = self._rows
        given, cut = self.i.payload.word, self.i.payload.note
        m.submodules.skid = skid = Skid(self.o.payload.shape())  # so that no long way leads from the array to the words
        taken = self.i.valid & self.i.ready
        m.d.comb += [self.i.ready.eq(skid.i.ready), skid.i.valid.eq(self.i.valid & ~cut.prime)]
        row = given
        if self._any_byte:
            last, before = Signal(8 * rows, reset_less=True), Signal(8 * rows, reset_less=True)  # words
            word, left = Signal(8 * rows), Signal(8 * rows)
            m.d.comb += [word.eq(Mux(cut.again, last, given)), left.eq(Mux(cut.advance, last, before))]
            with m.If(taken):
                m.d.sync += [last.eq(word), before.eq(left)]
            both = Cat(left, word)
            row = select(cut.start, [word, *(both[8 * i : 8 * (i + rows)] for i in range(1, rows))])
        cut_row = skid.i.payload
        m.d.comb += [
            cut_row.octets.eq(row),
            cut_row.inside.eq(Cat((i >= cut.first) & (i < cut.end) for i in range(rows))),
            cut_row.note.eq(cut.note),
        ]
        connect(m, flipped(self.o), skid.o)
        return m

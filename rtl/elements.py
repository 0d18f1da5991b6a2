"""Between scratchpad words and beats of elements."""

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .arch.formats import Format
from .arch.steps import COUNT_BITS

ELEMENT = signed(16)


def beat_layout(lanes: int, element: Shape = ELEMENT) -> data.StructLayout:
    """``lanes`` elements of a row: ``keep`` marks the valid ones (all but in the row's last beat), ``last`` ends the row."""
    return data.StructLayout({"values": data.ArrayLayout(element, lanes), "keep": lanes, "last": 1})


def element_shape(number: Format) -> Shape:
    """Of an element of this format in a beat."""
    return Shape(number.bits, number.signed)


class Unpacker(wiring.Component):
    """Words to beats: rows of ``cols`` elements of 8 bits, or 16 where ``wide``; each row starts with a new word.

    Members
    -------
    start: before the first word; cols and wide are constant from then on. words, beats: streams.
    """

    def __init__(self, word_bytes: int, lanes: int) -> None:
        self._word_bytes, self._lanes = word_bytes, lanes
        super().__init__(
            {
                "start": In(1),
                "cols": In(COUNT_BITS),
                "wide": In(1),
                "words": In(stream.Signature(8 * word_bytes)),
                "beats": Out(stream.Signature(beat_layout(lanes))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, word = self._lanes, self._word_bytes
        left = Signal(COUNT_BITS)
        group = Signal(range(word // lanes))
        row_ends = left <= lanes
        groups = Mux(self.wide, word // (2 * lanes), word // lanes)
        word_ends = row_ends | (group == groups - 1)
        narrow = self.words.payload.word_select(group, 8 * lanes)
        wide = self.words.payload.word_select(group[: ceil_log2(max(2, word // (2 * lanes)))], 16 * lanes)
        m.d.comb += [
            self.beats.valid.eq(self.words.valid),
            self.beats.payload.last.eq(row_ends),
            self.words.ready.eq(self.beats.ready & word_ends),
        ]
        for i in range(lanes):
            narrow_value, wide_value = narrow.word_select(i, 8).as_signed(), wide.word_select(i, 16).as_signed()
            m.d.comb += [
                self.beats.payload.keep[i].eq(i < left),
                self.beats.payload.values[i].eq(Mux(self.wide, wide_value, narrow_value)),
            ]
        with m.If(self.start):
            m.d.sync += [left.eq(self.cols), group.eq(0)]
        with m.Elif(self.beats.valid & self.beats.ready):
            m.d.sync += [left.eq(Mux(row_ends, self.cols, left - lanes)), group.eq(Mux(word_ends, 0, group + 1))]
        return m


class Elements(wiring.Component):
    """The elements of beats one by one."""

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        super().__init__({"beats": In(stream.Signature(beat_layout(lanes))), "o": Out(stream.Signature(ELEMENT))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat, lane = self.beats.payload, Signal(range(self._lanes))
        more = Cat(beat.keep[1:], 0).bit_select(lane, 1)
        m.d.comb += [
            self.o.payload.eq(beat.values[lane]),
            self.o.valid.eq(self.beats.valid),
            self.beats.ready.eq(self.o.ready & ~more),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += lane.eq(Mux(more, lane + 1, 0))
        return m


class Packer(wiring.Component):
    """Beats to words, 8 bits an element, or 16 where ``wide``; a row's last word is filled up with zeros."""

    def __init__(self, word_bytes: int, lanes: int) -> None:
        self._word_bytes, self._lanes = word_bytes, lanes
        super().__init__({"wide": In(1), "beats": In(stream.Signature(beat_layout(lanes))), "words": Out(stream.Signature(8 * word_bytes))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, word = self._lanes, self._word_bytes
        group = Signal(range(word // lanes))
        groups = Mux(self.wide, word // (2 * lanes), word // lanes)
        beat = self.beats.payload
        elements = [Mux(beat.keep[i], beat.values[i], 0) for i in range(lanes)]
        narrow, wide = Cat(*(e[:8] for e in elements)), Cat(*(e[:16] for e in elements))
        taken = self.beats.valid & self.beats.ready
        fills = beat.last | (group == groups - 1)
        collected = Signal(8 * word)
        following = Signal(8 * word)
        m.d.comb += [following.eq(collected), self.beats.ready.eq(~self.words.valid | self.words.ready)]
        with m.If(self.wide):
            m.d.comb += following.word_select(group[: ceil_log2(max(2, word // (2 * lanes)))], 16 * lanes).eq(wide)
        with m.Else():
            m.d.comb += following.word_select(group, 8 * lanes).eq(narrow)
        with m.If(self.words.ready):
            m.d.sync += self.words.valid.eq(0)
        with m.If(taken):
            m.d.sync += [collected.eq(Mux(fills, 0, following)), group.eq(Mux(fills, 0, group + 1))]
            with m.If(fills):
                m.d.sync += [self.words.valid.eq(1), self.words.payload.eq(following)]
        return m

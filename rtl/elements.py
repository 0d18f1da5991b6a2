"""Between scratchpad words and beats of elements."""

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.formats import Format
from .arch.steps import COUNT_BITS
from .countdown import Countdown
from .select import select_one_hot

ELEMENT = signed(16)


def beat_layout(lanes: int, element: Shape = ELEMENT) -> data.StructLayout:
    """``lanes`` elements of a row: ``keep`` marks the valid ones (all but in the row's last beat), ``last`` ends the row."""
    return data.StructLayout({"values": data.ArrayLayout(element, lanes), "keep": lanes, "last": 1})


def element_shape(number: Format) -> Shape:
    """Of an element of this format in a beat."""
    return Shape(number.bits, number.signed)


def turned(value: Value, number: Format) -> Value:
    """A number of this format as an unsigned one of the same order, or the other way round."""
    return (value.as_unsigned() ^ (1 << number.bits >> 1 if number.signed else 0))[: number.bits]


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
        lanes = self._lanes
        row = Countdown(COUNT_BITS, name="row", step=lanes)
        places = Signal(self._word_bytes // lanes)
        word_ends = row.ends | places[0]
        narrow, wide = (_parts(self.words.payload, bits * lanes) for bits in (8, 16))
        narrow, wide = (select_one_hot(places[: len(parts)], parts[::-1]) for parts in (narrow, wide))
        m.d.comb += [
            self.beats.valid.eq(self.words.valid),
            self.beats.payload.last.eq(row.ends),
            self.words.ready.eq(self.beats.ready & word_ends),
        ]
        for i in range(lanes):
            narrow_value, wide_value = narrow.word_select(i, 8).as_signed(), wide.word_select(i, 16).as_signed()
            m.d.comb += [
                self.beats.payload.keep[i].eq(~row.ends | (i < row.left[: lanes.bit_length()])),
                self.beats.payload.values[i].eq(Mux(self.wide, wide_value, narrow_value)),
            ]
        with m.If(self.start):
            m.d.sync += [*row.start(self.cols), places.eq(_first_of(places, self.wide))]
        with m.Elif(self.beats.valid & self.beats.ready):
            m.d.sync += places.eq(Mux(word_ends, _first_of(places, self.wide), places >> 1))
            with m.If(row.ends):
                m.d.sync += row.start(self.cols)
            with m.Else():
                m.d.sync += row.advance()
        return m


class Elements(wiring.Component):
    """The elements of beats one by one."""

    def __init__(self, lanes: int, element: Shape = ELEMENT) -> None:
        self._lanes = lanes
        super().__init__({"beats": In(stream.Signature(beat_layout(lanes, element))), "o": Out(stream.Signature(element))})

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
    """Beats to words, 8 bits an element, or 16 where ``wide``; a row's last word is filled up with zeros.

    Members
    -------
    start: before the first beat; wide is constant from then on. beats, words: streams.
    """

    def __init__(self, word_bytes: int, lanes: int) -> None:
        self._word_bytes, self._lanes = word_bytes, lanes
        super().__init__(
            {
                "start": In(1),
                "wide": In(1),
                "beats": In(stream.Signature(beat_layout(lanes))),
                "words": Out(stream.Signature(8 * word_bytes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, word = self._lanes, 8 * self._word_bytes
        places = Signal(self._word_bytes // lanes)
        beat = self.beats.payload
        elements = [Mux(beat.keep[i], beat.values[i], 0) for i in range(lanes)]
        narrow, wide = Cat(*(e[:8] for e in elements)), Cat(*(e[:16] for e in elements))
        taken = self.beats.valid & self.beats.ready
        fills = beat.last | places[0]
        collected = Signal(word)
        following = Signal(word)
        m.d.comb += [following.eq(collected), self.beats.ready.eq(~self.words.valid | self.words.ready)]
        for i, part in enumerate(_parts(following, 8 * lanes)):
            half = wide.word_select(i % 2, 8 * lanes)
            with m.If(Mux(self.wide, places[len(places) // 2 - 1 - i // 2], places[-1 - i])):
                m.d.comb += part.eq(Mux(self.wide, half, narrow))
        with m.If(self.words.ready):
            m.d.sync += self.words.valid.eq(0)
        with m.If(self.start):
            m.d.sync += places.eq(_first_of(places, self.wide))
        with m.If(taken):
            m.d.sync += [collected.eq(Mux(fills, 0, following)), places.eq(Mux(fills, _first_of(places, self.wide), places >> 1))]
            with m.If(fills):
                m.d.sync += [self.words.valid.eq(1), self.words.payload.eq(following)]
        return m


def _parts(word: Value, bits: int) -> list[Value]:
    """The whole parts of ``bits`` bits."""
    return [word[start : start + bits] for start in range(0, len(word) - bits + 1, bits)]


def _first_of(places: Signal, wide: Value) -> Value:
    """Where a word starts in ``places``, in which one bit says how many beats of the word follow the one at hand: a decoded count is the
    shortest way from there to the element, and its end a single bit."""
    return Mux(wide, 1 << (len(places) // 2 - 1), 1 << (len(places) - 1))

"""The words of each pixel, together."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..access import words_layout


class PixelWords(wiring.Component):
    """Members
    -------
    words: whose note's lowest bit says which is the last one of a pixel. pixels: its words, at most ``most``, the first in the lowest bits.
    """

    def __init__(self, word_bytes: int, *, most: int, note_bits: int) -> None:
        self._most = most
        super().__init__(
            {
                "words": In(stream.Signature(words_layout(word_bytes, note_bits))),
                "pixels": Out(stream.Signature(8 * word_bytes * most)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        index, full = Signal(range(self._most)), Signal()
        kept = Signal.like(self.pixels.payload, reset_less=True)
        word, ends = self.words.payload.word, self.words.payload.note[0]
        m.d.comb += [
            *(self.pixels.payload.eq(kept), self.pixels.valid.eq(full)),
            self.words.ready.eq(~full | self.pixels.ready),
        ]
        with m.If(self.words.ready):
            m.d.sync += full.eq(self.words.valid & ends)
        with m.If(self.words.ready & self.words.valid):
            m.d.sync += [kept.word_select(index, len(word)).eq(word), index.eq(index + 1)]
            with m.If(ends):
                m.d.sync += index.eq(0)
        return m

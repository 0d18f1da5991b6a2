"""Rows of a feature map in banks, so that the taps of a kernel can be read together."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..arch.deform import DeformCircuit
from ..word_memory import WordMemory
from .layouts import place_bits
from .row_fill import filling_layout


def of_banks(c: DeformCircuit, bits: int) -> data.ArrayLayout:
    """Numbers of so many bits, for each copy and bank."""
    return data.ArrayLayout(data.ArrayLayout(bits, c.banks), c.copies)


class LineBuffer(wiring.Component):
    """Members
    -------
    write, write_valid: a word that is written. places: for each copy and bank, of the word that is read. words: of each copy and bank,
    ``latency`` cycles later, as it was before what is written in the cycle of its place.
    """

    latency = WordMemory.latency

    def __init__(self, circuit: DeformCircuit, word_bytes: int) -> None:
        self._c, self._word = circuit, word_bytes

        super().__init__(
            {
                "write": In(filling_layout(circuit, word_bytes)),
                "write_valid": In(1),
                "places": In(of_banks(circuit, place_bits(circuit))),
                "words": Out(of_banks(circuit, 8 * word_bytes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c = self._c
        written, valid = Signal.like(self.write, reset_less=True), Signal()
        m.d.sync += [written.eq(self.write), valid.eq(self.write_valid)]
        for copy in range(c.copies):
            for bank in range(c.banks):
                memory = WordMemory(words=1 << place_bits(c), word_bytes=self._word)
                m.submodules[f"bank{bank}_{copy}" if c.copies > 1 else f"bank{bank}"] = memory
                m.d.comb += [
                    *(memory.read_address.eq(self.places[copy][bank]), self.words[copy][bank].eq(memory.word)),
                    *(memory.write_address.eq(written.place), memory.write_word.eq(written.word)),
                    memory.mask.eq((valid & (written.bank == bank)).replicate(self._word)),
                ]
        return m

"""Loads the weights of each word of channels and their requantization, while those of the one before are in use."""

from amaranth.hdl import Cat, Module, Shape, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..access import words_layout
from ..arch.parameters import MachineParameters
from ..arch.steps import CHANNEL
from ..layouts import record_layout


def kernels_layout(p: MachineParameters) -> data.ArrayLayout:
    """[taps][channels of a word]"""
    return data.ArrayLayout(data.ArrayLayout(weight_shape(p), p.word_bytes), p.deform_kernel**2)


def weight_shape(p: MachineParameters) -> Shape:
    return signed(p.weight_bits)


class GroupLoader(wiring.Component):
    """Members
    -------
    words: the lowest bit of whose note ends those of a word of channels. kernels, records: while ``full``, until ``taken``.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = p = parameters
        super().__init__(
            {
                "words": In(stream.Signature(words_layout(p.word_bytes, 2))),
                "kernels": Out(kernels_layout(p)),
                "records": Out(data.ArrayLayout(record_layout(CHANNEL), p.word_bytes)),
                "full": Out(1),
                "taken": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        bits = 8 * p.word_bytes
        words = Signal(p.deform_group_words * bits, reset_less=True)
        m.d.comb += [
            self.words.ready.eq(~self.full),
            self.kernels.as_value().eq(words[: self.kernels.shape().size]),
            self.records.as_value().eq(words[p.deform_weight_words * bits :]),
        ]
        with m.If(self.taken):
            m.d.sync += self.full.eq(0)
        with m.If(self.words.valid & self.words.ready):
            m.d.sync += [words.eq(Cat(words[bits:], self.words.payload.word)), self.full.eq(self.words.payload.note[0])]
        return m

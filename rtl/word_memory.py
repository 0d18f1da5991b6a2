"""A memory of words, of one read and one write port."""

from amaranth.hdl import Cat, Module
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .delay import delay


class WordMemory(wiring.Component):
    """Members
    -------
    read_address, word: the word comes ``latency`` cycles later, as it was before what is written in the cycle of its address. A memory
    takes most of one of these cycles.
    write_address, write_word, mask: the bytes that are written.

    init: the first bytes of the first words; the others are zero.
    """

    latency = 2

    def __init__(self, *, words: int, word_bytes: int, init: bytes = b"") -> None:
        self._words, self._word_bytes, self._init = words, word_bytes, init
        super().__init__(
            {
                **{"read_address": In(ceil_log2(words)), "word": Out(8 * word_bytes)},
                **{"write_address": In(ceil_log2(words)), "write_word": In(8 * word_bytes), "mask": In(word_bytes)},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        init = [list(self._init[i : i + self._word_bytes]) for i in range(0, len(self._init), self._word_bytes)]
        m.submodules.memory = words = memory.Memory(shape=data.ArrayLayout(8, self._word_bytes), depth=self._words, init=init)
        read, write = words.read_port(), words.write_port(granularity=1)
        octets = range(self._word_bytes)
        m.d.comb += [
            *(read.addr.eq(self.read_address), self.word.eq(delay(m, Cat(read.data[i] for i in octets), 1))),
            *(write.addr.eq(self.write_address), Cat(write.data[i] for i in octets).eq(self.write_word), write.en.eq(self.mask)),
        ]
        return m

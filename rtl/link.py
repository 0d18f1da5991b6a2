"""A link (rtl/arch/links.py): a ring of words between one port that writes and one that reads, which wait for each other word by word."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .arch.steps import COUNT_BITS
from .delay import delay
from .word_memory import WordMemory


class LinkMemory(wiring.Component):
    """Each of its ports asks for a ``position`` until it is granted.

    Members
    -------
    write_*: word goes to the position as far as mask enables its bytes. last: of its step, with which what the step wrote is filled.
    read_*: the word is there READ_LATENCY (rtl/banks.py) cycles after it was granted. frees: words that become free with it, for which it
    waits too. absent: it waits for no other word, and any will do.
    """

    def __init__(self, *, words: int, word_bytes: int) -> None:
        self._words, self._word_bytes = words, word_bytes
        position = exact_log2(words)
        super().__init__(
            {
                **{"write_asked": In(1), "write_position": In(position), "write_granted": Out(1)},
                **{"write_word": In(8 * word_bytes), "write_mask": In(word_bytes), "write_last": In(1)},
                **{"read_asked": In(1), "read_position": In(position), "read_granted": Out(1)},
                **{"read_frees": In(COUNT_BITS), "read_absent": In(1), "read_word": Out(8 * word_bytes)},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = words = WordMemory(words=self._words, word_bytes=self._word_bytes)
        # As of a bank, so that words come in order: the memory is asked a cycle after the port was granted.
        m.d.comb += [
            *(words.read_address.eq(delay(m, self.read_position, 1)), self.read_word.eq(words.word)),
            *(words.write_address.eq(delay(m, self.write_position, 1)), words.write_word.eq(delay(m, self.write_word, 1))),
            words.mask.eq(delay(m, Mux(self.write_granted, self.write_mask, 0), 1, reset_less=False)),
        ]
        # From ``first_filled`` on ``filled`` words are filled, from ``first_free`` on the others are free. Each has a bit that changes with
        # every turn around the ring: the two differ where the filled words go on at its begin, or are all.
        position = len(self.read_position)
        first_filled, first_free = Signal(position + 1), Signal(position + 1)
        filled = Signal(range(self._words + 1))
        written, number = Signal.like(filled), Signal.like(filled)  # by the step under way; with the word that is asked for
        fills, frees = Signal(), Signal()

        def is_filled(at: Value) -> Value:
            """Two comparisons side by side: a position's distance from the first one would be a sum before a comparison."""
            behind, before = at >= first_filled[:position], at < first_free[:position]
            return Mux(first_filled[-1] ^ first_free[-1], behind | before, behind & before)

        m.d.comb += [
            self.write_granted.eq(self.write_asked & ~is_filled(self.write_position)),
            self.read_granted.eq(self.read_asked & (self.read_absent | is_filled(self.read_position)) & (self.read_frees <= filled)),
            number.eq(written + self.write_mask[0]),
            *(fills.eq(self.write_granted & self.write_last), frees.eq(self.read_granted)),
        ]
        # What is granted comes a long way: all sums are there before.
        freed = self.read_frees
        m.d.sync += filled.eq(Mux(fills, Mux(frees, filled + number - freed, filled + number), Mux(frees, filled - freed, filled)))
        with m.If(fills):
            m.d.sync += [first_free.eq(first_free + number), written.eq(0)]
        with m.Elif(self.write_granted):
            m.d.sync += written.eq(number)
        with m.If(frees):
            m.d.sync += first_filled.eq(first_filled + freed)
        return m

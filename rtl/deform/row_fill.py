"""Fills the line buffer with the rows of a map, word of channels by word of channels, as rows that nothing needs any more become free."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..access import words_layout
from ..arch.deform import DeformCircuit
from ..streams import Queue
from .layouts import ROWS_BITS, column_bits, place_bits, row_layout, wrapped


def filling_layout(c: DeformCircuit, word_bytes: int) -> data.StructLayout:
    """A word that is written to the line buffer."""
    return data.StructLayout({"bank": range(c.banks), "place": place_bits(c), "word": 8 * word_bytes})


class RowFill(wiring.Component):
    """Members
    -------
    start: high for one cycle before a command's first word.
    words: of the map, which end pixels' lines, maps and all. write, write_valid: to the line buffer.
    bases: where the first row of each word of channels lies. filled: rows written since the start, modulo.
    frees: rows that are not needed any more since the last cycle. drains: none is needed. done: all words have been taken.
    """

    def __init__(self, circuit: DeformCircuit, word_bytes: int) -> None:
        self._c = circuit
        super().__init__(
            {
                "start": In(1),
                "words": In(stream.Signature(words_layout(word_bytes, 3))),
                "write": Out(filling_layout(circuit, word_bytes)),
                "write_valid": Out(1),
                "bases": Out(stream.Signature(row_layout(circuit))),
                "filled": Out(ROWS_BITS),
                "frees": In(ROWS_BITS),
                "drains": In(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c = self._c
        # Maps of one row begin a word of channels with each row.
        m.submodules.bases = bases = Queue(row_layout(c), depth=c.rows + 2)
        connect(m, bases.o, flipped(self.bases))
        row, bank = Signal(row_layout(c)), Signal(range(c.banks))  # the one that is filled, and the bank of its next pixel
        quotient, rest = Signal(column_bits(c)), Signal(range(c.banks))
        held, held_next = (Signal(signed(ROWS_BITS), name=name) for name in ("held", "held_next"))  # rows in use before this one
        room, at_base, takes = Signal(init=1), Signal(init=1), Signal()
        ends_line, ends_map, ends_groups = self.words.payload.note
        ends_row = takes & ends_line
        m.d.comb += [
            self.words.ready.eq(room & (~at_base | bases.i.ready)),
            takes.eq(self.words.valid & self.words.ready),
            *(bases.i.payload.eq(row), bases.i.valid.eq(self.words.valid & room & at_base)),
            *(self.write.bank.eq(bank), self.write.word.eq(self.words.payload.word)),
            *(self.write.place[: len(quotient)].eq(quotient), self.write.place[len(quotient) :].eq(row.slot), self.write_valid.eq(takes)),
            held_next.eq(held + ends_row - self.frees),
        ]
        next_bank = wrapped(row.bank + c.row_step, c.banks)
        m.d.sync += [held.eq(held_next), room.eq((held_next < c.rows) | self.drains)]
        with m.If(takes):
            m.d.sync += [bank.eq(wrapped(bank + 1, c.banks)), rest.eq(rest + 1), at_base.eq(ends_line & ends_map)]
            with m.If(rest == c.banks - 1):
                m.d.sync += [rest.eq(0), quotient.eq(quotient + 1)]
        with m.If(ends_row):
            m.d.sync += [row.slot.eq(Mux(row.slot == c.rows - 1, 0, row.slot + 1)), row.bank.eq(next_bank), bank.eq(next_bank)]
            m.d.sync += [rest.eq(0), quotient.eq(0), self.filled.eq(self.filled + 1), self.done.eq(ends_map & ends_groups)]
        with m.If(self.start):
            m.d.sync += [signal.eq(0) for signal in (row, bank, quotient, rest, held, self.filled)]
            m.d.sync += [room.eq(1), at_base.eq(1), self.done.eq(0)]
        return m

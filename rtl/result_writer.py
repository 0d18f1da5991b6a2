"""Writes the compute unit's results: rows of cols channels, tile row by tile row, into a row-major matrix."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.parameters import MachineParameters
from .arch.steps import ADDRESS_BITS, COUNT_BITS
from .scratchpad import WritePort


def results_layout(cols: int) -> data.ArrayLayout:
    return data.ArrayLayout(signed(16), cols)


class ResultWriter(wiring.Component):
    """Takes m rows for each tile of cols channels and writes the n channels that count, no byte beyond; ``done`` with the last word."""

    def __init__(self, parameters: MachineParameters, command: data.StructLayout) -> None:
        self._p = parameters
        super().__init__(
            {
                "command": In(stream.Signature(command)),
                "rows": In(stream.Signature(results_layout(parameters.cols))),
                "port": Out(WritePort(parameters.word_bytes)),
                "busy": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        word = p.word_bytes
        c = Signal.like(self.command.payload)
        running = self.busy
        m_left, lines_left, n_left = (Signal(COUNT_BITS) for _ in range(3))
        column, row = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)  # word of the tile's first channel in row 0, and in this row
        most_words, most_slots = max(1, 2 * p.cols // word), max(1, word // p.cols)
        part, slot = Signal(range(most_words)), Signal(range(most_slots))

        results = self.rows.payload
        enabled = [Value.cast(col < n_left) for col in range(p.cols)]
        forms = []  # for int8 and int16: the word at ``part``, its byte mask, words of a row, rows that share a word, and the last part
        for octets in (1, 2):
            bits = Cat(*(results[i][: 8 * octets] for i in range(p.cols)))
            mask = Cat(*(enabled[i].replicate(octets) for i in range(p.cols)))
            words, slots = max(1, p.cols * octets // word), max(1, word // (p.cols * octets))
            last_part = (part == words - 1) | (n_left <= (part + 1) * (word // octets))
            if slots > 1:  # several tiles share a word
                forms.append((Cat(*(bits for _ in range(slots))), mask << (slot * len(mask)), words, slots, last_part))
            else:
                forms.append((bits.word_select(part, 8 * word), mask.word_select(part, word), words, slots, last_part))
        (narrow_word, narrow_mask, narrow_words, narrow_slots, narrow_last), (wide_word, wide_mask, wide_words, wide_slots, wide_last) = (
            forms
        )
        last_part = Mux(c.out_wide, wide_last, narrow_last)
        last_slot = Mux(c.out_wide, slot == wide_slots - 1, slot == narrow_slots - 1)

        write = self.port.write
        m.d.comb += [
            self.command.ready.eq(~running | self.done),
            write.valid.eq(running & self.rows.valid),
            write.payload.address.eq(row + part),
            write.payload.word.eq(Mux(c.out_wide, wide_word, narrow_word)),
            write.payload.mask.eq(Mux(c.out_wide, wide_mask, narrow_mask)),
            self.rows.ready.eq(running & write.ready & last_part),
        ]
        with m.If(write.valid & write.ready):
            m.d.sync += part.eq(part + 1)
            with m.If(last_part):
                m.d.sync += [part.eq(0), m_left.eq(m_left - 1), row.eq(row + c.out_stride)]
                with m.If(m_left == 1):
                    m.d.sync += [m_left.eq(c.m), lines_left.eq(lines_left - 1)]
                with m.If((m_left == 1) & (lines_left == 1)):
                    words = Mux(c.out_wide, wide_words, narrow_words)
                    following = (column + Mux(last_slot, words, 0))[:ADDRESS_BITS]
                    m.d.sync += [lines_left.eq(c.lines), n_left.eq(n_left - p.cols), column.eq(following), row.eq(following)]
                    m.d.sync += slot.eq(Mux(last_slot, 0, slot + 1))
                    m.d.comb += self.done.eq(n_left <= p.cols)
        with m.If(self.command.ready):
            command = self.command.payload
            m.d.sync += [
                c.eq(command),
                running.eq(self.command.valid),
                m_left.eq(command.m),
                lines_left.eq(command.lines),
                n_left.eq(command.n),
                column.eq(command.out),
                row.eq(command.out),
                part.eq(0),
                slot.eq(0),
            ]
        return m

"""Writes the compute unit's results: rows of cols channels, tile row by tile row, into a row-major matrix."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.parameters import MachineParameters
from .arch.steps import ADDRESS_BITS, COMPUTE, COUNT_BITS
from .countdown import Countdown
from .layouts import record_layout
from .scratchpad import WritePort
from .skid import Skid


def results_layout(cols: int) -> data.ArrayLayout:
    return data.ArrayLayout(signed(16), cols)


@dataclass(frozen=True, kw_only=True)
class _Form:
    """How rows of ``cols`` results of ``octets`` bytes lie in words of ``word`` bytes: a row takes ``words``, or ``slots`` share one."""

    octets: int
    cols: int
    word: int

    @property
    def words(self) -> int:
        return max(1, self.cols * self.octets // self.word)

    @property
    def slots(self) -> int:
        return max(1, self.word // (self.cols * self.octets))

    def last_part(self, n: Value, before: int) -> Value:
        """The last word of a row of n - before results."""
        return Value.cast(sum(n > before + part * self.word // self.octets for part in range(1, self.words)))

    def word_and_mask(self, results: data.View, counts: Value, part: Value, slot: Value) -> tuple[Value, Value]:
        """The ``part``-th word of a row. counts: one bit for each result."""
        bits = Cat(result[: 8 * self.octets] for result in results)
        mask = Cat(counts[i].replicate(self.octets) for i in range(self.cols))
        if self.slots > 1:
            return bits.replicate(self.slots), mask << (slot * len(mask))
        return bits.word_select(part, 8 * self.word), mask.word_select(part, self.word)


class ResultWriter(wiring.Component):
    """Takes m rows for each tile of cols channels and writes the n channels that count, no byte beyond.

    Members
    -------
    command: a compute command, taken when the last word of the one before is about to be written.
    older: the port is not used by that command, but by the one before it. busy: a word of either is to be written. done: the last one is.
    tiles: whose last word is written, of the command whose word is at the port.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        super().__init__(
            {
                "command": In(stream.Signature(record_layout(COMPUTE))),
                "rows": In(stream.Signature(results_layout(parameters.cols))),
                "port": Out(WritePort(parameters.word_bytes)),
                "older": Out(1),
                "busy": Out(1),
                "done": Out(1),
                "tiles": Out(COUNT_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._p
        forms = [_Form(octets=octets, cols=p.cols, word=p.word_bytes) for octets in (1, 2)]
        c = Signal.like(self.command.payload)
        running, newest = Signal(), Signal()  # newest: the bit that names the last command
        # A word with what it is the last one of, and its command's name; so that it is no long way from the scratchpad to the counts.
        m.submodules.skid = skid = Skid(
            data.StructLayout({"write": self.port.write.payload.shape(), "last": 1, "last_of_tile": 1, "command": 1})
        )
        word, at_port = skid.i.payload, skid.o.payload
        rows, lines, n = (Countdown(COUNT_BITS, step=step, name=name) for name, step in (("rows", 1), ("lines", 1), ("n", p.cols)))
        counts = Signal(p.cols)  # of the tile's channels
        column, row = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)  # word of the tile's first channel in row 0, and in this row
        part, last_part = (Signal(range(max(form.words for form in forms)), name=name) for name in ("part", "last_part"))
        slot = Signal(range(max(form.slots for form in forms)))

        def of_form(values: Sequence[Value | int], wide: Value = c.out_wide) -> Value:
            return Mux(wide, values[1], values[0])

        def begin_tile(n: Value, before: int, wide: Value) -> None:
            """With n - before channels left. Both are compared without the difference, which would take more time."""
            m.d.sync += [
                counts.eq(Cat(n > before + i for i in range(p.cols))),
                last_part.eq(of_form([form.last_part(n, before) for form in forms], wide)),
            ]

        words, masks = zip(*(form.word_and_mask(self.rows.payload, counts, part, slot) for form in forms), strict=True)
        takes, ends, written = Signal(), Signal(), Signal()
        ends_tile = rows.ends & lines.ends
        m.d.comb += [
            takes.eq(skid.i.ready & running & self.rows.valid),
            ends.eq((part == last_part) & ends_tile & n.ends),
            self.rows.ready.eq(skid.i.ready & running & (part == last_part)),
            self.command.ready.eq((~running | (takes & ends)) & ~self.older),
            self.older.eq(skid.o.valid & (at_port.command != newest)),
            self.busy.eq(running | skid.o.valid),
            *(skid.i.valid.eq(running & self.rows.valid), word.command.eq(newest)),
            *(word.last.eq(ends), word.last_of_tile.eq(ends_tile & (part == last_part))),
            *(word.write.address.eq(row + part), word.write.word.eq(of_form(words)), word.write.mask.eq(of_form(masks))),
            *(self.port.write.valid.eq(skid.o.valid), self.port.write.payload.eq(at_port.write)),
            skid.o.ready.eq(self.port.write.ready),
            written.eq(skid.o.valid & skid.o.ready),
            self.done.eq(written & at_port.last),
        ]
        with m.If(self.done):
            m.d.sync += self.tiles.eq(0)
        with m.Elif(written & at_port.last_of_tile):
            m.d.sync += self.tiles.eq(self.tiles + 1)
        with m.If(takes & (part != last_part)):
            m.d.sync += part.eq(part + 1)
        with m.Elif(takes):
            m.d.sync += [part.eq(0), row.eq(row + c.out_stride), *rows.advance()]
            with m.If(rows.ends):
                m.d.sync += [rows.start(c.m), lines.advance()]
            with m.If(ends_tile):
                last_slot = slot == of_form([form.slots - 1 for form in forms])
                following = (column + Mux(last_slot, of_form([form.words for form in forms]), 0))[:ADDRESS_BITS]
                m.d.sync += [lines.start(c.lines), n.advance(), column.eq(following), row.eq(following)]
                m.d.sync += slot.eq(Mux(last_slot, 0, slot + 1))
                begin_tile(n.left, p.cols, c.out_wide)
        with m.If(takes & ends):
            m.d.sync += running.eq(0)
        with m.If(self.command.ready):
            command = self.command.payload
            m.d.sync += [
                *(c.eq(command), running.eq(self.command.valid), newest.eq(newest ^ self.command.valid)),
                *(part.eq(0), slot.eq(0), column.eq(command.out), row.eq(command.out)),
                *(rows.start(command.m), lines.start(command.lines), n.start(command.n)),
            ]
            begin_tile(command.n, 0, command.out_wide)
        return m

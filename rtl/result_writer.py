"""Writes the compute unit's results: rows of cols channels, tile row by tile row, into a row-major matrix."""

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.parameters import MachineParameters
from .arch.steps import COMPUTE, COUNT_BITS
from .engine import newest_of
from .layouts import record_layout
from .result_walk import Form, ResultWalk, of_form, result_forms
from .scratchpad import WritePort
from .skid import Skid


def results_layout(cols: int) -> data.ArrayLayout:
    return data.ArrayLayout(signed(16), cols)


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
        newest = newest_of(m, self.command.valid & self.command.ready)
        m.submodules.walk = walk = ResultWalk(self._p)
        at, place = walk.words, walk.words.payload.place
        # A word with what it is the last one of, and its command's name; so that it is no long way from the scratchpad to the counts.
        m.submodules.skid = skid = Skid(
            data.StructLayout({"write": self.port.write.payload.shape(), "last": 1, "last_of_tile": 1, "command": 1})
        )
        word, at_port = skid.i.payload, skid.o.payload
        forms = (_word_and_mask(form, self.rows.payload, at.payload.counts, place) for form in result_forms(self._p))
        words, masks = zip(*forms, strict=True)
        written = Signal()
        m.d.comb += [
            *walk.start(self.command.payload, "out"),
            walk.matrix.valid.eq(self.command.valid & ~self.older),
            self.command.ready.eq(walk.matrix.ready & ~self.older),
            at.ready.eq(skid.i.ready & self.rows.valid),
            self.rows.ready.eq(skid.i.ready & at.valid & place.ends_row),
            self.older.eq(skid.o.valid & (at_port.command != newest)),
            self.busy.eq(at.valid | skid.o.valid),
            *(skid.i.valid.eq(at.valid & self.rows.valid), word.command.eq(newest)),
            *(word.last.eq(at.payload.ends), word.last_of_tile.eq(at.payload.ends_tile)),
            *(word.write.address.eq(at.payload.address), word.write.word.eq(of_form(words, place.wide))),
            word.write.mask.eq(of_form(masks, place.wide)),
            *(self.port.write.valid.eq(skid.o.valid), self.port.write.payload.eq(at_port.write)),
            skid.o.ready.eq(self.port.write.ready),
            written.eq(skid.o.valid & skid.o.ready),
            self.done.eq(written & at_port.last),
        ]
        with m.If(self.done):
            m.d.sync += self.tiles.eq(0)
        with m.Elif(written & at_port.last_of_tile):
            m.d.sync += self.tiles.eq(self.tiles + 1)
        return m


def _word_and_mask(form: Form, results: data.View, counts: Value, place: data.View) -> tuple[Value, Value]:
    """A word of a row, and which of its bytes are results that count."""
    bits = Cat(result[: 8 * form.octets] for result in results)
    mask = Cat(counts[i].replicate(form.octets) for i in range(form.cols))
    if form.slots > 1:
        return bits.replicate(form.slots), mask << (place.slot * len(mask))
    return bits.word_select(place.part, 8 * form.word), mask.word_select(place.part, form.word)

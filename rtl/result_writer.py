"""Writes the compute unit's results: rows of cols channels, tile row by tile row, into a row-major matrix."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arch.parameters import MachineParameters
from .arch.steps import COUNT_BITS, Engine
from .engine import IN_FLIGHT, command_layout
from .result_walk import Form, ResultWalk, of_form, result_forms
from .scratchpad import WritePort


def results_layout(cols: int) -> data.ArrayLayout:
    return data.ArrayLayout(signed(16), cols)


def named_results_layout(cols: int) -> data.StructLayout:
    """Results, and the bit that names their command."""
    return data.StructLayout({"results": results_layout(cols), "command": 1})


class ResultWriter(wiring.Component):
    """Takes m rows for each tile of cols channels and writes the n channels that count, no byte beyond.

    Members
    -------
    command: a compute command, taken with the last word of the one before.
    busy: a command that was taken is not done. done: the last word of the oldest one is written. tiles: of that command, those whose
    last word is.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        super().__init__(
            {
                "command": In(stream.Signature(command_layout(Engine.COMPUTE, parameters))),
                "rows": In(stream.Signature(results_layout(parameters.cols))),
                "port": Out(WritePort(parameters.word_bytes)),
                "busy": Out(1),
                "done": Out(1),
                "tiles": Out(COUNT_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walk = walk = ResultWalk(self._p)
        at, place = walk.words, walk.words.payload.place
        write, word, last = self.port.write, self.port.write.payload, self.port.written
        forms = (_word_and_mask(form, self.rows.payload, at.payload.counts, place) for form in result_forms(self._p))
        words, masks = zip(*forms, strict=True)
        commands = Signal(range(IN_FLIGHT + 1))  # that are not done
        room = commands != IN_FLIGHT
        m.d.comb += [
            *walk.start(self.command.payload, "out"),
            *(walk.matrix.valid.eq(self.command.valid & room), self.command.ready.eq(walk.matrix.ready & room)),
            at.ready.eq(write.ready & self.rows.valid),
            self.rows.ready.eq(write.ready & at.valid & place.ends_row),
            write.valid.eq(at.valid & self.rows.valid),
            *(word.address.eq(at.payload.address), word.word.eq(of_form(words, place)), word.mask.eq(of_form(masks, place))),
            *(word.last.of_step.eq(at.payload.ends), word.last.of_tile.eq(at.payload.ends_tile)),
            *(self.busy.eq(commands != 0), self.done.eq(last.of_step)),
        ]
        m.d.sync += [
            commands.eq(commands + (self.command.valid & self.command.ready) - self.done),
            self.tiles.eq(Mux(self.done, 0, self.tiles + last.of_tile)),
        ]
        return m


def _word_and_mask(form: Form, results: data.View, counts: Value, place: data.View) -> tuple[Value, Value]:
    """A word of a row, and which of its bytes are results that count. Of a pooled row these are its first ones."""
    octets = [result[: 8 * form.octets] for result in list(results)[: form.cols]]
    if form.octets == 2:
        octets = [Mux(place.repeated, result[:8].replicate(2), result) for result in octets]
    bits, mask = Cat(octets), Cat(counts[i].replicate(form.octets) for i in range(form.cols))
    if form.slots > 1:
        return bits.replicate(form.slots), mask << (place.slot * len(mask))
    return bits.word_select(place.part, 8 * form.word), mask.word_select(place.part, form.word)

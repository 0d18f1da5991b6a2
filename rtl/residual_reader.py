"""Reads what is added to the compute unit's results, in their order."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .access import Fetcher
from .arch.parameters import MachineParameters
from .arch.steps import Engine
from .engine import command_layout
from .result_walk import Form, ResultWalk, of_form, part_layout, result_forms
from .result_writer import results_layout
from .scratchpad import ReadPort


class ResidualReader(wiring.Component):
    """Members
    -------
    command: a compute command, taken with the last word of the one before. One without a residual reads nothing.
    rows: for each tile of cols channels, for each row of results: the elements of r at their places.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        self._p = parameters
        super().__init__(
            {
                "command": In(stream.Signature(command_layout(Engine.COMPUTE, parameters))),
                "rows": Out(stream.Signature(results_layout(parameters.cols))),
                "port": Out(ReadPort(parameters.word_bytes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, command = self._p, self.command.payload
        m.submodules.walk = walk = ResultWalk(p)
        m.submodules.fetcher = fetcher = Fetcher(p.word_bytes, part_layout(p))
        wanted = fetcher.i.payload
        m.d.comb += [
            *walk.start(command, "r"),
            walk.matrix.valid.eq(self.command.valid & command.residual),
            self.command.ready.eq(walk.matrix.ready),
            *(wanted.asked.address.eq(walk.words.payload.address), wanted.note.eq(walk.words.payload.place)),
            *(fetcher.i.valid.eq(walk.words.valid), walk.words.ready.eq(fetcher.i.ready)),
        ]
        connect(m, flipped(self.port), fetcher.port)
        self._gather(m, fetcher.words)
        return m

    def _gather(self, m: Module, words: stream.Interface) -> None:
        """Put the words of a row together."""
        forms, place = result_forms(self._p)[:2], words.payload.note  # what is pooled has no residual
        full, elements = Signal(), Signal.like(self.rows.payload, reset_less=True)
        arrives = words.valid & words.ready
        m.d.comb += [words.ready.eq(~full | self.rows.ready), self.rows.valid.eq(full), self.rows.payload.eq(elements)]
        with m.If(words.ready):
            m.d.sync += full.eq(words.valid & place.ends_row)
        for i in range(self._p.cols):
            part, element = (of_form(values, place) for values in zip(*(_element(form, i, words.payload) for form in forms), strict=True))
            with m.If(arrives & (place.part == part)):
                m.d.sync += elements[i].eq(element)


def _element(form: Form, i: int, word: data.View) -> tuple[int, Value]:
    """The word of a row in which its i-th element lies, and that element if ``word`` is it."""
    part, first = divmod(i * form.octets, form.word)
    row = word.word.word_select(word.note.slot, 8 * form.cols * form.octets) if form.slots > 1 else word.word
    return part, row[8 * first : 8 * (first + form.octets)].as_signed()

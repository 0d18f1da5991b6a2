"""Columns of data for the PIM controller, from words of the scratchpad."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from ..access import Reader
from ..arch.parameters import MachineParameters
from ..arch.steps import ADDRESS_BITS
from ..countdown import Countdown
from ..scratchpad import ReadPort

LENGTH_BITS = 24
# So many columns, of the first ``length`` bytes from a word on, and zeros behind them; where it scatters a byte for each bank, else whole.
JOB = data.StructLayout({"address": ADDRESS_BITS, "length": LENGTH_BITS, "columns": 32, "scatters": 1})


class ColumnFeeder(wiring.Component):
    """Members
    -------
    job: `JOB`, with a column at least, and no more words than a loop counts; taken when nothing is under way. busy.
    columns: its columns. port: scratchpad port.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        assert parameters.dram is not None
        self._word, self._dram = parameters.word_bytes, parameters.dram
        super().__init__(
            {
                "job": In(stream.Signature(JOB)),
                "busy": Out(1),
                "columns": Out(stream.Signature(8 * self._dram.column_bytes)),
                "port": Out(ReadPort(self._word)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word, size, banks = self._word, self._dram.column_bytes, self._dram.banks
        unit_bytes = min(word, banks, size)
        m.submodules.reader = reader = Reader(word, steps=(1, 1))
        connect(m, reader.port, flipped(self.port))
        address, words, scatters = Signal(ADDRESS_BITS), Signal(LENGTH_BITS), Signal()
        octets, columns = Countdown(LENGTH_BITS, step=unit_bytes, name="octets"), Countdown(32, name="columns")
        # Words are to be asked for; data has not come yet; columns have not been made yet.
        asks, comes, makes = Signal(), Signal(), Signal()
        starts = self.job.valid & self.job.ready
        m.d.comb += [
            self.busy.eq(asks | comes | makes | self.columns.valid),
            self.job.ready.eq(~self.busy),
            *(reader.loops.payload.base.address.eq(address), reader.loops.valid.eq(asks)),
            *(reader.loops.payload.count[0].eq(words), reader.loops.payload.stride[0].address.eq(1)),
            reader.loops.payload.count[1].eq(1),
        ]
        with m.If(starts):
            job = self.job.payload
            m.d.sync += [
                *(address.eq(job.address), words.eq((job.length + (word - 1)) >> exact_log2(word)), scatters.eq(job.scatters)),
                *(octets.start(job.length), columns.start(job.columns)),
                *(asks.eq(job.length != 0), comes.eq(job.length != 0), makes.eq(1)),
            ]
        with m.Elif(reader.loops.ready):
            m.d.sync += asks.eq(0)

        # Units, of which both words and columns are whole ones
        unit = Signal(data.StructLayout({"octets": data.ArrayLayout(8, unit_bytes), "ends": 1}), reset_less=True)
        has_unit, takes_unit, part = Signal(), Signal(), Signal(range(word // unit_bytes))
        room = ~has_unit | takes_unit
        ends_word = octets.ends | (part == word // unit_bytes - 1)
        m.d.comb += reader.words.ready.eq(room & ends_word)
        with m.If(room):
            chosen = reader.words.payload.word.word_select(part, 8 * unit_bytes)
            kept = [~octets.ends | (i < octets.left[: unit_bytes.bit_length()]) for i in range(unit_bytes)]
            m.d.sync += [has_unit.eq(reader.words.valid), unit.ends.eq(octets.ends)]
            m.d.sync += [octet.eq(Mux(kept[i], chosen.word_select(i, 8), 0)) for i, octet in enumerate(unit.octets)]
            with m.If(reader.words.valid):
                m.d.sync += [part.eq(Mux(ends_word, 0, part + 1)), octets.advance()]

        # Columns; what comes behind the last one is dropped
        place = Signal(size // unit_bytes, init=1)  # of the next unit, one bit
        free, column, completes = Signal(), self.columns.payload, Signal()
        fills = unit.ends | place[-1] | (scatters & place[min(banks, size) // unit_bytes - 1])
        m.d.comb += [
            free.eq(~self.columns.valid | self.columns.ready),
            takes_unit.eq(has_unit & (free | ~makes)),
            completes.eq(makes & free & (~comes | (has_unit & fills))),
        ]
        with m.If(takes_unit & unit.ends):
            m.d.sync += comes.eq(0)
        with m.If(free):
            m.d.sync += self.columns.valid.eq(completes)
        with m.If(free & makes & (has_unit | ~comes)):
            for i, bit in enumerate(place):
                its = column.word_select(i, 8 * unit_bytes)
                with m.If(bit):
                    m.d.sync += its.eq(Mux(comes, unit.octets.as_value(), 0))
                with m.Elif(place[0]):
                    m.d.sync += its.eq(0)
            m.d.sync += place.eq(Mux(completes, 1, place << 1))
        with m.If(completes):
            m.d.sync += columns.advance()
            with m.If(columns.ends):
                m.d.sync += makes.eq(0)
        return m

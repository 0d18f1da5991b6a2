"""A PIM command, checked and made into macros, the job of their data and what becomes of their sums."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..arch.parameters import MachineParameters
from ..arch.pim import MACRO, Macro
from ..arch.steps import COUNT_BITS, OF_PIM, PIM, PRODUCT, Engine
from ..count_ones import count_ones
from ..countdown import Countdown
from ..engine import command_layout
from ..layouts import record_layout
from .collector import RESULTS
from .feeder import JOB, LENGTH_BITS

ANSWER_CYCLES = 4  # from a macro's handover until the controller says at the latest what is wrong with it

_COUNTED = {Macro.WRITE_BUFFER, Macro.WRITE}  # macros with `count` columns of data, whatever channels they are for
_FED = {*_COUNTED, Macro.WRITE_ACCUMULATORS, Macro.SCATTER, PRODUCT}


class MacroIssuer(wiring.Component):
    """Members
    -------
    command: a PIM command, taken when all of the one before was handed over, if there is ``room``.
    macros: `MACRO`. job: their data, if they have any. feeding: the job is under way. results: of the command, if only that there are none.
    handed: high for one cycle when the macros and their data are the controller's. illegal: high for one cycle if the newest command is
    refused, which is handed over then as one without macros.
    """

    def __init__(self, parameters: MachineParameters) -> None:
        assert parameters.dram is not None
        self._dram, self._word = parameters.dram, parameters.word_bytes
        super().__init__(
            {
                "command": In(stream.Signature(command_layout(Engine.PIM, parameters))),
                "room": In(1),
                "macros": Out(stream.Signature(record_layout(MACRO))),
                "job": Out(stream.Signature(JOB)),
                "feeding": In(1),
                "results": Out(stream.Signature(RESULTS)),
                "handed": Out(1),
                "illegal": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self._dram
        c, product = Signal(record_layout(PIM), reset_less=True), Signal()
        columns, illegal = self._sizes(m, c, product)
        feeds = Signal()
        job, results = self.job.payload, self.results.payload
        m.d.comb += [
            *(self.macros.payload[name].eq(c[name]) for name, _ in self.macros.payload.shape()),
            *(job.address.eq(c.a), job.length.eq(Mux(~product | c.starts, c.length, 0)), job.columns.eq(columns)),
            job.scatters.eq(c.operation == Macro.SCATTER),
            *(results[name].eq(c[name]) for name, _ in RESULTS if name in c.shape().members),
            *(results.product.eq(product & ~illegal), results.columns.eq(columns)),
        ]
        first_buffer, again = Signal.like(c.buffer), Signal.like(c.again)
        groups = Countdown(COUNT_BITS, name="groups")
        row_bits = exact_log2(d.columns)
        following = Cat(c.column[:row_bits], c.row) + c.group_columns  # the next group's place
        settling = Signal(range(ANSWER_CYCLES))
        checks = Signal(range(3))
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.command.ready.eq(self.room)
                m.d.sync += [c.eq(self.command.payload), product.eq(self.command.payload.operation == PRODUCT), checks.eq(0)]
                with m.If(self.command.valid & self.room):
                    m.next = "CHECK"
            with m.State("CHECK"):  # as many cycles as `_sizes` takes
                m.d.sync += [checks.eq(checks + 1), feeds.eq(c.operation.matches(*sorted(_FED)))]
                m.d.sync += [first_buffer.eq(c.buffer), groups.start(c.groups)]
                with m.If(checks == 2):
                    m.next = "START"
            with m.State("START"):
                m.d.comb += [self.illegal.eq(illegal), self.results.valid.eq(1), self.job.valid.eq(feeds & ~illegal)]
                m.d.sync += settling.eq(ANSWER_CYCLES - 1)
                m.next = "MACRO"
                with m.If(illegal):
                    m.next = "SETTLE"
                with m.Elif(product):
                    m.d.sync += c.operation.eq(Macro.WRITE_ACCUMULATORS)
                    m.next = "GROUP"
            with m.State("MACRO"):
                m.d.comb += self.macros.valid.eq(1)
                with m.If(self.macros.ready):
                    m.next = "SETTLE"
            with m.State("GROUP"):
                m.d.comb += self.macros.valid.eq(1)
                m.d.sync += again.eq(c.again)
                with m.If(self.macros.ready):
                    m.d.sync += [c.operation.eq(Macro.MAC_ALL), c.buffer.eq(first_buffer)]
                    m.next = "MULTIPLY"
            with m.State("MULTIPLY"):
                m.d.comb += self.macros.valid.eq(1)
                with m.If(self.macros.ready):
                    m.d.sync += [again.eq(again - 1), c.buffer.eq(c.again_buffer)]
                    with m.If(again == 0):
                        m.d.sync += c.operation.eq(Macro.READ_ACCUMULATORS)
                        m.next = "READ"
            with m.State("READ"):
                m.d.comb += self.macros.valid.eq(1)
                with m.If(self.macros.ready):
                    m.d.sync += [
                        c.operation.eq(Macro.WRITE_ACCUMULATORS),
                        c.column.eq(following[:row_bits]),
                        c.row.eq(following[row_bits:]),
                    ]
                    m.d.sync += groups.advance()
                    m.next = "GROUP"
                    with m.If(groups.ends):
                        m.next = "SETTLE"
            with m.State("SETTLE"), m.If(~self.feeding):
                m.d.sync += settling.eq(settling - 1)
                with m.If(settling == 0):
                    m.d.comb += self.handed.eq(1)
                    m.next = "IDLE"
        return m

    def _sizes(self, m: Module, c: data.View, product: Value) -> tuple[Value, Value]:
        """Columns of data that the command's macros take, of a product as many as they give; and whether the engine refuses it. Both are
        known three cycles after the command came."""
        d, word_bits = self._dram, exact_log2(self._word)
        ones, groups = Signal(range(len(c.channels) + 1)), Signal(COUNT_BITS)
        turns = Signal(len(ones) + COUNT_BITS)  # of a channel's columns
        columns, illegal = Signal(32), Signal()
        m.d.sync += [ones.eq(count_ones(c.channels)), groups.eq(Mux(product, c.groups, 1)), turns.eq(groups * ones)]
        counted, scatters, fed = (c.operation.matches(*sorted(kinds)) for kinds in (_COUNTED, {Macro.SCATTER}, _FED))
        all_columns = Mux(counted, c.count, Mux(scatters, turns, turns << exact_log2(d.accumulator_columns)))
        words = (c.length + (self._word - 1))[word_bits : LENGTH_BITS + 1]
        wrong_sums = (c.n == 0) | (c.n > (turns << exact_log2(d.banks)))
        m.d.sync += [
            columns.eq(all_columns),
            illegal.eq(
                ~c.operation.matches(*sorted({*OF_PIM, PRODUCT}))
                | (fed & (all_columns == 0))
                | (counted & (c.count > d.rows * d.columns))  # of a bank; which would be dropped one by one
                | (fed & (words >> COUNT_BITS != 0))
                | (product & wrong_sums)
            ),
        ]
        return columns, illegal

"""Macro instructions, checked and made into operations of the channels and routes of their data."""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..arch.dram import COMMAND_BITS, MODE_FORMAT, MODE_FUNCTION, Dram, Function, NumberFormat
from ..arch.pim import COMMANDS, MACRO, OF_ACCUMULATORS, Macro, PimError
from ..layouts import record_layout
from ..select import select
from .layouts import CHANNEL_BITS, LANE_BITS, operation_layout

_SINGLE = {Macro.SET_MODE, Macro.ACTIVATE, Macro.SCATTER}
_IN_BANK = {Macro.MAC_BANK, Macro.COPY_TO_BUFFER, Macro.COPY_FROM_BUFFER, Macro.READ, Macro.WRITE}
_IN_ROWS = _IN_BANK | {Macro.MAC_ALL, Macro.SCATTER}
_WITH_BUFFER = {Macro.WRITE_BUFFER, Macro.MAC_ALL, Macro.MAC_BANK, Macro.COPY_TO_BUFFER, Macro.COPY_FROM_BUFFER}
_WITHOUT_FORMAT = {Macro.SET_MODE, Macro.READ, Macro.WRITE, Macro.SCATTER}
_WRITING = {Macro.WRITE_BUFFER, Macro.WRITE_ACCUMULATORS, Macro.WRITE, Macro.SCATTER}
_READING = {Macro.READ_ACCUMULATORS, Macro.READ}

# Where the data of a macro go, or come from: count columns, for all channels at once or for each in turn. drop: to nowhere. scatters: each
# column's bytes go to a bank each, to the place `lane` of a column there.
ROUTE = data.StructLayout({"channels": 32, "count": 32, "in_turn": 1, "drop": 1, "scatters": 1, "lane": LANE_BITS})


class MacroExpander(wiring.Component):
    """Members
    -------
    macros: `MACRO`. operations: each for `channels`. writes, reads: a route for each macro that has data. no_data, no_data_channel: a
    channel gave none. error, error_macro, error_channel: the first one since ``clear``, the number of its macro, counted from there, and
    the channel of NO_DATA. busy.
    """

    def __init__(self, dram: Dram) -> None:
        self.dram = dram
        operation = data.StructLayout({"operation": operation_layout(dram), "channels": dram.channels})
        super().__init__(
            {
                "macros": In(stream.Signature(record_layout(MACRO))),
                "operations": Out(stream.Signature(operation)),
                "writes": Out(stream.Signature(ROUTE)),
                "reads": Out(stream.Signature(ROUTE)),
                "clear": In(1),
                "no_data": In(1),
                "no_data_channel": In(CHANNEL_BITS),
                "error": Out(range(max(PimError) + 1)),
                "error_macro": Out(32),
                "error_channel": Out(CHANNEL_BITS),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.dram
        macro, number = Signal(record_layout(MACRO), reset_less=True), Signal(32)
        has_format, stopped = Signal(), Signal()
        m.d.comb += stopped.eq(self.error != PimError.NONE)
        count = Mux(_is(macro, OF_ACCUMULATORS), d.accumulator_columns, Mux(_is(macro, _SINGLE), 1, macro.count))
        problem = Signal(self.error.shape())
        self._check(m, macro, count, has_format, problem)

        route = Signal(ROUTE)
        m.d.comb += [
            route.channels.eq(macro.channels),
            route.count.eq(count),
            route.in_turn.eq(~_is(macro, {Macro.WRITE_BUFFER, Macro.WRITE})),
            route.drop.eq(stopped),
            route.scatters.eq(macro.operation == Macro.SCATTER),
            route.lane.eq(macro.buffer),
            self.writes.payload.eq(route),
            self.reads.payload.eq(route),
            self.busy.eq(1),
        ]
        left, empty, operation = Signal(32), Signal(), self.operations.payload.operation  # empty: it has no data
        columns = d.columns - macro.column[: exact_log2(d.columns)]  # of the row
        scatters = macro.operation == Macro.SCATTER
        many = Mux(scatters, 1, Mux(_is(macro, _IN_ROWS) & (columns < left), columns, left))
        m.d.comb += [
            self.operations.payload.channels.eq(macro.channels),
            operation.command.eq(select(macro.operation, [Const(COMMANDS[kind], COMMAND_BITS) for kind in Macro])),
            operation.bank.eq(macro.bank),
            operation.row.eq(Mux(macro.operation == Macro.SET_MODE, macro.mode, macro.row)),
            operation.column.eq(Mux(_is(macro, _IN_ROWS), macro.column, 0)),
            operation.buffer.eq(macro.buffer),
            operation.count.eq(many),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.busy.eq(self.macros.valid), self.macros.ready.eq(~self.clear)]
                m.d.sync += macro.eq(self.macros.payload)
                with m.If(self.macros.valid & self.macros.ready):
                    m.d.sync += number.eq(number + 1)
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += [left.eq(Mux(scatters, d.banks, count)), empty.eq((count == 0) | (route.in_turn & (macro.channels == 0)))]
                with m.If(scatters):
                    m.d.sync += macro.bank.eq(0)
                with m.If(~stopped & (problem != PimError.NONE)):
                    m.d.sync += [self.error.eq(problem), self.error_macro.eq(number - 1)]
                m.next = "ROUTE"
            with m.State("ROUTE"):
                writes, reads = _is(macro, _WRITING) & ~empty, _is(macro, _READING) & ~stopped
                m.d.comb += [self.writes.valid.eq(writes), self.reads.valid.eq(reads)]
                with m.If((~writes | self.writes.ready) & (~reads | self.reads.ready)):
                    m.next = "IDLE"
                    with m.If(~stopped):
                        m.next = "RUN"
                        with m.If(macro.operation == Macro.SET_MODE):
                            m.d.sync += has_format.eq(macro.mode >> MODE_FORMAT & 3 != NumberFormat.OFF)
            with m.State("RUN"):
                m.d.comb += self.operations.valid.eq(1)
                with m.If(self.operations.ready):
                    m.d.sync += left.eq(left - many)
                    with m.If(scatters):
                        m.d.sync += macro.bank.eq(macro.bank + 1)
                    with m.Else():
                        m.d.sync += [macro.row.eq(macro.row + 1), macro.column.eq(0), macro.buffer.eq(macro.buffer + many)]
                    with m.If(left == many):
                        m.next = "IDLE"
        with m.If(self.no_data & ~stopped):
            m.d.sync += [self.error.eq(PimError.NO_DATA), self.error_macro.eq(number), self.error_channel.eq(self.no_data_channel)]
        with m.If(self.clear):
            m.d.sync += [self.error.eq(PimError.NONE), number.eq(0)]
        return m

    def _check(self, m: Module, macro: data.View, count: Value, has_format: Value, problem: Signal) -> None:
        """``problem``: what is wrong with the macro; the first of several."""
        d = self.dram
        in_rows, scatters = _is(macro, _IN_ROWS), macro.operation == Macro.SCATTER
        beyond_buffer = _is(macro, _WITH_BUFFER) & (macro.buffer + macro.count > d.buffer_columns)
        end = (macro.row << exact_log2(d.columns)) + macro.column + count
        formats, functions = 1 << MODE_FORMAT, 1 << MODE_FUNCTION
        modes = [kind * formats + function * functions for kind in NumberFormat for function in Function]
        wrong = {
            PimError.OPERATION: (macro.operation > max(Macro)) | ((macro.operation == Macro.SET_MODE) & ~macro.mode.matches(*modes)),
            PimError.CHANNELS: (macro.channels == 0) | (macro.channels >> d.channels != 0),
            PimError.COUNT: count == 0,
            PimError.BANK: _is(macro, _IN_BANK) & (macro.bank >= d.banks),
            PimError.COLUMN: in_rows & (macro.column >= d.columns),
            PimError.ROW: in_rows & (end > d.rows * d.columns),
            PimError.BUFFER: Mux(scatters, macro.buffer >= d.column_bytes, beyond_buffer),
            PimError.MODE: ~_is(macro, _WITHOUT_FORMAT) & ~has_format,
        }
        for code, found in reversed(wrong.items()):
            with m.If(found):
                m.d.comb += problem.eq(code)


def _is(macro: data.View, kinds: set[Macro]) -> Value:
    return macro.operation.matches(*sorted(kinds))

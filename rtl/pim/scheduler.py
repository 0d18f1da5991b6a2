"""Which command a channel gets in each cycle.

The rule: column commands are given in the order of the operations. In each cycle the first of these that is legal is given: the next
column command of the first operation, or the change of mode that it needs; the opening of a row, for the oldest operation of the window
that needs it and whose banks no older one needs; the closing of a row alike. Nothing else is useful. What was given in the cycle before
is not in the counters yet, so nothing goes to its banks, and nothing of its kind is given; no constraint is as short.

Refreshes come between operations: when one is owed and nothing is to be done, and all that are owed when no more may be postponed.
"""

from typing import NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arch.dram import IN_MEMORY_MODE, IN_REGISTER_MODE, MODE_REGISTERS, Command, Dram
from ..select import select_one_hot, union
from .bank_rows import BankRows
from .layouts import command_layout, of_kind, operation_layout
from .refresh import RefreshDebt
from .timers import IN_ALL_BANKS, OF_A_BANK, Timers

ACTIVATES = frozenset({Command.ACT, Command.ACTA})
IN_ROWS = IN_MEMORY_MODE
COLUMNS = IN_MEMORY_MODE | IN_REGISTER_MODE
WRITES = frozenset({Command.WR, Command.WRGB, Command.WRMAC})
READS = frozenset({Command.RD, Command.RDMAC})
FOR_ALL = frozenset({Command.MRS, Command.REF})  # constraints on every command follow them


class _Place(NamedTuple):
    """An operation of the window, and what it asks for."""

    operation: data.View
    valid: Value
    in_row: Value
    in_all: Value
    touched: Value  # its banks, by the command of the cycle before
    blocked: Value  # by an older operation


class Scheduler(wiring.Component):
    """Members
    -------
    operations: `operation_layout`; of MRS the row is the mode without MODE_REGISTERS. may_write, may_read: whether data of an operation
    that is not ordinary, and of one that is, have arrived, or have a place to go to; as of two cycles after the last burst.
    decided: the command that is on the pins in the next cycle. issued: on the pins. ordinary: whose data a column command decided on
    moves. busy: whether there are operations.
    """

    WINDOW = 4  # operations

    def __init__(self, dram: Dram) -> None:
        self.dram = dram
        super().__init__(
            {
                "operations": In(stream.Signature(operation_layout(dram))),
                "may_write": In(2),
                "may_read": In(2),
                "decided": Out(command_layout(dram)),
                "issued": Out(command_layout(dram)),
                "ordinary": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.timers = timers = Timers(self.dram)
        m.submodules.rows = rows = BankRows(self.dram, self.WINDOW)
        m.submodules.refresh = refresh = RefreshDebt(self.dram.timing)
        issued, decided = self.issued, self.decided
        m.d.sync += issued.eq(decided)
        m.d.comb += [timers.issued.eq(issued), rows.issued.eq(issued)]
        advance, done = Signal(), Signal()
        window, level = self._window(m, advance, done)
        places = self._places(window, level)
        head, first = window[0], places[0]
        for place, asked in zip(places, rows.asked, strict=True):
            m.d.comb += [asked.bank.eq(place.operation.bank), asked.row.eq(place.operation.row), asked.in_all.eq(place.in_all)]

        # The mode, and the first operation's column command or change of mode
        mode = Signal(issued.row.shape())
        registers, settling = Signal(), of_kind(issued.command, FOR_ALL)
        is_register, is_memory = of_kind(head.command, IN_REGISTER_MODE), of_kind(head.command, IN_MEMORY_MODE)
        wrong_mode = (is_register & ~registers) | (is_memory & registers)
        has_data = ~of_kind(head.command, WRITES) | self.may_write.bit_select(head.ordinary, 1)
        has_place = ~of_kind(head.command, READS) | self.may_read.bit_select(head.ordinary, 1)
        refreshing, quiet = Signal(), ~of_kind(issued.command, COLUMNS | FOR_ALL)
        goes_on = first.valid & quiet & ~refreshing
        in_time = union(
            [head.command == command for command in sorted(COLUMNS)],
            [
                getattr(timers, f"ready_{c.name}").bit_select(head.bank, 1) if c in OF_A_BANK else getattr(timers, f"ready_{c.name}")
                for c in sorted(COLUMNS)
            ],
        )
        set_mode = head.command == Command.MRS
        column = goes_on & ~wrong_mode & ~set_mode & in_time & (~first.in_row | (rows.hit[0] & ~first.touched)) & has_data & has_place
        changes = goes_on & (wrong_mode | set_mode) & timers.ready_MRS
        m.d.comb += [advance.eq(column | (changes & set_mode)), done.eq(advance & (head.count == 1)), self.ordinary.eq(head.ordinary)]
        with m.If(changes):
            with m.If(set_mode):
                m.d.sync += mode.eq(head.row)
            with m.Else():
                m.d.sync += registers.eq(is_register)
        new_mode = Mux(set_mode, head.row | Mux(registers, MODE_REGISTERS, 0), mode | Mux(is_register, MODE_REGISTERS, 0))

        # Rows that are opened and closed
        free = [place.valid & place.in_row & ~place.blocked & ~place.touched & ~settling & ~refreshing for place in places]
        opens = Cat(self._opens(timers, place) for place in places) & Cat(free) & rows.closed
        opens &= ~of_kind(issued.command, ACTIVATES).replicate(self.WINDOW)
        closes = Cat(self._closes(timers, place) for place in places) & Cat(free) & ~rows.closed & ~rows.hit

        # Refreshes
        started = Signal()  # a row of multiply-accumulates has begun
        computes = of_kind(head.command, {Command.MAC, Command.MACA})
        with m.If(advance):
            m.d.sync += started.eq(~done & computes)
        between = ~(started | (advance & ~done & computes))
        with m.If((refresh.urgent | (refresh.owed & ~first.valid)) & between):
            m.d.sync += refreshing.eq(1)
        with m.Elif(~refresh.owed):
            m.d.sync += refreshing.eq(0)
        nothing = issued.command == Command.NOP
        closes_all = refreshing & rows.any_open & nothing & timers.ready_PREA
        refreshes = refreshing & ~rows.any_open & nothing & timers.ready_REF & refresh.owed
        m.d.comb += refresh.refreshed.eq(refreshes)

        busy = column | changes
        act, pre = _first(opens) & ~busy.replicate(self.WINDOW), _first(closes) & ~(busy | opens.any()).replicate(self.WINDOW)
        in_all = Cat(place.in_all for place in places)
        chosen = select_one_hot(act | pre, [Cat(place.operation.bank, place.operation.row) for place in places])
        commands = {
            Command.MRS: changes,
            **{Command.ACT: (act & ~in_all).any(), Command.ACTA: (act & in_all).any()},
            **{Command.PRE: (pre & ~in_all).any(), Command.PREA: (pre & in_all).any() | closes_all},
            Command.REF: refreshes,
        }
        m.d.comb += [
            decided.command.eq(union([*commands.values(), column], [*commands, head.command])),
            Cat(decided.bank, decided.row).eq(Mux(column, Cat(head.bank, head.row), Mux(changes, Cat(head.bank, new_mode), chosen))),
            decided.column.eq(head.column),
            decided.buffer.eq(head.buffer),
            self.busy.eq(first.valid),
        ]
        return m

    def _window(self, m: Module, advance: Value, done: Value) -> tuple[list[data.View], Signal]:
        """The operations, the first one as far as it has gone, and how many there are."""
        window = [Signal(operation_layout(self.dram), name=f"operation{i}", reset_less=True) for i in range(self.WINDOW)]
        level = Signal(range(self.WINDOW + 1))
        taken, kept = self.operations.valid & self.operations.ready, Signal.like(level)
        m.d.comb += [self.operations.ready.eq(level != self.WINDOW), kept.eq(level - done)]
        m.d.sync += level.eq(kept + taken)
        head = window[0]
        with m.If(advance):
            m.d.sync += [head.column.eq(head.column + 1), head.buffer.eq(head.buffer + 1), head.count.eq(head.count - 1)]
        for i, operation in enumerate(window):
            with m.If(kept == i):
                m.d.sync += operation.eq(self.operations.payload)
            with m.Elif(done):
                m.d.sync += operation.eq(window[min(i + 1, self.WINDOW - 1)])
        return window, level

    def _places(self, window: list[data.View], level: Signal) -> list[_Place]:
        issued, places = self.issued, []
        moved = of_kind(issued.command, OF_A_BANK | IN_ALL_BANKS)
        in_all_banks = of_kind(issued.command, IN_ALL_BANKS)
        for i, operation in enumerate(window):
            in_row, in_all = of_kind(operation.command, IN_ROWS), operation.command == Command.MACA
            touched = moved & (in_all_banks | in_all | (issued.bank == operation.bank))
            older = [other.in_row & (other.in_all | in_all | (other.operation.bank == operation.bank)) for other in places]
            places.append(_Place(operation, level > i, in_row, in_all, touched, Cat(older).any()))
        return places

    def _opens(self, timers: Timers, place: _Place) -> Value:
        return Mux(place.in_all, timers.ready_ACTA, timers.ready_ACT.bit_select(place.operation.bank, 1))

    def _closes(self, timers: Timers, place: _Place) -> Value:
        return Mux(place.in_all, timers.ready_PREA, timers.ready_PRE.bit_select(place.operation.bank, 1))


def _first(bits: Value) -> Value:
    """The lowest bit that is set, alone."""
    return bits & ~(bits - 1)[: len(bits)] if len(bits) > 1 else bits

"""Which command a channel gets in each cycle.

The rule: column commands are given in the order of the operations. In each cycle the first of these that is legal is given: the next
column command of the first operation, or the change of mode that it needs; the opening of a row, for the oldest operation of the window
that needs it and whose banks no older one needs; the closing of a row alike. Nothing else is useful. What was given in the cycle before
is not in the counters yet, so nothing goes to its banks, and nothing of its kind is given; no constraint is as short.

Refreshes come between operations: when one is owed and nothing is to be done, and all that are owed when no more may be postponed.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..arch.dram import IN_REGISTER_MODE, MODE_REGISTERS, Command, Dram
from ..select import select_one_hot, union
from .layouts import command_layout, of_kind, operation_layout
from .refresh import RefreshDebt
from .timers import IN_ALL_BANKS, OF_A_BANK, Timers
from .window import IN_ROWS, Window

ACTIVATES = frozenset({Command.ACT, Command.ACTA})
COLUMNS = IN_ROWS | IN_REGISTER_MODE
FOR_ALL = frozenset({Command.MRS, Command.REF})  # constraints on every command follow them


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
        m.submodules.window = window = Window(self.dram, self.WINDOW)
        m.submodules.refresh = refresh = RefreshDebt(self.dram.timing)
        connect(m, flipped(self.operations), window.operations)
        issued, decided = self.issued, self.decided
        m.d.sync += issued.eq(decided)
        m.d.comb += [timers.issued.eq(issued), window.issued.eq(issued)]
        refreshing, nothing = Signal(), issued.command == Command.NOP
        moved, settling = of_kind(issued.command, OF_A_BANK | IN_ALL_BANKS), of_kind(issued.command, FOR_ALL)
        in_all_banks = of_kind(issued.command, IN_ALL_BANKS)
        # The banks of each operation's place have had the last command, which is not in the counters yet
        touched = Cat(moved & (in_all_banks | place.in_all | (issued.bank == place.operation.bank)) for place in window.places)

        # The first operation's column command, or the change of mode that it needs
        place, valid = window.places[0], window.valid[0]
        head = place.operation
        mode, registers = Signal(issued.row.shape()), Signal()
        wrong_mode = (place.in_registers & ~registers) | (place.in_row & registers)
        has_data = ~place.writes | self.may_write.bit_select(head.ordinary, 1)
        has_room = ~place.reads | self.may_read.bit_select(head.ordinary, 1)
        goes_on = valid & ~of_kind(issued.command, COLUMNS | FOR_ALL) & ~refreshing
        in_row = ~place.in_row | (window.hit[0] & ~touched[0])
        in_time = union([head.command == command for command in sorted(COLUMNS)], [_ready(timers, c, place) for c in sorted(COLUMNS)])
        column = goes_on & ~wrong_mode & ~place.sets_mode & in_row & has_data & has_room & in_time
        changes = goes_on & (wrong_mode | place.sets_mode) & timers.ready_MRS
        m.d.comb += [
            window.advance.eq(column | (changes & place.sets_mode)),
            window.done.eq(window.advance & place.last),
            self.ordinary.eq(head.ordinary),
            self.busy.eq(valid),
        ]
        with m.If(changes & place.sets_mode):
            m.d.sync += mode.eq(head.row)
        with m.If(changes & ~place.sets_mode):
            m.d.sync += registers.eq(place.in_registers)
        new_mode = Mux(place.sets_mode, head.row, mode) | Mux(Mux(place.sets_mode, registers, place.in_registers), MODE_REGISTERS, 0)

        # Rows that are opened and closed
        places = [*window.places]
        in_all = Cat(place.in_all for place in places)
        free = window.valid & Cat(place.in_row for place in places) & ~window.blocked & ~touched
        free &= ~(settling | refreshing).replicate(self.WINDOW)
        can_open = Cat(Mux(place.in_all, timers.ready_ACTA, _ready(timers, Command.ACT, place)) for place in places)
        can_close = Cat(Mux(place.in_all, timers.ready_PREA, _ready(timers, Command.PRE, place)) for place in places)
        opens = free & window.closed & can_open & ~of_kind(issued.command, ACTIVATES).replicate(self.WINDOW)
        closes = free & ~window.closed & ~window.hit & can_close

        # Refreshes: not within a row of multiply-accumulates
        started = Signal()
        goes_on_with_row = Mux(window.advance, place.computes & ~place.last, started)
        m.d.sync += started.eq(goes_on_with_row)
        with m.If((refresh.urgent | (refresh.owed & ~valid)) & ~goes_on_with_row):
            m.d.sync += refreshing.eq(1)
        with m.Elif(~refresh.owed):
            m.d.sync += refreshing.eq(0)
        closes_all = refreshing & window.any_open & nothing & timers.ready_PREA
        refreshes = refreshing & ~window.any_open & nothing & timers.ready_REF & refresh.owed
        m.d.comb += refresh.refreshed.eq(refreshes)

        # What is given unless the first operation goes on, which is known late
        act, pre = _first(opens), _first(closes) & ~opens.any().replicate(self.WINDOW)
        others = {
            **{Command.ACT: (act & ~in_all).any(), Command.ACTA: (act & in_all).any()},
            **{Command.PRE: (pre & ~in_all).any(), Command.PREA: (pre & in_all).any() | closes_all},
            Command.REF: refreshes,
        }
        bank, row = (select_one_hot(act | pre, [place.operation[name] for place in places]) for name in ("bank", "row"))
        m.d.comb += [
            decided.command.eq(Mux(column, head.command, Mux(changes, Command.MRS, union([*others.values()], [*others])))),
            decided.bank.eq(Mux(column, head.bank, bank)),
            decided.row.eq(Mux(changes, new_mode, row)),  # nothing of a column command
            decided.column.eq(head.column),
            decided.buffer.eq(head.buffer),
        ]
        return m


def _ready(timers: Timers, command: Command, place: data.View) -> Value:
    """Whether the command may be given, to the place's bank if it is of one."""
    ready = getattr(timers, f"ready_{command.name}")
    return (ready & place.at_bank).any() if command in OF_A_BANK else ready


def _first(bits: Value) -> Value:
    """The lowest bit that is set, alone."""
    return bits & ~(bits - 1)[: len(bits)]

"""Which command a channel gets in each cycle.

The rule: column commands are given in the order of the operations. In each cycle the first of these that is legal is given: the next
column command of the first operation, or the change of mode that it needs; the opening of a row, for the oldest operation of the window
that needs it and whose banks no older one needs; the closing of a row alike. Nothing else is useful. The counters know of a command two
cycles after the decision for it, and the window of its banks three: until then nothing of its kind is given, and no row of its banks is
changed; no constraint is as short. The window moves a cycle after the decision, when the first operation waits in any case.

Refreshes come between operations: when one is owed and nothing is to be done, and all that are owed when no more may be postponed.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..arch.dram import IN_REGISTER_MODE, MODE_REGISTERS, Command, Dram
from ..arch.pim import WINDOW
from ..select import index_of, select_one_hot
from .layouts import command_layout, given_layout, is_one_of, operation_layout
from .refresh import RefreshDebt
from .timers import Timers
from .window import IN_ROWS, Window

ACTIVATES = frozenset({Command.ACT, Command.ACTA})
COLUMNS = IN_ROWS | IN_REGISTER_MODE


class Scheduler(wiring.Component):
    """Members
    -------
    operations: `operation_layout`; of MRS the row is the mode without MODE_REGISTERS. may_write, may_read: whether data of an operation
    that is not ordinary, and of one that is, have arrived, or have a place to go to; as of two cycles after the last burst.
    pins: the command, TO_PINS cycles behind the decision for it. writes, reads: whether that of the next cycle does. ordinary: whose data
    it moves. busy: whether there are operations.
    """

    def __init__(self, dram: Dram) -> None:
        self.dram = dram
        super().__init__(
            {
                "operations": In(stream.Signature(operation_layout(dram))),
                "may_write": In(2),
                "may_read": In(2),
                "pins": Out(command_layout(dram)),
                **{name: Out(1) for name in ("writes", "reads", "ordinary")},
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.groups = groups = Timers(self.dram, "group")
        m.submodules.channel = channel = Timers(self.dram, "channel")
        m.submodules.window = window = Window(self.dram, WINDOW)
        m.submodules.refresh = refresh = RefreshDebt(self.dram.timing)
        connect(m, flipped(self.operations), window.operations)
        given, refreshing = Signal(given_layout(self.dram)), Signal()  # given: the command of the cycle before, decoded
        m.d.comb += [groups.given.eq(given), channel.given.eq(given), window.given.eq(given)]
        column, changes, goes, refreshes = Signal(), Signal(), Signal(), Signal()  # goes: the first operation, by either
        # Of the cycle before: a command of a column or the mode; one that constraints on every command follow; any
        busy, settling, something = Signal(), Signal(), Signal()

        # The first operation's column command, or the change of mode that it needs
        place, valid = window.places[0], window.valid[0]
        head = place.operation
        mode, registers = Signal(given.row.shape()), Signal()
        wrong_mode = (place.in_registers & ~registers) | (place.in_row & registers)
        has_data = ~place.writes | self.may_write.bit_select(head.ordinary, 1)
        has_room = ~place.reads | self.may_read.bit_select(head.ordinary, 1)
        goes_on = valid & ~busy & ~refreshing
        in_row = ~place.in_row | (window.hit[0] & window.in_time[0])
        in_channel = Cat(place.kinds[c] & getattr(channel, f"ready_{c.name}") for c in sorted(COLUMNS)).any()
        in_groups = _everywhere(Mux(place.stores, groups.ready_WR, groups.ready_RD), place.at_group)
        in_time = in_channel & in_groups
        m.d.comb += [
            column.eq(goes_on & ~wrong_mode & ~place.sets_mode & in_row & has_data & has_room & in_time),
            changes.eq(goes_on & (wrong_mode | place.sets_mode) & channel.ready_MRS),
            goes.eq(column | (changes & place.sets_mode)),
            self.busy.eq(window.busy),
        ]
        m.d.sync += [
            *(window.advance.eq(goes), window.done.eq(goes & place.last), self.ordinary.eq(head.ordinary)),
            *(self.writes.eq(column & place.writes), self.reads.eq(column & place.reads)),
        ]
        with m.If(changes & place.sets_mode):
            m.d.sync += mode.eq(head.row)
        with m.If(changes & ~place.sets_mode):
            m.d.sync += registers.eq(place.in_registers)

        # Rows that are opened and closed
        places = [*window.places]
        in_all = Cat(place.in_all for place in places)
        free = window.valid & (channel.ready_PRE & ~settling & ~refreshing).replicate(WINDOW)
        in_turn = Cat(_everywhere(groups.ready_ACT, place.at_group) for place in places)
        # The window doesn't know yet of what was opened, or closed, in the cycle before
        opens = free & window.opens & in_turn & (channel.ready_ACT & ~is_one_of(given, ACTIVATES)).replicate(WINDOW)
        closes = free & window.closes & ~window.hit & ~window.closed

        # Refreshes: not within a row of multiply-accumulates
        started, lately = Signal(), Signal()
        m.d.sync += lately.eq(given.at_bank.any())
        goes_on_with_row = Mux(goes, place.computes & ~place.last, started)
        m.d.sync += started.eq(goes_on_with_row)
        with m.If((refresh.urgent | (refresh.owed & ~window.busy)) & ~goes_on_with_row):
            m.d.sync += refreshing.eq(1)
        with m.Elif(~refresh.owed):
            m.d.sync += refreshing.eq(0)
        can_refresh = refreshing & ~something
        closes_all = can_refresh & ~lately & window.any_open & window.all_close & channel.ready_PREA
        m.d.comb += [refreshes.eq(can_refresh & ~window.any_open & channel.ready_REF & refresh.owed), refresh.refreshed.eq(refreshes)]

        # What is given unless the first operation goes on, which is known late
        act, pre = _first(opens), _first(closes) & ~opens.any().replicate(WINDOW)
        others = {
            **{Command.ACT: (act & ~in_all).any(), Command.ACTA: (act & in_all).any()},
            **{Command.PRE: (pre & ~in_all).any(), Command.PREA: (pre & in_all).any() | closes_all},
            Command.REF: refreshes,
        }
        m.d.comb += window.closing.eq(Mux(column | changes, 0, pre))
        at_bank = select_one_hot(act | pre, [place.at_bank for place in places]) | closes_all.replicate(self.dram.banks)
        other_kinds = Cat(others.get(command, Const(0, 1)) for command in Command)
        m.d.sync += [
            busy.eq(column | changes | refreshes),
            settling.eq(changes | refreshes),
            something.eq(column | changes | refreshes | closes_all | opens.any() | closes.any()),
            given.kinds.eq(Mux(column, place.kinds, Mux(changes, 1 << Command.MRS, other_kinds))),
            given.at_bank.eq(Mux(column, place.at_bank, Mux(changes, 0, at_bank))),
            given.row.eq(select_one_hot(act, [place.operation.row for place in places])),
            self.pins.command.eq(index_of(given.kinds)),
            self.pins.bank.eq(index_of(given.at_bank)),  # nothing of a command to all banks
            self.pins.row.eq(Mux(given.kinds[Command.MRS], mode | Mux(registers, MODE_REGISTERS, 0), given.row)),
            self.pins.column.eq(head.column),
            self.pins.buffer.eq(head.buffer),
        ]
        return m


def _everywhere(ready: Value, places: Value) -> Value:
    """Whether all of these places are ready."""
    return (ready | ~places).all()


def _first(bits: Value) -> Value:
    """The lowest bit that is set, alone."""
    return bits & ~(bits - 1)[: len(bits)]

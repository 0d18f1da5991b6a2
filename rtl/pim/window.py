"""The operations that a channel's scheduler looks at: the first ones of those that wait."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arch.dram import IN_MEMORY_MODE, IN_REGISTER_MODE, Command, Dram
from .bank_rows import BankRows, hit_after
from .layouts import given_layout, of_kind, operation_layout
from .timers import Timers

IN_ROWS = IN_MEMORY_MODE
WRITES = frozenset({Command.WR, Command.WRGB, Command.WRMAC})
READS = frozenset({Command.RD, Command.RDMAC})
STORES = frozenset({Command.WR, Command.WRCP})
COMPUTES = frozenset({Command.MAC, Command.MACA})
_FOUND = "hit", "in_time", "opens", "closes", "closed"  # of places, beside the operation itself


def place_layout(dram: Dram) -> data.StructLayout:
    """An operation, and what is known of it. kinds: as of `given_layout`. at_bank, at_group: a bit for each bank and group that it goes to.
    last: a single command is left."""
    known = ("in_row", "in_all", "in_registers", "writes", "reads", "computes", "stores", "sets_mode", "last")
    bits = {"kinds": len(Command), "at_bank": dram.banks, "at_group": dram.bank_groups, **dict.fromkeys(known, 1)}
    return data.StructLayout({"operation": operation_layout(dram), **bits})


class Window(wiring.Component):
    """Members
    -------
    operations: the next ones. given: the command that was decided on in the cycle before. closing: the place whose row the one closes that
    is decided on in this cycle. advance: given is the first operation's; done: its last one. places: the oldest operation first. Before, an
    operation is in two registers, a cycle each or as long as there is no place: decoded, and compared with the row of its bank. valid:
    which places have one. busy: whether there is any operation.

    Of each place: hit: as of `BankRows`. in_time: whether the banks' timing allows the operation's commands. opens, closes: whether its
    banks are closed, or open, no older operation needs them, and their timing allows to open or close them. All these know of a command
    three cycles after the decision; opens and closes are low in the cycle before, where it is to the same bank. closed: its row's closing
    was decided on in the cycle before. any_open, all_close: whether any bank is open, and whether the timing allows to close all.

    What is known of a place is in registers, which move with the operations.
    """

    def __init__(self, dram: Dram, size: int) -> None:
        self.dram, self.size = dram, size
        super().__init__(
            {
                "operations": In(stream.Signature(operation_layout(dram))),
                "given": In(given_layout(dram)),
                "closing": In(size),
                "advance": In(1),
                "done": In(1),
                "places": Out(data.ArrayLayout(place_layout(dram), size)),
                "valid": Out(size),
                "busy": Out(1),
                **{name: Out(size) for name in _FOUND},
                **{name: Out(1) for name in ("any_open", "all_close")},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size, operations, done = self.size, self.operations, self.done
        m.submodules.rows = rows = BankRows(self.dram)
        m.submodules.timers = timers = Timers(self.dram, "bank")
        m.d.comb += [rows.given.eq(self.given), timers.given.eq(self.given), self.any_open.eq(rows.is_open.any())]
        m.d.sync += self.all_close.eq(timers.ready_PREA.all())

        level, moves = Signal(range(size + 1)), Signal()
        places = [Signal(place_layout(self.dram), name=f"place{i}", reset_less=True) for i in range(size)]
        entering, following = (Signal(place_layout(self.dram), name=name, reset_less=True) for name in ("entering", "following"))
        enters, follows, hit = Signal(), Signal(), Signal()  # whether there are such; hit: the following one's
        everyone = list(zip([*places, following], [*self.hit, hit], strict=True))
        m.d.comb += [
            moves.eq((level != size) | done),
            operations.ready.eq(~enters | ~follows | moves),
            self.valid.eq(Cat(level > i for i in range(size))),
            self.busy.eq(enters | follows | (level != 0)),
            *(rows.asked.at_bank.eq(entering.at_bank), rows.asked.row.eq(entering.operation.row), rows.asked.in_all.eq(entering.in_all)),
            Cat(self.places).eq(Cat(places)),
        ]
        m.d.sync += level.eq(level + (follows & moves) - done)
        with m.If(operations.ready):
            m.d.sync += [enters.eq(operations.valid), entering.eq(self._decoded(m))]
        with m.If(~follows | moves):
            m.d.sync += [follows.eq(enters), following.eq(entering), hit.eq(rows.hit)]
        with m.Else():
            m.d.sync += hit.eq(hit_after(rows.change, following, hit))

        def next_of(i: int, gone: int) -> Value:
            """Of the operation that is next in place i, when the first ``gone`` have left: itself, and what is found of it."""
            here, older = i + gone, range(gone, i + gone)  # where it and those before it are now

            def of(number: int) -> Value:
                (place, hit), others = everyone[number], (everyone[j][0] for j in older)
                blocked = Cat(_share_bank(place, other) for other in (self.given, *others)).any()
                is_open, (in_time, opens, closes) = (rows.is_open & place.at_bank).any(), _in_time(timers, place)
                free, closed = place.in_row & ~blocked, self.closing[number] if number < size else Const(0)
                return Cat(place, hit_after(rows.change, place, hit), in_time, free & ~is_open & opens, free & is_open & closes, closed)

            return of(size) if here == size else Mux(level == here, of(size), of(here))

        for i, place in enumerate(places):
            m.d.sync += Cat(place, *(getattr(self, name)[i] for name in _FOUND)).eq(Mux(done, next_of(i, 1), next_of(i, 0)))
        head = places[0]
        with m.If(self.advance & ~done):
            operation = head.operation
            m.d.sync += [operation.column.eq(operation.column + 1), operation.buffer.eq(operation.buffer + 1)]
            m.d.sync += [operation.count.eq(operation.count - 1), head.last.eq(operation.count == 2)]
        return m

    def _decoded(self, m: Module) -> data.View:
        """The operation that comes next."""
        new = Signal(place_layout(self.dram), name="decoded")
        payload, command = self.operations.payload, self.operations.payload.command
        kinds = {
            "in_row": IN_ROWS,
            "in_registers": IN_REGISTER_MODE,
            "writes": WRITES,
            "reads": READS,
            "computes": COMPUTES,
            "stores": STORES,
        }
        m.d.comb += [
            new.operation.eq(payload),
            new.kinds.eq(1 << command),
            new.at_bank.eq(_places(new, payload.bank, self.dram.banks)),
            new.at_group.eq(_places(new, payload.bank // self.dram.group_banks, self.dram.bank_groups)),
            new.in_all.eq(command == Command.MACA),
            new.sets_mode.eq(command == Command.MRS),
            new.last.eq(payload.count == 1),
            *(new[name].eq(of_kind(command, commands)) for name, commands in kinds.items()),
        ]
        return new


def _places(place: data.View, number: Value, count: int) -> Value:
    """A bit for each bank or group that it goes to."""
    return Cat(place.in_all | (place.in_row & (number == i)) for i in range(count))


def _in_time(timers: Timers, place: data.View) -> list[Value]:
    """Whether the banks' timing allows its column commands, and to open and to close its row."""
    of_one = sorted(IN_ROWS - {Command.MACA})
    in_time = [place.kinds[command] & (getattr(timers, f"ready_{command.name}") & place.at_bank).any() for command in of_one]
    in_time.append(place.in_all & timers.ready_MACA.all())

    def ready(one: Value, everyone: Value) -> Value:
        return Mux(place.in_all, everyone.all(), (one & place.at_bank).any())

    return [Cat(in_time).any(), ready(timers.ready_ACT, timers.ready_ACTA), ready(timers.ready_PRE, timers.ready_PREA)]


def _share_bank(place: data.View, other: data.View) -> Value:
    return (place.at_bank & other.at_bank).any()

"""The operations that a channel's scheduler looks at: the first ones of those that wait."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arch.dram import IN_MEMORY_MODE, IN_REGISTER_MODE, Command, Dram
from .bank_rows import BankRows
from .layouts import given_layout, of_kind, operation_layout

IN_ROWS = IN_MEMORY_MODE
WRITES = frozenset({Command.WR, Command.WRGB, Command.WRMAC})
READS = frozenset({Command.RD, Command.RDMAC})
COMPUTES = frozenset({Command.MAC, Command.MACA})


def place_layout(dram: Dram) -> data.StructLayout:
    """An operation, and what is known of it. kinds, at_bank: as of `given_layout`. last: a single command is left."""
    known = ("in_row", "in_all", "in_registers", "writes", "reads", "computes", "sets_mode", "last")
    return data.StructLayout({"operation": operation_layout(dram), "kinds": len(Command), "at_bank": dram.banks, **dict.fromkeys(known, 1)})


class Window(wiring.Component):
    """Members
    -------
    operations: the next ones. given: the command on the pins. places: the oldest operation first. valid: which of them there are.
    blocked: those of which an older one needs the banks. hit, closed, any_open: as of `BankRows`, two cycles after the command was on the
    pins. advance: the first operation's next command is given; done: it was the last one.

    What is known of a place is in registers, which move with the operations.
    """

    def __init__(self, dram: Dram, size: int) -> None:
        self.dram, self.size = dram, size
        super().__init__(
            {
                "operations": In(stream.Signature(operation_layout(dram))),
                "given": In(given_layout(dram)),
                "advance": In(1),
                "done": In(1),
                "places": Out(data.ArrayLayout(place_layout(dram), size)),
                **{name: Out(size) for name in ("valid", "blocked", "hit", "closed")},
                "any_open": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size, operations, done = self.size, self.operations, self.done
        level = Signal(range(size + 1))
        m.d.comb += [operations.ready.eq(level != size), self.valid.eq(Cat(level > i for i in range(size)))]
        m.d.sync += level.eq(level + (operations.valid & operations.ready) - done)

        places = [Signal(place_layout(self.dram), name=f"place{i}", reset_less=True) for i in range(size)]
        everyone = [*places, self._entering(m)]
        m.submodules.rows = rows = BankRows(self.dram, len(everyone))
        m.d.comb += [rows.given.eq(self.given), self.any_open.eq(rows.any_open), Cat(self.places).eq(Cat(places))]
        for asked, place in zip(rows.asked, everyone, strict=True):
            m.d.comb += [asked.bank.eq(place.operation.bank), asked.row.eq(place.operation.row), asked.in_all.eq(place.in_all)]

        def next_of(i: int, gone: int) -> Value:
            """Of the operation that is next in place i, when the first ``gone`` have left: itself, blocked, hit and closed."""
            here, older = i + gone, range(gone, i + gone)  # where it and those before it are now

            def of(number: int) -> Value:
                place, others = everyone[number], (everyone[j] for j in older)
                blocked = Cat(_share_bank(place, other) for other in others).any() if older else Const(0)
                return Cat(place, blocked, rows.hit[number], rows.closed[number])

            return of(size) if here == size else Mux(level == here, of(size), of(here))

        for i, place in enumerate(places):
            m.d.sync += Cat(place, self.blocked[i], self.hit[i], self.closed[i]).eq(Mux(done, next_of(i, 1), next_of(i, 0)))
        head = places[0]
        with m.If(self.advance & ~done):
            operation = head.operation
            m.d.sync += [operation.column.eq(operation.column + 1), operation.buffer.eq(operation.buffer + 1)]
            m.d.sync += [operation.count.eq(operation.count - 1), head.last.eq(operation.count == 2)]
        return m

    def _entering(self, m: Module) -> data.View:
        """The operation that comes next."""
        new = Signal(place_layout(self.dram), name="entering")
        command = self.operations.payload.command
        kinds = {"in_row": IN_ROWS, "in_registers": IN_REGISTER_MODE, "writes": WRITES, "reads": READS, "computes": COMPUTES}
        m.d.comb += [
            new.operation.eq(self.operations.payload),
            new.kinds.eq(1 << command),
            new.at_bank.eq(Mux(new.in_all, ~0, 1 << self.operations.payload.bank)),
            new.in_all.eq(command == Command.MACA),
            new.sets_mode.eq(command == Command.MRS),
            new.last.eq(self.operations.payload.count == 1),
            *(new[name].eq(of_kind(command, commands)) for name, commands in kinds.items()),
        ]
        return new


def _share_bank(place: data.View, other: data.View) -> Value:
    return place.in_row & other.in_row & (place.at_bank & other.at_bank).any()

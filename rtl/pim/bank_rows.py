"""Which row is open in each bank of a channel."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..arch.dram import Command, Dram
from .layouts import given_layout, is_one_of


def change_layout(dram: Dram) -> data.StructLayout:
    """What a command did: opens, opens_all: the row in one bank or in all; ends: that all banks are open on the row that one command
    opened, or that the bank is open at all."""
    return data.StructLayout({"opens": 1, "opens_all": 1, "ends": 1, "at_bank": dram.banks, "row": range(dram.rows)})


def hit_after(change: data.View, place: data.View, hit: Value) -> Value:
    """Whether the row of an operation (`place_layout`) is open, after a change: as `BankRows` finds it, but from what it was before."""
    here = (change.at_bank & place.at_bank).any()
    opens = change.opens_all | (change.opens & ~place.in_all & here)
    return (opens & (change.row == place.operation.row)) | (hit & ~(change.ends & here))


class BankRows(wiring.Component):
    """Members
    -------
    given: the command of the cycle before; it shows in the next cycle. asked: a row of a bank, or of all banks at once (in_all). hit:
    whether it is open; of all banks only if one command opened it. is_open: a bit for each bank. change: the latest one that shows.
    """

    def __init__(self, dram: Dram) -> None:
        self.dram = dram
        super().__init__(
            {
                "given": In(given_layout(dram)),
                "asked": In(data.StructLayout({"at_bank": dram.banks, "row": range(dram.rows), "in_all": 1})),
                "hit": Out(1),
                "is_open": Out(dram.banks),
                "change": Out(change_layout(dram)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        given, banks = self.given, range(self.dram.banks)
        alike = Signal()  # all are open on the row that one command opened
        rows = [Signal(range(self.dram.rows), name=f"row{bank}", reset_less=True) for bank in banks]
        for bank in banks:
            with m.If(given.at_bank[bank] & is_one_of(given, {Command.ACT, Command.ACTA})):
                m.d.sync += [rows[bank].eq(given.row), self.is_open[bank].eq(1)]
            with m.If(given.at_bank[bank] & is_one_of(given, {Command.PRE, Command.PREA})):
                m.d.sync += self.is_open[bank].eq(0)
        with m.If(given.kinds[Command.ACTA]):
            m.d.sync += alike.eq(1)
        ends = is_one_of(given, {Command.ACT, Command.PRE, Command.PREA})
        with m.If(ends):
            m.d.sync += alike.eq(0)
        m.d.sync += [
            self.change.opens.eq(given.kinds[Command.ACT]),
            self.change.opens_all.eq(given.kinds[Command.ACTA]),
            self.change.ends.eq(ends),
            self.change.at_bank.eq(given.at_bank),
            self.change.row.eq(given.row),
        ]
        asked = self.asked
        same = Cat(row == asked.row for row in rows)
        m.d.comb += self.hit.eq(Mux(asked.in_all, alike & same[0], (self.is_open & asked.at_bank & same).any()))
        return m

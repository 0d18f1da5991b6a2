"""Which row is open in each bank of a channel."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..arch.dram import Command, Dram
from .layouts import given_layout, is_one_of


class BankRows(wiring.Component):
    """Members
    -------
    given: the command on the pins; it shows in the next cycle. asked: rows of a bank, or of all banks at once (in_all). hit: for each of
    them whether it is open; of all banks only if one command opened it. closed: whether the bank, or every bank, is closed. any_open.
    """

    def __init__(self, dram: Dram, places: int) -> None:
        self.dram, self.places = dram, places
        asked = data.StructLayout({"at_bank": dram.banks, "row": range(dram.rows), "in_all": 1})
        super().__init__(
            {
                "given": In(given_layout(dram)),
                "asked": In(data.ArrayLayout(asked, places)),
                "hit": Out(places),
                "closed": Out(places),
                "any_open": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        given, banks = self.given, range(self.dram.banks)
        is_open, alike = Signal(self.dram.banks), Signal()  # alike: all are open on the row that one command opened
        rows = [Signal(range(self.dram.rows), name=f"row{bank}", reset_less=True) for bank in banks]
        for bank in banks:
            with m.If(given.at_bank[bank] & is_one_of(given, {Command.ACT, Command.ACTA})):
                m.d.sync += [rows[bank].eq(given.row), is_open[bank].eq(1)]
            with m.If(given.at_bank[bank] & is_one_of(given, {Command.PRE, Command.PREA})):
                m.d.sync += is_open[bank].eq(0)
        with m.If(given.kinds[Command.ACTA]):
            m.d.sync += alike.eq(1)
        with m.If(is_one_of(given, {Command.ACT, Command.PRE, Command.PREA})):
            m.d.sync += alike.eq(0)
        for place in range(self.places):
            asked = self.asked[place]
            opened, same = is_open & asked.at_bank, Cat(row == asked.row for row in rows)
            m.d.comb += [
                self.hit[place].eq(Mux(asked.in_all, alike & same[0], (opened & same).any())),
                self.closed[place].eq(~opened.any()),
            ]
        m.d.comb += self.any_open.eq(is_open.any())
        return m

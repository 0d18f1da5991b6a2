"""How many refreshes a channel owes."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arch.dram import POSTPONED_REFRESHES, Timing
from .timers import TO_PINS


class RefreshDebt(wiring.Component):
    """Members
    -------
    refreshed: a refresh is decided on. owed: whether one is due, on the pins every interval. urgent: no more may be postponed.
    """

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        super().__init__({"refreshed": In(1), "owed": Out(1), "urgent": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        interval = Signal(range(self.timing.refi), init=self.timing.refi - TO_PINS)
        debt, due = Signal(range(POSTPONED_REFRESHES + 2)), Signal()
        m.d.comb += due.eq(interval == 0)
        m.d.sync += [
            interval.eq(Mux(due, self.timing.refi - 1, interval - 1)),
            debt.eq(debt + due - self.refreshed),
        ]
        m.d.comb += [self.owed.eq(debt != 0), self.urgent.eq(debt >= POSTPONED_REFRESHES)]
        return m

"""Round-robin arbiter."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class RoundRobin(wiring.Component):
    """Grants one of ``count`` requesters each cycle, combinationally, the one after the last granted first.

    ``grant`` is one-hot, zero when nobody requests. A request that stays is granted within ``count`` cycles.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        super().__init__({"requests": In(count), "grant": Out(count)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        last = Signal(range(self._count))
        with m.Switch(last):
            for previous in range(self._count):
                with m.Case(previous):
                    order = [(previous + 1 + i) % self._count for i in range(self._count)]
                    for chosen in reversed(order):  # the last assignment wins: the first in order
                        with m.If(self.requests[chosen]):
                            m.d.comb += self.grant.eq(1 << chosen)
        for i in range(self._count):
            with m.If(self.grant[i]):
                m.d.sync += last.eq(i)
        return m

"""Arbiter of requesters that all get their turn."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class LeastRecent(wiring.Component):
    """Grants one of ``count`` requesters each cycle, combinationally, the one whose last grant is longest ago.

    ``grant`` is one-hot, zero when nobody requests. A request that stays is granted within ``count`` cycles. Who goes before whom is kept
    for each pair, which takes the fewest levels of logic from a request to a grant.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        super().__init__({"requests": In(count), "grant": Out(count)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        everyone = range(self._count)
        first = {(i, j): Signal(init=1, name=f"first_{i}_{j}") for j in everyone for i in range(j)}  # i goes before j
        for i in everyone:
            others = [self.requests[j] & (first[j, i] if j < i else ~first[i, j]) for j in everyone if j != i]
            m.d.comb += self.grant[i].eq(self.requests[i] & ~Cat(others).any())
            with m.If(self.grant[i]):
                m.d.sync += [first[i, j].eq(0) for j in range(i + 1, self._count)]
                m.d.sync += [first[j, i].eq(1) for j in range(i)]
        return m

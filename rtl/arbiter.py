"""Arbiters: of requesters that all get their turn, and of such that stay as long as they like."""

from amaranth.hdl import Cat, Module, Mux, Signal
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


class MostRecent(wiring.Component):
    """Grants one of ``count`` requesters, combinationally: the one that was granted last, if that requests; else the first.

    ``grant`` is one-hot, zero when nobody requests. taken: the grant counts.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        super().__init__({"requests": In(count), "taken": In(1), "grant": Out(count)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        last = Signal(self._count)
        first = Cat(request & ~self.requests[:i].any() for i, request in enumerate(self.requests))
        stays = (last & self.requests).any()
        m.d.comb += self.grant.eq(Mux(stays, last, first))
        with m.If(self.taken):
            m.d.sync += last.eq(self.grant)
        return m

"""Arbiters: of requesters that all get their turn, and of such that stay for a while."""

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


class Holding(wiring.Component):
    """Grants one of ``count`` requesters, combinationally, and from then on no other, until it is ``elsewhere`` or has not requested for
    PATIENCE cycles.

    ``grant`` is one-hot, zero when the holder does not request, or nobody does. taken: the grant counts.
    """

    PATIENCE = 2

    def __init__(self, count: int) -> None:
        self._count = count
        super().__init__({"requests": In(count), "elsewhere": In(count), "taken": In(1), "grant": Out(count)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        holder, idle = Signal(self._count), Signal(range(self.PATIENCE))
        held = holder & ~self.elsewhere
        first = Cat(request & ~self.requests[:i].any() for i, request in enumerate(self.requests))
        m.d.comb += self.grant.eq(Mux(held.any(), held & self.requests, first))
        with m.If(self.taken):
            m.d.sync += [holder.eq(self.grant), idle.eq(0)]
        with m.Elif((idle == self.PATIENCE - 1) | ~held.any()):
            m.d.sync += holder.eq(0)
        with m.Elif(~(held & self.requests).any()):
            m.d.sync += idle.eq(idle + 1)
        return m

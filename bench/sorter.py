"""What the top-k engine is held against: the comparators of a sorter that is as fast."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Exchangers(wiring.Component):
    """Comparators of a key and its index with those that they keep, each behind a register; each has the smaller one of the comparator
    before it. They are what a sorter of so many of them needs, but for its memories and the network between."""

    def __init__(self, count: int, *, key_bits: int, index_bits: int) -> None:
        self._count, self._key_bits = count, key_bits
        pair = unsigned(key_bits + index_bits)
        super().__init__({"i": In(pair), "o": Out(pair)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        smaller = self.i
        for number in range(self._count):
            comes, kept, passes = smaller, Signal.like(self.i, name=f"kept{number}"), Signal.like(self.i, name=f"passes{number}")
            larger = comes[: self._key_bits] > kept[: self._key_bits]
            m.d.sync += [kept.eq(Mux(larger, comes, kept)), passes.eq(Mux(larger, kept, comes))]
            smaller = passes
        m.d.comb += self.o.eq(smaller)
        return m

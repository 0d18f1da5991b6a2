"""What the top-k engine is held against: a sorter that is as fast (Batcher's odd-even merge sort, AFIPS 1968)."""

from collections.abc import Iterator

from amaranth.hdl import Cat, Module, Mux, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


def odd_even_merge_sort(n: int) -> Iterator[tuple[int, int]]:
    """The pairs of places that are compared and put in order, one after the other. n: a power of two."""
    size = 1
    while size < n:
        step = size
        while step:
            for start in range(step % size, n - step, 2 * step):
                for i in range(start, start + step):
                    if i // (2 * size) == (i + step) // (2 * size):
                        yield i, i + step
            step //= 2
        size *= 2


class Exchangers(wiring.Component):
    """Comparators that put pairs of a key and an index in order, each pair a cycle later: all that a sorter of so many of them needs but
    its memories and the network between."""

    latency = 1

    def __init__(self, count: int, *, key_bits: int, index_bits: int) -> None:
        self._key_bits = key_bits
        pairs = data.ArrayLayout(data.ArrayLayout(unsigned(key_bits + index_bits), 2), count)
        super().__init__({"i": In(pairs), "o": Out(pairs)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for (a, b), sorted_pair in zip(self.i, self.o, strict=True):
            swaps = a[: self._key_bits] < b[: self._key_bits]
            m.d.sync += Cat(*sorted_pair).eq(Mux(swaps, Cat(b, a), Cat(a, b)))
        return m

"""Sorts a beat of keys in a pipeline: Batcher's odd-even merge sort (AFIPS 1968)."""

from collections.abc import Iterator

from amaranth.hdl import Module, Mux, ShapeLike, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


def odd_even_merge_sort(n: int) -> Iterator[list[tuple[int, int]]]:
    """Layers of pairs of places that are compared and put in order, the pairs of a layer all at once. n: a power of two."""
    size = 1
    while size < n:
        step = size
        while step:
            starts = range(step % size, n - step, 2 * step)
            pairs = ((i, i + step) for start in starts for i in range(start, start + step))
            yield [(i, j) for i, j in pairs if i // (2 * size) == j // (2 * size)]
            step //= 2
        size *= 2


class Sorter(wiring.Component):
    """Members
    -------
    i: unsigned keys. o: the same `latency` cycles later, the largest first.
    """

    def __init__(self, key: ShapeLike, lanes: int) -> None:
        self._layers = [*odd_even_merge_sort(lanes)]
        keys = data.ArrayLayout(key, lanes)
        super().__init__({"i": In(keys), "o": Out(keys)})

    @property
    def latency(self) -> int:
        return len(self._layers)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        keys = [*self.i]
        for number, pairs in enumerate(self._layers):
            sorted_keys = [Signal.like(key, name=f"layer{number}_{place}", reset_less=True) for place, key in enumerate(keys)]
            m.d.sync += [later.eq(key) for later, key in zip(sorted_keys, keys, strict=True)]
            for first, second in pairs:
                swap = keys[second] > keys[first]
                m.d.sync += [
                    sorted_keys[first].eq(Mux(swap, keys[second], keys[first])),
                    sorted_keys[second].eq(Mux(swap, keys[first], keys[second])),
                ]
            keys = sorted_keys
        m.d.comb += [place.eq(key) for place, key in zip(self.o, keys, strict=True)]
        return m

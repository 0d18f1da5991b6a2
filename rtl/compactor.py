"""Puts the elements of a row that are kept side by side: the zero eliminator of SpAtten (arXiv 2012.09852), and what packs its results.

An element goes to the lane (elements kept before it in the row) mod lanes. So what is kept in a beat goes to lanes that follow each other,
and a network of log2(lanes) layers takes it there: layer b exchanges lanes whose numbers differ in bit b, by bit b of where an element
goes. No two elements meet: of two in a pair of layer 0, one goes to an even lane, the other to an odd one; and those that go to even lanes,
one from each pair at most, go to lanes that follow each other again, half as many, which is layer 1. Likewise the odd ones.
"""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .count_ones import counts_before
from .delay import delay
from .elements import beat_layout

_LAYERS = 2  # of the network, between two registers


@dataclass(frozen=True)
class _Lane:
    value: Value
    there: Value
    goes_to: Value


class Compactor(wiring.Component):
    """Members
    -------
    i, i_valid: beats of a row, with ``keep`` for what is kept of them.
    o, o_valid: beats with an element in every lane but those of the last one, which comes last and may be empty. A beat comes `latency`
    cycles after the one that fills it; the last one may come a cycle later. In that cycle after a row's end no beat may be given.
    """

    def __init__(self, element: ShapeLike, lanes: int) -> None:
        self._lanes = lanes
        beat = beat_layout(lanes, element)
        super().__init__({"i": In(beat), "i_valid": In(1), "o": Out(beat), "o_valid": Out(1)})

    @property
    def _layers(self) -> int:
        return exact_log2(self._lanes)

    @property
    def latency(self) -> int:
        return 2 + -(-self._layers // _LAYERS)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, bits = self._lanes, self._layers
        before = [delay(m, count, 1) for count in counts_before(self.i.keep)]  # in other cycles, too, where it does not count
        valid, last = delay(m, self.i_valid, 1, reset_less=False), delay(m, self.i.last, 1)

        filled = Signal(bits)  # lanes of the beat that is being filled
        total = Signal(bits + 1)
        m.d.comb += total.eq(filled + before[-1])
        with m.If(valid):
            m.d.sync += filled.eq(Mux(last, 0, total[:bits]))
        there = delay(m, self.i.keep & self.i_valid.replicate(lanes), 2, reset_less=False)
        network = [
            _Lane(delay(m, Value.cast(self.i.values[lane]), 2), there[lane], delay(m, (before[lane] + filled)[:bits], 1))
            for lane in range(lanes)
        ]
        for bit in range(bits):
            network = [_chosen(network[lane], network[lane ^ 1 << bit], bit, lane) for lane in range(lanes)]
            if bit % _LAYERS == _LAYERS - 1 or bit == bits - 1:
                network = [_Lane(delay(m, x.value, 1), delay(m, x.there, 1, reset_less=False), delay(m, x.goes_to, 1)) for x in network]

        rest = self.latency - 1
        full, ends = (delay(m, valid & flag, rest, reset_less=False) for flag in (total[bits], last))
        # Lanes that were filled by the beats before; and those that are filled now, of this beat or, once it is full, of the next one.
        # The last one is never among them.
        old, new = (delay(m, Cat(*(lane < count for lane in range(lanes - 1)), Const(0, 1)), rest) for count in (filled, total[:bits]))
        more, overflows, rest_kept = full & new.any(), Signal(), delay(m, new, 1)
        m.d.sync += overflows.eq(ends & more)  # in the next cycle the last beat comes
        m.d.comb += [
            self.o_valid.eq(full | ends | overflows),
            self.o.last.eq(overflows | (ends & ~more)),
            self.o.keep.eq(Mux(overflows, rest_kept, full.replicate(lanes) | new)),
        ]
        for lane, comes in enumerate(network):
            waiting = Signal(len(comes.value), name=f"waiting{lane}", reset_less=True)
            with m.If(comes.there):
                m.d.sync += waiting.eq(comes.value)
            m.d.comb += Value.cast(self.o.values[lane]).eq(Mux(overflows | old[lane], waiting, comes.value))
        return m


def _chosen(own: _Lane, other: _Lane, bit: int, lane: int) -> _Lane:
    """What comes to ``lane`` behind a layer."""
    side = lane >> bit & 1
    crosses = other.there & (other.goes_to[bit] == side)
    stays = own.there & (own.goes_to[bit] == side)
    return _Lane(Mux(crosses, other.value, own.value), crosses | stays, Mux(crosses, other.goes_to, own.goes_to))

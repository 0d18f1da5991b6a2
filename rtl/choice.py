"""Which elements of a row are above a threshold, and the first of those that equal it."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .count_ones import counts_before
from .delay import delay
from .elements import beat_layout


class Choice(wiring.Component):
    """Members
    -------
    i, i_valid: beats of a row of keys. threshold. ties: how many that equal it are chosen, taken with ``start``, before the row's first
    beat. chosen: one bit for each lane, `latency` cycles after the beat; none in other cycles.
    """

    latency = 3

    def __init__(self, key_bits: int, lanes: int, *, row_elements: int) -> None:
        self._lanes = lanes
        super().__init__(
            {
                "i": In(beat_layout(lanes, key_bits)),
                "i_valid": In(1),
                "threshold": In(key_bits),
                "ties": In(row_elements.bit_length()),
                "start": In(1),
                "chosen": Out(lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        keys = [self.i.values[lane] for lane in range(self._lanes)]
        above = delay(m, self.i.keep & Cat(key > self.threshold for key in keys), 1)
        equal = delay(m, self.i.keep & Cat(key == self.threshold for key in keys), 1)
        before = [delay(m, count, 1) for count in counts_before(equal)]
        left = Signal.like(self.ties)  # that equal the threshold and are chosen
        passes = delay(m, self.i_valid, 2, reset_less=False)
        with m.If(self.start):
            m.d.sync += left.eq(self.ties)
        with m.Elif(passes):
            m.d.sync += left.eq(Mux(left > before[-1], left - before[-1], 0))
        chosen = delay(m, above, 1) | (delay(m, equal, 1) & Cat(count < left for count in before[:-1]))
        m.d.sync += self.chosen.eq(Mux(passes, chosen, 0))
        return m

"""Finds the k-th largest element of a row by its digits, from the highest to the lowest.

A row is counted by its highest digit as it comes. Among the elements that have the digit that the k-th largest has, this one is looked for
by the next digit that they are known to differ in; and so on, until all that are left are equal.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .arch.topk import COUNT_BITS, DIGIT_BITS
from .delay import delay
from .digit_counts import DigitCounts
from .digit_decision import DigitDecision
from .elements import beat_layout


class RadixSelector(wiring.Component):
    """Members
    -------
    k: constant while rows are under way. restart: the next beat is the first one of a row.
    i, i_valid, first: the beats of a row, then those of what is left of it, as often as it is asked for. ``i.last`` with the last of each.
    decided: high `latency` cycles after each last beat. In that cycle found: the k-th largest is known, and all of the row is to be read
    for the results. Otherwise, those elements are to be given next in which digit ``place`` is ``value``. length, whole: how many elements
    are to be read for that, and whether these are the row as it came or what was left of it. continues: it is not the row's first decision.
    wanted: how many are chosen of the row, then of what is left of it; once the k-th largest is known, of those that equal it. excess: k
    is larger than the row. These, place, value and threshold change in the cycle after decided.
    threshold: the k-th largest, when it is known; ones with k = 0, zero where k is larger than the row.
    """

    def __init__(self, key_bits: int, lanes: int, *, row_elements: int) -> None:
        self._counts = DigitCounts(key_bits, lanes, row_elements=row_elements)
        count = row_elements.bit_length()
        place = self._counts.signature.members["digit"].shape
        super().__init__(
            {
                "k": In(COUNT_BITS),
                "i": In(beat_layout(lanes, key_bits)),
                "i_valid": In(1),
                "first": In(1),
                "restart": In(1),
                "decided": Out(1),
                "found": Out(1),
                "whole": Out(1),
                "continues": Out(1),
                "length": Out(count),
                "place": Out(place),
                "value": Out(DIGIT_BITS),
                "threshold": Out(key_bits),
                "wanted": Out(count),
                "excess": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        return self._counts.latency + DigitDecision.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.counts = counts = self._counts
        m.submodules.decision = decision = DigitDecision(counts)
        digit, of_row = Signal.like(counts.digit), Signal(init=1)  # that is counted; nothing of the row is decided yet
        elements, kept, none = Signal.like(self.length), Signal.like(self.length), Signal()
        m.d.comb += [
            *(counts.i.eq(self.i), counts.i_valid.eq(self.i_valid), counts.first.eq(self.first), counts.digit.eq(digit)),
            *(getattr(decision, name).eq(getattr(counts, name)) for name in ("at_least", "ones", "zeros", "digit")),
            decision.wanted.eq(self.wanted),
        ]
        counted = delay(m, self.i_valid & self.i.last, counts.latency, reset_less=False)
        with m.If(counted & of_row):
            m.d.sync += [self.excess.eq(self.k > counts.at_least[0]), none.eq(self.k == 0), elements.eq(counts.at_least[0])]
        m.d.comb += [
            self.decided.eq(delay(m, counted, decision.latency, reset_less=False)),
            self.found.eq(~decision.more | none | self.excess),
            *(self.whole.eq(self.found | of_row), self.continues.eq(~of_row)),
            self.length.eq(Mux(self.whole, elements, kept)),
        ]
        with m.If(self.decided):
            m.d.sync += [
                *(of_row.eq(0), digit.eq(decision.following), self.place.eq(digit), self.value.eq(decision.value)),
                *(kept.eq(decision.inside), self.wanted.eq(self.wanted - decision.above)),
                self.threshold.eq(Mux(self.excess, 0, decision.least | none.replicate(len(self.threshold)))),
            ]
        with m.Elif(of_row):
            m.d.sync += self.wanted.eq(Mux(self.excess, elements, self.k))
        with m.If(self.restart):
            m.d.sync += [of_row.eq(1), digit.eq(0), self.excess.eq(0)]
        return m

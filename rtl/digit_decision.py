"""Which digit the wanted-th largest element of a row has, by the counts of the row's digits."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .arch.topk import DIGIT_BITS
from .delay import delay
from .digit_counts import DigitCounts, digits
from .select import index_of, select_one_hot


class DigitDecision(wiring.Component):
    """Members
    -------
    at_least, ones, zeros, digit: as DigitCounts has them. wanted: 1 and more.
    value: what the digit is, `latency` cycles later, as the others. above: how many elements have a larger one; inside: how many have this
    one. more: not all that have it are equal, for all that is known; then ``following`` is the next digit that they differ in. least: if
    they are equal, what they are.
    """

    latency = 2

    def __init__(self, counts: DigitCounts) -> None:
        ports = counts.signature.members
        self._key_bits, count = ports["ones"].shape, ports["at_least"].shape
        super().__init__(
            {
                **{name: In(ports[name].shape) for name in ("at_least", "ones", "zeros", "digit")},
                "wanted": In(count.elem_shape),
                "value": Out(DIGIT_BITS),
                **{name: Out(count.elem_shape) for name in ("above", "inside")},
                "more": Out(1),
                "following": Out(ports["digit"].shape),
                "least": Out(self._key_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        counts = [self.at_least[value] for value in range(1 << DIGIT_BITS)]
        enough = Signal(len(counts))
        one_hot = enough & ~(enough >> 1)
        inside, above = (select_one_hot(one_hot, values) for values in (counts, [*counts[1:], Const(0)]))
        value = index_of(one_hot)
        m.d.sync += [
            *(bit.eq(count >= self.wanted) for bit, count in zip(enough, counts, strict=True)),
            *(self.value.eq(value), self.above.eq(above), self.inside.eq(inside - above)),
        ]

        places = range(len(digits(self.ones)))
        differ = Cat(place.any() for place in digits(self.ones & self.zeros))
        below = Signal(len(places))
        m.d.sync += [below.eq(differ & Cat(Const(0, 1), *(self.digit < place for place in places[1:]))), self.more.eq(below.any())]
        for place in reversed(places):
            with m.If(below[place]):
                m.d.sync += self.following.eq(place)
        # What is in all elements, but for the digit that was counted, where they have this value.
        common = [Mux(self.digit == place, value, digit) for place, digit in enumerate(digits(delay(m, self.ones, 1)))]
        padded = Cat(reversed(common))
        m.d.sync += self.least.eq(padded[len(padded) - self._key_bits :])
        return m

"""How many elements of a row have a digit of at least 1, 2, ...: what a radix selection has to know of it.

keys -> digits -> at least 1, 2, ... -> counts of a beat -> counts
"""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .arch.topk import DIGIT_BITS
from .count_ones import count_ones
from .delay import delay
from .elements import beat_layout
from .select import select, union

_COUNTED = 16  # bits that are counted in a cycle


def digits(key: Value) -> list[Value]:
    """From the highest to the lowest, which is filled up with zeros."""
    padded = Cat(Const(0, -len(key) % DIGIT_BITS), key)
    return [padded[start : start + DIGIT_BITS] for start in reversed(range(0, len(padded), DIGIT_BITS))]


class DigitCounts(wiring.Component):
    """Members
    -------
    i, i_valid: beats of keys, of which those with ``keep`` count. first: with a row's first beat. digit: the one that is looked at, counted
    from the highest.
    at_least: for each value of a digit how many elements have that or a higher one, `latency` cycles after the row's last beat. ones,
    zeros: of the same elements, the bits that are set in any of them, and those that are not set in any.
    """

    def __init__(self, key_bits: int, lanes: int, *, row_elements: int) -> None:
        self._key_bits, self._lanes = key_bits, lanes
        self._digits = -(-key_bits // DIGIT_BITS)
        count = row_elements.bit_length()
        super().__init__(
            {
                "i": In(beat_layout(lanes, key_bits)),
                "i_valid": In(1),
                "first": In(1),
                "digit": In(range(self._digits)),
                "at_least": Out(data.ArrayLayout(count, 1 << DIGIT_BITS)),
                "ones": Out(key_bits),
                "zeros": Out(key_bits),
            }
        )

    @property
    def latency(self) -> int:
        return 3 + (self._lanes > _COUNTED)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, beat = range(self._lanes), self.i
        # What is not kept has a digit of 0, which is larger than none.
        chosen = [delay(m, Mux(beat.keep[lane], select(self.digit, digits(beat.values[lane])), 0), 1) for lane in lanes]
        kept = delay(m, beat.keep, 1)
        larger = ([digit > value for digit in chosen] for value in range((1 << DIGIT_BITS) - 1))
        found = [self._count(m, bits) for bits in (kept, *larger)]
        before = self.latency - 1
        valid, first = delay(m, self.i_valid, before, reset_less=False), delay(m, self.first, before)
        ones, zeros = (
            delay(m, union(beat.keep, keys), before)
            for keys in ([beat.values[lane] for lane in lanes], [~beat.values[lane] for lane in lanes])
        )
        with m.If(valid):
            m.d.sync += [
                *(total.eq(Mux(first, 0, total) + count) for total, count in zip(self.at_least, found, strict=True)),
                self.ones.eq(Mux(first, 0, self.ones) | ones),
                self.zeros.eq(Mux(first, 0, self.zeros) | zeros),
            ]
        return m

    def _count(self, m: Module, bits: Sequence[Value]) -> Value:
        """Some cycles later."""
        parts = [delay(m, count_ones(bits[start : start + _COUNTED]), 1) for start in range(0, len(bits), _COUNTED)]
        return delay(m, sum(parts[1:], parts[0]), 1) if len(parts) > 1 else parts[0]

"""Requantizer: one value a cycle from an accumulator's scale to an 8- or 16-bit output's (model: sw/golden/requantize.py)."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .arch.formats import MULTIPLIER_BITS, SHIFT_BITS
from .rounding import saturate, split_shift


class Requantizer(wiring.Component):
    """``o = clamp(round_half_even(value * multiplier / 2**shift) + zero_point, low, high)``, `latency` cycles later.

    Members
    -------
    i: value, signed of ``width`` bits; multiplier, unsigned 16 bits; shift 0..63.
    zero_point, low, high: signed 16 bits, constant while values are under way.
    o: signed 16 bits.
    """

    latency = 4

    def __init__(self, width: int) -> None:
        self._width = width
        layout = data.StructLayout({"value": signed(width), "multiplier": MULTIPLIER_BITS, "shift": SHIFT_BITS})
        constant = In(signed(16))
        super().__init__({"i": In(layout), "zero_point": constant, "low": constant, "high": constant, "o": Out(signed(16))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        product = Signal(signed(self._width + MULTIPLIER_BITS))
        shift = Signal(SHIFT_BITS)
        floor, up = Signal.like(product), Signal()
        total = Signal(signed(len(product) + 1))
        next_floor, next_up = split_shift(product, shift)
        m.d.sync += [
            product.eq(self.i.value * self.i.multiplier),
            shift.eq(self.i.shift),
            floor.eq(next_floor),
            up.eq(next_up),
            total.eq(floor + up + self.zero_point),
            self.o.eq(saturate(total, self.low, self.high)),
        ]
        return m

"""Rounding shift with saturation, and the requantizer (model: sw/golden/requantize.py)."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .arch.formats import MULTIPLIER_BITS, SHIFT_BITS
from .rounding import saturate, split_shift


def _limits(out_bits: int) -> dict[str, wiring.Member]:
    return {name: In(signed(out_bits)) for name in ("zero_point", "low", "high")}


class Rounder(wiring.Component):
    """``o = clamp(round_half_even(value / 2**shift) + zero_point, low, high)``, `latency` cycles later.

    Members
    -------
    i: value, signed of ``width`` bits; shift 0..63.
    zero_point, low, high: signed of ``out_bits`` bits, constant while values are under way. o: signed of ``out_bits`` bits.
    """

    latency = 3

    def __init__(self, width: int, *, out_bits: int = 16) -> None:
        self._width = width
        layout = data.StructLayout({"value": signed(width), "shift": SHIFT_BITS})
        super().__init__({"i": In(layout), **_limits(out_bits), "o": Out(signed(out_bits))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        floor, up = Signal(signed(self._width), reset_less=True), Signal(reset_less=True)
        total = Signal(signed(max(self._width, len(self.o)) + 2), reset_less=True)
        result = Signal.like(self.o, reset_less=True)
        next_floor, next_up = split_shift(self.i.value, self.i.shift)
        m.d.sync += [
            floor.eq(next_floor),
            up.eq(next_up),
            total.eq(floor + up + self.zero_point),
            result.eq(saturate(total, self.low, self.high)),
        ]
        m.d.comb += self.o.eq(result)
        return m


class Requantizer(wiring.Component):
    """``o = clamp(round_half_even(value * multiplier / 2**shift) + zero_point, low, high)``, `latency` cycles later.

    Members
    -------
    i: value, signed of ``width`` bits; multiplier, unsigned of ``multiplier_bits`` bits; shift 0..63.
    zero_point, low, high: signed of ``out_bits`` bits, constant while values are under way. o: signed of ``out_bits`` bits.
    """

    latency = 1 + Rounder.latency

    def __init__(self, width: int, *, multiplier_bits: int = MULTIPLIER_BITS, out_bits: int = 16) -> None:
        self._product_bits = width + multiplier_bits
        layout = data.StructLayout({"value": signed(width), "multiplier": multiplier_bits, "shift": SHIFT_BITS})
        super().__init__({"i": In(layout), **_limits(out_bits), "o": Out(signed(out_bits))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.rounder = rounder = Rounder(self._product_bits, out_bits=len(self.o))
        product = Signal(signed(self._product_bits), reset_less=True)
        shift = Signal(SHIFT_BITS, reset_less=True)
        m.d.sync += [product.eq(self.i.value * self.i.multiplier), shift.eq(self.i.shift)]
        m.d.comb += [
            rounder.i.value.eq(product),
            rounder.i.shift.eq(shift),
            rounder.zero_point.eq(self.zero_point),
            rounder.low.eq(self.low),
            rounder.high.eq(self.high),
            self.o.eq(rounder.o),
        ]
        return m

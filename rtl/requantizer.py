"""Rounding shift with saturation, and the requantizer (model: sw/golden/requantize.py)."""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .adder_tree import add
from .arch.formats import MULTIPLIER_BITS, SHIFT_BITS
from .delay import delay
from .multiplier import multiply, multiply_registered, product_latency
from .rounding import SPLIT_LATENCY, saturate, split_shift


def _limits(out_bits: int) -> dict[str, wiring.Member]:
    return {name: In(signed(out_bits)) for name in ("zero_point", "low", "high")}


class Rounder(wiring.Component):
    """``o = clamp(round_half_even(value / 2**shift) + zero_point, low, high)``, `latency` cycles later.

    steady: shift is constant while values are under way, which saves its registers.

    Members
    -------
    i: value, signed of ``width`` bits; shift 0..63.
    zero_point, low, high: signed of ``out_bits`` bits, constant while values are under way. o: signed of ``out_bits`` bits.
    """

    latency = SPLIT_LATENCY + 2

    def __init__(self, width: int, *, out_bits: int = 16, steady: bool = False) -> None:
        self._steady = steady
        layout = data.StructLayout({"value": signed(width), "shift": SHIFT_BITS})
        super().__init__({"i": In(layout), **_limits(out_bits), "o": Out(signed(out_bits))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # One bit more than the output has: what does not fit that is limited whatever the zero point.
        bits = len(self.o) + 1
        floor, up = split_shift(m, self.i.value, self.i.shift, out_bits=bits, steady=self._steady)
        total = Signal(signed(bits + 1), reset_less=True)
        result = Signal.like(self.o, reset_less=True)
        m.d.sync += [
            total.eq(add(floor, self.zero_point, up)),
            result.eq(saturate(total, self.low, self.high)),
        ]
        m.d.comb += self.o.eq(result)
        return m


class Requantizer(wiring.Component):
    """``o = clamp(round_half_even(value * multiplier / 2**shift) + zero_point, low, high)``, `latency` cycles later.

    steady: multiplier and shift are constant while values are under way, which saves registers. registered: the inputs go into
    registers first, those of the multiplier blocks where the platform makes them.

    Members
    -------
    i: value, signed of ``width`` bits; multiplier, unsigned of ``multiplier_bits`` bits; shift 0..63.
    zero_point, low, high: signed of ``out_bits`` bits, constant while values are under way. o: signed of ``out_bits`` bits.
    """

    def __init__(
        self, width: int, *, multiplier_bits: int = MULTIPLIER_BITS, out_bits: int = 16, steady: bool = False, registered: bool = False
    ) -> None:
        self._steady, self._registered = steady, registered
        layout = data.StructLayout({"value": signed(width), "multiplier": multiplier_bits, "shift": SHIFT_BITS})
        super().__init__({"i": In(layout), **_limits(out_bits), "o": Out(signed(out_bits))})

    @property
    def latency(self) -> int:
        return requantizer_latency(len(self.i.value), len(self.i.multiplier), registered=self._registered)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        factors = self.i.value, self.i.multiplier
        product = multiply_registered(m, platform, *factors, name="product") if self._registered else multiply(m, *factors, name="product")
        m.submodules.rounder = rounder = Rounder(len(product), out_bits=len(self.o), steady=self._steady)
        shift = self.i.shift if self._steady else delay(m, self.i.shift, self.latency - Rounder.latency)
        m.d.comb += [
            rounder.i.value.eq(product),
            rounder.i.shift.eq(shift),
            rounder.zero_point.eq(self.zero_point),
            rounder.low.eq(self.low),
            rounder.high.eq(self.high),
            self.o.eq(rounder.o),
        ]
        return m


def requantizer_latency(width: int, multiplier_bits: int = MULTIPLIER_BITS, *, registered: bool = False) -> int:
    """Cycles of a Requantizer of these widths."""
    return registered + product_latency(signed(width), unsigned(multiplier_bits)) + Rounder.latency

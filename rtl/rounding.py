"""Rounding shifts and saturation.

A variable shift is done bit by bit of the shift, the largest step first, with a register between the multiples of 8 and the rest. Each
step keeps only the bits that the result can still need: what lies below the half is one sticky bit, what lies above the result one bit
that says whether it overflows.
"""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from .arch.formats import SHIFT_BITS

SPLIT_LATENCY = 2
_FINE_BITS = 3  # of the shift, behind the register


def saturate(value: Value, low: Value, high: Value) -> Value:
    """``value`` limited to low..high; all signed."""
    return Mux(value < low, low, Mux(value > high, high, value))


def shift_field(value: Value) -> Value:
    """A signed number limited to 0..63."""
    return Mux(value[-1], 0, value[:SHIFT_BITS] | value[SHIFT_BITS:-1].any().replicate(SHIFT_BITS))


def split_shift(m: Module, value: Value, shift: Value, *, out_bits: int, steady: bool = False) -> tuple[Signal, Value]:
    """``(floor, up)`` such that ``floor + up == round_half_even(value / 2**shift)``, `SPLIT_LATENCY` cycles later.

    value: signed. shift: not negative; steady: it is constant while values are under way. floor: signed of ``out_bits`` bits, the
    largest or smallest such number where it does not fit; up: one bit.
    """
    width = out_bits + 1
    part = Cat(Const(0, 1), value)  # the lowest bit of the result is the half
    longest = max(len(part), width + (1 << len(shift)) - 1)
    part = Cat(part, value[-1].replicate(longest - len(part)))
    below, overflow, negative = Const(0, 1), Const(0, 1), value[-1]
    for bit in reversed(range(len(shift))):
        step = 1 << bit
        kept = width + step - 1
        below = below | (shift[bit] & part[:step].any())
        overflow = overflow | Mux(shift[bit], _differ(part[kept + step - 1 :]), _differ(part[kept - 1 :]))
        part = Mux(shift[bit], part[step : step + kept], part[:kept])
        if bit == _FINE_BITS:
            part, below, overflow, negative = _registers(m, [part, below, overflow, negative])
            if not steady:
                (shift,) = _registers(m, [shift[:_FINE_BITS]])
    limit = Cat((~negative).replicate(out_bits - 1), negative)
    floor = Signal(signed(out_bits), reset_less=True)
    half, below_half = _registers(m, [part[0] & ~overflow, below])
    m.d.sync += floor.eq(Mux(overflow, limit, part[1:]))
    return floor, half & (below_half | floor[0])


def _differ(bits: Value) -> Value:
    return bits.any() & ~bits.all()


def _registers(m: Module, values: Sequence[Value]) -> list[Value]:
    registers = [Signal(len(value), name="part", reset_less=True) for value in values]
    m.d.sync += [register.eq(value) for register, value in zip(registers, values, strict=True)]
    return [*registers]

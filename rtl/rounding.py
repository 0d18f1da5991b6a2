"""Rounding and saturation, as combinational expressions."""

from amaranth.hdl import Cat, Const, Mux, Value


def split_shift(value: Value, shift: Value) -> tuple[Value, Value]:
    """``(floor, up)`` such that ``floor + up == round_half_even(value / 2**shift)``. ``value`` is signed, ``up`` one bit.

    One barrel shifter gives floor and the first bit below it; the bits below that one only decide ties.
    """
    width = len(value)
    shifted = Cat(Const(0, 1), value).as_signed() >> shift
    below_half = (((Const(1) << shift) - 1) >> 1)[:width] & value.as_unsigned()
    floor = (shifted >> 1)[:width].as_signed()
    return floor, shifted[0] & (below_half.any() | floor[0])


def saturate(value: Value, low: Value, high: Value) -> Value:
    """``value`` limited to low..high; all signed."""
    return Mux(value < low, low, Mux(value > high, high, value))

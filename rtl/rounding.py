"""Rounding shifts and saturation.

A variable shift is done in two steps, by multiples of 8 and by the rest. Each keeps only the bits that the result can need: what
lies below the half is one sticky bit, what lies above the result one bit that says whether it overflows.
"""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from .arch.formats import SHIFT_BITS

SPLIT_LATENCY = 2
_FINE_BITS = 3  # of the shift, for the second step


def saturate(value: Value, low: Value, high: Value) -> Value:
    """``value`` limited to low..high; all signed."""
    return Mux(value < low, low, Mux(value > high, high, value))


def shift_field(value: Value) -> Value:
    """A signed number limited to 0..63."""
    return Mux(value[-1], 0, value[:SHIFT_BITS] | value[SHIFT_BITS:-1].any().replicate(SHIFT_BITS))


def select(index: Value, options: Sequence[Value]) -> Value:
    """The option at ``index``; the last one beyond the end."""
    if len(options) == 1:
        return options[0]
    bit = (len(options) - 1).bit_length() - 1
    half = 1 << bit
    return Mux(index[bit:].any(), select(index[:bit], options[half:]), select(index[:bit], options[:half]))


def split_shift(m: Module, value: Value, shift: Value, *, out_bits: int, steady: bool = False) -> tuple[Signal, Value]:
    """``(floor, up)`` such that ``floor + up == round_half_even(value / 2**shift)``, `SPLIT_LATENCY` cycles later.

    value: signed. shift: not negative; steady: it is constant while values are under way. floor: signed of ``out_bits`` bits, the
    largest or smallest such number where it does not fit; up: one bit.
    """
    value = Cat(Const(0, 1), value).as_signed()  # the lowest bit of a window is the half
    width = out_bits + 1
    coarse_width = min(width + (1 << _FINE_BITS) - 1, len(value))
    windows = [_window(value, start, coarse_width) for start in range(0, len(value), 1 << _FINE_BITS)]
    # Further down only the sign is left: the result is zero.
    windows.append((value[-1].replicate(coarse_width), value.any(), Const(0, 1)))
    coarse, fine = shift[_FINE_BITS:], shift[:_FINE_BITS]
    part, sticky, overflow = _registers(m, [select(coarse, column) for column in zip(*windows, strict=True)])
    (negative,) = _registers(m, [value[-1]])
    if not steady:
        (fine,) = _registers(m, [fine])
    windows = [_window(part.as_signed(), start, width) for start in range(1 << _FINE_BITS)]
    rest, below, above = (select(fine, column) for column in zip(*windows, strict=True))
    overflow = overflow | above
    limit = Cat((~negative).replicate(out_bits - 1), negative)
    floor = Signal(signed(out_bits), reset_less=True)
    half, below_half = _registers(m, [rest[0] & ~overflow, sticky | below])
    m.d.sync += floor.eq(Mux(overflow, limit, rest[1:]))
    return floor, half & (below_half | floor[0])


def _window(value: Value, start: int, width: int) -> tuple[Value, Value, Value]:
    """``width`` bits of the signed ``value`` from ``start`` on, whether any bit below is set, and whether one above differs from the
    highest of them."""
    extended = Cat(value, value[-1].replicate(max(0, start + width - len(value))))
    above = extended[start + width - 1 :]
    return extended[start : start + width], extended[:start].any(), above.any() & ~above.all()


def _registers(m: Module, values: Sequence[Value]) -> list[Value]:
    registers = [Signal(len(value), name="part", reset_less=True) for value in values]
    m.d.sync += [register.eq(value) for register, value in zip(registers, values, strict=True)]
    return [*registers]

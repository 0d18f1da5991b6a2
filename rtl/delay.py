"""Delay lines for what travels beside a datapath."""

from amaranth.hdl import Module, Signal, Value


def delay(m: Module, value: Value, cycles: int, *, reset_less: bool = True) -> Value:
    """``value`` as it was ``cycles`` cycles ago. Data is not reset: what travels beside it, with ``reset_less`` false, says whether it
    is valid."""
    for _ in range(cycles):
        later = Signal.like(value, name="delayed", reset_less=reset_less)
        m.d.sync += later.eq(value)
        value = later
    return value

"""Delay lines for what travels beside a datapath."""

from amaranth.hdl import Module, Signal, Value


def delay(m: Module, value: Value, cycles: int) -> Value:
    """``value`` as it was ``cycles`` cycles ago. Not reset: what travels beside it says whether it is valid."""
    for _ in range(cycles):
        later = Signal.like(value, name="delayed", reset_less=True)
        m.d.sync += later.eq(value)
        value = later
    return value

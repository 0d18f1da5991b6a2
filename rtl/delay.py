"""Delay lines for what travels beside a datapath."""

from amaranth.hdl import Module, Mux, Signal, Value


def delay(m: Module, value: Value, cycles: int, *, reset_less: bool = True) -> Value:
    """``value`` as it was ``cycles`` cycles ago. Data is not reset: what travels beside it, with ``reset_less`` false, says whether it
    is valid."""
    for _ in range(cycles):
        later = Signal.like(value, name="delayed", reset_less=reset_less)
        m.d.sync += later.eq(value)
        value = later
    return value


def lane_copy(m: Module, value: Value, keep: Value) -> Value:
    """A lane's own copy of what all lanes need, a cycle later: one register would be far from most of them. The lanes' copies differ, in
    that only a lane that has an element, by ``keep``, needs it, so the tools don't make one of them."""
    return delay(m, Mux(keep, value, 0), 1)

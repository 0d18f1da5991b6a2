"""Position of the leading one."""

from amaranth.hdl import Module, Signal, Value


def leading_one(m: Module, value: Value, name: str) -> Signal:
    """The index of the most significant one of ``value``, combinationally; 0 where there is none."""
    position = Signal(range(len(value)), name=name)
    for i in range(len(value)):
        with m.If(value[i]):
            m.d.comb += position.eq(i)
    return position

"""Trees over lanes, with a register behind each level."""

from collections.abc import Callable, Sequence

from amaranth.hdl import Module, Signal, Value


def reduction_latency(count: int) -> int:
    """Cycles of `reduce_tree` over ``count`` values."""
    return max(1, (count - 1).bit_length())


def reduce_tree(m: Module, values: Sequence[Value], join: Callable[[Value, Value], Value], name: str) -> Value:
    """All ``values`` joined pair by pair, `reduction_latency` cycles later."""
    for level in range(reduction_latency(len(values))):
        pairs = [(values[i : i + 2]) for i in range(0, len(values), 2)]
        results = [join(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        values = []
        for i, result in enumerate(results):
            register = Signal(result.shape(), name=f"{name}_{level}_{i}", reset_less=True)
            m.d.sync += register.eq(result)
            values.append(register)
    return values[0]

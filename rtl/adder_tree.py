"""A level of a pipelined adder tree whose adders also take carries."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal, Value, signed

from .delay import delay


def add(x: Value, y: Value, carry: Value) -> Value:
    """``x + y + carry`` of signed x and y by one adder: the carry comes out of an additional lowest bit."""
    return (Cat(carry, x).as_signed() + Cat(carry, y).as_signed())[1:].as_signed()


def add_pairs(m: Module, terms: Sequence[Value], carries: Sequence[Value] = ()) -> tuple[list[Value], list[Value]]:
    """Sums of pairs of signed terms of the same width, a cycle later, with a carry each; and the carries that are left."""
    sums, left = [], [*carries]
    for x, *others in (terms[i : i + 2] for i in range(0, len(terms), 2)):
        total = Signal(signed(len(x) + 1), name="sum", reset_less=True)
        m.d.sync += total.eq(add(x, others[0], left.pop()) if others and left else sum(others, x))
        sums.append(total)
    return sums, [delay(m, carry, 1) for carry in left]

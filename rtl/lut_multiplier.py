"""Products made of adders, for what finds no multiplier block on the target."""

from amaranth.hdl import Module, Mux, Signal, Value, signed

LATENCY = 2
_DIGIT = 3  # bits of the second operand whose multiples are added up in the first cycle


def multiply_in_luts(m: Module, a: Value, b: Value, *, name: str) -> Value:
    """``a * b`` of signed numbers, `LATENCY` cycles later: ``sum over digits d of (a * b[d : d + _DIGIT]) << d``, whose last digit is
    signed."""
    parts = []
    for start in range(0, len(b), _DIGIT):
        bits = range(start, min(start + _DIGIT, len(b)))
        multiples = [Mux(b[i], (-a if i == len(b) - 1 else a) << (i - start), 0) for i in bits]
        part = Signal(signed(len(a) + len(bits)), name=f"{name}_{start}", reset_less=True)
        m.d.sync += part.eq(sum(multiples[1:], multiples[0]))
        parts.append(part << start)
    product = Signal(signed(len(a) + len(b) - 1), name=name, reset_less=True)
    m.d.sync += product.eq(sum(parts[1:], parts[0]))
    return product

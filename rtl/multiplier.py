"""Products of any width from 18 x 18 multiplier blocks, with a register behind each block and each adder."""

from amaranth.hdl import Module, Shape, Signal, Value, signed

BLOCK_BITS = 18  # of an operand of a multiplier block, signed: ECP5's MULT18; a DSP48's is 27 x 18


def _parts(shape: Shape, other: Shape) -> list[tuple[int, int]]:
    """(start, stop) bits of the parts of an operand that fit a block; all but the top one are unsigned."""
    parts, start = [], 0
    while shape.width - start > BLOCK_BITS - (other.signed and not shape.signed):
        parts.append((start, start + BLOCK_BITS - 1))
        start += BLOCK_BITS - 1
    return [*parts, (start, shape.width)]


def product_latency(a: Shape, b: Shape) -> int:
    """Cycles of `multiply`."""
    return 1 + (len(_parts(a, b)) * len(_parts(b, a)) - 1).bit_length()


def multiply(m: Module, a: Value, b: Value, *, name: str) -> Value:
    """``a * b``, signed, `product_latency` cycles later."""
    width = len(a) + len(b) + 1
    terms = []
    for a_part in _parts(a.shape(), b.shape()):
        for b_part in _parts(b.shape(), a.shape()):
            left, right = _part(a, *a_part), _part(b, *b_part)
            product = Signal(signed(len(left) + len(right) + 1), name=f"{name}_{a_part[0]}_{b_part[0]}", reset_less=True)
            m.d.sync += product.eq(left * right)
            terms.append(product << (a_part[0] + b_part[0]))
    while len(terms) > 1:
        sums = [Signal(signed(width), name=f"{name}_sum", reset_less=True) for _ in terms[::2]]
        m.d.sync += [total.eq(x + y) for total, x, y in zip(sums, terms[::2], [*terms[1::2], 0][: len(sums)], strict=True)]
        terms = sums
    return terms[0]


def _part(value: Value, start: int, stop: int) -> Value:
    part = value[start:stop]
    return part.as_signed() if value.shape().signed and stop == len(value) else part

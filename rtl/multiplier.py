"""Products of any width from 18 x 18 multiplier blocks, with a register behind each block and each adder.

Blocks lie where the device has them, and have registers of their own, but the tools that infer a block leave those unused. A platform
with a method ``get_multiplier`` (gen/platforms.py) makes blocks with their registers, one with ``get_product_sum`` two whose sum needs no
other adder; without them they are left to the tools.
"""

from collections.abc import Callable, Iterator

from amaranth.hdl import Const, Module, Shape, Signal, Value, signed

Factors = tuple[Value, Value]
ALWAYS = Const(1)
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

    def product(left: Value, right: Value, name: str) -> Signal:
        result = Signal(signed(len(left) + len(right) + 1), name=name, reset_less=True)
        m.d.sync += result.eq(left * right)
        return result

    return _multiply(m, a, b, product, name)


def multiply_registered(m: Module, platform: object, a: Value, b: Value, *, name: str, enable: Value = ALWAYS) -> Value:
    """As `multiply`, but with registers before the blocks too: a cycle more. enable: as of `block_product`."""
    factors = [(left, right) for *_, left, right in _partial_products(a, b)]
    if len(factors) == 2:
        total = block_product_sum(m, platform, *factors, shift=BLOCK_BITS - 1, name=name, enable=enable)
        return total[: len(a) + len(b) + 1].as_signed()
    return _multiply(m, a, b, lambda left, right, name: block_product(m, platform, left, right, name=name, enable=enable), name)


def block_product(m: Module, platform: object, a: Value, b: Value, *, name: str, load: Value = ALWAYS, enable: Value = ALWAYS) -> Signal:
    """``a * b`` of one block, 2 cycles later. load: when b is taken, else every cycle. enable: all stands still without it; that of an
    EnableInserter around, which does not reach into a block."""
    result = Signal((a * b).shape(), name=name, reset_less=True)
    left, right = (Signal(value.shape(), name=f"{name}_{which}", reset_less=True) for value, which in ((a, "a"), (b, "b")))
    get_multiplier = getattr(platform, "get_multiplier", None)
    if get_multiplier is not None:
        m.d.comb += [left.eq(a), right.eq(b)]
        m.submodules[f"{name}_block"] = get_multiplier(left, right, result, load=load & enable, enable=enable)
    else:
        with m.If(enable):
            m.d.sync += [left.eq(a), result.eq(left * right)]
            with m.If(load):
                m.d.sync += right.eq(b)
    return result


def block_product_sum(
    m: Module,
    platform: object,
    first: Factors,
    second: Factors,
    *,
    name: str,
    shift: int = 0,
    load: Value = ALWAYS,
    enable: Value = ALWAYS,
) -> Signal:
    """The product of the first factors and, ``shift`` bits to the left, that of the second, of two blocks, 3 cycles later. load: when both
    second factors of them are taken, else every cycle. enable: as of `block_product`."""
    total = Signal((first[0] * first[1] + ((second[0] * second[1]) << shift)).shape(), name=f"{name}_sum", reset_less=True)
    get_product_sum = getattr(platform, "get_product_sum", None)
    if get_product_sum is not None:
        factors = [Signal(value.shape(), name=f"{name}_{i}") for i, value in enumerate((*first, *second))]
        m.d.comb += [kept.eq(value) for kept, value in zip(factors, (*first, *second), strict=True)]
        m.submodules[f"{name}_blocks"] = get_product_sum(*factors, total, shift=shift, load=load & enable, enable=enable)
    else:
        low, high = (block_product(m, platform, *of, name=f"{name}_{i}", load=load, enable=enable) for i, of in enumerate((first, second)))
        with m.If(enable):
            m.d.sync += total.eq(low + (high << shift))
    return total


def _multiply(m: Module, a: Value, b: Value, product: Callable[[Value, Value, str], Signal], name: str) -> Value:
    width = len(a) + len(b) + 1
    terms = [product(left, right, f"{name}_{i}_{j}") << (i + j) for i, j, left, right in _partial_products(a, b)]
    while len(terms) > 1:
        sums = [Signal(signed(width), name=f"{name}_sum", reset_less=True) for _ in terms[::2]]
        m.d.sync += [total.eq(x + y) for total, x, y in zip(sums, terms[::2], [*terms[1::2], 0][: len(sums)], strict=True)]
        terms = sums
    return terms[0]


def _partial_products(a: Value, b: Value) -> Iterator[tuple[int, int, Value, Value]]:
    """Where a part of each starts, and these parts, which fit a block."""
    for a_part in _parts(a.shape(), b.shape()):
        for b_part in _parts(b.shape(), a.shape()):
            yield a_part[0], b_part[0], _part(a, *a_part), _part(b, *b_part)


def _part(value: Value, start: int, stop: int) -> Value:
    part = value[start:stop]
    return part.as_signed() if value.shape().signed and stop == len(value) else part

"""The address generator walks its loops as Python does."""

import random
from itertools import product
from typing import Any

import cocotb

from ..rtl.arch.steps import ADDRESS_BITS, COUNT_BITS, STRIDE_BITS
from .rules import check_streams
from .runner import parameters


def _pack(base: int, counts: list[int], strides: list[int]) -> int:
    packed, offset = base, ADDRESS_BITS
    for values, bits in ((counts, COUNT_BITS), (strides, STRIDE_BITS)):
        for value in values:
            packed |= value << offset
            offset += bits
    return packed


def _ends(position: int, iterations: list[int]) -> int:
    """For each loop, a bit whether the walk's ``position`` is in its last iteration."""
    ends = 0
    for i, count in enumerate(iterations):
        position, index = divmod(position, count)
        ends |= (index == count - 1) << i
    return ends


@cocotb.test()
async def walks_its_loops(dut: Any) -> None:
    rng, steps = random.Random(1), parameters()["steps"]
    loops, addresses = [], []
    for number in range(30):
        counts = [rng.randint(1, 3 * step) for step in steps] if number else [1] * len(steps)
        base, strides = rng.getrandbits(ADDRESS_BITS), [rng.getrandbits(STRIDE_BITS) for _ in steps]
        loops.append(_pack(base, counts, strides))
        walk = [
            (base + sum(i * stride for i, stride in zip(reversed(index), strides, strict=True))) % (1 << ADDRESS_BITS)
            for index in product(*(range(-(-count // step)) for count, step in zip(reversed(counts), reversed(steps), strict=True)))
        ]
        iterations = [-(-count // step) for count, step in zip(counts, steps, strict=True)]
        addresses += [address | _ends(i, iterations) << ADDRESS_BITS for i, address in enumerate(walk)]
    await check_streams(dut, inputs={"i": loops}, outputs={"o": addresses}, seed=1, without_bubbles=[])


@cocotb.test()
async def gives_one_each_cycle(dut: Any) -> None:
    steps = parameters()["steps"]
    counts, strides = [4 * step for step in steps], [4**i for i in range(len(steps))]
    count = 4 ** len(steps)
    addresses = [i | _ends(i, [4] * len(steps)) << ADDRESS_BITS for i in range(count)]
    await check_streams(dut, inputs={"i": [_pack(0, counts, strides)]}, outputs={"o": addresses}, seed=1)

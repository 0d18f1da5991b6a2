"""Add and rescale equal their golden model."""

import random
from typing import Any

import cocotb

from ..rtl.arch.blocks import ADD
from ..rtl.arch.formats import INT8, INT16
from ..sw.golden.add import AddParameters, add, rescale
from .beats import check_rows, lengths, random_rows, set_parameters
from .runner import parameters


def _extreme(rng: random.Random) -> AddParameters:
    """Anything that the fields hold."""
    a, b, out, *limits = (rng.randint(INT16.min, INT16.max) for _ in range(5))
    return AddParameters(
        a_zero_point=a,
        a_multiplier=rng.getrandbits(16),
        b_zero_point=b,
        b_multiplier=rng.getrandbits(16),
        a_left=rng.choice((0, 15)),
        b_left=rng.choice((0, 7, 15)),
        shift=rng.choice((0, 15, 30, 47)),
        out_zero_point=out,
        low=min(limits),
        high=max(limits),
    )


@cocotb.test()
async def adds(dut: Any) -> None:
    rng, lanes = random.Random(1), parameters()["lanes"]
    sums = AddParameters.from_scales(
        a_scale=0.03, a_zero_point=-5, b_scale=0.0002, b_zero_point=77, out_scale=0.04, out_zero_point=-128, out=INT8, relu=True
    )
    dut.unary.value = 0
    for seed, p in enumerate((sums, _extreme(rng), _extreme(rng))):
        set_parameters(dut, ADD, p)
        a, b = (random_rows(rng, lengths(lanes, 5 * lanes)) for _ in range(2))
        output = [add(x, y, p) for x, y in zip(a, b, strict=True)]
        await check_rows(dut, lanes=lanes, inputs={"a": a, "b": b}, output=output, seed=seed)


@cocotb.test()
async def rescales(dut: Any) -> None:
    rng, lanes = random.Random(2), parameters()["lanes"]
    dut.unary.value = 1
    dut.b__valid.value = 0
    p = AddParameters.from_scales(a_scale=0.01, a_zero_point=3, out_scale=0.0001, out_zero_point=-9, out=INT16)
    set_parameters(dut, ADD, p)
    rows = random_rows(rng, lengths(lanes, 5 * lanes), bits=8)
    await check_rows(dut, lanes=lanes, inputs={"a": rows}, output=[rescale(row, p) for row in rows], seed=3)

"""Softmax equals its golden model. Each row is read before its result begins, so that rows of one length flow without bubbles."""

import random
from typing import Any

import cocotb

from ..rtl.arch.blocks import SOFTMAX
from ..rtl.arch.formats import INT8, INT16
from ..sw.golden.softmax import SoftmaxParameters, softmax
from .beats import Rows, check_rows, lengths, random_rows, set_parameters
from .runner import parameters

NARROW = SoftmaxParameters.from_scales(in_scale=0.06, out_scale=1 / 256, out_zero_point=-128, out=INT8)
WIDE = SoftmaxParameters.from_scales(in_scale=0.0004, out_scale=2.0**-15, out_zero_point=0, out=INT16)
COARSE = SoftmaxParameters.from_scales(in_scale=2.76, out_scale=2.0**-32, out_zero_point=5, out=INT16)
FLAT = SoftmaxParameters(multiplier=0, shift=63, out_multiplier=0xFFFF, out_shift=0, out_zero_point=-1, low=-300, high=300)


async def _check(dut: Any, p: SoftmaxParameters, rows: Rows, *, seed: int, without_bubbles: list[str] | None) -> None:
    set_parameters(dut, SOFTMAX, p)
    lanes = parameters()["lanes"]
    output = [softmax(row, p, lanes) for row in rows]
    await check_rows(dut, lanes=lanes, inputs={"i": rows}, output=output, seed=seed, without_bubbles=without_bubbles)


@cocotb.test()
async def equals_the_model(dut: Any) -> None:
    rng, sizes = random.Random(1), lengths(parameters()["lanes"], parameters()["row_elements"])
    for seed, (p, bits) in enumerate(((NARROW, 8), (WIDE, 16), (COARSE, 16), (FLAT, 16))):
        await _check(dut, p, random_rows(rng, sizes, bits), seed=seed, without_bubbles=[])


@cocotb.test()
async def loses_no_cycle(dut: Any) -> None:
    rng, longest = random.Random(2), parameters()["row_elements"]
    for size, count in ((longest, 5), (1, 40), (parameters()["lanes"] + 1, 30)):
        await _check(dut, NARROW, random_rows(rng, [size] * count, 8), seed=size, without_bubbles=None)

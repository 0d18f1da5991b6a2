"""GELU equals its golden model."""

import random
from typing import Any

import cocotb

from ..rtl.arch.blocks import GELU
from ..rtl.arch.formats import INT8, INT16
from ..sw.golden.gelu import GeluParameters, gelu
from .beats import check_rows, lengths, random_rows, set_parameters
from .runner import parameters


@cocotb.test()
async def equals_the_model(dut: Any) -> None:
    rng, lanes = random.Random(1), parameters()["lanes"]
    narrow = GeluParameters.from_scales(in_scale=0.04, in_zero_point=-7, out_scale=0.02, out_zero_point=-119, source=INT8, out=INT8)
    wide = GeluParameters.from_scales(in_scale=0.0002, in_zero_point=900, out_scale=0.0001, out_zero_point=0, source=INT16, out=INT16)
    extreme = GeluParameters(
        in_zero_point=INT16.max,
        in_multiplier=0xFFFF,
        in_shift=3,
        out_multiplier=0xFFFF,
        out_shift=29,
        out_zero_point=INT16.min,
        low=-30000,
        high=30000,
    )
    for seed, (p, bits) in enumerate(((narrow, 8), (wide, 16), (extreme, 16))):
        set_parameters(dut, GELU, p)
        rows = random_rows(rng, lengths(lanes, 5 * lanes), bits)
        await check_rows(dut, lanes=lanes, inputs={"i": rows}, output=[gelu(row, p) for row in rows], seed=seed)

"""LayerNorm equals its golden model. Each row is read before its result begins, so that rows flow without bubbles."""

import random
from typing import Any

import cocotb
import numpy as np

from ..rtl.arch.blocks import LAYERNORM
from ..rtl.arch.formats import INT8, INT16
from ..sw.golden.layernorm import LayerNormParameters, layernorm
from .beats import check_rows, random_rows, set_parameters
from .runner import parameters


def _parameters(rng: random.Random, n: int) -> list[LayerNormParameters]:
    gamma, beta = ([rng.gauss(1, 0.5) for _ in range(n)] for _ in range(2))
    extremes = [
        LayerNormParameters(
            gamma=np.array([rng.randint(INT16.min, INT16.max) for _ in range(n)]),
            beta=np.array([rng.randint(INT16.min, INT16.max) for _ in range(n)]),
            shift=shift,
            beta_shift=beta_shift,
            epsilon=epsilon,
            out_zero_point=-1000,
            low=INT16.min,
            high=20000,
        )
        for shift, beta_shift, epsilon in ((25, 20, 0), (47, 31, (1 << 48) - 1))
    ]
    usual = LayerNormParameters.from_scales(
        in_scale=0.001, gamma=gamma, beta=beta, epsilon=1e-5, out_scale=0.03, out_zero_point=-7, out=INT8
    )
    return [usual, *extremes]


@cocotb.test()
async def equals_the_model(dut: Any) -> None:
    rng, lanes, longest = random.Random(1), parameters()["lanes"], parameters()["row_elements"]
    for size, count in ((longest, 5), (longest - 1, 3), (1, 40), (lanes + 1, 20)):
        for seed, p in enumerate(_parameters(rng, size)):
            set_parameters(dut, LAYERNORM, p)
            rows = random_rows(rng, [size] * count)
            inputs = {"i": rows, "affine": [p.gamma, p.beta]}
            await check_rows(dut, lanes=lanes, inputs=inputs, output=[layernorm(row, p) for row in rows], seed=seed)

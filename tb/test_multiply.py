"""The elementwise product equals its golden model."""

import random
from typing import Any

import cocotb

from ..rtl.arch.blocks import MULTIPLY
from ..rtl.arch.formats import INT8, INT16
from ..sw.golden.multiply import MultiplyParameters, multiply
from .beats import check_rows, lengths, random_rows, set_parameters
from .runner import parameters


def _extreme(rng: random.Random, *, shift: int, **fixed: int) -> MultiplyParameters:
    """Anything that the fields hold."""
    *zero_points, out = (rng.randint(INT16.min, INT16.max) for _ in range(3))
    low, high = sorted(rng.randint(INT16.min, INT16.max) for _ in range(2))
    a, b = zero_points
    about = {"a_zero_point": a, "b_zero_point": b, "multiplier": rng.getrandbits(16), "out_zero_point": out, "low": low, "high": high}
    return MultiplyParameters(**{**about, **fixed}, shift=shift)


@cocotb.test()
async def multiplies(dut: Any) -> None:
    rng, lanes = random.Random(1), parameters()["lanes"]
    gates = MultiplyParameters.from_scales(
        a_scale=0.03, a_zero_point=-5, b_scale=0.0002, b_zero_point=77, out_scale=0.04, out_zero_point=-128, out=INT8
    )
    # The largest products that there are.
    ends = {"multiplier": (1 << 16) - 1, "out_zero_point": 0, "low": INT16.min, "high": INT16.max}
    furthest = _extreme(rng, shift=33, a_zero_point=INT16.min, b_zero_point=INT16.max, **ends)
    nearest = _extreme(rng, shift=33, a_zero_point=INT16.max, b_zero_point=INT16.max, **ends)
    for seed, p in enumerate((gates, furthest, nearest, *(_extreme(rng, shift=shift) for shift in (0, 15, 31, 47)))):
        set_parameters(dut, MULTIPLY, p)
        a, b = (random_rows(rng, lengths(lanes, 5 * lanes)) for _ in range(2))
        for row, other in zip(a, b, strict=True):
            row[0], other[0] = (rng.choice((INT16.min, INT16.max)) for _ in range(2))
        output = [multiply(x, y, p) for x, y in zip(a, b, strict=True)]
        await check_rows(dut, lanes=lanes, inputs={"a": a, "b": b}, output=output, seed=seed)

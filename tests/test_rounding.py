"""The rounding shifter and the requantizer in simulation, against exact fractions."""

import random
from fractions import Fraction

import pytest
from amaranth.sim import Simulator, SimulatorContext
from celosia.rtl.requantizer import Requantizer, Rounder

CYCLES = 3000


def run(block: Rounder | Requantizer, multiplier_bits: int, seed: int) -> None:
    """A value of any magnitude, any shift, ties often, in every cycle; zero point and limits near the ends."""
    rng = random.Random(seed)
    width, out_bits = len(block.i.value), len(block.o)
    low, high = 3 - (1 << (out_bits - 1)), (1 << (out_bits - 1)) - 2
    zero_point = rng.randint(low, high)
    results: list[int] = []

    async def bench(ctx: SimulatorContext) -> None:
        ctx.set(block.zero_point, zero_point)
        ctx.set(block.low, low)
        ctx.set(block.high, high)
        for cycle in range(CYCLES):
            bits = rng.randint(1, width)
            value, multiplier = rng.randrange(-(1 << (bits - 1)), 1 << (bits - 1)), 1
            shift = rng.choice((rng.randrange(64), rng.randrange(min(64, width + 3)), min(63, max(0, bits - out_bits))))
            if rng.random() < 0.3:
                value = (value >> shift << shift) | (1 << shift >> 1)
                value = min(max(value, -(1 << (width - 1))), (1 << (width - 1)) - 1)
            if multiplier_bits:
                multiplier = rng.choice(((1 << multiplier_bits) - 1, 1, rng.getrandbits(multiplier_bits)))
                ctx.set(block.i.multiplier, multiplier)
            ctx.set(block.i.value, value)
            ctx.set(block.i.shift, shift)
            rounded = round(Fraction(value * multiplier, 1 << shift)) + zero_point
            results.append(min(max(rounded, low), high))
            await ctx.tick()
            if cycle >= block.latency - 1:
                assert ctx.get(block.o) == results[cycle - block.latency + 1]

    simulator = Simulator(block)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(("width", "out_bits"), [(6, 16), (10, 8), (24, 16), (36, 18), (49, 16), (60, 24)])
def test_rounder(width: int, out_bits: int) -> None:
    run(Rounder(width, out_bits=out_bits), 0, width)


@pytest.mark.parametrize(("width", "multiplier_bits", "out_bits"), [(8, 16, 8), (17, 16, 16), (33, 16, 16), (32, 24, 40)])
def test_requantizer(width: int, multiplier_bits: int, out_bits: int) -> None:
    run(Requantizer(width, multiplier_bits=multiplier_bits, out_bits=out_bits), multiplier_bits, width)

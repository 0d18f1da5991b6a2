"""The latency that a block states is the one that it has."""

import pytest
from amaranth.sim import Simulator, SimulatorContext
from celosia.rtl.add import Add
from celosia.rtl.arch.blocks import LaneCircuit
from celosia.rtl.arch.layernorm import LayerNormCircuit
from celosia.rtl.arch.softmax import SoftmaxCircuit
from celosia.rtl.gelu import Gelu
from celosia.rtl.layernorm import LayerNorm
from celosia.rtl.softmax import Softmax

LANES = LaneCircuit(lanes=2)


BLOCKS = [Add(LANES), Gelu(LANES), Softmax(SoftmaxCircuit(lanes=2, row_elements=16)), LayerNorm(LayerNormCircuit(lanes=2, row_elements=16))]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: type(block).__name__)
def test_one_beat_takes_the_stated_latency(block: Add | Gelu | Softmax | LayerNorm) -> None:
    beat = {"values": [1, 2], "keep": 3, "last": 1}
    inputs = [block.a, block.b] if isinstance(block, Add) else [block.i]

    async def bench(ctx: SimulatorContext) -> None:
        if isinstance(block, LayerNorm):
            ctx.set(block.affine.payload, beat)
            ctx.set(block.affine.valid, 1)
            await ctx.tick().repeat(4)
        for port in inputs:
            ctx.set(port.payload, beat)
            ctx.set(port.valid, 1)
        await ctx.tick().until(inputs[0].ready)
        for port in inputs:
            ctx.set(port.valid, 0)
        cycles = 1
        while not ctx.get(block.o.valid):
            await ctx.tick()
            cycles += 1
            assert cycles < 100
        assert cycles == block.latency

    simulator = Simulator(block)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()

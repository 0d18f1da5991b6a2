"""The latency that a block states is the one that it has."""

from typing import Any

import pytest
from amaranth.sim import Simulator, SimulatorContext
from celosia.rtl.activation import Activation
from celosia.rtl.add import Add
from celosia.rtl.arch.activation import ActivationCircuit, Function
from celosia.rtl.arch.attention import AttentionCircuit
from celosia.rtl.arch.blocks import LaneCircuit
from celosia.rtl.arch.formats import INT8, INT16, UINT8
from celosia.rtl.arch.kbest import KBestCircuit
from celosia.rtl.arch.layernorm import LayerNormCircuit
from celosia.rtl.arch.softmax import SoftmaxCircuit
from celosia.rtl.arch.topk import Result, TopKCircuit
from celosia.rtl.attention import Attention
from celosia.rtl.kbest import KBest
from celosia.rtl.layernorm import LayerNorm
from celosia.rtl.multiply import Multiply
from celosia.rtl.softmax import Softmax
from celosia.rtl.topk import TopK

LANES = LaneCircuit(lanes=2)
BLOCKS = [
    Add(LANES),
    Multiply(LANES),
    Softmax(SoftmaxCircuit(lanes=2, row_elements=16)),
    Softmax(SoftmaxCircuit(lanes=2, row_elements=16, source=INT8, out=UINT8, column_sums=True)),
    LayerNorm(LayerNormCircuit(lanes=2, row_elements=16)),
    LayerNorm(LayerNormCircuit(lanes=2, row_elements=16, source=INT8, out=INT8)),
    Attention(AttentionCircuit(lanes=2, row_elements=16)),
    Attention(AttentionCircuit(lanes=2, row_elements=16, source=INT8, out=INT16)),
]

BLOCKS += [
    *(TopK(TopKCircuit(lanes=2, row_elements=16, result=result)) for result in Result),
    *(KBest(KBestCircuit(lanes=2, k=k)) for k in (1, 3)),
    *(Activation(ActivationCircuit(lanes=2, function=f), {"in_multiplier": 1, "out_multiplier": 1}) for f in (Function.GELU, Function.EXP)),
    Activation(ActivationCircuit(lanes=2, source=INT8), range(-128, 128)),
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: type(block).__name__)
def test_one_beat_takes_the_stated_latency(block: Any) -> None:
    beat = {"values": [1, 2], "keep": 3, "last": 1}
    inputs = {"a": beat, "b": beat} if isinstance(block, Add | Multiply) else {"i": beat}
    waiting = {}  # what lies ready before
    if isinstance(block, LayerNorm):
        waiting = {"affine": beat}
    elif isinstance(block, Attention):
        inputs, waiting = {"scores": {"values": [1], "keep": 1, "last": 1}}, {"values": beat}

    async def bench(ctx: SimulatorContext) -> None:
        for name in ("multiplier", "out_multiplier"):  # softmax refuses a scale of zero
            if "parameters" in block.signature.members and name in block.parameters.shape().members:
                ctx.set(getattr(block.parameters, name), 1)
        for name, payload in waiting.items():
            ctx.set(getattr(block, name).payload, payload)
            ctx.set(getattr(block, name).valid, 1)
        await ctx.tick().repeat(4)
        for name, payload in inputs.items():
            ctx.set(getattr(block, name).payload, payload)
            ctx.set(getattr(block, name).valid, 1)
        await ctx.tick().until(getattr(block, next(iter(inputs))).ready)
        for name in inputs:
            ctx.set(getattr(block, name).valid, 0)
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

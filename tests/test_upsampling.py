"""Upsampling of maps of any channels: products write each pixel of their results four times."""

from dataclasses import replace

import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.window import Window
from celosia.sw import graph as ir
from celosia.sw.compiler.errors import CompileError
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.executor import execute
from celosia.tb.graphs import Builder, random_inputs
from random_graphs import run_on_golden_machine

SQUARE = MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=32, accumulator_depth=32)
MACHINES = (
    SQUARE,
    replace(SQUARE, rows=6, cols=6, lanes=3),
    replace(SQUARE, cols=4, requantizer_columns=4, residual=1),
    replace(SQUARE, rows=4, cols=8, lanes=2, units=2),
    replace(SQUARE, scratchpad_kib=8),  # not all tensors have a place
    replace(SQUARE, cols=4, packing=1),
)
MAP = Window(height=4, width=4, kernel=(3, 3), pads=(1, 1, 1, 1))
LARGER = replace(MAP, height=8, width=8)


def check(graph: ir.Graph, machine: MachineParameters) -> list[ir.MatMul]:
    """Gives the products that the machine does."""
    program, inputs = compile_graph(graph, machine), random_inputs(graph, 1)
    found, values = run_on_golden_machine(program, inputs), execute(graph, inputs, lanes=machine.lanes)
    assert all((found[port.name] == values[port.tensor.name]).all() for port in graph.outputs)
    return [op for op in program.graph.operators if isinstance(op, ir.MatMul)]


@pytest.mark.parametrize("channels", [1, 3, 8, 21])
@pytest.mark.parametrize("machine", MACHINES)
def test_behind_products(machine: MachineParameters, channels: int) -> None:
    builder = Builder(channels)
    x = builder.tensor(16, 10, 8)
    y = builder.doubled(builder.linear(x, channels, 8), 4)
    y = builder.doubled(builder.table(builder.convolution(y, channels, 8, LARGER), 8), 8)
    products = check(builder.graph([x], [y]), machine)
    assert [op.repeated for op in products] == [True, True]


@pytest.mark.parametrize("machine", MACHINES)
def test_behind_anything_else(machine: MachineParameters) -> None:
    builder = Builder(1)
    x = builder.tensor(16, 10, 8)
    y = builder.add(x, x, 8)
    products = check(builder.graph([x], [builder.doubled(y, 4), builder.linear(y, 3, 8)]), machine)
    assert sorted(op.repeated for op in products) == [False, True]


def test_products_of_single_pixels_come_first() -> None:
    builder = Builder(1)
    x = builder.tensor(16, 10, 8)
    y = builder.doubled(builder.linear(x, 12, 8), 4)
    heads = [builder.linear(y, 5, 8), builder.table(builder.convolution(y, 6, 8, replace(LARGER, kernel=(1, 1), pads=(0,) * 4)), 8)]
    products = check(builder.graph([x], [builder.convolution(heads[0], 4, 8, LARGER), heads[1]]), SQUARE)
    assert {op.macs for op in products if op.repeated} == {16 * 12 * 5, 16 * 12 * 6}


def test_not_where_others_read_the_larger_map() -> None:
    builder = Builder(1)
    x = builder.tensor(16, 10, 8)
    y = builder.doubled(builder.linear(x, 12, 8), 4)
    products = check(builder.graph([x], [builder.linear(y, 5, 8), builder.convolution(y, 4, 8, LARGER)]), SQUARE)
    assert {op.macs for op in products if op.repeated} == {16 * 10 * 12}


def test_what_cannot_be_repeated_is_refused() -> None:
    builder = Builder(1)
    x = builder.tensor(16, 10, 16)
    with pytest.raises(CompileError, match=r"node0: t0.* must be int8 to be upsampled"):
        compile_graph(builder.graph([x], [builder.doubled(x, 4)]), SQUARE)
    builder = Builder(1)
    x = builder.tensor(40, 3, 8)
    with pytest.raises(CompileError, match="lines of 40 pixels are repeated whole, but accumulator_depth is 32"):
        compile_graph(builder.graph([x], [builder.doubled(x, 40)]), SQUARE)

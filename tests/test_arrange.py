"""Channels in another order: joined, shuffled and split tensors, which no step moves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_models
import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.window import Window
from celosia.sw import graph as ir
from celosia.sw.compiler.errors import CompileError
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.executor import execute
from celosia.sw.frontend import ModelError, import_model
from celosia.tb.graphs import Builder, random_inputs
from onnx_models import Net
from random_graphs import run_on_golden_machine

SQUARE = MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=32, accumulator_depth=64)
MACHINES = (SQUARE, replace(SQUARE, rows=6, cols=6, lanes=3), replace(SQUARE, rows=8, cols=4), replace(SQUARE, rows=4, cols=8, lanes=2))
MOVED = ["Conv", "Relu", "Concat", "Reshape", "Transpose", "Split", "Slice"]


def check(graph: ir.Graph, machine: MachineParameters) -> ir.Graph:
    """Gives the graph as the compiler leaves it."""
    program, reals = compile_graph(graph, machine), graph.inputs[0].dtype.kind == "f"
    random = np.random.default_rng(1)
    inputs = {p.name: random.normal(size=p.shape).astype(np.float32) for p in graph.inputs} if reals else random_inputs(graph, 1)
    found, values = run_on_golden_machine(program, inputs), execute(graph, inputs, lanes=machine.lanes)
    assert all((found[port.name] == values[port.tensor.name]).all() for port in graph.outputs)
    assert not any(isinstance(op, ir.Arrange) for op in program.graph.operators)
    return program.graph


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.arrays)
@pytest.mark.parametrize("types", [["Conv", "Relu"], MOVED], ids=["moves in float", "every operator"])
def test_shuffled_blocks(machine: MachineParameters, types: list[str], tmp_path: Path) -> None:
    made = onnx_models.shuffled(2, branch=machine.depthwise)
    check(import_model(onnx_models.quantize(made, tmp_path / "net.onnx", op_types_to_quantize=types)), machine)


def arranged(builder: Builder, sources: list[ir.Tensor], columns: list[int]) -> ir.Tensor:
    out = replace(sources[0], name=f"t{len(builder.tensors)}", cols=len(columns))
    builder.tensors[out.name] = out
    about = {"sources": tuple(t.whole for t in sources), "columns": tuple(columns)}
    builder.operators.append(ir.Arrange(**builder.names, **about, out=out.whole))
    return out


def two_products(builder: Builder) -> tuple[ir.Tensor, list[ir.Tensor]]:
    """Of 12 channels each, from one tensor."""
    x = builder.tensor(16, 10, 8)
    return x, [builder.linear(x, 12, 8, symmetric=True) for _ in range(2)]


SHUFFLED = [n // 2 + 12 * (n % 2) for n in range(24)]


def test_what_works_channel_by_channel_follows_the_order() -> None:
    builder = Builder(1)
    x, made = two_products(builder)
    y = arranged(builder, made, SHUFFLED)
    y = builder.max_pool(y, 8, Window(height=4, width=4, kernel=(3, 3), pads=(1, 1, 1, 1), groups=24))
    y = builder.convolution(y, 24, 8, Window(height=4, width=4, kernel=(3, 3), pads=(1, 1, 1, 1), groups=24))
    y = builder.table(y, 8)
    some = arranged(builder, [y], [20, 3, 4, 1])
    check(builder.graph([x], [builder.linear(y, 5, 8), builder.linear(some, 3, 8)]), SQUARE)


def test_joined_alone_is_written_by_both() -> None:
    builder = Builder(1)
    x, made = two_products(builder)
    graph = check(builder.graph([x], [arranged(builder, made, list(range(24)))]), SQUARE)
    assert [type(op) for op in graph.operators] == [ir.MatMul] * 2


def test_joined_channels_as_the_second_operand() -> None:
    builder = Builder(1)
    x = builder.tensor(16, 10, 8)
    joined = arranged(builder, [builder.linear(x, 8, 8, symmetric=True) for _ in range(2)], list(range(16)))
    check(builder.graph([x], [builder.add(builder.linear(x, 16, 8), joined, 8)]), SQUARE)


def test_what_no_product_makes_is_taken_by_one() -> None:
    builder = Builder(1)
    x = builder.tensor(16, 10, 8)
    taken = arranged(builder, [x], [9, 1, 5])
    y = arranged(builder, [builder.gelu(builder.linear(x, 12, 8), 8)], [*range(0, 12, 2), *range(1, 12, 2)])
    graph = check(builder.graph([x], [taken, builder.add(y, y, 8)]), SQUARE)
    assert sum(isinstance(op, ir.MatMul) for op in graph.operators) == 3


def test_an_order_that_no_product_writes_is_refused() -> None:
    builder = Builder(1)
    x, made = two_products(builder)
    graph = builder.graph([x], [arranged(builder, made, SHUFFLED)])
    with pytest.raises(CompileError, match=r"node2: not all that reads t.* can take its channels in the order"):
        compile_graph(graph, SQUARE)


def test_wide_channels_are_refused() -> None:
    builder = Builder(1)
    x = builder.tensor(16, 10, 16)
    graph = builder.graph([x], [arranged(builder, [builder.rescale(x, 16)], [1, 0])])
    with pytest.raises(CompileError, match="must be int8"):
        compile_graph(graph, SQUARE)


def test_no_channel_is_taken_twice() -> None:
    builder = Builder(1)
    with pytest.raises(ValueError, match="each once"):
        arranged(builder, [builder.tensor(4, 4, 8)], [1, 1])
    with pytest.raises(ValueError, match="the rows and the numbers"):
        arranged(builder, [builder.tensor(4, 4, 8, symmetric=True), builder.tensor(4, 4, 16, symmetric=True)], [1, 0])


def test_joined_values_are_refused_by_name(tmp_path: Path) -> None:
    net = Net()
    x = net.input(1, 4, 2, 2)
    both = net.op("Concat", net.quantized(x), net.constant(np.zeros((1, 4, 2, 2), np.float32)), axis=1)
    onnx.save(net.model(net.quantized(both)), tmp_path / "constant.onnx")
    with pytest.raises(ModelError, match=r"\(Concat\) .* its operand constant_\d+ is a constant"):
        import_model(tmp_path / "constant.onnx")

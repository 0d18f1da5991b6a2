"""Maps of few channels, kept without gaps: convolved in runs of pixels, pooled and upsampled on their way; and operators in bands."""

from dataclasses import replace
from pathlib import Path

import onnx
import onnx_models
import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.window import Window
from celosia.sw import graph as ir
from celosia.sw.compiler.bands import Bands
from celosia.sw.compiler.errors import CompileError
from celosia.sw.compiler.patterns import Pattern, compile_graph
from celosia.sw.compiler.pipeline import SEQUENTIAL, Assignment
from celosia.sw.compiler.predict import DEFAULT_RESOURCES
from celosia.sw.compiler.program import Compiler
from celosia.sw.executor import execute
from celosia.sw.frontend.importer import import_model
from celosia.tb.graphs import Builder
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from maps import random_maps
from random_graphs import check, run_on_golden_machine

MACHINE = MachineParameters(rows=8, cols=4, lanes=2, scratchpad_kib=32, banks=8, units=2, accumulator_depth=64, packing=1)
ARRAYS = (8, 4), (8, 2), (8, 1), (4, 2), (16, 4), (16, 2)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 1 << 16), st.sampled_from((1, 2, 3)), st.sampled_from(ARRAYS), st.sampled_from(list(Pattern)))
@example(seed=91, units=1, array=(8, 1), pattern=Pattern.SEQUENTIAL)  # a map of one column, upsampled
def test_every_pattern_computes_what_the_executor_does(seed: int, units: int, array: tuple[int, int], pattern: Pattern) -> None:
    machine = replace(MACHINE, units=units, rows=array[0], cols=array[1], lanes=1)
    graph = random_maps(seed, channels=1 if array[1] == 1 else 0)
    try:
        program = compile_graph(graph, machine, pattern=pattern)
    except CompileError as error:  # of what needs runs, but is not made or read in runs
        assert "kept without gaps" in str(error) or "max pooling needs" in str(error)  # noqa: PT017
        return
    check(program, graph, seed)


def images(size: int = 16) -> ir.Graph:
    """3x3 -> upsampled -> 3x3 -> upsampled -> 3x3 -> halved -> 3x3, of one channel."""
    builder = Builder(1)

    def convolved(x: ir.Tensor, size: int) -> ir.Tensor:
        return builder.convolution(x, 1, 8, Window(height=size, width=size, kernel=(3, 3), pads=(1, 1, 1, 1)))

    x = builder.tensor(size * size, 1, 8)
    y = builder.doubled(convolved(x, size), size)
    y = builder.doubled(convolved(y, 2 * size), 2 * size)
    y = builder.halved(convolved(y, 4 * size), 4 * size)
    return builder.graph([x], [convolved(y, 2 * size)])


def test_a_run_fills_the_columns() -> None:
    graph = images()
    compiler = Compiler(graph, MACHINE, DEFAULT_RESOURCES, name="images")
    operators = compiler.network.graph.operators
    assert [(op.run, op.pooled, op.repeated) for op in operators if isinstance(op, ir.MatMul)] == [
        (4, False, True),
        (4, False, True),
        (4, True, False),
        (4, False, False),
    ]
    assert compiler.network.graph.macs() == sum(op.macs for op in graph.operators if isinstance(op, ir.MatMul) and not op.maximum)
    check(compiler.program(), graph)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 32])
@pytest.mark.parametrize("units", [(), ((0,), (1, 2), (3,), (0,))])
def test_bands_compute_what_the_executor_does(count: int, units: tuple[tuple[int, ...], ...]) -> None:
    graph = images()
    compiler = Compiler(graph, replace(MACHINE, units=4), DEFAULT_RESOURCES, name="images")
    bands = Bands(operators=tuple(op.name for op in compiler.network.graph.operators), count=count, units=units)
    program, whole = compiler.program(Assignment(bands=(bands,))), compiler.program(SEQUENTIAL)
    check(program, graph)
    between = [op.outputs[0].tensor for op in compiler.network.graph.operators[:-1]]
    assert all(tensor.name in program.plan.resident for tensor in between)
    assert program.plan.words_moved == whole.plan.words_moved


def test_what_has_no_place_is_made_in_bands() -> None:
    graph, machine = images(), replace(MACHINE, units=4, scratchpad_kib=4)
    programs = {pattern: compile_graph(graph, machine, pattern=pattern) for pattern in Pattern}
    auto, sequential = programs[Pattern.AUTO], programs[Pattern.SEQUENTIAL]
    assert auto.plan.assignment.bands
    assert auto.cycles < sequential.cycles
    assert auto.plan.words_moved < sequential.plan.words_moved
    (beside,) = programs[Pattern.DATAFLOW].plan.assignment.bands
    assert len(beside.units) == 4
    for program in programs.values():
        check(program, graph)


def test_bands_of_maps_of_many_channels() -> None:
    builder = Builder(2)
    x = builder.tensor(144, 8, 8)
    window = Window(height=12, width=12, kernel=(3, 3), pads=(1, 1, 1, 1))
    y = builder.table(builder.convolution(builder.convolution(x, 24, 8, window), 16, 8, window), 16)
    graph = builder.graph([x], [builder.rescale(y, 8)])
    machine = replace(MACHINE, scratchpad_kib=16, packing=0, cols=8)
    compiler = Compiler(graph, machine, DEFAULT_RESOURCES, name="channels")
    names = tuple(op.name for op in compiler.network.graph.operators)
    check(compiler.program(Assignment(bands=(Bands(operators=names, count=4),))), graph)
    with pytest.raises(CompileError, match="only 144 bands can be made"):
        compiler.program(Assignment(bands=(Bands(operators=names, count=145),)))
    with pytest.raises(CompileError, match=r"needs \d+ words"):
        Compiler(graph, replace(machine, scratchpad_kib=2), DEFAULT_RESOURCES, name="channels").program(
            Assignment(bands=(Bands(operators=names, count=1),))
        )


@pytest.mark.parametrize(("model", "array"), [(onnx_models.generator, (8, 4)), (onnx_models.autoencoder, (16, 2))])
def test_of_onnx(model: object, array: tuple[int, int], tmp_path: Path) -> None:
    made = model()  # pyright: ignore[reportCallIssue]
    types = ["Conv", "ConvTranspose", "Add", "Mul", "Exp", "Relu", "Resize", "MaxPool"]
    graph = import_model(onnx_models.quantize(made, tmp_path / "qdq.onnx", op_types_to_quantize=types))
    machine = replace(MACHINE, rows=array[0], cols=array[1])
    program = compile_graph(graph, machine)
    assert all(op.run for op in program.graph.operators if isinstance(op, ir.MatMul))
    (arrays,) = onnx_models.samples(made, 1, seed=3)
    found, values = run_on_golden_machine(program, arrays), execute(graph, arrays, lanes=machine.lanes)
    assert all((found[port.name] == values[port.tensor.name]).all() for port in graph.outputs)
    assert isinstance(made, onnx.ModelProto)

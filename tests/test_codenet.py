"""The example's detector, reduced: its program computes what the executor does, and the executor what ONNX Runtime does."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import Engine
from celosia.sw import graph as ir
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.executor import execute
from celosia.sw.frontend import import_model
from celosia.sw.frontend.reference import Reference, compare_layers
from random_graphs import run_on_golden_machine

from examples.codenet.model import HEADS, PARTS, Configuration, build, image

SMALL = Configuration(size=64, width=0.25)
MACHINE = MachineParameters(rows=16, cols=16, lanes=2, scratchpad_kib=64, banks=8, bus_bytes=16, weight_bits=4)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("codenet") / "codenet.onnx"
    onnx.save(build(SMALL), path)
    return path


def test_every_layer_is_that_of_onnx_runtime(path: Path) -> None:
    graph, arrays = import_model(path), {"image": image(SMALL)}
    outputs, layers = Reference(path, graph).run(arrays)
    for found in compare_layers(graph, arrays, layers, lanes=MACHINE.lanes):
        assert found.worst <= 1, found
        assert found.equal >= 0.95 * found.elements, found
    assert {name: value.shape for name, value in outputs.items()} == {name: (1, count, 16, 16) for name, count in HEADS.items()}


def test_activations_neither_die_nor_saturate(path: Path) -> None:
    graph = import_model(path)
    for name, values in execute(graph, {"image": image(SMALL)}, lanes=MACHINE.lanes).items():
        tensor = graph.tensors[name]
        if tensor.data is None:
            assert np.isin(values, (tensor.format.min, tensor.format.max)).mean() < 0.9, name
            assert values.std() > 2, name


def test_no_engine_but_the_compute_unit_works(path: Path) -> None:
    graph, inputs = import_model(path), {"image": image(SMALL)}
    program = compile_graph(graph, MACHINE)
    found, values = run_on_golden_machine(program, inputs), execute(graph, inputs, lanes=MACHINE.lanes)
    assert all((found[port.name] == values[port.tensor.name]).all() for port in graph.outputs)
    assert {step.engine for step in program.body} == {Engine.LOAD, Engine.COMPUTE, Engine.STORE}
    assert {op.node.partition(".")[0] for op in program.graph.operators} == set(PARTS)
    assert sum(op.repeated for op in program.graph.operators if isinstance(op, ir.MatMul)) == 2 + len(HEADS)

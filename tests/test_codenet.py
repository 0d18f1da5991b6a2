"""The example's detector, reduced: its program computes what the executor does, and the executor what ONNX Runtime does."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import Engine
from celosia.sw import graph as ir
from celosia.sw.compiler.bands import Bands
from celosia.sw.compiler.chains import chains
from celosia.sw.compiler.pipeline import Assignment
from celosia.sw.compiler.predict import DEFAULT_RESOURCES
from celosia.sw.compiler.program import Compiler
from celosia.sw.executor import dequantize_output, execute
from celosia.sw.frontend import import_model
from celosia.sw.frontend.reference import Reference, compare_layers
from numpy.typing import NDArray
from onnx.utils import Extractor
from random_graphs import run_on_golden_machine

from examples.codenet.model import DECODER, DETECTIONS, HEADS, OUTPUTS, PARTS, Configuration, build, image

SMALL = Configuration(size=64, width=0.25)
MACHINE = MachineParameters.from_dict(
    {
        **{"rows": 16, "cols": 16, "lanes": 2, "scratchpad_kib": 64, "banks": 8, "bus_bytes": 16, "weight_bits": 4, "pruning": 1},
        **{"deform_kernel": 3, "deform_reach": 7, "deform_width": 64},
    }
)


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
        assert found.equal >= 0.9 * found.elements, found  # a step is few units of the sums here, to which biases are rounded
    assert {name: value.shape for name, value in outputs.items()} == OUTPUTS


def as_rows(outputs: Mapping[str, NDArray]) -> NDArray[np.float64]:
    """A row for each detection, by class and pixel."""
    columns = [outputs[name][0].astype(np.float64).reshape(DETECTIONS, -1) for name in ("classes", "pixel", *OUTPUTS) if name in outputs]
    table = np.concatenate(columns, axis=1)
    return table[np.lexsort(table[:, 1::-1].T)]


def test_detections_are_those_that_onnx_runtime_makes_of_the_same_maps(path: Path) -> None:
    graph = import_model(path)
    values = execute(graph, {"image": image(SMALL)}, lanes=MACHINE.lanes)
    found = {port.name: dequantize_output(port, values[port.tensor.name]) for port in graph.outputs}
    by_node = {op.node: op for op in graph.operators}
    sources = {"hm": by_node["decode.peaks_alone"], "wh": by_node["decode.wh_found"], "reg": by_node["decode.reg_found"]}
    maps = {}
    for name, op in sources.items():
        tensor = op.inputs[0].tensor
        assert isinstance(op, ir.Add | ir.Gather)
        numbers = (values[tensor.name] - tensor.zero_point).astype(np.float32) * np.float32(tensor.scale)
        maps[name] = numbers.T.reshape(1, HEADS[name], SMALL.size // 4, SMALL.size // 4)
    decoding = Extractor(onnx.shape_inference.infer_shapes(onnx.load(path))).extract_model(list(HEADS), list(OUTPUTS))
    session = onnxruntime.InferenceSession(decoding.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = dict(zip(OUTPUTS, map(np.asarray, session.run(list(OUTPUTS), maps)), strict=True))
    assert as_rows(found) == pytest.approx(as_rows(expected), abs=1e-6)
    assert (found["scores"] > 0).all()
    assert len(np.unique(found["classes"])) > 1


def test_activations_neither_die_nor_saturate(path: Path) -> None:
    graph = import_model(path)
    values = execute(graph, {"image": image(SMALL)}, lanes=MACHINE.lanes)
    for op in (op for op in graph.operators if op.node.partition(".")[0] != PARTS[-1]):
        tensor = op.outputs[0].tensor
        of_it = values[tensor.name]
        assert np.isin(of_it, (tensor.format.min, tensor.format.max)).mean() < 0.9, tensor
        assert of_it.std() > (0.5 if tensor.cols == 1 else 2), tensor  # of one channel: pixels


@pytest.mark.parametrize("bands", [0, 3])
def test_the_machine_does_all_of_it(path: Path, bands: int) -> None:
    """Also with every chain of convolutions in bands, those of the deform engine among them."""
    graph, inputs = import_model(path), {"image": image(SMALL)}
    compiler = Compiler(graph, MACHINE, DEFAULT_RESOURCES, name="codenet")
    found, _ = chains(compiler.network.graph)
    lines = {op.name: op.deformation.lines for op in compiler.network.graph.operators if isinstance(op, ir.Deform)}
    groups = [Bands(operators=tuple(chain), count=bands) for chain in found if bands and lines.get(chain[1], 0) > 2 * bands]
    assert len(groups) >= bands
    program = compiler.program(Assignment(bands=tuple(groups)))
    results, values = run_on_golden_machine(program, inputs), execute(graph, inputs, lanes=MACHINE.lanes)
    assert {port.name: port.shape for port in graph.outputs} == OUTPUTS
    assert all((results[port.name] == values[port.tensor.name]).all() for port in graph.outputs)
    operators = {op.name: op for op in program.graph.operators}
    assert {op.node.partition(".")[0] for op in operators.values()} == set(PARTS)
    assert sum(isinstance(op, ir.Deform) and op.offsets is not None for op in operators.values()) == len(DECODER)
    of_vector = {
        operators[label].node.partition(".")[0]
        for label, step in zip(program.labels, program.body, strict=True)
        if step.engine is Engine.VECTOR
    }
    assert of_vector == {PARTS[-1]}
    assert sum(op.repeated for op in operators.values() if isinstance(op, ir.MatMul)) == 2 + len(HEADS)

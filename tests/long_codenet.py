"""The example's detector in full size on the golden machine: `nox -s sim_long`."""

from pathlib import Path

import onnx
import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.executor import execute
from celosia.sw.frontend import import_model
from random_graphs import run_on_golden_machine

from examples.codenet.model import Configuration, build, image


@pytest.mark.parametrize("size", [256, 512])
@pytest.mark.parametrize("units", [1, 2])
def test_full_size(size: int, units: int, tmp_path: Path) -> None:
    network = Configuration(size=size)
    machine = MachineParameters(
        rows=16, cols=16, lanes=2, scratchpad_kib=512, banks=16, bus_bytes=16, weight_bits=4, requantizer_columns=2, units=units
    )
    onnx.save(build(network), tmp_path / "codenet.onnx")
    graph, inputs = import_model(tmp_path / "codenet.onnx"), {"image": image(network)}
    found, values = run_on_golden_machine(compile_graph(graph, machine), inputs), execute(graph, inputs, lanes=machine.lanes)
    assert all((found[port.name] == values[port.tensor.name]).all() for port in graph.outputs)

"""The example's detector in full size on the golden machine: `nox -s sim_long`."""

from pathlib import Path

import onnx
import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.executor import execute
from celosia.sw.frontend import import_model
from random_graphs import run_on_golden_machine

from examples.codenet.model import OUTPUTS, Configuration, build, image

MACHINE = MachineParameters.from_dict(
    {
        **{"rows": 16, "cols": 16, "units": 2, "lanes": 4, "scratchpad_kib": 512, "banks": 16, "bus_bytes": 16, "row_elements": 4096},
        **{"weight_bits": 4, "requantizer_columns": 4, "pruning": 1, "deform_kernel": 3, "deform_reach": 7, "deform_width": 64},
    }
)


@pytest.mark.parametrize("size", [256, 512])
def test_full_size(size: int, tmp_path: Path) -> None:
    network = Configuration(size=size)
    onnx.save(build(network), tmp_path / "codenet.onnx")
    graph, inputs = import_model(tmp_path / "codenet.onnx"), {"image": image(network)}
    found, values = run_on_golden_machine(compile_graph(graph, MACHINE), inputs), execute(graph, inputs, lanes=MACHINE.lanes)
    assert {port.name for port in graph.outputs} == set(OUTPUTS)
    assert all((found[port.name] == values[port.tensor.name]).all() for port in graph.outputs)

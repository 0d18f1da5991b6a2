"""Random networks in groups, on hardware made for each of them, whatever the memory: equal to the executor, and none hangs."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from celosia.gen.project import VERILOG, write_project
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw import graph as ir
from celosia.sw.compiler.patterns import Pattern, compile_graph
from celosia.sw.compiler.pipeline import Assignment, Pipeline, Stage
from celosia.sw.compiler.predict import DEFAULT_RESOURCES
from celosia.sw.compiler.program import Compiler, Program
from celosia.sw.driver.network import Network
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.executor import execute
from celosia.sw.frontend import import_model
from celosia.tb.graphs import random_inputs
from celosia.tb.runner import build_machine
from chains import random_chain
from deformable import LAYERS, Layer, network, save
from maps import random_maps

MACHINE = MachineParameters(rows=4, cols=4, lanes=2, scratchpad_kib=16, banks=4, units=4, accumulator_depth=16, row_elements=64)

MAPS = MachineParameters(rows=8, cols=4, lanes=2, scratchpad_kib=4, banks=4, units=3, accumulator_depth=64, row_elements=64, packing=1)

DEFORMS = MachineParameters.from_dict(
    {
        **{"rows": 8, "cols": 8, "lanes": 4, "scratchpad_kib": 16, "units": 2, "accumulator_depth": 64, "row_elements": 64},
        **{"deform_kernel": 3, "deform_reach": 7, "deform_width": 16, "deform_free": 1, "deform_masked": 1},
    }
)


def check_pipelines(seed: int, folder: Path) -> None:
    """That the network of this seed runs."""
    program = compile_graph(random_chain(seed), MACHINE, pattern=Pattern.DATAFLOW)
    assert program.plan.links
    _check(program, seed, folder)


def check_maps(seed: int, folder: Path) -> None:
    """Likewise."""
    _check(compile_graph(random_maps(seed), MAPS, pattern=list(Pattern)[seed % 3]), seed, folder)


def _check(program: Program, seed: int, folder: Path) -> None:
    """Twice on the same circuit and each time with another memory."""
    manifest = write_project(program, folder, rom=True)
    random = np.random.default_rng(seed)
    with VerilatedDevice(build_machine(folder / VERILOG), memory_bytes=program.memory_bytes) as device:
        network = Network(device, manifest, watchdog=100_000)
        for run in range(2):
            device.set_memory_timing(latency=int(random.integers(1, 60)), bandwidth=Fraction(int(random.integers(1, 5)), 4))
            inputs = random_inputs(program.graph, run)
            found, values = network.run_integers(inputs), execute(program.graph, inputs, lanes=program.parameters.lanes)
            assert all((found[port.name] == values[port.tensor.name]).all() for port in program.graph.outputs)


@pytest.mark.parametrize("seed", [0, 4])
def test_pipelines(seed: int, tmp_path: Path) -> None:
    check_pipelines(seed, tmp_path / "project")


@pytest.mark.parametrize("seed", [18, 28])
def test_maps(seed: int, tmp_path: Path) -> None:
    check_maps(seed, tmp_path / "project")


@pytest.mark.parametrize("layer", [LAYERS["square"], LAYERS["free"], LAYERS["full"]], ids=["square", "free", "full"])
def test_deformations(layer: Layer, tmp_path: Path) -> None:
    """Offsets, or samples, two lines at a time: from an array through the deformable convolution engine to the other array."""
    compiler = Compiler(import_model(save(network(layer), tmp_path)), DEFORMS, DEFAULT_RESOURCES, name="deformable")
    operators = compiler.network.graph.operators
    deform = next(op for op in operators if isinstance(op, ir.Deform))
    assert deform.offsets
    writer = next(op.name for op in operators if op.outputs[0].tensor == deform.offsets.tensor)
    reader = next(op.name for op in operators if op.inputs[0].tensor == deform.out.tensor)
    stages = Stage(operator=writer), Stage(operator=deform.name), Stage(operator=reader, units=(1,))
    pipeline = Pipeline(stages=stages, band=2 * layer.maps[1])
    program = compiler.program(Assignment(pipelines=(pipeline,)))
    assert [(link.writer, link.reader) for link in program.plan.links] == [
        ("compute0.write", "deform.read_offsets"),
        ("deform.write", "compute1.read_a"),
    ]
    _check(program, 1, tmp_path / "project")

"""Random networks in groups, on hardware made for each of them, whatever the memory: equal to the executor, and none hangs."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from celosia.gen.project import VERILOG, write_project
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw.compiler.patterns import Pattern, compile_graph
from celosia.sw.compiler.program import Program
from celosia.sw.driver.network import Network
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.executor import execute
from celosia.tb.graphs import random_inputs
from celosia.tb.runner import build_machine
from chains import random_chain
from maps import random_maps

MACHINE = MachineParameters(rows=4, cols=4, lanes=2, scratchpad_kib=16, banks=4, units=4, accumulator_depth=16, row_elements=64)

MAPS = MachineParameters(rows=8, cols=4, lanes=2, scratchpad_kib=4, banks=4, units=3, accumulator_depth=64, row_elements=64, packing=1)


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

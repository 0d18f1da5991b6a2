"""A machine with the deformable convolution engine, Verilated, runs networks as the executor does."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from celosia.gen.verilog import to_verilog
from celosia.rtl.accelerator import Accelerator
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.registers import OFFSETS
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.driver.network import Network
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.executor import execute
from celosia.sw.frontend import import_model
from celosia.sw.manifest import Manifest
from celosia.tb.graphs import random_inputs
from celosia.tb.runner import build_machine
from deformable import LAYERS, Layer, network, save

MACHINE = MachineParameters(
    rows=8, cols=8, lanes=4, scratchpad_kib=16, accumulator_depth=64, row_elements=64, deform_kernel=3, deform_reach=7, deform_width=16,
    deform_free=1, deform_masked=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerilatedDevice]:
    verilog = tmp_path_factory.mktemp("deform") / "accelerator.v"
    verilog.write_text(to_verilog(Accelerator(MACHINE), name="accelerator"))
    with VerilatedDevice(build_machine(verilog), memory_bytes=1 << 20) as device:
        yield device


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_networks(layer: Layer, device: VerilatedDevice, tmp_path: Path) -> None:
    program = compile_graph(import_model(save(network(layer), tmp_path)), MACHINE)
    inputs = random_inputs(program.graph, 1)
    values = execute(program.graph, inputs, lanes=MACHINE.lanes)
    found = Network(device, Manifest.of(program, rom=False)).run_integers(inputs)
    for port in program.graph.outputs:
        assert (found[port.name] == values[port.tensor.name]).all(), port.name
    assert device.read_register(OFFSETS["deform_busy"]) > 0
    if layer.square:
        assert device.read_register(OFFSETS["tap_conflicts"]) == 0


def test_conflicts_are_counted(device: VerilatedDevice, tmp_path: Path) -> None:
    """Of taps with offsets of their own, at most a cycle for each other tap."""
    layer = replace(LAYERS["free"], masked=False)
    program = compile_graph(import_model(save(network(layer), tmp_path)), MACHINE)
    Network(device, Manifest.of(program, rom=False)).run_integers(random_inputs(program.graph, 1))
    turns = layer.maps[0] * layer.maps[1] * -(-layer.channels // MACHINE.word_bytes)
    assert 0 < device.read_register(OFFSETS["tap_conflicts"]) <= 8 * turns

"""Verilated machines run random networks as the executor does, and survive damaged programs."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import onnx_models
import pytest
from celosia.gen.project import VERILOG, WHOLE, write_project
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import STEP_BYTES
from celosia.rtl.arch.window import Window
from celosia.sw import compile_model, open_device
from celosia.sw import graph as ir
from celosia.sw.compiler.errors import CompileError
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.compiler.program import Program
from celosia.sw.driver.network import MachineError, Network
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.executor import execute
from celosia.sw.frontend import import_model
from celosia.sw.manifest import Manifest
from celosia.sw.pruning import Pruning, prune
from celosia.sw.report import write_report
from celosia.tb.graphs import Builder, random_inputs
from celosia.tb.runner import build_machine
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from onnx_models import decoder
from random_graphs import cached, graphs, prunings, transformer
from test_detector import small
from test_frontend_peaks import detections, heat_of

MACHINES = {
    # Words wider than the bus, more columns than rows, few lanes, shared requantizers, and a scratchpad that many networks do not fit.
    "6x12": MachineParameters(
        rows=6,
        cols=12,
        lanes=1,
        scratchpad_kib=4,
        banks=2,
        accumulator_depth=16,
        bus_bytes=4,
        row_elements=64,
        factor_bits=8,
        requantizer_columns=4,
    ),
    # Two units, whose regions are two of its four banks, and more rows than columns.
    "2 of 8x4": MachineParameters(
        rows=8, cols=4, lanes=2, scratchpad_kib=8, banks=4, accumulator_depth=16, row_elements=64, units=2, queue_depth=2
    ),
    # What takes a square array, or words of a power of two: depthwise, max pooling, few channels, groups of any size. And sums in products,
    # rows of b that are loaded two at once, and pruning.
    "8x8": MachineParameters(
        rows=8, cols=8, lanes=4, scratchpad_kib=8, accumulator_depth=32, row_elements=64, factor_bits=8, residual=1, b_words=2, pruning=1
    ),
}
GUARD = 1 << 12  # bytes on either side of the buffer
MEMORY = 1 << 20
quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@pytest.fixture(scope="module", params=MACHINES)
def machine(request: pytest.FixtureRequest) -> MachineParameters:
    return MACHINES[request.param]


@pytest.fixture(scope="module")
def program(machine: MachineParameters) -> Program:
    builder = Builder(4)
    x = builder.tensor(20, 30, 8)
    y = builder.layernorm(builder.gelu(builder.add(x, builder.attention(x, 2, 7), 16), 8), 16)
    return compile_graph(builder.graph([x], [builder.linear(builder.rescale(y, 8), 9, 16)]), machine)


@pytest.fixture(scope="module")
def device(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerilatedDevice]:
    folder = tmp_path_factory.mktemp("random") / "project"
    write_project(program, folder)
    with VerilatedDevice(build_machine(folder / VERILOG), memory_bytes=MEMORY) as device:
        yield device


def assert_runs(device: VerilatedDevice, program: Program, seed: int) -> None:
    inputs = random_inputs(program.graph, seed)
    values = execute(program.graph, inputs, lanes=program.parameters.lanes)
    found = Network(device, Manifest.of(program, rom=False), base=GUARD).run_integers(inputs)
    for port in program.graph.outputs:
        assert (found[port.name] == values[port.tensor.name]).all(), port.name


@settings(quick, max_examples=200)
@given(graphs(), st.integers(1, 30), st.fractions(Fraction(1, 5), 1, max_denominator=8), st.integers(0, 1 << 16))
def test_random_networks(
    device: VerilatedDevice, machine: MachineParameters, graph: ir.Graph, latency: int, bandwidth: Fraction, seed: int
) -> None:
    try:
        program = compile_graph(graph, machine)
    except CompileError:
        reject()
    device.set_memory_timing(latency=latency, bandwidth=bandwidth)
    assert_runs(device, program, seed)


def test_gates(device: VerilatedDevice, machine: MachineParameters, tmp_path: Path) -> None:
    model = onnx_models.gated() if machine.scratchpad_kib > 4 else onnx_models.gated(12, 30, 44)
    path = onnx_models.quantize(model, tmp_path / "net.onnx", op_types_to_quantize=["MatMul", "Add", "Mul", "Sigmoid"])
    assert_runs_model(device, path, machine)


def test_shuffled_channels(device: VerilatedDevice, machine: MachineParameters, tmp_path: Path) -> None:
    model = onnx_models.shuffled(blocks=1, branch=machine.depthwise)
    assert_runs_model(device, onnx_models.quantize(model, tmp_path / "net.onnx", op_types_to_quantize=["Conv", "Relu"]), machine)


def test_upsampled_maps(device: VerilatedDevice, machine: MachineParameters) -> None:
    builder = Builder(3)
    x = builder.tensor(12, 10, 8)
    y = builder.doubled(builder.linear(x, 13, 8), 4)
    window = Window(height=6, width=8, kernel=(3, 3), pads=(1, 1, 1, 1))
    program = compile_graph(builder.graph([x], [builder.doubled(builder.convolution(y, 5, 8, window), 8)]), machine)
    device.set_memory_timing(latency=1, bandwidth=Fraction(1))
    assert_runs(device, program, 1)


def assert_runs_model(device: VerilatedDevice, path: Path, machine: MachineParameters) -> None:
    """Of real inputs, as the executor runs the file's own graph."""
    program, graph = compile_model(path, machine), import_model(path)
    inputs = {p.name: np.random.default_rng(1).normal(size=p.shape).astype(np.float32) for p in graph.inputs}
    device.set_memory_timing(latency=1, bandwidth=Fraction(1))
    values = execute(graph, inputs, lanes=machine.lanes)
    found = Network(device, Manifest.of(program, rom=False), base=GUARD).run_integers(inputs)
    assert all((found[p.name] == values[p.tensor.name]).all() for p in graph.outputs)


@pytest.mark.parametrize("levels", [1, 3, 240])
@pytest.mark.parametrize("shape", [(5, 8, 10), (3, 20, 30)])
def test_detections(device: VerilatedDevice, machine: MachineParameters, shape: tuple[int, int, int], levels: int, tmp_path: Path) -> None:
    if not machine.pruning:
        pytest.skip("a machine without pruning")
    onnx.save(detections(*shape), tmp_path / "net.onnx")
    program = compile_model(tmp_path / "net.onnx", machine)
    heat, sizes = program.graph.inputs
    random = np.random.default_rng(1).normal(size=sizes.shape).astype(np.float32)
    device.set_memory_timing(latency=5, bandwidth=Fraction(1, 2))
    inputs = {heat.name: heat_of(heat.shape, levels), sizes.name: random}
    values = execute(program.graph, inputs, lanes=machine.lanes)
    found = Network(device, Manifest.of(program, rom=False), base=GUARD).run_integers(inputs)
    assert all((found[port.name] == values[port.tensor.name]).all() for port in program.graph.outputs)


@settings(quick, max_examples=60)
@given(st.data(), st.integers(1, 4), st.integers(1, 9), st.booleans())
def test_pruned_networks(
    device: VerilatedDevice, machine: MachineParameters, data: st.DataObject, heads: int, width: int, causal: bool
) -> None:
    if not machine.pruning:
        pytest.skip("a machine without pruning")
    graph = prune(transformer(2, heads=heads, width=width, length=int(causal)), data.draw(prunings(2, fetched=False)))
    try:
        program = compile_graph(graph, machine)
    except CompileError:
        reject()
    device.set_memory_timing(latency=1, bandwidth=Fraction(1))
    assert_runs(device, program, heads)


@settings(quick, max_examples=60)
@given(st.data(), st.integers(1, 4), st.integers(1, 20), st.fractions(Fraction(1, 5), 1, max_denominator=8))
def test_what_is_not_fetched(
    device: VerilatedDevice, machine: MachineParameters, data: st.DataObject, heads: int, width: int, bandwidth: Fraction
) -> None:
    if not machine.pruning:
        pytest.skip("a machine without pruning")
    try:
        program = compile_graph(prune(cached(2, heads=heads, width=width), data.draw(prunings(2, fetched=True))), machine)
    except CompileError:
        reject()
    device.set_memory_timing(latency=data.draw(st.integers(1, 30)), bandwidth=bandwidth)
    assert_runs(device, program, heads)


def test_a_report_of_what_is_left_out(machine: MachineParameters, tmp_path: Path) -> None:
    if not machine.pruning:
        pytest.skip("a machine without pruning")
    onnx.save(decoder(), tmp_path / "net.onnx")
    program = compile_model(tmp_path / "net.onnx", machine, Pruning(tokens=(0.5,), heads=(0.6,), values=0.5, progressive=0.2))
    whole = compile_model(tmp_path / "net.onnx", machine)
    write_project(program, tmp_path / "project", whole=whole)
    library = build_machine(tmp_path / "project" / VERILOG)
    with open_device(tmp_path / "project", library=library) as device, open_device(tmp_path / "project" / WHOLE, library=library) as other:
        random = np.random.default_rng(1)
        inputs = {port.name: random.normal(size=port.shape).astype(np.float32) for port in program.graph.inputs}
        for network, compiled in ((device, program), (other, whole)):
            values, found = execute(compiled.graph, inputs, lanes=machine.lanes), network.run_integers(inputs)
            assert all((found[port.name] == values[port.tensor.name]).all() for port in compiled.graph.outputs)
        page = write_report(device, tmp_path / "report.html", whole=other).read_text()
    assert "<td>bytes to and from memory</td>" in page


def test_a_report_of_detections(machine: MachineParameters, tmp_path: Path) -> None:
    if not machine.pruning:
        pytest.skip("a machine without pruning")
    onnx.save(small(), tmp_path / "net.onnx")
    program = compile_model(tmp_path / "net.onnx", machine)
    write_project(program, tmp_path / "project")
    inputs = {port.name: np.random.default_rng(2).random(port.shape).astype(np.float32) for port in program.graph.inputs}
    with open_device(tmp_path / "project", library=build_machine(tmp_path / "project" / VERILOG)) as network:
        pages = [write_report(network, tmp_path / "report.html", inputs=given).read_text() for given in (None, inputs)]
    assert ["<h2>Detections</h2>" in page for page in pages] == [False, True]


@settings(quick, max_examples=60)
@given(st.data())
def test_damaged_programs_neither_hang_nor_write_elsewhere(device: VerilatedDevice, program: Program, data: st.DataObject) -> None:
    manifest = Manifest.of(program, rom=False)
    code = bytearray(manifest.code)
    for _ in range(data.draw(st.integers(1, 3))):
        step = data.draw(st.integers(0, len(code) // STEP_BYTES - 1))
        code[step * STEP_BYTES + data.draw(st.integers(0, STEP_BYTES - 1))] ^= data.draw(st.integers(1, 255))
    below, above = bytes(range(256)) * (GUARD // 256), bytes(MEMORY - GUARD - manifest.memory_bytes)
    device.set_memory_timing(latency=1, bandwidth=Fraction(1))
    device.write_memory(0, below)
    device.write_memory(GUARD + manifest.memory_bytes, above)
    network = Network(device, replace(manifest, code=bytes(code)), base=GUARD, watchdog=50_000)
    with suppress(MachineError):
        network.run_integers(random_inputs(program.graph, 1))
    assert device.read_memory(0, GUARD) == below
    assert device.read_memory(GUARD + manifest.memory_bytes, len(above)) == above
    assert_runs(device, program, 2)

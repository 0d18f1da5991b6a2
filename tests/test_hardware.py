"""A compiled network on its Verilated hardware: equal to the executor, and whole again after everything that can go wrong."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from celosia.gen.project import VERILOG, write_project
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.registers import OFFSETS, ErrorCode
from celosia.rtl.arch.steps import STEP_BYTES, Engine, Step
from celosia.sw import compile_model
from celosia.sw.compiler.program import Program
from celosia.sw.driver.device import DeviceError
from celosia.sw.driver.network import ACKNOWLEDGE, RESET, START, MachineError, Network
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.executor import execute
from celosia.sw.manifest import Manifest
from celosia.tb.runner import build_machine

MODEL = Path(__file__).parent.parent / "examples" / "digits" / "digits_qdq.onnx"
# Too small for the constants: weights are staged, and tensors spilled.
MACHINE = MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=16, row_elements=64, accumulator_depth=32, residual=1)
IMAGE = np.random.default_rng(1).random((1, 1, 8, 8), np.float32)
SPARE = 1 << 16  # bytes of the simulated memory beyond the buffer
in_memory = pytest.mark.parametrize("project", ["memory"], indirect=True)  # tests that change the program


@pytest.fixture(scope="module")
def program() -> Program:
    return compile_model(MODEL, MACHINE)


@pytest.fixture(scope="module", params=["memory", "rom"])
def project(request: pytest.FixtureRequest, program: Program, tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Path]:
    folder = tmp_path_factory.mktemp(request.param) / "project"
    manifest = write_project(program, folder, rom=request.param == "rom")
    return manifest, build_machine(folder / VERILOG)


@pytest.fixture
def manifest(project: tuple[Manifest, Path]) -> Manifest:
    return project[0]


@pytest.fixture
def device(project: tuple[Manifest, Path]) -> Iterator[VerilatedDevice]:
    with VerilatedDevice(project[1], memory_bytes=project[0].memory_bytes + SPARE) as device:
        yield device


@pytest.fixture
def expected(program: Program) -> np.ndarray:
    port = program.graph.outputs[0]
    return execute(program.graph, {"image": IMAGE}, lanes=MACHINE.lanes)[port.tensor.name]


def changed(manifest: Manifest, engine: Engine, number: int = 0, **fields: int) -> tuple[Manifest, int]:
    """The manifest with other fields in a body step of an engine, the first by default, and that step's index in the program."""
    index = manifest.prologue + [i for i, (_, name) in enumerate(manifest.labels) if name == engine.name.lower()][number]
    at = index * STEP_BYTES
    step = Step.decode(manifest.code[at : at + STEP_BYTES])
    bad = Step(engine, {**step.command, **fields}, step.waits).encode()
    return replace(manifest, code=manifest.code[:at] + bad + manifest.code[at + STEP_BYTES :]), index


def assert_runs(device: VerilatedDevice, manifest: Manifest, expected: np.ndarray) -> None:
    assert (Network(device, manifest).run_integers(IMAGE)["logits"] == expected).all()


def assert_stops(device: VerilatedDevice, manifest: Manifest, code: ErrorCode, engine: Engine | None, step: int) -> None:
    with pytest.raises(MachineError) as caught:
        Network(device, manifest, watchdog=100_000).run(IMAGE)
    assert (caught.value.code, caught.value.engine, caught.value.step) == (code, engine, step)


@pytest.mark.parametrize(("latency", "bandwidth"), [(1, Fraction(1)), (100, Fraction(1)), (7, Fraction(2, 5))])
def test_equals_the_executor_whatever_the_memory(
    device: VerilatedDevice, manifest: Manifest, expected: np.ndarray, latency: int, bandwidth: Fraction
) -> None:
    device.set_memory_timing(latency=latency, bandwidth=bandwidth)
    network = Network(device, manifest)
    for _ in range(2):  # the second run finds what the first left
        assert (network.run_integers({"image": IMAGE})["logits"] == expected).all()
    counters = network.counters()
    assert counters["steps_completed"] == len(manifest.labels)
    assert 0 < counters["mac_cycles"] < counters["compute_busy"] < counters["cycles"]


def test_a_buffer_need_not_start_at_zero(device: VerilatedDevice, manifest: Manifest, expected: np.ndarray) -> None:
    guard = bytes(range(256)) * 16
    device.write_memory(0, guard)
    device.write_memory(len(guard) + manifest.memory_bytes, guard)
    network = Network(device, manifest, base=len(guard))
    assert (network.run_integers(IMAGE)["logits"] == expected).all()
    assert device.read_memory(0, len(guard)) == guard
    assert device.read_memory(len(guard) + manifest.memory_bytes, len(guard)) == guard


@in_memory
@pytest.mark.parametrize("field", ["a", "b", "r", "out"])
def test_the_step_that_fails_is_named_among_those_that_overlap(device: VerilatedDevice, manifest: Manifest, field: str) -> None:
    for number in range(sum(name == "compute" for _, name in manifest.labels)):
        bad, step = changed(manifest, Engine.COMPUTE, number, **{"residual": 1, field: 1 << 23})
        assert_stops(device, bad, ErrorCode.SCRATCHPAD_ADDRESS, Engine.COMPUTE, step)


@in_memory
@pytest.mark.parametrize(
    ("engine", "fields", "code"),
    [
        (Engine.COMPUTE, {"m": 0}, ErrorCode.ILLEGAL_STEP),
        (Engine.COMPUTE, {"m": MACHINE.accumulator_depth + 1}, ErrorCode.ILLEGAL_STEP),
        (Engine.VECTOR, {"operation": 200}, ErrorCode.ILLEGAL_STEP),
        (Engine.VECTOR, {"operation": 3, "multiplier_0": 0}, ErrorCode.ILLEGAL_STEP),
        (Engine.VECTOR, {"operation": 3, "multiplier_1": 0}, ErrorCode.ILLEGAL_STEP),
        (Engine.VECTOR, {"operation": 2, "cols": MACHINE.row_elements + 1}, ErrorCode.ILLEGAL_STEP),
        (Engine.VECTOR, {"operation": 2, "multiplier_0": 1, "multiplier_1": 1, "length": 0}, ErrorCode.ILLEGAL_STEP),
        (Engine.VECTOR, {"operation": 5, "a_wide": 1}, ErrorCode.ILLEGAL_STEP),
        (Engine.LOAD, {"words": 0}, ErrorCode.ILLEGAL_STEP),
        (Engine.COMPUTE, {"a": 1 << 23}, ErrorCode.SCRATCHPAD_ADDRESS),
        (Engine.VECTOR, {"out": 1 << 23}, ErrorCode.SCRATCHPAD_ADDRESS),
        (Engine.LOAD, {"external": (1 << 32) - 64}, ErrorCode.EXTERNAL_ADDRESS),
        (Engine.STORE, {"external": 1 << 31}, ErrorCode.EXTERNAL_ADDRESS),
    ],
)
def test_a_bad_command_stops_the_machine_and_nothing_else(
    device: VerilatedDevice, manifest: Manifest, expected: np.ndarray, engine: Engine, fields: dict[str, int], code: ErrorCode
) -> None:
    bad, step = changed(manifest, engine, **fields)
    assert_stops(device, bad, code, engine, step)
    assert_runs(device, manifest, expected)


@in_memory
@pytest.mark.parametrize(("octet", "value"), [(0, 9), (1, 1 << 4)], ids=["engine", "unit"])
def test_an_unknown_worker_makes_an_illegal_step(
    device: VerilatedDevice, manifest: Manifest, expected: np.ndarray, octet: int, value: int
) -> None:
    code = bytearray(manifest.code)
    step = manifest.prologue + 3
    code[step * STEP_BYTES + octet] = value
    assert_stops(device, replace(manifest, code=bytes(code)), ErrorCode.ILLEGAL_STEP, None, step)
    assert_runs(device, manifest, expected)


@in_memory
@pytest.mark.parametrize(("engine", "code"), [(Engine.LOAD, ErrorCode.BUS_READ), (Engine.STORE, ErrorCode.BUS_WRITE)])
def test_a_bus_error_is_reported(
    device: VerilatedDevice, manifest: Manifest, expected: np.ndarray, engine: Engine, code: ErrorCode
) -> None:
    beyond = manifest.memory_bytes + SPARE  # of the memory, but within the buffer that the driver claims
    bad, step = changed(manifest, engine, external=beyond)
    assert_stops(device, replace(bad, memory_bytes=beyond + (1 << 20)), code, engine, step)
    assert_runs(device, manifest, expected)


@in_memory
def test_a_program_that_cannot_be_read_is_reported(device: VerilatedDevice, manifest: Manifest, expected: np.ndarray) -> None:
    network = Network(device, manifest)
    network.upload()
    network._write("program_base", 1 << 31)
    with pytest.raises(MachineError, match="bus read in the sequencer"):
        network.run(IMAGE)
    assert_runs(device, manifest, expected)


def test_a_start_waits_for_the_reset_before_it(device: VerilatedDevice, manifest: Manifest, expected: np.ndarray) -> None:
    network = Network(device, manifest)
    network.run_integers(IMAGE)  # leaves its registers as they are
    for action in (RESET | ACKNOWLEDGE, START):
        device.write_register(OFFSETS["control"], action)
    assert device.wait_interrupt(1_000_000)
    assert device.read_register(OFFSETS["status"]) == 2  # done
    assert network.counters()["steps_completed"] == len(manifest.labels)
    assert_runs(device, manifest, expected)


def test_a_silent_memory_ends_in_the_watchdog(device: VerilatedDevice, manifest: Manifest, expected: np.ndarray) -> None:
    network = Network(device, manifest, watchdog=5000)
    network.upload()
    device.mute_memory(True)
    with pytest.raises(MachineError, match="watchdog in the sequencer"):
        network.run(IMAGE)
    device.mute_memory(False)
    assert_runs(device, manifest, expected)


def test_another_configuration_is_refused_by_name(device: VerilatedDevice, manifest: Manifest) -> None:
    other = Manifest.of(compile_model(MODEL, replace(MACHINE, queue_depth=8)), rom=False)
    with pytest.raises(
        DeviceError, match=f"generated for configuration {manifest.configuration:016x}, but network digits_qdq was compiled for"
    ):
        Network(device, other)

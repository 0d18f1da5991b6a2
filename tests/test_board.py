"""A whole board, Verilated, at a pseudo-terminal: the driver runs networks on it as it does on the simulated accelerator."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from amaranth.lib import wiring
from celosia.boards.shared_memory import SharedMemory
from celosia.boards.system import System
from celosia.gen.project import accelerator
from celosia.rtl.arch.formats import INT8
from celosia.rtl.arch.registers import IDENTITY, OFFSETS
from celosia.rtl.arch.sdram import ULX3S
from celosia.rtl.arch.serial import SerialParameters
from celosia.rtl.memory.block import BlockMemory
from celosia.rtl.memory.sdram import SdramController
from celosia.sw import open_block, open_device
from celosia.sw.block import BlockManifest
from celosia.sw.compiler.program import Program
from celosia.sw.driver.device import DeviceError
from celosia.sw.driver.network import START, Network
from celosia.sw.driver.serial_device import SerialDevice
from celosia.sw.manifest import Manifest
from celosia.tb.board import VerilatedBoard, build_board
from celosia.tb.terminal import Terminal, terminal
from test_cli import celosia, refused

from tests.serial_boards import Line
from tests.small_network import MACHINE, check, small_program

SERIAL = SerialParameters(clock=24_000_000, payload_bytes=256, memory_bytes=1 << 14, bus_bytes=4)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return small_program(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def folder(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest alone: all that the driver needs."""
    found = tmp_path_factory.mktemp("network")
    Manifest.of(program, rom=False).save(found)
    return found


def system(program: Program, serial: SerialParameters, memory: wiring.Component) -> System:
    return System(accelerator(Manifest.of(program, rom=False)), serial, memory)


@pytest.fixture(scope="module")
def library(program: Program) -> Path:
    return build_board(system(program, SERIAL, BlockMemory(4, SERIAL.memory_bytes, id_bits=SharedMemory.ID_BITS)))


@contextmanager
def plugged(library: Path) -> Iterator[tuple[Terminal, VerilatedBoard]]:
    with VerilatedBoard(library, SERIAL) as board, terminal(board.run) as line:
        yield line, board


def test_a_network(library: Path, folder: Path, program: Program) -> None:
    with plugged(library) as (line, board), open_device(f"serial:{line.port}", folder) as network:
        for seed in range(3):
            check(network, program, seed)
        counters = network.counters()
        assert 0 < counters["mac_cycles"] <= counters["cycles"] < board.cycles
        assert 0 < network.device.cycles < board.cycles


def test_a_network_over_a_bad_line(library: Path, folder: Path, program: Program) -> None:
    rng = random.Random(1)
    to_board, to_host = (Line(rng, dropped=0.001, doubled=0.001, flipped=0.001) for _ in range(2))
    with (
        VerilatedBoard(library, SERIAL) as board,
        terminal(lambda data: to_host(board.run(to_board(data)))) as line,
        SerialDevice(line.port, timeout=0.3, attempts=500) as device,
        Network(device, Manifest.load(folder)) as network,
    ):
        check(network, program, 1)
        assert device.resent


def test_a_network_in_sdram(folder: Path, program: Program) -> None:
    chip = replace(ULX3S, mhz=SERIAL.clock / 1e6, power_up=1000)
    serial = replace(SERIAL, memory_bytes=chip.size)
    library = build_board(system(program, serial, SdramController(chip, 4, id_bits=SharedMemory.ID_BITS)))
    with (
        VerilatedBoard(library, serial, chip) as board,
        terminal(board.run) as line,
        open_device(f"serial:{line.port}", folder) as network,
    ):
        for seed in range(2):
            check(network, program, seed)
        assert not board.violation


def test_another_network_is_refused(library: Path, program: Program, tmp_path: Path) -> None:
    Manifest.of(replace(program, parameters=replace(MACHINE, scratchpad_kib=4)), rom=False).save(tmp_path)
    with plugged(library) as (line, _):
        for _ in range(2):  # the first one gives the port back
            with pytest.raises(
                DeviceError, match=r"^the device was generated for configuration \w{16}, but network mlp was compiled for \w{16}$"
            ):
                open_device(f"serial:{line.port}", tmp_path)


def test_a_block_is_refused(library: Path, tmp_path: Path) -> None:
    BlockManifest(name="softmax", parameters={}, scales={}, source=INT8, out=INT8, row_elements=16).save(tmp_path)
    with plugged(library) as (line, _), pytest.raises(DeviceError) as found:
        open_block(f"serial:{line.port}", tmp_path)
    assert str(found.value) == f"the device is not a Celosia block: its identity register reads {IDENTITY:#010x}"


def test_unplugged_in_a_run(library: Path, folder: Path, program: Program) -> None:
    """The board, whose machine has not ended, is plugged in again."""
    with VerilatedBoard(library, SERIAL) as board:
        with terminal(board.run) as line:
            network = open_device(f"serial:{line.port}", folder)
            check(network, program, 1)
            network.device.write_register(OFFSETS["control"], START)
            assert network.device.read_register(OFFSETS["identity"]) == IDENTITY
            line.unplug()
            with pytest.raises(DeviceError, match=r": the connection was lost: "):
                check(network, program, 2)
        with terminal(board.run) as line, open_device(f"serial:{line.port}", folder) as network:
            check(network, program, 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("serial:", "a board's name is serial:PORT or serial:PORT?baud=N, not serial:"),
        ("serial:/dev/x?baud=fast", "a board's name is serial:PORT or serial:PORT?baud=N, not serial:/dev/x?baud=fast"),
        ("serial:/dev/x?speed=1", "a board's name is serial:PORT or serial:PORT?baud=N, not serial:/dev/x?speed=1"),
    ],
)
def test_names_of_boards(name: str, message: str, folder: Path) -> None:
    with pytest.raises(DeviceError) as found:
        open_device(name, folder)
    assert str(found.value) == message


def test_run_command(library: Path, folder: Path, program: Program, tmp_path: Path) -> None:
    (port,) = program.graph.inputs
    image = np.random.default_rng(1).normal(size=port.shape).astype(np.float32)
    np.save(tmp_path / "x.npy", image)
    with plugged(library) as (line, _):
        result = celosia("run", folder, "--input", tmp_path / "x.npy", "-o", tmp_path / "y.npy", "--device", f"serial:{line.port}")
    assert result.exit_code == 0, result.output
    assert "1 runs, " in result.output
    assert np.load(tmp_path / "y.npy").shape[1:] == program.graph.outputs[0].shape
    message = "--waveform is the simulator's (main run --help)"
    assert refused("run", folder, "--input", tmp_path / "x.npy", "--device", "serial:x", "--waveform", "w", "--cycles", "1:2") == message

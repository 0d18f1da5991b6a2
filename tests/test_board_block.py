"""A single block on a whole board, Verilated, at a pseudo-terminal: rows through the driver equal to the golden model."""

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celosia.boards.block_system import BlockSystem
from celosia.gen.blocks import BLOCKS
from celosia.gen.rows import row_manifest
from celosia.rtl.arch.activation import ActivationCircuit
from celosia.rtl.arch.checks import ParameterError
from celosia.rtl.arch.formats import INT8, INT16, UINT8
from celosia.rtl.arch.rows import ROW_OFFSETS, RowPlaces, RowsError
from celosia.rtl.arch.serial import SerialParameters
from celosia.rtl.arch.softmax import SoftmaxCircuit
from celosia.rtl.row_runner import RowRunner
from celosia.sw import open_block
from celosia.sw.block import BLOCK_MANIFEST, BlockManifest
from celosia.sw.driver.control import ERROR, START, wait_for_end
from celosia.sw.driver.device import DeviceError
from celosia.sw.driver.rows import RowBlock
from celosia.sw.driver.serial_device import SerialDevice
from celosia.sw.executor import InputError
from celosia.sw.golden.activation import ActivationParameters, activation
from celosia.sw.golden.softmax import SoftmaxParameters, softmax
from celosia.sw.manifest import ManifestError
from celosia.tb.board import VerilatedBoard, build_board
from celosia.tb.terminal import Terminal, terminal
from test_cli import celosia, refused

from tests.serial_boards import Line

SCALES: dict[str, Any] = {"in_scale": 0.05}
CIRCUIT = SoftmaxCircuit(lanes=1, row_elements=64, source=INT8, out=UINT8)
SERIAL = SerialParameters(clock=24_000_000, payload_bytes=512, memory_bytes=1 << 16, bus_bytes=4)


def made(name: str, circuit: Any, scales: Mapping[str, float], *, unlimited: bool = False) -> tuple[BlockManifest, Path]:
    """A block's manifest, and the library of a board with it. unlimited: both say nothing of the longest row."""
    block = BLOCKS[name]
    component = block.make(circuit, *block.built_in(circuit, scales))
    manifest = row_manifest(name, circuit, scales, component)
    if unlimited:
        manifest = replace(manifest, row_elements=0)
    return manifest, build_board(BlockSystem(RowRunner(component, manifest.places, manifest.configuration), SERIAL))


@pytest.fixture(scope="module")
def manifest() -> BlockManifest:
    return made("softmax", CIRCUIT, SCALES)[0]


@pytest.fixture(scope="module")
def library() -> Path:
    return made("softmax", CIRCUIT, SCALES)[1]


@pytest.fixture(scope="module")
def folder(manifest: BlockManifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("block")
    manifest.save(found)
    return found


@contextmanager
def plugged(library: Path) -> Iterator[Terminal]:
    with VerilatedBoard(library, SERIAL) as board, terminal(board.run) as line:
        yield line


def scores(rng: np.random.Generator, *shape: int, bits: int = 8) -> np.ndarray:
    return rng.integers(-(1 << bits - 1), 1 << bits - 1, shape)


def check(block: RowBlock, x: np.ndarray) -> None:
    expected, found = softmax(x, SoftmaxParameters.from_scales(CIRCUIT, **SCALES), CIRCUIT), block.run(x)
    assert found.dtype == np.uint8
    assert found.shape == x.shape
    assert (found == expected).all()


def test_rows_of_many_lengths(library: Path, folder: Path) -> None:
    rng = np.random.default_rng(1)
    with plugged(library) as line, open_block(f"serial:{line.port}", folder) as block:
        for length in (1, 2, 3, 5, 31, 63, 64):
            check(block, scores(rng, length))
            check(block, scores(rng, 2, 3, length))
        assert 0 < block.cycles < 6 * 64 * 8
        assert block.run(np.zeros((0, 5), np.int8)).shape == (0, 5)


def test_more_rows_than_the_memory_holds(library: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of whose runs end with fewer."""
    monkeypatch.setattr(RowPlaces, "most_elements", 150)
    rng = np.random.default_rng(2)
    with plugged(library) as line, open_block(f"serial:{line.port}", folder) as block:
        check(block, scores(rng, 7, 64))
        check(block, scores(rng, 151, 1))


OTHER = {
    "wider": ("softmax", SoftmaxCircuit(lanes=3, row_elements=32, source=INT8, out=INT16), {"in_scale": 0.05}),
    "narrower": ("activation", ActivationCircuit(lanes=2, source=INT16, out=UINT8), {"in_scale": 1e-3, "out_scale": 0.1}),
}


@pytest.mark.parametrize("name", OTHER)
def test_other_blocks(name: str, tmp_path: Path) -> None:
    """Of several lanes, and results of another width."""
    block, circuit, scales = OTHER[name]
    manifest, library = made(block, circuit, scales)
    manifest.save(tmp_path)
    rng = np.random.default_rng(3)
    with plugged(library) as line, open_block(f"serial:{line.port}", tmp_path) as opened:
        for length in (1, 2, 3, 4, 7, 32):
            x = scores(rng, 3, length, bits=circuit.source.bits)
            if isinstance(circuit, SoftmaxCircuit):
                expected = softmax(x, SoftmaxParameters.from_scales(circuit, **scales), circuit)
            else:
                given = {"in_zero_point": 0, "out_zero_point": 0} | scales
                expected = activation(x, ActivationParameters.from_scales(circuit, **given), circuit)
            found = opened.run(x)
            assert found.dtype == str(circuit.out)
            assert (found == expected).all()


def test_over_a_bad_line(library: Path, manifest: BlockManifest) -> None:
    rng = random.Random(1)
    to_board, to_host = (Line(rng, dropped=0.001, doubled=0.001, flipped=0.001) for _ in range(2))
    with (
        VerilatedBoard(library, SERIAL) as board,
        terminal(lambda data: to_host(board.run(to_board(data)))) as line,
        SerialDevice(line.port, timeout=0.3, attempts=500) as device,
        RowBlock(device, manifest) as block,
    ):
        check(block, scores(np.random.default_rng(4), 20, 60))
        assert device.resent


def test_the_host_reads_while_rows_are_under_way(library: Path, folder: Path) -> None:
    x = scores(np.random.default_rng(5), 400, 64).astype(np.int8)
    with plugged(library) as line, open_block(f"serial:{line.port}", folder) as block:
        check(block, x)
        expected = block.run(x)
        block.device.write_memory(1 << 15, bytes(x.size))
        start(block, row_elements=64, elements=x.size)
        while block.device.read_register(ROW_OFFSETS["status"]) & 1:
            assert block.device.read_memory(100, 200) == x.tobytes()[100:300]
        assert block.device.wait_interrupt(1)
        assert block.device.read_memory(1 << 15, x.size) == expected.tobytes()


def start(block: RowBlock, **registers: int) -> None:
    for name, value in registers.items():
        block.device.write_register(ROW_OFFSETS[name], value)
    block.device.write_register(ROW_OFFSETS["control"], START)


def test_a_run_that_is_given_up(library: Path, manifest: BlockManifest) -> None:
    """The next one begins anew."""
    x = scores(np.random.default_rng(6), 10, 50)
    with plugged(library) as line, SerialDevice(line.port) as device, RowBlock(device, manifest) as block:
        start(block, row_elements=63, elements=30_000)
        assert device.read_register(ROW_OFFSETS["status"]) == 1
        with pytest.raises(DeviceError, match=r"^no interrupt within 1 cycles$"):
            wait_for_end(device, 1)
        check(RowBlock(device, manifest), x)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 65), "block softmax does not take so long a row: 2 rows of 65 elements"),
        ((1 << 15, 2), "block softmax does not take so many elements: 32768 rows of 2 elements"),
    ],
)
def test_the_board_refuses(shape: tuple[int, int], message: str, library: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the driver would not let through."""
    rng = np.random.default_rng(7)
    with plugged(library) as line, open_block(f"serial:{line.port}", folder) as block:
        with monkeypatch.context() as patched:
            patched.setattr(RowPlaces, "longest_row", 1 << 10)
            patched.setattr(RowPlaces, "most_elements", 1 << 20)
            with pytest.raises(DeviceError) as found:
                block.run(np.zeros(shape, np.int8))
        assert str(found.value) == message
        check(block, scores(rng, 2, 64))


def test_counts_that_are_none(library: Path, folder: Path) -> None:
    with plugged(library) as line, open_block(f"serial:{line.port}", folder) as block:
        check(block, scores(np.random.default_rng(8), 1, 8))
        for row_elements, elements, error in (
            (0, 5, RowsError.ROW),
            (65, 65, RowsError.ROW),
            (1 << 31, 5, RowsError.ROW),
            (5, 0, RowsError.ELEMENTS),
            (5, (1 << 15) + 1, RowsError.ELEMENTS),
            (5, (1 << 31) + 5, RowsError.ELEMENTS),
        ):
            start(block, row_elements=row_elements, elements=elements)
            assert wait_for_end(block.device, 1000) == ERROR
            assert block.device.read_register(ROW_OFFSETS["error"]) == error
        start(block, row_elements=5, elements=7)
        assert wait_for_end(block.device, 1000) == 2
        check(block, scores(np.random.default_rng(9), 3, 9))


def test_a_row_that_the_block_drops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a board that does not know how long its rows may be."""
    manifest, library = made("softmax", CIRCUIT, SCALES, unlimited=True)
    with plugged(library) as line, SerialDevice(line.port) as device, RowBlock(device, manifest) as block:
        check(block, scores(np.random.default_rng(10), 64))
        with pytest.raises(DeviceError, match=r"^block softmax dropped a row, LONG: 2 rows of 65 elements$"):
            block.run(scores(np.random.default_rng(11), 2, 65))
        check(block, scores(np.random.default_rng(12), 3, 64))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(4, np.float32), "softmax takes integers, int8, not float32"),
        (np.zeros((2, 0), np.int8), "a row of softmax has 1 to 64 elements, not 0"),
        (np.zeros((2, 65), np.int8), "a row of softmax has 1 to 64 elements, not 65"),
        (np.array(5), "a row of softmax has 1 to 64 elements, not 0"),
        (np.array([-128, 128]), "softmax takes int8, not -128 to 128"),
    ],
)
def test_inputs_that_are_refused(x: np.ndarray, message: str, library: Path, folder: Path) -> None:
    with plugged(library) as line, open_block(f"serial:{line.port}", folder) as block:
        with pytest.raises(InputError) as found:
            block.run(x)
        assert str(found.value) == message


def test_another_block_is_refused(library: Path, manifest: BlockManifest, tmp_path: Path) -> None:
    other = replace(manifest, scales={"in_scale": 0.06})
    other.save(tmp_path)
    message = (
        f"the device was generated for configuration {manifest.configuration:016x}, "
        f"but block softmax was generated for {other.configuration:016x}"
    )
    with plugged(library) as line:
        for _ in range(2):  # the first one gives the port back
            with pytest.raises(DeviceError) as found:
                open_block(f"serial:{line.port}", tmp_path)
            assert str(found.value) == message


def test_names_of_boards(folder: Path) -> None:
    for name in ("/dev/x", "serial:", "serial:/dev/x?baud=fast"):
        with pytest.raises(DeviceError) as found:
            open_block(name, folder)
        assert str(found.value) == f"a board's name is serial:PORT or serial:PORT?baud=N, not {name}"


def _changed(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def edit(text: str) -> str:
        value = json.loads(text)
        change(value)
        return json.dumps(value)

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: "{", r"Expecting property name enclosed in double quotes: .*"),
        (lambda text: "[]", r"list indices must be integers or slices, not str"),
        (_changed(lambda v: v.pop("name")), "'name' is missing or unknown"),
        (_changed(lambda v: v["rows"].update(source="int7")), "'int7' is missing or unknown"),
        (_changed(lambda v: v["rows"].update(elements=-1)), "elements must be an integer from 0 on, not -1"),
        (_changed(lambda v: v.update(format=[0, 1])), r"format \[0, 1\] is not this library's \[\d+, \d+\]: generate the block again"),
        (_changed(lambda v: v["scales"].update(in_scale=2)), "the configuration hash is not that of the block, its parameters and scales"),
    ],
)
def test_damaged_manifests(edit: Callable[[str], str], message: str, manifest: BlockManifest, tmp_path: Path) -> None:
    manifest.save(tmp_path)
    assert BlockManifest.load(tmp_path) == manifest
    path = tmp_path / BLOCK_MANIFEST
    path.write_text(edit(path.read_text()))
    with pytest.raises(ManifestError, match=f"^{re.escape(str(path))}: {message}$"):
        BlockManifest.load(tmp_path)


def test_elements_that_fill_no_word() -> None:
    with pytest.raises(ParameterError, match=r"^out_bytes must be 1, 2 or 4, not 3$"):
        RowPlaces(in_bytes=4, out_bytes=3)


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as found:
        BlockManifest.load(tmp_path)
    path = tmp_path / BLOCK_MANIFEST
    assert str(found.value) == f"{path}: no such file: {tmp_path} must be a folder of celosia generate with a block for boards"


def test_run_command(library: Path, folder: Path, tmp_path: Path) -> None:
    x = scores(np.random.default_rng(13), 5, 64)
    source, result = tmp_path / "x.npy", tmp_path / "y.npy"
    np.save(source, x)
    with plugged(library) as line:
        device = f"serial:{line.port}"
        printed = celosia("run", folder, "--device", device, "--input", source, "-o", result).stdout
        assert re.fullmatch(r"5 rows, the last run of the board in \d+ cycles\n", printed)
        np.save(source, np.zeros((5, 65), np.int8))
        assert refused("run", folder, "--device", device, "--input", source) == f"{source}: a row of softmax has 1 to 64 elements, not 65"
    assert (np.load(result) == softmax(x, SoftmaxParameters.from_scales(CIRCUIT, **SCALES), CIRCUIT)).all()
    message = f"{folder} holds a block, not a network: give the --device that it is on (main run --help)"
    assert refused("run", folder, "--input", source) == message

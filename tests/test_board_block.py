"""A single block on a whole board, Verilated, at a pseudo-terminal: rows through the driver equal to the golden model."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celosia.boards.block_system import BlockSystem
from celosia.gen.blocks import BLOCKS
from celosia.gen.rows import row_manifest
from celosia.rtl.arch.formats import INT8, UINT8
from celosia.rtl.arch.serial import SerialParameters
from celosia.rtl.arch.softmax import SoftmaxCircuit
from celosia.rtl.row_runner import RowRunner
from celosia.sw import open_block
from celosia.sw.block import BlockManifest
from celosia.sw.driver.rows import RowBlock
from celosia.sw.golden.softmax import SoftmaxParameters, softmax
from celosia.tb.board import VerilatedBoard, build_board
from celosia.tb.terminal import Terminal, terminal

SCALES = {"in_scale": 0.05}
CIRCUIT = SoftmaxCircuit(lanes=1, row_elements=64, source=INT8, out=UINT8)
SERIAL = SerialParameters(clock=24_000_000, payload_bytes=512, memory_bytes=1 << 16, bus_bytes=4)


def made(name: str, circuit: Any, scales: Mapping[str, float]) -> tuple[BlockManifest, Path]:
    """A block's manifest, and the library of a board with it."""
    block = BLOCKS[name]
    component = block.make(circuit, *block.built_in(circuit, scales))
    manifest = row_manifest(name, circuit, scales, component)
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


def test_more_rows_than_the_memory_holds(library: Path, folder: Path) -> None:
    rng = np.random.default_rng(2)
    with plugged(library) as line, open_block(f"serial:{line.port}", folder) as block:
        check(block, scores(rng, 520, 63))

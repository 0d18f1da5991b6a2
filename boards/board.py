"""What all boards have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ..gen.synthesis import Progress, unseen
from ..sw.manifest import Manifest


class BoardError(ValueError):
    """A network that a board can't hold."""


def buffer_bytes(manifest: Manifest, *, board: str, most: int) -> int:
    """Of a network's buffer in an FPGA's memory: whole beats. board: its name. most: that it has. Raises BoardError."""
    bus_bytes = manifest.parameters.bus_bytes
    size = -(-manifest.memory_bytes // bus_bytes) * bus_bytes
    if size > most:
        raise BoardError(f"{manifest.name} needs {size:,} bytes of memory, but {board} has {most:,}")
    return size


class Built(Protocol):
    """What was written for a board."""

    def lines(self, folder: Path) -> Sequence[str]:
        """What its user should know of it, where it lies in ``folder``."""
        ...


class Board(Protocol):
    """name: as users know it. about: its FPGA, who makes its bitstream, what it can run."""

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str: ...

    def build(self, manifest: Manifest, folder: Path, progress: Progress = unseen) -> Built:
        """Write what the board needs for a compiled network into ``folder``, which is replaced whole or not at all. progress: gets what it
        is about. Raises BoardError, ToolError, OutputError."""
        ...

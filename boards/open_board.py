"""Boards whose bitstream open tools make."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from amaranth.build import Platform
from amaranth.hdl import Elaboratable
from amaranth.lib import wiring

from ..gen.folder import fresh_folder
from ..gen.project import accelerator
from ..gen.synthesis import Progress, unseen
from ..rtl.arch.rows import MEMORY_BYTES, WORD_BYTES
from ..rtl.arch.sdram import Sdram
from ..rtl.arch.serial import SerialParameters
from ..rtl.memory.block import BlockMemory
from ..rtl.memory.sdram import BUS_BYTES, SdramController
from ..rtl.row_runner import RowRunner
from ..sw.block import BlockManifest
from ..sw.manifest import Manifest
from .bitstream import Report, Toolchain, make_bitstream
from .block_system import BlockSystem
from .board import BoardError, buffer_bytes
from .sdram_pads import SdramPads
from .shared_memory import SharedMemory
from .system import System


class Pins(Protocol):
    """What boards need of a circuit with a serial link: its line, and four lights."""

    rx: Any
    tx: Any
    lights: Any


@dataclass(frozen=True, kw_only=True)
class OpenBoard:
    """name: as users know it. fpga: that is on it. platform: of amaranth-boards, with the FPGA's blocks. top: a circuit on its pins, with
    its clock in Hz. tools: its FPGA's. device: nextpnr's options."""

    name: str
    fpga: str
    platform: Callable[[], Platform]
    top: Callable[[Any, int], Elaboratable]
    tools: Toolchain
    device: tuple[str, ...]
    clock: int

    @property
    def about(self) -> str:
        return f"{self.fpga}, by open tools: single blocks"

    def bitstream(self, circuit: Pins, folder: Path, progress: Progress = unseen) -> Report:
        """Write the bitstream and all from which it was made into ``folder``, which is replaced whole or not at all. Raises ToolError,
        OutputError."""
        with fresh_folder(folder, marker=self.tools.bitstream) as new:
            return make_bitstream(self.platform(), self.top(circuit, self.clock), self.tools, self.device, new, progress)

    def block_system(self, block: wiring.Component, manifest: BlockManifest) -> BlockSystem:
        """A block, the memory of its rows, and the serial link."""
        serial = SerialParameters(clock=self.clock, memory_bytes=MEMORY_BYTES, bus_bytes=WORD_BYTES)
        return BlockSystem(RowRunner(block, manifest.places, manifest.configuration), serial)

    def build_block(self, block: wiring.Component, manifest: BlockManifest, folder: Path, progress: Progress = unseen) -> Report:
        """As `bitstream`, of a block."""
        return self.bitstream(self.block_system(block, manifest), folder, progress)


@dataclass(frozen=True, kw_only=True)
class NetworkBoard(OpenBoard):
    """block_bytes: of the FPGA's memory that a network's buffer may take, beside the machine. chip: SDRAM for networks that need more,
    behind SdramPads, with the board's clock."""

    block_bytes: int
    chip: Sdram | None = None

    @property
    def about(self) -> str:
        return f"{super().about}, networks"

    def system(self, manifest: Manifest) -> System:
        """The network's accelerator, its memory and the serial link. Raises BoardError."""
        memory, size = self._memory(manifest)
        serial = SerialParameters(clock=self.clock, memory_bytes=size, bus_bytes=manifest.parameters.bus_bytes)
        return System(accelerator(manifest), serial, memory)

    def chip_for(self, manifest: Manifest) -> Sdram | None:
        """The SDRAM, if the network's buffer is too large for block memory. Raises BoardError."""
        bus_bytes = manifest.parameters.bus_bytes
        size = buffer_bytes(manifest, board=self.name, most=self.chip.size if self.chip else self.block_bytes)
        if self.chip is None or size <= self.block_bytes:
            return None
        if bus_bytes not in BUS_BYTES:
            raise BoardError(f"{manifest.name} needs {size:,} bytes of memory: {self.name}'s SDRAM, with bus_bytes 4 or 8, not {bus_bytes}")
        return replace(self.chip, mhz=self.clock / 1e6)

    def _memory(self, manifest: Manifest) -> tuple[wiring.Component, int]:
        """The network's memory, and its bytes. One of blocks has constants and program in it from the start."""
        bus_bytes, id_bits = manifest.parameters.bus_bytes, SharedMemory.ID_BITS
        if chip := self.chip_for(manifest):
            return SdramController(chip, bus_bytes, id_bits=id_bits, capture=SdramPads.capture), chip.size
        size = buffer_bytes(manifest, board=self.name, most=self.block_bytes)
        return BlockMemory(bus_bytes, size, _image(manifest), id_bits=id_bits), size

    def build(self, manifest: Manifest, folder: Path, progress: Progress = unseen) -> Report:
        """Write the bitstream and all from which it was made: a `Board`'s."""
        return self.bitstream(self.system(manifest), folder, progress)


def _image(manifest: Manifest) -> bytes:
    """Of the memory at first."""
    constants = manifest.constants
    return constants if manifest.rom else constants.ljust(manifest.program_offset, b"\0") + manifest.code

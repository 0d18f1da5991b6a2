"""Boards whose bitstream open tools make: the FPGA's own memory, a serial link."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from amaranth.build import Platform
from amaranth.hdl import Elaboratable

from ..gen.folder import fresh_folder
from ..gen.project import accelerator
from ..rtl.arch.serial import SerialParameters
from ..rtl.memory.block import BlockMemory
from ..rtl.memory.share import shared_id_bits
from ..sw.manifest import Manifest
from .bitstream import BITSTREAM, Report, make_bitstream
from .board import BoardError
from .system import MASTERS, System


@dataclass(frozen=True, kw_only=True)
class OpenBoard:
    """name: as users know it. platform: of amaranth-boards, with the FPGA's blocks. top: a system on its pins, with its clock in Hz.
    device: nextpnr's options. block_bytes: of the FPGA's memory that a network's buffer may take, beside the machine."""

    name: str
    platform: Callable[[], Platform]
    top: Callable[[System, int], Elaboratable]
    device: tuple[str, ...]
    clock: int
    block_bytes: int

    def system(self, manifest: Manifest) -> System:
        """The network's accelerator, its memory with constants and program in it, and the serial link. Raises BoardError."""
        bus_bytes = manifest.parameters.bus_bytes
        size = -(-manifest.memory_bytes // bus_bytes) * bus_bytes
        if size > self.block_bytes:
            raise BoardError(f"{manifest.name} needs {size:,} bytes of memory, but {self.name} has {self.block_bytes:,}")
        serial = SerialParameters(clock=self.clock, memory_bytes=size, bus_bytes=bus_bytes)
        return System(accelerator(manifest), serial, BlockMemory(bus_bytes, size, _image(manifest), id_bits=shared_id_bits(MASTERS)))

    def build(self, manifest: Manifest, folder: Path) -> Report:
        """Write the bitstream and all from which it was made: a `Board`'s."""
        system = self.system(manifest)
        with fresh_folder(folder, marker=BITSTREAM) as new:
            return make_bitstream(self.platform(), self.top(system, self.clock), self.device, new)


def _image(manifest: Manifest) -> bytes:
    """Of the memory at first."""
    constants = manifest.constants
    return constants if manifest.rom else constants.ljust(manifest.program_offset, b"\0") + manifest.code

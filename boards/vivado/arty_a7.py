"""Arty A7: an Artix-7 with a USB serial port, without a processor."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from amaranth.build import Pins, Platform, Resource, Subsignal
from amaranth_boards import arty_a7

from ...rtl.arch.serial import SerialParameters
from ...rtl.memory.block import BlockMemory
from ...rtl.serial.bridge import SerialBridge
from ...sw.manifest import Manifest
from ..board import buffer_bytes
from ..shared_memory import SharedMemory
from .board import VivadoBoard
from .core import Core

CONSTRAINTS = "pins.xdc"
LEAST_RANGE = 1 << 12  # bytes of an address range: a page
OSCILLATOR, BUTTON = "clk100", "rst"  # as amaranth-boards names them
# Ports of the design, and whose pins these are.
_PORTS = {
    **{OSCILLATOR: (OSCILLATOR, 0, None), "reset": (BUTTON, 0, None), "rx": ("uart", 0, "rx"), "tx": ("uart", 0, "tx")},
    **{f"led{i}": ("led", i, None) for i in range(3)},
}
# The bank of the configuration's pins has 3.3 V.
_VOLTAGES = "set_property CFGBVS VCCO [current_design]\nset_property CONFIG_VOLTAGE 3.3 [current_design]\n"


@dataclass(frozen=True, kw_only=True)
class ArtyA7(VivadoBoard):
    """board: of amaranth-boards. block_bytes: of the FPGA's memory that a network's buffer may take, beside the machine."""

    board: Callable[[], Platform]
    block_bytes: int

    template: ClassVar[str] = "arty_a7.tcl.j2"
    then: ClassVar[str] = "load it with Vivado's hardware manager; then celosia run FOLDER --device serial:/dev/ttyUSB1"

    def cores(self, manifest: Manifest) -> Sequence[Core]:
        bus_bytes, size = manifest.parameters.bus_bytes, buffer_bytes(manifest, board=self.name, most=self.block_bytes)
        serial = SerialParameters(clock=self.clock, memory_bytes=size, bus_bytes=bus_bytes)
        reserved = max(LEAST_RANGE, 1 << (size - 1).bit_length())
        machine = self.accelerator(manifest)
        memory = SharedMemory(bus_bytes, BlockMemory(bus_bytes, size, id_bits=SharedMemory.ID_BITS))
        return (
            machine,
            Core(name="bridge", component=SerialBridge(serial), text="Celosia serial bridge", family=self.family, clock=self.clock),
            Core(name="memory", component=memory, text="Celosia memory", family=self.family, memory=reserved),
        )

    def for_template(self) -> Mapping[str, Any]:
        resources = self.board().resources
        clock, button = (resources[name, 0] for name in (OSCILLATOR, BUTTON))
        return {"oscillator": round(clock.clock.frequency), "low": button.ios[0].invert, "constraints": CONSTRAINTS}

    def add_files(self, manifest: Manifest, folder: Path) -> None:
        (folder / CONSTRAINTS).write_text("".join(_constraints(self.board())) + _VOLTAGES)


def _constraints(platform: Platform) -> Iterator[str]:
    """Pins of the ports. The clock's period comes with the core that takes it."""
    for port, (name, number, part) in _PORTS.items():
        resource: Resource = platform.resources[name, number]
        pins, attributes = _pins(resource, part)
        (pin,) = pins.names
        settings = " ".join(f"{key} {value}" for key, value in {"PACKAGE_PIN": pin, **attributes}.items())
        yield f"set_property -dict {{{settings}}} [get_ports {port}]\n"


def _pins(resource: Resource, part: str | None) -> tuple[Pins, Mapping[str, str]]:
    """Of a resource without parts, or of one of its parts."""
    if part is None:
        return resource.ios[0], resource.attrs
    (found,) = (io for io in resource.ios if isinstance(io, Subsignal) and io.name == part)
    return found.ios[0], {**resource.attrs, **found.attrs}


def _board(name: str, board: Callable[[], Any], *, block_kib: int) -> ArtyA7:
    platform = board()
    part = f"{platform.device}{platform.package}-{platform.speed}"
    return ArtyA7(name=name, part=part, family="artix7", clock=50_000_000, board=board, block_bytes=1024 * block_kib)


ARTY_A7_35T = _board("arty-a7-35t", arty_a7.ArtyA7_35Platform, block_kib=128)
ARTY_A7_100T = _board("arty-a7-100t", arty_a7.ArtyA7_100Platform, block_kib=256)

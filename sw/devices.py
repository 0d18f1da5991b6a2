"""Compiled networks and blocks on hardware, simulated or real."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from .block import BlockManifest
from .driver.device import Device, DeviceError
from .driver.network import Network
from .driver.pynq_device import PynqDevice
from .driver.rows import RowBlock
from .driver.serial_device import SerialDevice
from .driver.verilated import VerilatedDevice
from .manifest import Manifest

SIMULATION = "simulation"  # folder of the simulator's library in a compiled network's folder
SERIAL, PYNQ = "serial:", "pynq:"  # of a board's name
_D = TypeVar("_D")


def open_device(
    where: Path | str,
    folder: Path | str = ".",
    *,
    library: Path | None = None,
    latency: int = 20,
    bandwidth: Fraction = Fraction(1),
) -> Network:
    """A compiled network on hardware.

    where: a board, ``serial:PORT`` or ``serial:PORT?baud=N``, that holds the network of ``folder``, written by ``celosia compile``; in
    PYNQ's Python on a board, ``pynq:BITSTREAM``, which is loaded; or such a folder itself, for its simulated hardware, with a memory of
    ``latency`` cycles and ``bandwidth`` beats per cycle.
    library: the simulator, by default the one that ``celosia build`` left in the folder.

    Raises
    ------
    ManifestError
        If the folder does not hold a compiled network of this version.
    DeviceError
        If the simulator is missing, or no board answers; or it was made for another configuration.
    """
    if str(where).startswith((SERIAL, PYNQ)):
        return _on_board(str(where), Manifest.load(Path(folder)))
    folder = Path(where)
    manifest = Manifest.load(folder)
    if library is None:
        found = sorted(Path(folder, SIMULATION).glob("*.so"))
        if len(found) != 1:
            raise DeviceError(f"{folder} must hold one simulator in {SIMULATION}/, not {len(found)}: run celosia build {folder}")
        library = found[0]
    dram = manifest.parameters.dram
    return Network(VerilatedDevice(library, memory_bytes=manifest.memory_bytes, latency=latency, bandwidth=bandwidth, dram=dram), manifest)


def open_block(where: str, folder: Path | str = ".") -> RowBlock:
    """A single block on a board.

    where: the board, ``serial:PORT`` or ``serial:PORT?baud=N``, that holds the block of ``folder``, written by ``celosia generate``.

    Raises
    ------
    ManifestError
        If the folder does not hold a block for boards of this version.
    DeviceError
        If no board answers, or it was made for another block, or for other parameters or scales.
    """
    manifest = BlockManifest.load(Path(folder))
    device = _on_line(where)
    return _driven(device, lambda: RowBlock(device, manifest))


def _on_board(name: str, manifest: Manifest) -> Network:
    if name.startswith(PYNQ):
        device = PynqDevice(Path(name.removeprefix(PYNQ)), memory_bytes=manifest.memory_bytes)
        return _driven(device, lambda: Network(device, manifest, base=device.base))
    line = _on_line(name)
    return _driven(line, lambda: Network(line, manifest))


def _driven(device: Device, driver: Callable[[], _D]) -> _D:
    """The device's driver; where it refuses the device, that is closed."""
    try:
        return driver()
    except DeviceError:
        device.close()
        raise


def _on_line(name: str) -> SerialDevice:
    port, _, query = name.removeprefix(SERIAL).partition("?")
    baud = re.fullmatch(r"baud=([0-9]{1,9})", query)
    if not name.startswith(SERIAL) or not port or (query and not baud):
        raise DeviceError(f"a board's name is {SERIAL}PORT or {SERIAL}PORT?baud=N, not {name}")
    return SerialDevice(port, **({"baud": int(baud[1])} if baud else {}))

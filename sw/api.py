"""The functions that most users need."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from ..rtl.arch.parameters import MachineParameters
from ..rtl.arch.targets import DEFAULT_TARGET, TARGETS
from .block import BlockManifest
from .compiler.decode import compile_decoder
from .compiler.errors import CompileError
from .compiler.patterns import Pattern, compile_graph
from .compiler.predict import DEFAULT_RESOURCES, Resources
from .compiler.program import Program
from .driver.device import Device, DeviceError
from .driver.network import Network
from .driver.pynq_device import PynqDevice
from .driver.rows import RowBlock
from .driver.serial_device import SerialDevice
from .driver.verilated import VerilatedDevice
from .frontend import import_model
from .frontend.deform import EXACT, Offsets
from .manifest import Manifest
from .pruning import Pruning, prune

NOTHING_LESS = Pruning()
SIMULATION = "simulation"  # folder of the simulator's library in a compiled network's folder
SERIAL, PYNQ = "serial:", "pynq:"  # of a board's name
_D = TypeVar("_D")


def compile_model(
    model: Path | str,
    parameters: MachineParameters = TARGETS[DEFAULT_TARGET],
    pruning: Pruning = NOTHING_LESS,
    *,
    pattern: Pattern = Pattern.SEQUENTIAL,
    resources: Resources = DEFAULT_RESOURCES,
    offsets: Offsets = EXACT,
) -> Program:
    """Compile a QDQ ONNX file for a machine.

    pruning: what is left out of its attention; for a machine with pruning. pattern: whether its operators run one after the other or as
    pipelines, which a circuit made for the program alone can do. resources: that the pattern is chosen by. offsets: what those of
    deformable convolutions may be changed to. For a machine with a pim the
    network is a decoder: the graph of a causal sequence of tokens, which it computes a token at a time, with nothing left out and no
    pattern.

    Raises
    ------
    ModelError
        If the file can't be read or holds what can't be mapped.
    CompileError
        If an operator does not fit the machine.
    DecoderError, MappingError
        On a machine with a pim, if the network is no such sequence, or larger than the DRAM.
    """
    path = Path(model)
    if parameters.dram:
        if pruning or pattern is not Pattern.SEQUENTIAL:
            raise CompileError("on a machine with a pim nothing can be left out, nor a pattern chosen")
        return compile_decoder(import_model(path), parameters, resources, name=path.stem)
    graph = prune(import_model(path, offsets), pruning)
    return compile_graph(graph, parameters, name=path.stem, pattern=pattern, resources=resources)


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

"""`celosia build`, `celosia run` and `celosia report`: a compiled network in simulation."""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.progress import track
from rich.table import Table

from ...sw import open_block, open_device
from ...sw.block import BLOCK_MANIFEST
from ...sw.driver.decoder import Decoder
from ...sw.executor import InputError, check_input
from ...sw.graph import Port
from ...sw.manifest import Manifest
from ...sw.pim.cache import check_room
from ..project import WHOLE, build_simulator
from .common import FILE, FOLDER, NEW, boards, console, named_board, say, stages


@click.command("build")
@click.argument("folder", type=FOLDER)
@click.option("--waveform", is_flag=True, help="Build the slower simulator that can write waveforms.")
@click.option(
    "--board",
    help="Make the bitstream of a board instead (celosia boards lists them), in FOLDER/BOARD; or all that Vivado makes it of.",
)
def build_command(folder: Path, waveform: bool, board: str | None) -> None:
    """Build the simulator of a compiled network (celosia run does it when needed), or a board's bitstream."""
    manifest = Manifest.load(folder)
    if board is None:
        say(str(_simulator(folder, waveform=waveform)))
    elif waveform:
        raise click.UsageError("--waveform is the simulator's")
    else:
        _bitstream(manifest, folder, board)


@click.command("boards")
def boards_command() -> None:
    """List the boards that `build` and `generate` know."""
    table = Table("board", "FPGA, who makes its bitstream, what it runs")
    for name, board in {**boards().BOARDS, **boards().OPEN_BOARDS}.items():
        table.add_row(name, board.about)
    console.print(table)


def _bitstream(manifest: Manifest, folder: Path, name: str) -> None:
    board = named_board(boards().BOARDS, name)
    with console.status(f"building for {name}") as status:
        built = board.build(manifest, folder / name, stages(status, name))
    say(*built.lines(folder / name))


def _simulator(folder: Path, *, waveform: bool) -> Path:
    with console.status("building the simulator (about a minute the first time)"):
        return build_simulator(folder, waveform=waveform)


class _Cycles(click.ParamType):
    """FIRST:LAST"""

    name = "first:last"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        first, _, last = str(value).partition(":")
        if not (first.isdigit() and last.isdigit() and int(first) <= int(last)):
            self.fail(f"{value!r} is not FIRST:LAST with FIRST <= LAST", param, ctx)
        return int(first), int(last)


@click.command("run")
@click.argument("folder", type=FOLDER)
@click.option("--input", "input_path", type=FILE, required=True, help="Array of the network's input shape, or a stack of them.")
@click.option("-o", "--output", type=NEW, help="Where to save the outputs, stacked as the inputs: .npy, or .npz of several by name.")
@click.option("--device", help="A board that holds the network, as serial:/dev/ttyUSB0 or, on it, pynq:system.bit. Default: the simulator.")
@click.option("--latency", type=click.IntRange(1), default=20, show_default=True, help="Cycles of a memory access.")
@click.option("--bandwidth", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True, help="Bus beats per cycle.")
@click.option("--waveform", type=NEW, help="Write an FST waveform (needs --cycles; builds another simulator).")
@click.option("--cycles", type=_Cycles(), help="Cycles of the waveform, counted from the reset.")
def run_command(
    folder: Path,
    input_path: Path,
    output: Path | None,
    device: str | None,
    latency: int,
    bandwidth: float,
    waveform: Path | None,
    cycles: tuple[int, int] | None,
) -> None:
    """Run arrays through the accelerator of FOLDER, simulated or on a board: of a decoder the tokens of a sequence, one after the other.
    Or rows through the block of FOLDER, on a board."""
    if (waveform is None) != (cycles is None):
        raise click.UsageError("--waveform and --cycles go together")
    if device and waveform:
        raise click.UsageError("--waveform is the simulator's")
    if (folder / BLOCK_MANIFEST).exists():
        _run_block(folder, input_path, output, device)
        return
    manifest = Manifest.load(folder)
    arrays = _stack(input_path, _only_port(manifest, folder), in_sequence=manifest.positions > 0)
    if manifest.positions:
        check_room(manifest.positions, len(arrays) - 1)
    if device:
        opened = open_device(device, folder)
    else:
        library = _simulator(folder, waveform=waveform is not None)
        opened = open_device(folder, library=library, latency=latency, bandwidth=Fraction(bandwidth).limit_denominator(1 << 16))
    with opened as network:
        if waveform is not None and cycles is not None:
            network.device.trace(waveform, first=cycles[0], last=cycles[1])  # pyright: ignore[reportAttributeAccessIssue]
        decoder = Decoder(network) if manifest.positions else None
        run = network.run if decoder is None else (lambda token: decoder.step(token.item()))
        runs = [run(array) for array in track(arrays, "running", console=console, transient=True)]
        counters = network.counters()
    results = {name: np.stack([run[name] for run in runs]) for name in runs[0]}
    _save(results, output)
    used = counters["mac_cycles"] / counters["cycles"]
    took = f"the last one in {counters['cycles']} cycles" if decoder else f"{counters['cycles']} cycles each, {used:.1%} of peak MACs"
    again = getattr(opened.device, "resent", 0)
    line = f"; {again} requests were sent again" if again else ""
    say(f"{len(runs)} {'tokens' if decoder else 'runs'}, {took}{line}")


def _run_block(folder: Path, input_path: Path, output: Path | None, device: str | None) -> None:
    if device is None:
        raise click.UsageError(f"{folder} holds a block, not a network: give the --device that it is on")
    rows = _array(input_path)
    with open_block(device, folder) as block:
        try:
            results = block.run(rows)
        except InputError as e:
            raise ValueError(f"{input_path}: {e}") from None
        cycles = block.cycles
    _save({"results": results}, output)
    say(f"{rows.size // rows.shape[-1]} rows, the last run of the board in {cycles} cycles")


def _only_port(manifest: Manifest, folder: Path) -> Port:
    """Raises ValueError where the network has several inputs."""
    if len(manifest.inputs) != 1:
        raise ValueError(f"{folder}: the network has {len(manifest.inputs)} inputs: use the Python API")
    return manifest.inputs[0].port


def _save(results: dict[str, Any], output: Path | None) -> None:
    """One output as .npy, several as .npz; without a file, print them."""
    if output is None:
        console.print(*results.values(), sep="\n")
    elif len(results) == 1:
        np.save(output, next(iter(results.values())))
    else:
        np.savez(output, **results)


def _array(path: Path) -> np.ndarray:
    """Of a .npy file. Raises ValueError naming it."""
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
    except OSError:
        raise
    except Exception:  # NumPy does not say what it raises on a damaged file: it depends on the damage
        raise ValueError(f"{path}: not a .npy array of numbers") from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path}: must hold one array, not an archive")
    return array


def _stack(path: Path, port: Port, *, in_sequence: bool) -> np.ndarray:
    """The input's arrays in a .npy file, [runs, *shape]. in_sequence: each number is one. Raises ValueError naming the file."""
    array = _array(path)
    shape = port.shape
    candidates = [array[None]]
    if array.ndim:  # a stack, of the shape, without its leading 1, or along its leading 1
        candidates += [array, array[:, None], *([array.reshape(-1, *port.shape)] if in_sequence else [])]
    for stacked in candidates:
        if stacked.shape[1:] == shape and len(stacked):
            try:
                for one in stacked:
                    check_input(port, one)
            except InputError as e:
                raise ValueError(f"{path}: {e}") from None
            return stacked
    raise ValueError(f"{path}: shape {list(array.shape)} is neither the network's {list(shape)} nor a stack of it")


@click.command("report")
@click.argument("folder", type=FOLDER)
@click.option("--input", "input_path", type=FILE, help="Array of the input's shape to run on. Default: random numbers.")
@click.option("-o", "--output", type=NEW, help="Where to write it. Default FOLDER/report.html.")
def report_command(folder: Path, input_path: Path | None, output: Path | None) -> None:
    """Run FOLDER's network once and write a page: timeline, layers, roofline; where something is left out, what that saves; and of a
    detector the boxes that it found in the input."""
    from ...sw.report import write_report

    manifest, inputs = Manifest.load(folder), None
    if input_path is not None:
        port = _only_port(manifest, folder)
        inputs = {port.name: _stack(input_path, port, in_sequence=False)[0]}
    library = _simulator(folder, waveform=False)
    with ExitStack() as devices:
        network = devices.enter_context(open_device(folder, library=library))
        whole = devices.enter_context(open_device(folder / WHOLE, library=library)) if (folder / WHOLE).exists() else None
        path = write_report(network, output or folder / "report.html", whole=whole, inputs=inputs)
    say(str(path))

"""The command line. Bad input gives one line and exit code 2."""

import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ..rtl.arch.blocks import choices
from ..rtl.arch.deform import FRACTION_BITS
from ..rtl.arch.formats import FACTOR_BITS
from ..rtl.arch.parameters import NO_PIM, MachineParameters
from ..rtl.arch.targets import DEFAULT_TARGET, TARGETS
from ..sw import Pruning, compile_model, open_device
from ..sw.compiler.decision import Decision
from ..sw.compiler.patterns import Pattern
from ..sw.compiler.predict import DEFAULT_RESOURCES, Resources
from ..sw.driver.decoder import Decoder
from ..sw.executor import InputError, check_input
from ..sw.frontend.deform import Offsets
from ..sw.frontend.onnx_file import read
from ..sw.graph import Deform, Port
from ..sw.manifest import Manifest
from ..sw.pim.cache import check_room
from ..sw.quantize.moved import cost_of_moved
from ..sw.quantize.samples import read_samples
from .blocks import BLOCKS, Block, parameter_text
from .package import write_block
from .platforms import PLATFORMS
from .project import WHOLE, build_simulator, write_project
from .quantize import error_table, progress, quantize_command

console = Console()
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW = click.Path(path_type=Path)


class _Shares(click.ParamType):
    """SHARE,SHARE,..."""

    name = "share,share,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        try:
            return tuple(float(share) for share in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not SHARE,SHARE,..., with numbers such as 0.9", param, ctx)


class _OneLineErrors(click.Group):
    """Turns the project's errors, which are all ValueError or RuntimeError, and wrong usage into one line and exit code 2."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _one_line(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _one_line(ctx):
            return super().invoke(ctx)


@contextmanager
def _one_line(ctx: click.Context) -> Iterator[None]:
    try:
        yield
    except (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError):
        raise
    except click.UsageError as e:
        message = f"{e.format_message()} ({(e.ctx or ctx).command_path} --help)"
    except (ValueError, RuntimeError, OSError) as e:
        message = str(e)
    else:
        return
    click.echo(f"celosia: {' '.join(message.split())}", err=True)
    ctx.exit(2)


@click.group(cls=_OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="celosia")
def main() -> None:
    """Neural-network accelerators from quantized ONNX networks.

    \b
    celosia quantize FLOAT.onnx --calibration DATA.npz -o NET.onnx
    celosia compile NET.onnx -o out    Verilog, program, constants, manifest, register map
    celosia run out --input X.npy      run arrays through the simulated hardware
    celosia report out                 where the cycles go, as a page
    celosia generate softmax -o out    one block's Verilog
    """


main.add_command(quantize_command)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _parameter_options(parameters: type, help_of: Callable[[str], str]) -> Callable:
    """One option for each field of a dataclass of numbers, flags and choices by name."""

    def decorate(command: Callable) -> Callable:
        for field in reversed(fields(parameters)):
            name = _option(field.name)
            options = choices(field.type)
            kind = field.type if options is None else click.Choice(list(options))
            if field.type is bool:
                command = click.option(name, field.name, is_flag=True, default=None, help=help_of(field.name))(command)
            else:
                text = f"{help_of(field.name)} Default {parameter_text(field.default)}."
                command = click.option(name, field.name, type=kind, default=None, help=text)(command)
        return command

    return decorate


_fpga_option = click.option(
    "--fpga", type=click.Choice(list(PLATFORMS)), help="Write the Verilog once more, made of this family's blocks: for synthesis."
)


@main.command("compile")
@click.argument("model", type=FILE)
@click.option("-o", "--output", type=NEW, required=True, help="Folder to write; an earlier one of celosia's is replaced.")
@click.option("--target", type=click.Choice(list(TARGETS)), default=DEFAULT_TARGET, show_default=True, help="Named machine to start from.")
@click.option("--config", type=FILE, help="TOML file of machine parameters; options override it.")
@click.option("--program", type=click.Choice(["memory", "rom"]), help="Where the steps lie: in memory, but for a pattern in a ROM.")
@click.option(
    "--pattern",
    type=click.Choice([pattern.value for pattern in Pattern]),
    help="Operators one after the other on all units, side by side, or as is faster; in a circuit for this schedule.",
)
@click.option("--link-kib", type=click.IntRange(0), default=DEFAULT_RESOURCES.link_kib, show_default=True, help="For links of pipelines.")
@click.option("--latency", type=click.IntRange(1), default=DEFAULT_RESOURCES.latency, show_default=True, help="Of the memory, in cycles.")
@click.option(
    "--bandwidth", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True, help="Of the memory, in beats a cycle."
)
@click.option(
    "--prune-tokens",
    type=_Shares(),
    help="Shares of the tokens that are left after each layer of attention, as 0.9,0.7: those that received most attention.",
)
@click.option("--protect-tokens", type=click.IntRange(0), default=0, help="First tokens that are never left out, as one for the class.")
@click.option(
    "--prune-heads",
    type=_Shares(),
    help="Shares of the heads that are left after each layer of attention, as 1,0.8: those with the largest results.",
)
@click.option(
    "--prune-values",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    help="Share of a head's values that are fetched, where values are inputs: those with the largest weights.",
)
@click.option(
    "--progressive",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Fetch the low bits of a head's keys only where its largest weight is below this, as 0.1; where keys are inputs.",
)
@click.option(
    "--offset-bound",
    type=click.IntRange(1),
    help="Keep the taps of deformable convolutions within so many pixels from the centre, along y and x. Default: as the network does.",
)
@click.option(
    "--offset-round",
    type=click.IntRange(0, FRACTION_BITS),
    help="Round offsets of deformable convolutions to so many bits behind the point, 0 for whole pixels. Default: they must be exact.",
)
@click.option(
    "--offset-data",
    type=FILE,
    help="Print what offsets cost that are moved by --offset-bound or --offset-round: the integer executor's outputs with and without, on "
    "the inputs in this .npz file, as celosia quantize takes it.",
)
@_fpga_option
@_parameter_options(MachineParameters, BLOCKS["accelerator"].help)
def compile_command(
    model: Path,
    output: Path,
    target: str,
    config: Path | None,
    program: str | None,
    pattern: str | None,
    link_kib: int,
    latency: int,
    bandwidth: float,
    prune_tokens: tuple[float, ...] | None,
    protect_tokens: int,
    prune_heads: tuple[float, ...] | None,
    prune_values: float,
    progressive: float,
    offset_bound: int | None,
    offset_round: int | None,
    offset_data: Path | None,
    fpga: str | None,
    **options: int | None,
) -> None:
    """Compile MODEL, a QDQ ONNX file, to an accelerator in a folder."""
    values: dict[str, object] = asdict(TARGETS[target])
    if config is not None:
        try:
            values |= tomllib.loads(config.read_text())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
            raise ValueError(f"{config}: {e}") from None
    values |= {name: value for name, value in options.items() if value is not None}
    left_out = {"tokens": prune_tokens or (), "heads": prune_heads or (), "values": prune_values, "progressive": progressive}
    pruning = Pruning(**left_out, protected=protect_tokens)
    if pruning or (values["pim"] != NO_PIM and options["pruning"] is None):  # a decoder looks its tokens up
        values["pruning"] = 1
    if progressive:
        values["factor_bits"] = FACTOR_BITS
    parameters = MachineParameters.from_dict(values)
    if pattern and program == "memory":
        raise click.UsageError("--pattern needs --program rom: its schedule is part of the circuit")
    offsets = Offsets(bound=offset_bound, fraction=offset_round)
    resources = Resources(latency=latency, bandwidth=Fraction(bandwidth).limit_denominator(1 << 16), link_kib=link_kib)
    rom = program == "rom" or pattern is not None
    samples = None if offset_data is None else read_samples(offset_data, read(model).inputs)
    with console.status("compiling") as status:
        compiled = compile_model(
            model, parameters, pruning, pattern=Pattern(pattern or Pattern.SEQUENTIAL), resources=resources, offsets=offsets
        )
        whole = compile_model(model, parameters, offsets=offsets) if pruning and not rom else None
        status.update("writing Verilog")
        manifest = write_project(compiled, output, rom=rom, fpga=fpga, whole=whole)
    if compiled.decision:
        _print_decision(compiled.decision)
    moved = {op.node: op.moved for op in compiled.graph.operators if isinstance(op, Deform) and op.moved}
    for node, pixels in moved.items():
        console.print(f"{node}: offsets are up to {pixels:.3g} pixels from where the network says", highlight=False)
    if samples and moved:
        shown = progress(console)(samples, "with and without moved offsets", len(samples))
        console.print(error_table(cost_of_moved(model, offsets, shown, lanes=parameters.lanes), "what moved offsets change"))
    elif samples:
        console.print("no offset is moved: nothing changes", highlight=False)
    console.print(
        f"{output}: {parameters.arrays} MACs, {len(manifest.labels)} steps a run, "
        f"{len(manifest.constants)} bytes of constants, {compiled.graph.macs()} multiply-accumulates",
        highlight=False,
    )
    console.print(f"next: celosia run {output} --input X.npy", highlight=False)


def _print_decision(decision: Decision) -> None:
    """What was weighed, the alternative that was taken first, and why."""
    table = Table("pattern", "cycles, predicted", "bytes to and from memory", "bytes in links", "groups")
    for a in decision.alternatives:
        table.add_row(a.pattern, f"{a.cycles:,}", f"{a.moved_bytes:,}", f"{a.link_bytes:,}", "\n".join(a.groups) or "none")
    console.print(table)
    for reason in decision.reasons:
        console.print(reason, highlight=False)


@main.command("build")
@click.argument("folder", type=FOLDER)
@click.option("--waveform", is_flag=True, help="Build the slower simulator that can write waveforms.")
def build_command(folder: Path, waveform: bool) -> None:
    """Build the simulator of a compiled network (celosia run does it when needed)."""
    Manifest.load(folder)
    console.print(str(_simulator(folder, waveform=waveform)), highlight=False)


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


@main.command("run")
@click.argument("folder", type=FOLDER)
@click.option("--input", "input_path", type=FILE, required=True, help="Array of the network's input shape, or a stack of them.")
@click.option("-o", "--output", type=NEW, help="Where to save the outputs, stacked as the inputs: .npy, or .npz of several by name.")
@click.option("--latency", type=click.IntRange(1), default=20, show_default=True, help="Cycles of a memory access.")
@click.option("--bandwidth", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True, help="Bus beats per cycle.")
@click.option("--waveform", type=NEW, help="Write an FST waveform (needs --cycles; builds another simulator).")
@click.option("--cycles", type=_Cycles(), help="Cycles of the waveform, counted from the reset.")
def run_command(
    folder: Path,
    input_path: Path,
    output: Path | None,
    latency: int,
    bandwidth: float,
    waveform: Path | None,
    cycles: tuple[int, int] | None,
) -> None:
    """Run arrays through the simulated accelerator of FOLDER: of a decoder the tokens of a sequence, one after the other."""
    if (waveform is None) != (cycles is None):
        raise click.UsageError("--waveform and --cycles go together")
    manifest = Manifest.load(folder)
    arrays = _stack(input_path, _only_port(manifest, folder), in_sequence=manifest.positions > 0)
    if manifest.positions:
        check_room(manifest.positions, len(arrays) - 1)
    library = _simulator(folder, waveform=waveform is not None)
    with open_device(folder, library=library, latency=latency, bandwidth=Fraction(bandwidth).limit_denominator(1 << 16)) as network:
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
    console.print(f"{len(runs)} {'tokens' if decoder else 'runs'}, {took}", highlight=False)


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


def _stack(path: Path, port: Port, *, in_sequence: bool) -> np.ndarray:
    """The input's arrays in a .npy file, [runs, *shape]. in_sequence: each number is one. Raises ValueError naming the file."""
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
    except OSError:
        raise
    except Exception:  # NumPy does not say what it raises on a damaged file: it depends on the damage
        raise ValueError(f"{path}: not a .npy array of numbers") from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path}: must hold one array, not an archive")
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


@main.command("report")
@click.argument("folder", type=FOLDER)
@click.option("--input", "input_path", type=FILE, help="Array of the input's shape to run on. Default: random numbers.")
@click.option("-o", "--output", type=NEW, help="Where to write it. Default FOLDER/report.html.")
def report_command(folder: Path, input_path: Path | None, output: Path | None) -> None:
    """Run FOLDER's network once and write a page: timeline, layers, roofline; where something is left out, what that saves; and of a
    detector the boxes that it found in the input."""
    from ..sw.report import write_report

    manifest, inputs = Manifest.load(folder), None
    if input_path is not None:
        port = _only_port(manifest, folder)
        inputs = {port.name: _stack(input_path, port, in_sequence=False)[0]}
    library = _simulator(folder, waveform=False)
    with ExitStack() as devices:
        network = devices.enter_context(open_device(folder, library=library))
        whole = devices.enter_context(open_device(folder / WHOLE, library=library)) if (folder / WHOLE).exists() else None
        path = write_report(network, output or folder / "report.html", whole=whole, inputs=inputs)
    console.print(str(path), highlight=False)


@main.command("blocks")
def blocks_command() -> None:
    """List the blocks that `generate` knows, with their parameters and defaults."""
    table = Table("block", "what it is", "parameters and defaults")
    for name, block in BLOCKS.items():
        table.add_row(name, block.text, ", ".join(f"{f.name}={parameter_text(f.default)}" for f in block.fields))
    console.print(table)


@main.group("generate")
def generate_group() -> None:
    """Write the Verilog of one block."""


def _stream_options(block: Block) -> Callable:
    """One option for each scale that can be built in, and what else blocks with streams have."""

    def decorate(command: Callable) -> Callable:
        if block.has_streams:
            text = "Measure area and clock for the page; takes minutes."
            command = click.option("--measure", is_flag=True, help=text)(command)
        for name, (kind, text) in reversed([*block.scales.options.items()] if block.scales else []):
            command = click.option(_option(name), name, type=kind, help=text)(command)
        return command

    return decorate


def _given_scales(block: Block, options: dict[str, Any]) -> dict[str, float]:
    """Takes the scales out of what was given."""
    if block.scales is None:
        return {}
    scales = {name: options.pop(name) for name in block.scales.options if name in options}
    missing = [name for name in block.scales.required if name not in scales]
    if scales and missing:
        raise click.UsageError(f"{_option(next(iter(scales)))} needs {_option(missing[0])}")
    return scales


def _add_generator(name: str, block: Block) -> None:
    @generate_group.command(name, help=block.text)
    @click.option("-o", "--output", type=NEW, required=True, help="Folder to write.")
    @_fpga_option
    @_parameter_options(block.parameters, block.help)
    @_stream_options(block)
    def generate(output: Path, fpga: str | None, measure: bool = False, **options: Any) -> None:
        given = {name: value for name, value in options.items() if value is not None}
        scales = _given_scales(block, given)
        parameters = block.parameters.from_dict(given)
        with console.status("writing Verilog"):
            path = write_block(name, parameters, output, scales=scales, measure=measure, fpga=fpga)
        console.print(str(path), highlight=False)


for _name, _block in BLOCKS.items():
    _add_generator(_name, _block)

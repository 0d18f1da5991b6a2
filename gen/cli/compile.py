"""`celosia compile`."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from ...rtl.arch.deform import FRACTION_BITS
from ...rtl.arch.formats import FACTOR_BITS
from ...rtl.arch.parameters import NO_PIM, MachineParameters
from ...sw import Pruning, compile_model
from ...sw.compiler.decision import Decision
from ...sw.compiler.patterns import Pattern
from ...sw.compiler.predict import DEFAULT_RESOURCES, Resources
from ...sw.frontend.deform import Offsets
from ...sw.frontend.onnx_file import read
from ...sw.graph import Deform
from ...sw.quantize.moved import cost_of_moved
from ...sw.quantize.samples import read_samples
from ..project import write_project
from .common import FILE, NEW, console, fpga_option, machine_options, machine_values, say
from .quantize import error_table, progress


class _Shares(click.ParamType):
    """SHARE,SHARE,..."""

    name = "share,share,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        try:
            return tuple(float(share) for share in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not SHARE,SHARE,..., with numbers such as 0.9", param, ctx)


@click.command("compile")
@click.argument("model", type=FILE)
@click.option("-o", "--output", type=NEW, required=True, help="Folder to write; an earlier one of celosia's is replaced.")
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
@fpga_option
@machine_options
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
    values = machine_values(target, config, options)
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
        say(f"{node}: offsets are up to {pixels:.3g} pixels from where the network says")
    if samples and moved:
        shown = progress(samples, "with and without moved offsets", len(samples))
        console.print(error_table(cost_of_moved(model, offsets, shown, lanes=parameters.lanes), "what moved offsets change"))
    elif samples:
        say("no offset is moved: nothing changes")
    say(
        f"{output}: {parameters.arrays} MACs, {len(manifest.labels)} steps a run, "
        f"{len(manifest.constants)} bytes of constants, {compiled.graph.macs()} multiply-accumulates"
    )
    say(f"next: celosia run {output} --input X.npy")


def _print_decision(decision: Decision) -> None:
    """What was weighed, the alternative that was taken first, and why."""
    table = Table("pattern", "cycles, predicted", "bytes to and from memory", "bytes in links", "groups")
    for a in decision.alternatives:
        table.add_row(a.pattern, f"{a.cycles:,}", f"{a.moved_bytes:,}", f"{a.link_bytes:,}", "\n".join(a.groups) or "none")
    console.print(table)
    say(*decision.reasons)

"""`celosia quantize`, and how far outputs are off, on the terminal."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import click
from rich.progress import track
from rich.table import Table

from ...sw.quantize.error import Error
from ...sw.quantize.ranges import Ranges
from ...sw.quantize.recipe import Recipe
from ...sw.quantize.report import LayerReport
from ...sw.quantize.samples import T
from ...sw.quantize.weights import KIB
from .common import FILE, NEW, console, say


@click.command("quantize")
@click.argument("model", type=FILE)
@click.option(
    "--calibration",
    type=FILE,
    required=True,
    help="An .npz file with an array for each input: samples along the first axis, then the input's shape without a leading 1.",
)
@click.option("-o", "--output", type=NEW, required=True, help="The QDQ network to write.")
@click.option(
    "--ranges",
    type=click.Choice([kind.value for kind in Ranges]),
    default=Ranges.MINMAX.value,
    show_default=True,
    help="Of int8 tensors: all that the samples have, all but the outermost ten-thousandth, or of the least squared error.",
)
@click.option(
    "--smooth",
    type=click.FloatRange(0, 1),
    help="Rescale channels between LayerNormalizations and layers, and between layers; 0.5 evens out what is read and weights alike.",
)
@click.option("--weight-bits", type=click.Choice(["8", "4"]), default="8", show_default=True, help="Of all layers' weights.")
@click.option(
    "--weight-group", type=int, default=0, help="Weights of 4 bits of matrices have scales for each group of so many along K, 16 or more."
)
@click.option("--weight-kib", type=click.FloatRange(0), help="What all weights may have together: layer by layer 8 bits or 4.")
def quantize_command(
    model: Path,
    calibration: Path,
    output: Path,
    ranges: str,
    smooth: float | None,
    weight_bits: str,
    weight_group: int,
    weight_kib: float | None,
) -> None:
    """Quantize MODEL, a float ONNX file, to the QDQ file that `celosia compile` takes.

    The ranges of its tensors are those of the samples. Needs onnxruntime.
    """
    try:
        from ...sw.quantize.network import quantize_network
    except ModuleNotFoundError as e:
        raise RuntimeError(f"the module {e.name} is missing: pip install 'celosia[quantize]'") from None
    recipe = Recipe(ranges=Ranges(ranges), smooth=smooth, weight_bits=int(weight_bits), weight_group=weight_group, weight_kib=weight_kib)
    done = quantize_network(model, calibration, output, recipe, progress)
    if done.offsets:
        table = Table("deformable convolution", "offsets seen, in pixels", "their steps")
        for steps in done.offsets:
            step = f"{Fraction(steps.step)}{', clamped to int8' if steps.clamped else ''}"
            table.add_row(steps.path.node, f"{steps.lowest:.4g} to {steps.highest:.4g}", step)
        console.print(table)
    if done.layers:
        console.print(layer_table(done.layers))
    console.print(error_table(done.errors, f"{output} against {model}, {done.samples} samples"))
    say(f"next: celosia compile {output} -o FOLDER")


def progress(items: Iterable[T], text: str, total: int) -> Iterable[T]:
    """Shown where somebody looks."""
    return track(items, text, total, console=console, transient=True, disable=not console.is_terminal)


def layer_table(layers: Sequence[LayerReport]) -> Table:
    """A row for each layer, and the size of all weights."""
    table = Table(title="results of each layer, with all before it quantized")
    table.add_column("layer", overflow="fold")
    for heading in ("K x N", "bits", "groups of", "KiB", "signal to noise"):
        table.add_column(heading)
    for layer in layers:
        group = str(layer.k // layer.groups) if layer.groups > 1 else ""
        table.add_row(
            layer.name, f"{layer.k} x {layer.n}", str(layer.bits), group, f"{layer.size / KIB:,.1f}", f"{layer.error.decibels:.1f} dB"
        )
    table.add_section()
    counts = Counter(layer.bits for layer in layers)
    bits = ", ".join(f"{count} of {bits}" for bits, count in sorted(counts.items()))
    table.add_row("all", "", bits, "", f"{sum(layer.size for layer in layers) / KIB:,.1f}", "")
    return table


def error_table(errors: Mapping[str, Error], title: str) -> Table:
    """A row for each output."""
    table = Table("output", "signal to noise", "largest difference", title=title)
    for name, error in errors.items():
        ratio = f"{error.alike / error.elements:.2%} equal" if error.integers or not error.noise else f"{error.decibels:.1f} dB"
        table.add_row(name, ratio, f"{error.largest:.4g}")
    return table

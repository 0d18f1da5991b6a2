"""`celosia quantize`, and how far outputs are off, on the terminal."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import click
from rich.progress import track
from rich.table import Table

from ...sw.quantize.error import Error
from ...sw.quantize.samples import T
from .common import FILE, NEW, console


@click.command("quantize")
@click.argument("model", type=FILE)
@click.option(
    "--calibration",
    type=FILE,
    required=True,
    help="An .npz file with an array for each input: samples along the first axis, then the input's shape without a leading 1.",
)
@click.option("-o", "--output", type=NEW, required=True, help="The QDQ network to write.")
def quantize_command(model: Path, calibration: Path, output: Path) -> None:
    """Quantize MODEL, a float ONNX file, to the QDQ file that `celosia compile` takes.

    The ranges of its tensors are those of the samples. Needs onnxruntime.
    """
    try:
        from ...sw.quantize.network import quantize_network
    except ModuleNotFoundError as e:
        raise RuntimeError(f"the module {e.name} is missing: pip install 'celosia[quantize]'") from None
    done = quantize_network(model, calibration, output, progress)
    if done.offsets:
        table = Table("deformable convolution", "offsets seen, in pixels", "their steps")
        for steps in done.offsets:
            step = f"{Fraction(steps.step)}{', clamped to int8' if steps.clamped else ''}"
            table.add_row(steps.path.node, f"{steps.lowest:.4g} to {steps.highest:.4g}", step)
        console.print(table)
    console.print(error_table(done.errors, f"{output} against {model}, {done.samples} samples"))
    console.print(f"next: celosia compile {output} -o FOLDER", highlight=False)


def progress(items: Iterable[T], text: str, total: int) -> Iterable[T]:
    """Shown where somebody looks."""
    return track(items, text, total, console=console, transient=True, disable=not console.is_terminal)


def error_table(errors: Mapping[str, Error], title: str) -> Table:
    """A row for each output."""
    table = Table("output", "signal to noise", "largest difference", title=title)
    for name, error in errors.items():
        ratio = f"{error.alike / error.elements:.2%} equal" if error.integers or not error.noise else f"{error.decibels:.1f} dB"
        table.add_row(name, ratio, f"{error.largest:.4g}")
    return table

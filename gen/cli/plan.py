"""`celosia plan`: what lies in the scratchpad when, without hardware."""

from pathlib import Path

import click
from rich.table import Table

from ...rtl.arch.parameters import MachineParameters
from ...sw.compiler.memory_map import MemoryMap
from ...sw.compiler.predict import DEFAULT_RESOURCES
from ...sw.compiler.program import Compiler
from ...sw.compiler.smallest import smallest
from ...sw.frontend import import_model
from ...sw.report.memory import memory_picture
from .common import FILE, NEW, console, machine_options, machine_values, say


@click.command("plan")
@click.argument("model", type=FILE)
@click.option("--picture", type=NEW, help="SVG file to write: addresses against operators.")
@click.option("--smallest", "asks_smallest", is_flag=True, help="Find the smallest scratchpad in which nothing is spilled, too.")
@click.option("--seconds", type=click.FloatRange(1), default=60.0, show_default=True, help="That finding the smallest scratchpad may take.")
@machine_options
def plan_command(
    model: Path, picture: Path | None, asks_smallest: bool, seconds: float, target: str, config: Path | None, **options: int | None
) -> None:
    """Print the memory plan of MODEL, a QDQ ONNX file: what lies where in the scratchpad of a machine, and while which operators run."""
    parameters = MachineParameters.from_dict(machine_values(target, config, options))
    if parameters.dram:
        raise click.UsageError("a machine with a pim has a plan for each token, which is not shown")
    with console.status("planning") as status:
        compiler = Compiler(import_model(model), parameters, DEFAULT_RESOURCES, name=model.stem)
        program, found = compiler.program(), None
        if asks_smallest:
            found = smallest(compiler.network, seconds, lambda text: status.update(f"the smallest scratchpad: {text}"))
    memory = program.memory
    assert memory, "only a plan with bands has none"
    console.print(
        _table(memory, f"{model} in {_kib(memory, memory.words)} KiB of scratchpad, {memory.words:,} words of {memory.word_bytes} bytes")
    )
    spilled = sum(place.spilled for place in memory.places)
    say(
        f"{memory.moved:,} bytes to and from external memory in a run, {memory.compulsory:,} of them inputs and outputs; "
        f"tensors that are stored to be loaded again: {spilled}; {program.cycles:,} cycles, predicted"
    )
    if found:
        constants = sum(buffer.words for buffer in compiler.network.buffers.values() if buffer.data is not None)
        say(
            f"nothing between operators need leave {_kib(memory, found.words)} KiB, and no order takes less than "
            f"{_kib(memory, found.least)} KiB; all constants take {_kib(memory, constants)} KiB more"
        )
    if picture:
        picture.write_text(memory_picture(memory))
        say(f"{picture}: addresses against operators")


def _kib(memory: MemoryMap, words: int) -> str:
    return f"{words * memory.word_bytes / 1024:,.1f}"


def _table(memory: MemoryMap, title: str) -> Table:
    table = Table("tensor", "KiB", "first word", "while operators run", "", title=title)
    for place in sorted(memory.places, key=lambda place: (not place.lasting, place.first, place.address)):
        about = "constant" if place.lasting else "stored to be loaded again" if place.spilled else "loaded" if place.fetched else ""
        steps = "all" if place.lasting else f"{place.first + 1} to {place.last + 1}"
        table.add_row(place.tensor, _kib(memory, place.words), f"{place.address:,}", steps, about)
    table.add_row("staging: what passes through", _kib(memory, memory.words - memory.staging), f"{memory.staging:,}", "", "")
    return table

"""`celosia blocks` and `celosia generate`: single blocks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.status import Status
from rich.table import Table

from ...sw.block import BlockManifest
from ..blocks import BLOCKS, Block, parameter_text
from ..package import write_block
from .common import NEW, boards, console, fpga_option, named_board, option_name, parameter_options, say, stages


@click.command("blocks")
def blocks_command() -> None:
    """List the blocks that `generate` knows, with their parameters and defaults."""
    table = Table("block", "what it is", "parameters and defaults")
    for name, block in BLOCKS.items():
        table.add_row(name, block.text, ", ".join(f"{f.name}={parameter_text(f.default)}" for f in block.fields))
    console.print(table)


@click.group("generate")
def generate_group() -> None:
    """Write the Verilog of one block."""


def _stream_options(block: Block) -> Callable:
    """One option for each scale that can be built in, and what else blocks with streams have."""

    def decorate(command: Callable) -> Callable:
        if block.has_streams:
            text = "Measure area and clock for the page; takes minutes."
            command = click.option("--measure", is_flag=True, help=text)(command)
            text = "Make a bitstream with the block and a serial link, in OUTPUT/BOARD (celosia boards lists boards)."
            command = click.option("--board", help=text)(command)
        for name, (kind, text) in reversed([*block.scales.options.items()] if block.scales else []):
            command = click.option(option_name(name), name, type=kind, help=text)(command)
        return command

    return decorate


def _given_scales(block: Block, options: dict[str, Any]) -> dict[str, float]:
    """Takes the scales out of what was given."""
    if block.scales is None:
        return {}
    scales = {name: options.pop(name) for name in block.scales.options if name in options}
    missing = [name for name in block.scales.required if name not in scales]
    if scales and missing:
        raise click.UsageError(f"{option_name(next(iter(scales)))} needs {option_name(missing[0])}")
    return scales


def _on_board(name: str, built: list[Any], status: Status) -> Callable[[Any, BlockManifest, Path], None]:
    """What writes for the board of that name, and adds to ``built`` what the user should know of it."""
    board = named_board(boards().OPEN_BOARDS, name)
    return lambda component, manifest, folder: built.append(board.build_block(component, manifest, folder / name, stages(status, name)))


def _add_generator(name: str, block: Block) -> None:
    @generate_group.command(name, help=block.text)
    @click.option("-o", "--output", type=NEW, required=True, help="Folder to write.")
    @fpga_option
    @parameter_options(block.parameters, block.help)
    @_stream_options(block)
    def generate(output: Path, fpga: str | None, measure: bool = False, board: str | None = None, **options: Any) -> None:
        given = {name: value for name, value in options.items() if value is not None}
        scales = _given_scales(block, given)
        parameters = block.parameters.from_dict(given)
        built = list[Any]()
        with console.status("writing Verilog") as status:
            make = _on_board(board, built, status) if board else None
            path = write_block(name, parameters, output, scales=scales, measure=measure, fpga=fpga, board=make)
        lines = [str(path), *(line for b in built for line in b.lines(output / str(board)))]
        say(*lines)


for _name, _block in BLOCKS.items():
    _add_generator(_name, _block)

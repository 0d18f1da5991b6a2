"""What the commands have in common."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import click
from rich.console import Console

from ...rtl.arch.blocks import choices
from ..blocks import parameter_text
from ..platforms import PLATFORMS

console = Console()
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW = click.Path(path_type=Path)


def option_name(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def parameter_options(parameters: type, help_of: Callable[[str], str]) -> Callable:
    """One option for each field of a dataclass of numbers, flags and choices by name."""

    def decorate(command: Callable) -> Callable:
        for field in reversed(fields(parameters)):
            name = option_name(field.name)
            options = choices(field.type)
            kind = field.type if options is None else click.Choice(list(options))
            if field.type is bool:
                command = click.option(name, field.name, is_flag=True, default=None, help=help_of(field.name))(command)
            else:
                text = f"{help_of(field.name)} Default {parameter_text(field.default)}."
                command = click.option(name, field.name, type=kind, default=None, help=text)(command)
        return command

    return decorate


fpga_option = click.option(
    "--fpga", type=click.Choice(list(PLATFORMS)), help="Write the Verilog once more, made of this family's blocks: for synthesis."
)

"""What the commands have in common."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import click
import tomli
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from ...rtl.arch.blocks import choices
from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.targets import DEFAULT_TARGET, TARGETS
from ..blocks import BLOCKS, parameter_text
from ..platforms import PLATFORMS
from ..verilator import ToolError

console = Console()
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW = click.Path(path_type=Path)


def say(*lines: str) -> None:
    """As they are: a path or a command in them is there to be copied, so no line of them is broken."""
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


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


def machine_options(command: Callable) -> Callable:
    """A machine by its name, a file of parameters, and an option for each of them: ``target``, ``config`` and what `machine_values`
    takes."""
    command = parameter_options(MachineParameters, BLOCKS["accelerator"].help)(command)
    command = click.option("--config", type=FILE, help="TOML file of machine parameters; options override it.")(command)
    named = "Named machine to start from."
    return click.option("--target", type=click.Choice(list(TARGETS)), default=DEFAULT_TARGET, show_default=True, help=named)(command)


def machine_values(target: str, config: Path | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by name, not yet checked. Raises ValueError naming a file that is no TOML."""
    values: dict[str, Any] = asdict(TARGETS[target])
    if config is not None:
        try:
            values |= tomli.loads(config.read_text())
        except (tomli.TOMLDecodeError, UnicodeDecodeError) as e:
            raise ValueError(f"{config}: {e}") from None
    return values | {name: value for name, value in options.items() if value is not None}


fpga_option = click.option(
    "--fpga", type=click.Choice(list(PLATFORMS)), help="Write the Verilog once more, made of this family's blocks: for synthesis."
)


def boards() -> Any:
    """The module celosia.boards. Raises ToolError where what it needs is not installed."""
    try:
        from ... import boards
    except ModuleNotFoundError as e:
        raise ToolError(f"no {e.name}: pip install celosia[boards]") from None
    return boards


def stages(status: Status, name: str) -> Callable[[str], None]:
    """What shows what the making of a bitstream, which may take many minutes, is about."""
    return lambda line: status.update(escape(f"{name}, many minutes: {line[: console.width // 2]}"))


def named_board(boards: Mapping[str, Any], name: str) -> Any:
    if name not in boards:
        raise click.UsageError(f"no board {name}: there are {', '.join(boards)}")
    return boards[name]

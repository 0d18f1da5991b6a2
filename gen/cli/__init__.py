"""The command line. Bad input gives one line and exit code 2."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from .compile import compile_command
from .generate import blocks_command, generate_group
from .plan import plan_command
from .quantize import quantize_command
from .simulate import boards_command, build_command, report_command, run_command


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
    celosia plan NET.onnx              what lies in the scratchpad when, and what a larger one would save
    celosia compile NET.onnx -o out    Verilog, program, constants, manifest, register map
    celosia run out --input X.npy      run arrays through the simulated hardware
    celosia report out                 where the cycles go, as a page
    celosia generate softmax -o out    one block's Verilog
    """


_COMMANDS = (
    *(quantize_command, plan_command, compile_command, build_command, run_command, report_command),
    *(blocks_command, generate_group, boards_command),
)
for _command in _COMMANDS:
    main.add_command(_command)

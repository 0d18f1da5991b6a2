"""Which commands an engine refuses."""

from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator, SimulatorContext
from celosia.rtl.arch.registers import ErrorCode
from celosia.rtl.arch.steps import Engine
from celosia.rtl.engine import CHECK_CYCLES

CYCLES = 10  # a command is refused within


def refused(component: Any, engine: Engine, commands: Sequence[Mapping[str, int]]) -> list[bool]:
    """Of each command whether the engine, a ``component``, refuses it as an illegal step. It is reset between them."""
    reset, found, port = Signal(), list[bool](), component.engine

    async def bench(ctx: SimulatorContext) -> None:
        for command in commands:
            ctx.set(port.command.payload, command)
            await ctx.tick().repeat(CHECK_CYCLES.get(engine, 1))
            ctx.set(port.command.valid, 1)
            errors = set()
            for _ in range(CYCLES):
                await ctx.tick()
                ctx.set(port.command.valid, 0)
                errors.add(ErrorCode(ctx.get(port.error)))
            assert errors <= {ErrorCode.NONE, ErrorCode.ILLEGAL_STEP}
            found.append(ErrorCode.ILLEGAL_STEP in errors)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)

    simulator = Simulator(ResetInserter(reset)(component))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found

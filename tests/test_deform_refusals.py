"""Commands that the deform engine refuses, and so does its model."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator, SimulatorContext
from celosia.rtl.arch.deform import Form
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.registers import ErrorCode
from celosia.rtl.arch.steps import DEFORM
from celosia.rtl.deform.engine import DeformEngine
from celosia.sw.golden.deform_step import deform_step

MACHINE = {"rows": 4, "cols": 4, "lanes": 1, "deform_kernel": 3, "deform_reach": 2, "deform_width": 8}
SMALLEST = {**dict.fromkeys(("height", "width", "lines", "columns", "groups", "y_step", "x_step", "dilation", "reach"), 1)}
CYCLES = 6  # a command is refused within


def refused(machine: MachineParameters, commands: Sequence[Mapping[str, int]]) -> list[bool]:
    """Of each command whether the hardware refuses it as an illegal step."""
    engine, reset, found = DeformEngine(machine), Signal(), list[bool]()

    async def bench(ctx: SimulatorContext) -> None:
        for command in commands:
            ctx.set(engine.engine.command.payload, command)
            ctx.set(engine.engine.command.valid, 1)
            errors = set()
            for _ in range(CYCLES):
                await ctx.tick()
                ctx.set(engine.engine.command.valid, 0)
                errors.add(ErrorCode(ctx.get(engine.engine.error)))
            assert errors <= {ErrorCode.NONE, ErrorCode.ILLEGAL_STEP}
            found.append(ErrorCode.ILLEGAL_STEP in errors)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)

    simulator = Simulator(ResetInserter(reset)(engine))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def refused_by_model(machine: MachineParameters, command: Mapping[str, int]) -> bool:
    fields = {**dict.fromkeys((field.name for field in DEFORM.fields), 0), **command}
    try:
        deform_step(fields, machine, lambda places, _: np.zeros((*places.shape, machine.word_bytes), np.uint8))
    except ValueError:
        return True
    return False


FORMS = [({"form": Form.SQUARE}, False), ({"form": 3}, True)]


@pytest.mark.parametrize(
    ("machine", "cases"),
    [
        (
            {},
            [
                ({}, False),
                *(({name: 0}, True) for name in ("height", "width", "lines", "columns", "groups", "y_step", "x_step")),
                *(({"x_step": 2}, False), ({"y_step": 3}, True)),
                *(({"width": 8}, False), ({"width": 9}, True)),
                *(({"reach": 2}, False), ({"reach": 3}, True)),
                *(({"y_start": -1}, False), ({"y_start": -2}, True), ({"x_start": 2}, True), ({"x_start": 2, "reach": 2}, False)),
                *(*FORMS, ({"form": Form.FREE}, True), ({"fraction": 1}, True), ({"masked": 1}, True)),
            ],
        ),
        ({"deform_free": 1}, [*FORMS, ({"form": Form.FREE}, False)]),
        ({"deform_bilinear": 1}, [({"fraction": 4}, False), ({"fraction": 5}, True)]),
        ({"deform_masked": 1}, [({"masked": 1}, False)]),
    ],
    ids=["smallest", "free", "bilinear", "masked"],
)
def test_fields(machine: dict[str, int], cases: list[tuple[dict[str, int], bool]]) -> None:
    parameters = MachineParameters.from_dict({**MACHINE, **machine})
    commands = [{**SMALLEST, **fields} for fields, _ in cases]
    expected = [illegal for _, illegal in cases]
    assert refused(parameters, commands) == expected
    assert [refused_by_model(parameters, command) for command in commands] == expected

"""Commands that the deform engine refuses, and so does its model."""

from collections.abc import Mapping

import numpy as np
import pytest
from celosia.rtl.arch.deform import Form
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import DEFORM, Engine
from celosia.rtl.deform.engine import DeformEngine
from celosia.sw.golden.deform_step import deform_step
from refusals import refused

MACHINE = {"rows": 4, "cols": 4, "lanes": 1, "deform_kernel": 3, "deform_reach": 2, "deform_width": 8}
SMALLEST = {**dict.fromkeys(("height", "width", "lines", "columns", "groups", "y_step", "x_step", "dilation", "reach"), 1)}


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
    assert refused(DeformEngine(parameters), Engine.DEFORM, commands) == expected
    assert [refused_by_model(parameters, command) for command in commands] == expected

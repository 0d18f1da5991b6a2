"""Commands that the compute unit refuses: a product of one element, with other fields."""

import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import Engine
from celosia.rtl.arch.window import matrix_walk
from celosia.rtl.compute import ComputeUnit
from refusals import refused

PACKING = {"packing": 1, "residual": 1, "cols": 2}
PACKED = {"packed": 1, "n": 2, "lines": 2}


@pytest.mark.parametrize(
    ("machine", "fields", "illegal"),
    [
        ({"weight_bits": 8}, {"b_narrow": 0, "b_zero_point": -128}, False),
        ({"weight_bits": 8}, {"b_narrow": 3}, True),
        ({"weight_bits": 8}, {"b_narrow": 1, "b_transposed": 0}, True),
        ({"weight_bits": 4}, {"b_narrow": 0}, True),
        ({"weight_bits": 4}, {"b_narrow": 1, "b_zero_point": 7}, False),
        ({"weight_bits": 4}, {"b_narrow": 1, "b_zero_point": 8}, True),
        ({"weight_bits": 4}, {"b_narrow": 1, "b_zero_point": -8}, False),
        ({"weight_bits": 4}, {"b_narrow": 2, "b_zero_point": -9}, True),
        ({"weight_bits": 4}, {"b_narrow": 3}, True),
        ({"factor_bits": 0}, {"b_factored": 1}, True),
        ({"factor_bits": 8}, {"b_factored": 1}, False),
        ({"residual": 0}, {"residual": 1}, True),
        ({"residual": 1}, {"residual": 1}, False),
        ({"packing": 0}, {"packed": 1}, True),
        ({"packing": 0}, {"pooled": 1}, True),
        (PACKING, PACKED, False),
        (PACKING, {**PACKED, "n": 1}, True),
        (PACKING, {**PACKED, "out_wide": 1}, False),
        (PACKING, {**PACKED, "repeated": 1}, False),
        (PACKING, {**PACKED, "repeated": 1, "packed": 0}, False),
        (PACKING, {**PACKED, "pooled": 1, "packed": 0}, True),
        ({"packing": 0}, {"repeated": 1}, False),
        ({"packing": 0}, {"repeated": 1, "out_wide": 1}, True),
        ({"residual": 1}, {"repeated": 1, "residual": 1}, True),
        (PACKING, {**PACKED, "repeated": 1, "out_wide": 1}, True),
        (PACKING, {**PACKED, "repeated": 1, "residual": 1}, True),
        (PACKING, {**PACKED, "pooled": 1}, False),
        (PACKING, {**PACKED, "pooled": 1, "repeated": 1}, True),
        (PACKING, {**PACKED, "pooled": 1, "lines": 3}, True),
        ({**PACKING, "cols": 1}, {**PACKED, "n": 1}, False),
        ({**PACKING, "cols": 1}, {**PACKED, "n": 1, "pooled": 1}, True),
    ],
)
def test_fields(machine: dict[str, int], fields: dict[str, int], illegal: bool) -> None:
    unit = ComputeUnit(MachineParameters.from_dict({"rows": 4, "cols": 4, "lanes": 1, "accumulator_depth": 16, **machine}))
    command = {**matrix_walk(0, 1, 1, 1, 4), "n": 1, "b_transposed": 1, **fields}
    assert refused(unit, Engine.COMPUTE, [command]) == [illegal]

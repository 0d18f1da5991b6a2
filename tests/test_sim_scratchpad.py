"""The scratchpad alone, all its ports busy."""

from dataclasses import asdict
from typing import Any

import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.scratchpad import Scratchpad
from celosia.tb.paths import combinational_paths
from celosia.tb.runner import run_bench

FOUR_BANKS = MachineParameters(rows=4, cols=4, lanes=2, scratchpad_kib=1, banks=4)
ONE_BANK = MachineParameters(rows=12, cols=12, lanes=3, scratchpad_kib=1, banks=1)
TWO_REGIONS = MachineParameters(rows=4, cols=4, lanes=2, scratchpad_kib=1, banks=4, units=2)


@pytest.mark.parametrize(
    ("machine", "ports"),
    [
        (FOUR_BANKS, {"readers": 5, "writers": 3}),
        (ONE_BANK, {"readers": 2, "writers": 1}),
        (TWO_REGIONS, {"readers": 6, "writers": 3, "read_groups": [[1, 4], [2, 3]], "write_groups": [[0, 2]]}),
    ],
    ids=["four-banks", "one-bank", "two-regions"],
)
def test_scratchpad(machine: MachineParameters, ports: dict[str, Any]) -> None:
    component = Scratchpad(machine, **ports)
    assert not {(a, b) for a, b in combinational_paths(component) if b.endswith(("__word", "__valid"))}
    groups = {"read_groups": [], "write_groups": []}
    run_bench(component, "celosia.tb.test_scratchpad", {"machine": asdict(machine), **groups, **ports})

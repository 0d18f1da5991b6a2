"""The scratchpad alone, all its ports busy: its banks, and the ports before them."""

from dataclasses import asdict
from typing import Any

import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.banks import Banks
from celosia.rtl.scratchpad import Scratchpad
from celosia.tb.paths import combinational_paths
from celosia.tb.runner import run_bench

FOUR_BANKS = MachineParameters(rows=4, cols=4, lanes=2, scratchpad_kib=1, banks=4)
ONE_BANK = MachineParameters(rows=12, cols=12, lanes=3, scratchpad_kib=1, banks=1)
TWO_REGIONS = MachineParameters(rows=4, cols=4, lanes=2, scratchpad_kib=1, banks=4, units=2)
GROUPS = {"read_groups": [[1, 4], [2, 3]], "write_groups": [[0, 2]]}
MACHINES = pytest.mark.parametrize(
    ("machine", "readers", "writers", "groups"),
    [(FOUR_BANKS, 5, 3, {}), (ONE_BANK, 2, 1, {}), (TWO_REGIONS, 6, 3, GROUPS)],
    ids=["four-banks", "one-bank", "two-regions"],
)


def _about(machine: MachineParameters, readers: int, writers: int, groups: dict[str, Any]) -> dict[str, Any]:
    return {"machine": asdict(machine), "read_ports": readers, "write_ports": writers, "read_groups": [], "write_groups": [], **groups}


@MACHINES
def test_banks(machine: MachineParameters, readers: int, writers: int, groups: dict[str, Any]) -> None:
    banks = Banks(machine, readers=readers, writers=writers, **groups)
    run_bench(banks, "celosia.tb.test_banks", _about(machine, readers, writers, groups))


@MACHINES
def test_scratchpad(machine: MachineParameters, readers: int, writers: int, groups: dict[str, Any]) -> None:
    scratchpad = Scratchpad(machine, readers=readers, writers=writers, **groups)
    ways = combinational_paths(scratchpad)
    assert {b for _, b in ways} <= {"out_of_range"}, "an answer comes from registers"
    run_bench(scratchpad, "celosia.tb.test_scratchpad", _about(machine, readers, writers, groups))

"""The scratchpad alone, all its ports busy."""

from dataclasses import asdict

import pytest
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.scratchpad import Scratchpad
from celosia.tb.paths import combinational_paths
from celosia.tb.runner import run_bench

FOUR_BANKS = MachineParameters(rows=4, cols=4, lanes=2, scratchpad_kib=1, banks=4)
ONE_BANK = MachineParameters(rows=12, cols=12, lanes=3, scratchpad_kib=1, banks=1)
TWO_REGIONS = MachineParameters(rows=4, cols=4, lanes=2, scratchpad_kib=1, banks=4, units=2)


@pytest.mark.parametrize(
    ("machine", "readers", "writers", "walkers"),
    [(FOUR_BANKS, 5, 3, ()), (ONE_BANK, 2, 1, ()), (TWO_REGIONS, 6, 3, (1, 4))],
    ids=["four-banks", "one-bank", "two-regions"],
)
def test_scratchpad(machine: MachineParameters, readers: int, writers: int, walkers: tuple[int, ...]) -> None:
    component = Scratchpad(machine, readers=readers, writers=writers, walkers=walkers)
    assert not {(a, b) for a, b in combinational_paths(component) if b.endswith(("__word", "__valid"))}
    run_bench(
        component, "celosia.tb.test_scratchpad", {"machine": asdict(machine), "readers": readers, "writers": writers, "walkers": walkers}
    )

"""The PIM controller under random traffic for more than ten million cycles, refreshes on: `nox -s sim_long`, about five minutes."""

from dataclasses import replace

import pytest
from celosia.rtl.arch.dram import PRESETS
from celosia.tb.pim_bench import PimBench
from celosia.tb.pim_traffic import drive

CYCLES = 4_000_000  # of each preset


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_is_lost_and_no_rule_is_broken(preset: str) -> None:
    with PimBench(replace(PRESETS[preset], channels=2)) as bench:
        found = drive(bench, 1, CYCLES)
    print(f"{preset}: {found}")
    assert found.refreshes >= 2 * (found.cycles // PRESETS[preset].timing.refi - 8)

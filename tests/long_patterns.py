"""More of tests/test_hardware_patterns.py: `nox -s sim_long`."""

from pathlib import Path

import pytest
from test_hardware_patterns import check_maps, check_pipelines


@pytest.mark.parametrize("seed", range(5, 25))
def test_pipelines(seed: int, tmp_path: Path) -> None:
    check_pipelines(seed, tmp_path / "project")


@pytest.mark.parametrize("seed", [4, 10, 13, 14, 16, 25, 26, 27, 37, 40, 45, 48, 52, 55, 58])
def test_maps(seed: int, tmp_path: Path) -> None:
    check_maps(seed, tmp_path / "project")

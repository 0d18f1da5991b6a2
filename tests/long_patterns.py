"""More of tests/test_hardware_patterns.py: `nox -s sim_long`."""

from pathlib import Path

import pytest
from test_hardware_patterns import check_pipelines


@pytest.mark.parametrize("seed", range(5, 25))
def test_pipelines(seed: int, tmp_path: Path) -> None:
    check_pipelines(seed, tmp_path / "project")

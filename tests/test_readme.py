"""The README's Python example runs as it stands, and the docs name every operator."""

import re
from pathlib import Path

import pytest
from celosia.sw.frontend.movement import MOVES
from celosia.sw.frontend.operations import OPERATIONS
from celosia.sw.frontend.readers import POINTWISE

ROOT = Path(__file__).parent.parent


def test_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    found = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found
    exec(compile(found.group(1), "README.md", "exec"), {})
    digit, cycles = map(int, capsys.readouterr().out.split())
    assert 0 <= digit <= 9
    assert cycles > 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written >= {"accelerator.v", "program.bin", "manifest.json", "registers.rdl", "registers.h"}


def test_every_operator_is_listed() -> None:
    words = set(re.findall(r"\w+", (ROOT / "docs" / "onnx.md").read_text()))
    assert words >= {*POINTWISE, *OPERATIONS, *MOVES, "QuantizeLinear", "DequantizeLinear"}

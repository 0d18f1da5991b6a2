"""The wheel installs into a clean environment: the host side without the HDL tools, which are named when they are missed."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "examples" / "digits" / "digits_qdq.onnx"
HOST = f"""
import sys
from celosia.sw import compile_model, open_device
from celosia.sw.manifest import Manifest
program = compile_model({str(MODEL)!r})
assert len(Manifest.of(program, rom=False).code) == 128 * (len(program.prologue) + len(program.body))
assert not [name for name in sys.modules if name.partition(".")[0] in ("amaranth", "cocotb")]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy of what git tracks: building leaves files in the tree
    source.mkdir()
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(source)], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_the_packages_and_their_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"celosia"}
    assert {name.split("/")[1] for name in names if name.startswith("celosia/")} == {"rtl", "sw", "gen", "boards", "tb"}
    tracked = {path.relative_to(ROOT) for folder in ("rtl", "sw", "gen", "boards", "tb") for path in (ROOT / folder).rglob("*.py")}
    assert {Path(name).relative_to("celosia") for name in names if name.startswith("celosia/") and name.endswith(".py")} == tracked
    templates = {path.name for path in (ROOT / "gen" / "templates").iterdir()}
    assert {Path(name).name for name in names if name.startswith("celosia/gen/templates/")} == templates
    assert {Path(name).suffix for name in names if name.startswith("celosia/sw/")} == {".py", ".cpp", ".h", ".html"}


def test_host_side_works_without_the_hdl_tools(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    programs = tmp_path / "venv" / "bin"
    subprocess.run([programs / "pip", "install", "--quiet", str(wheel)], check=True, capture_output=True)
    subprocess.run([programs / "python", "-W", "error", "-c", HOST], check=True, cwd=tmp_path)
    missing = subprocess.run([programs / "celosia", "--help"], capture_output=True, text=True, check=False)
    assert missing.returncode == 2
    assert missing.stderr.splitlines() == ["celosia: the module amaranth is missing: pip install 'celosia[hdl]'"]

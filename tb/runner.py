"""Simulators for tests, kept for the next time: cocotb benches on the Verilog of a component, from pytest, and whole machines."""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest import mock
from xml.etree import ElementTree

import cocotb_tools.config
from amaranth.lib import wiring
from cocotb_tools.runner import Verilator

from ..gen import lint, project, runtime, verilator
from ..gen.platforms import Platform
from ..gen.simulation import build_library
from ..gen.verilog import to_verilog

TOP = "dut"
_BLOCKS = {"ecp5_multiplier": "mult18x18d.v", "ultrascale_multiplier": "dsp48e2.v"}  # what a platform's module is made of
# A bench is some thousand cycles, most of whose time is Python's: a fast simulator is not worth minutes of the compiler's.
_MAKE = {"MAKEFLAGS": "OPT_FAST=-O0"}
_VARIABLE = "CELOSIA_BENCH"


class BenchError(AssertionError):
    """Tests of a bench failed: names them, with their messages."""


def parameters() -> dict[str, Any]:
    """Inside a bench: the parameters given to run_bench."""
    return json.loads(os.environ[_VARIABLE])


def run_bench(
    component: wiring.Component, bench: str, parameters: Mapping[str, object] | None = None, *, platform: Platform | None = None
) -> None:
    """Run all tests of the module ``bench`` (its import name) on ``component``, which is built unless that was done before.

    parameters: anything that JSON can hold; the bench reads it with parameters(). platform: whose blocks it is made of. Raises BenchError
    when a test fails.
    """
    blocks = _BLOCKS.get(platform.module) if platform else None
    models = Path(__file__).with_name(blocks).read_text() if blocks else ""
    _run(to_verilog(component, name=TOP, platform=platform) + models, TOP, bench, parameters or {})


def run_verilog(source: Path, bench: str) -> None:
    """The same for the module that the Verilog file ``source`` is named after."""
    _run(source.read_text(), source.stem, bench, {})


def build_machine(verilog: Path) -> Path:
    """The library of the accelerator in this file, for a VerilatedDevice; built unless that was done before."""
    with own_folder(verilog.read_text()) as folder:
        return build_library(verilog, project.TOP, folder, optimise="-O1")


def _run(verilog: str, top: str, bench: str, parameters: Mapping[str, object]) -> None:
    with mock.patch.dict(os.environ, verilator.find().environment()), tempfile.TemporaryDirectory(prefix="celosia-") as folder:
        results = Path(folder) / "results.xml"
        simulator = _build(verilog, top)
        try:
            Verilator().test(
                bench,
                hdl_toplevel=top,
                hdl_toplevel_lang="verilog",
                build_dir=simulator,
                test_dir=folder,
                results_xml=str(results),
                seed=1,
                extra_env={_VARIABLE: json.dumps(parameters)},
            )
        except (SystemExit, RuntimeError):  # failures are in the results, unless the simulator crashed
            if not results.exists():
                raise BenchError(f"{bench}: the simulator ended without results") from None
        cases = list(ElementTree.parse(results).iter("testcase"))
    failures = [f"{c.get('name')}: {e.get('error_msg') or e.get('message')}" for c in cases for e in c if e.tag in ("failure", "error")]
    if failures or not cases:
        raise BenchError(f"{bench}: " + ("; ".join(failures) or "holds no test"))


def _build(verilog: str, top: str) -> Path:
    """The folder with the simulator of module ``top``; its name is a hash of what it is made from."""
    ports_only = "--no-public-flat-rw", "--public-depth", "1"  # all that a bench sees: half of the compiler's time
    options = ["-O3", "--x-assign", "fast", "-Wno-fatal", "--timescale", "1ns/1ps", *ports_only, *lint.waiver_options()]
    libraries = str(cocotb_tools.config.libs_dir)  # the simulator finds cocotb by this path
    made_from = (verilog, options, _MAKE, verilator.find().version, metadata.version("cocotb"), libraries)
    with own_folder(made_from) as folder:
        if not (folder / top).exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a build that was broken off
            folder.mkdir()
            source = folder / f"{top}.v"
            source.write_text(verilog)
            with runtime.shared_runtime(folder, "cocotb"), mock.patch.dict(os.environ, _MAKE):
                Verilator().build(sources=[source], hdl_toplevel=top, build_args=options, build_dir=folder, log_file=folder / "build.log")
                for made in folder.iterdir():  # some 200 MB, of which the simulator needs nothing
                    if made.name not in (top, source.name, "build.log"):
                        made.unlink()
    return folder


@contextmanager
def own_folder(made_from: object) -> Iterator[Path]:
    """Where the simulator made from this is kept; processes that need the same one wait for each other."""
    benches = verilator.cache_folder() / "benches"
    benches.mkdir(parents=True, exist_ok=True)
    folder = benches / hashlib.sha256(repr(made_from).encode()).hexdigest()[:16]
    with (benches / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder

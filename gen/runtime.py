"""Verilator's run-time library, compiled once for all designs instead of once for each: most of a small design's build."""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import verilator

_OBJECTS = [f"verilated{part}.o" for part in ("", "_dpi", "_fst_c", "_threads", "_vpi")]


@contextmanager
def shared_runtime(build: Path, *flavour: str) -> Iterator[None]:
    """Around a build in the folder ``build``: lends it the objects of an earlier one of the same ``flavour`` (the options that matter
    to them), or keeps its objects for later ones."""
    compiler = subprocess.check_output(["g++", "-dumpfullversion"], text=True)
    made_from = (verilator.find(), compiler, platform.machine(), *flavour)
    kept = verilator.cache_folder() / "runtime" / hashlib.sha256(repr(made_from).encode()).hexdigest()[:16]
    build.mkdir(parents=True, exist_ok=True)
    if kept.exists():
        for made in kept.iterdir():
            lent = Path(shutil.copy(made, build))
            os.utime(lent, (ahead := time.time() + 3600, ahead))  # make must find it newer than the files about to be written
    yield
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=kept.parent))
        for name in _OBJECTS:
            if (build / name).exists():
                shutil.copy(build / name, beside)
        try:
            os.rename(beside, kept)
        except OSError:  # another process was first
            shutil.rmtree(beside)

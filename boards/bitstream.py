"""From a circuit on a board's pins to its bitstream: Amaranth, Yosys, nextpnr, and what packs for the FPGA."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from amaranth.build import Platform
from amaranth.hdl import Elaboratable

from ..gen.platforms import Ecp5Platform
from ..gen.synthesis import (
    ALLOW_SLOW,
    ECP5_SYNTHESIS,
    ICE40_SYNTHESIS,
    NEXTPNR_ECP5,
    NEXTPNR_ICE40,
    Progress,
    lacking,
    place_ecp5,
    place_ice40,
    synthesise,
)
from ..gen.verilator import ToolError, find_program, run_tool
from ..gen.verilog import choose_yosys

TOP = "top"
SEEDS = range(1, 7)  # the clocks that placements reach differ by some 20 %
SLOWEST = 0.7  # of the clock: after placement nextpnr expects longer wires than the router finds, and up to 1.4 times the time for them
MOST_SECONDS = 600  # of the router until fewer arcs than ever are left: it takes some 200, or finds no end


class Place(Protocol):
    """nextpnr, as gen/synthesis.py has it."""

    def __call__(self, options: Sequence[str], folder: Path, *, progress: Progress) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """Of a family of FPGAs. bitstream: its file. synthesis: Yosys' command, up to the top module's name. nextpnr: its program, which the
    packer's package is named for too. pins: kind of the file with pins and clocks, and nextpnr's option for it. routed: the same of what
    it writes. packer: program and options. library: Verilog files, by name.
    """

    bitstream: str
    synthesis: str
    nextpnr: str
    place: Place
    pins: tuple[str, str]
    routed: tuple[str, str]
    packer: tuple[str, ...]
    library: Mapping[str, str] = field(default_factory=dict)


ECP5 = Toolchain(
    bitstream=f"{TOP}.bit",
    synthesis=ECP5_SYNTHESIS,
    nextpnr=NEXTPNR_ECP5,
    place=place_ecp5,
    pins=("lpf", "--lpf"),
    routed=("config", "--textcfg"),
    packer=("yowasp-ecppack", "--compress"),
    library={f"{Ecp5Platform.module}.v": Ecp5Platform.library},
)
ICE40 = Toolchain(
    bitstream=f"{TOP}.bin",
    synthesis=ICE40_SYNTHESIS,
    nextpnr=NEXTPNR_ICE40,
    place=place_ice40,
    pins=("pcf", "--pcf"),
    routed=("asc", "--asc"),
    packer=("yowasp-icepack",),
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """bitstream: its file. clock, achieved: MHz that it needs, and that placement and routing reached. used: of each kind of block how
    many, and how many the device has."""

    bitstream: str
    clock: float
    achieved: float
    used: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, found: Mapping[str, Any], bitstream: str) -> "Report":
        """Of nextpnr's report."""
        slowest = min(found["fmax"].values(), key=lambda clock: clock["achieved"] / clock["constraint"])
        used = {name: (kind["used"], kind["available"]) for name, kind in found["utilization"].items() if kind["used"]}
        return cls(bitstream=bitstream, clock=slowest["constraint"], achieved=slowest["achieved"], used=used)

    @property
    def closes(self) -> bool:
        """Whether every path is fast enough."""
        return self.achieved >= self.clock

    def lines(self, folder: Path) -> list[str]:
        """What a `Built` tells."""
        end = "" if self.closes else ": too slow, it may fail"
        return [
            *(f"{kind}: {used:,} of {available:,}" for kind, (used, available) in self.used.items()),
            f"{folder / self.bitstream}: {self.achieved:.1f} MHz of {self.clock:.1f}{end}",
        ]


def make_bitstream(
    platform: Platform, top: Elaboratable, tools: Toolchain, device: Sequence[str], folder: Path, progress: Progress
) -> Report:
    """Write the bitstream, and all from which it was made, into ``folder``. device: nextpnr's options for it.

    Raises ToolError where a tool is missing or fails, or the circuit does not fit.
    """
    progress("writing the netlist")
    choose_yosys()
    plan = platform.prepare(top, name=TOP)
    (pins, pins_option), (routed, routed_option) = ((f"{TOP}.{kind}", option) for kind, option in (tools.pins, tools.routed))
    for name in (f"{TOP}.il", pins):
        content = plan.files[name]
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for name, text in tools.library.items():
        (folder / name).write_text(text)
    progress("synthesis")
    synthesise("; ".join([f"read_rtlil {TOP}.il", *(f"read_verilog {name}" for name in tools.library)]), f"{tools.synthesis} {TOP}", folder)
    options = [*device, pins_option, pins]
    _check_fit(tools, options, folder)
    report = placed(tools, [*options, routed_option, routed], folder, progress)
    packer, *options = tools.packer
    run_tool([find_program(packer, package=tools.nextpnr), *options, routed, tools.bitstream], folder=folder, environment={})
    return report


class _Hopeless(Exception):
    """Of a seed."""


@dataclass
class _Run:
    """Of nextpnr, as its lines tell. arcs: that it routes, each from a net's driver to one of its cells, 0 before it does; left: of them,
    still to be routed; fewest: that were left, since that second. slow: the clock will not be met, as far as is seen before it begins to
    route, which takes longest. tangled: it would go on with that for ever."""

    arcs: int = 0
    left: int = 0
    fewest: tuple[int, float] = (0, 0.0)
    slow: bool = False
    tangled: bool = False

    def see(self, line: str) -> str:
        """What it is about."""
        if found := re.match(r"Info: Routing (\d+) arcs", line):
            self.arcs = self.left = int(found[1])
            self.fewest = self.left, 0.0
        elif self.arcs and (found := re.match(r"Info: +\d+ \|.*\| +(\d+)\| +[\d.]+ +([\d.]+)\|", line)):
            self.left, second = int(found[1]), float(found[2])
            if self.left < self.fewest[0]:
                self.fewest = self.left, second
            self.tangled = second - self.fewest[1] > MOST_SECONDS
        elif not self.arcs and (found := re.search(r": ([\d.]+) MHz \(FAIL at ([\d.]+) MHz\)", line)):
            self.slow = float(found[1]) < SLOWEST * float(found[2])
        return f"{self.left:,} of {self.arcs:,} arcs to be routed" if self.left else line.removeprefix("Info:").strip()


def _check_fit(tools: Toolchain, options: Sequence[str], folder: Path) -> None:
    if over := lacking(tools.nextpnr, options, folder):
        kinds = ", ".join(f"{kind} {used:,} of {available:,}" for kind, (used, available) in over.items())
        raise ToolError(f"the circuit does not fit the device: {kinds}")


def placed(tools: Toolchain, options: Sequence[str], folder: Path, progress: Progress) -> Report:
    """Of netlist.json with the first of SEEDS with which the clock is met, or the last one. Raises ToolError, also where that one's wires
    find no way."""

    def report(seed: int, *, allow_slow: bool = False) -> Report:
        run = _Run()

        def show(line: str) -> None:
            progress(f"seed {seed}: {run.see(line)}")
            if run.tangled or (run.slow and not allow_slow):
                raise _Hopeless

        return Report.of(tools.place([*options, "--seed", str(seed), ALLOW_SLOW], folder, progress=show), tools.bitstream)

    for seed in SEEDS[:-1]:
        with suppress(_Hopeless):
            if (found := report(seed)).closes:
                return found
    try:
        return report(SEEDS[-1], allow_slow=True)
    except _Hopeless:
        raise ToolError("the circuit fits the device, but its wires find no way") from None

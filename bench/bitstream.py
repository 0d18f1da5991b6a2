"""The demo network on ULX3S: area and clock of its bitstream. Writes a table of docs/boards.md.

python -m bench.bitstream
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from celosia.boards import OPEN_BOARDS
from celosia.gen.pages import write_section
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw import compile_model
from celosia.sw.manifest import Manifest
from rich.console import Console

ROOT = Path(__file__).parents[1]
NETWORK = ROOT / "examples" / "digits" / "digits_qdq.onnx"
MACHINES = {"ulx3s-85f": MachineParameters(rows=8, cols=8, lanes=1, scratchpad_kib=64, bus_bytes=8)}
KINDS = ("TRELLIS_COMB", "TRELLIS_FF", "MULT18X18D", "DP16KD")
console = Console(stderr=True)


def row(name: str, machine: MachineParameters) -> str:
    program = compile_model(NETWORK, machine)
    with TemporaryDirectory() as folder, console.status(f"{name}: synthesis, placement and routing (many minutes)"):
        report = OPEN_BOARDS[name].build(Manifest.of(program, rom=False), Path(folder) / name)
    used = (f"{report.used[kind][0]:,} of {report.used[kind][1]:,}" for kind in KINDS)
    clocks = f"{report.clock:.0f}", f"{report.achieved:.1f}", f"{report.clock * 1e6 / program.cycles:,.0f}"
    return f"| {name} | {machine.rows} x {machine.cols}, {machine.lanes} lane | {' | '.join((*used, *clocks))} |"


def main() -> None:
    head = "board", "machine", *KINDS, "MHz wanted", "reached", "images a second of the machine alone, predicted"
    lines = [
        f"| {' | '.join(head)} |",
        f"|---|---|{'---:|' * (len(head) - 2)}",
        *(row(name, machine) for name, machine in MACHINES.items()),
    ]
    write_section(ROOT / "docs" / "boards.md", "bitstream", "\n".join(lines))


if __name__ == "__main__":
    main()

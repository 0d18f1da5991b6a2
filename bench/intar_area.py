"""What the circuits of the patterns take: `nox -s synth_intar` writes their table of docs/patterns.md.

They are those of bench/intar.py, and of a network that each pattern has a circuit of its own for. Beside the sequential one is the same
for any program: every port reaches every bank. Whole circuits are only counted. Those of the same arrays differ in their scratchpad and
their ROM alone, so the scratchpad is placed and routed by itself, where an ECP5 has the memory for it.
"""

from collections.abc import Iterator, Mapping

from celosia.gen.platforms import PLATFORMS
from celosia.gen.project import TOP
from celosia.gen.synthesis import count_ecp5, measure_ecp5
from celosia.gen.verilog import to_verilog
from celosia.rtl.accelerator import Accelerator
from celosia.rtl.arch.links import ANY_PROGRAM
from celosia.sw import graph as ir
from celosia.sw.compiler.patterns import Pattern
from celosia.sw.compiler.program import Program
from celosia.tb.graphs import Builder
from intar import KERNELS, ROOT, Network, programs, write_lines
from rich.progress import Progress

BUILD = ROOT / "build" / "intar_area"
HEADER = (
    "| network | circuit | arrays | predicted cycles | LUT4 | to sequential | FF | MULT18 | DP16KD | LUT4 of scratchpad | its MHz |",
    "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
)


def attention() -> ir.Graph:
    b = Builder(1)
    x = b.tensor(128, 32, 8)
    q, k, v = (b.linear(x, 32, 8) for _ in range(3))
    return b.graph([x], [b.mixed(b.softmax(b.scores(q, k, 1, 16), 8), v, 1)])


NETWORKS = (
    *KERNELS,
    Network(
        name="attention, 128 x 32, one head",
        graph=attention,
        macs=64,
        arrays=[(2, 8, 4)],
        machine={"lanes": 2, "scratchpad_kib": 32, "banks": 8, "bus_bytes": 8},
    ),
)


def circuits(found: Mapping[str, Program]) -> Iterator[tuple[str, Program, Accelerator]]:
    """By name, the sequential one first."""
    for pattern in (pattern for pattern in Pattern if pattern in found):
        program = found[pattern]
        yield pattern, program, Accelerator(program.parameters, program=program.code, connections=program.connections)
        if pattern is Pattern.SEQUENTIAL:
            yield f"{pattern}, any program", program, Accelerator(program.parameters, program=program.code, connections=ANY_PROGRAM)


def lines(number: int, progress: Progress) -> Iterator[str]:
    network, sequential = NETWORKS[number], None
    for name, program, circuit in circuits(programs(network, progress)):
        task = progress.add_task(f"{network.name}, {name}", total=None)
        verilog = to_verilog(circuit, name=TOP, platform=PLATFORMS["ecp5"])
        whole, scratchpad = count_ecp5(verilog, top=TOP), measure_ecp5(verilog, top=f"{TOP}.scratchpad")
        progress.update(task, total=1, completed=1)
        sequential = sequential or whole
        cells = (
            *(network.name, name, program.parameters.arrays, f"{program.cycles:,}"),
            *(f"{whole.lut4:,}", f"{whole.lut4 / sequential.lut4:.2f}", f"{whole.ff:,}", f"{whole.mult18}", f"{whole.dp16k}"),
            *(f"{scratchpad.lut4:,}", f"{scratchpad.placement.mhz:.0f}" if scratchpad.placement else "does not fit"),
        )
        line = f"| {' | '.join(cells)} |"
        progress.console.print(line)
        yield line


if __name__ == "__main__":
    write_lines(len(NETWORKS), lines, BUILD, "synth_intar", HEADER)

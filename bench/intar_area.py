"""What the circuits of the patterns take: `nox -s synth_intar` writes their table of docs/patterns.md.

They are those whose cycles bench/intar.py measures, and of a network where `auto` is a pipeline that neither of the others has. Beside the
sequential one is the same for any program: every port reaches every bank.
"""

from collections.abc import Iterator
from dataclasses import replace

from celosia.gen.platforms import PLATFORMS
from celosia.gen.synthesis import Ecp5, measure_ecp5
from celosia.gen.verilog import to_verilog
from celosia.rtl.accelerator import Accelerator
from celosia.rtl.arch.links import ANY_PROGRAM
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw import graph as ir
from celosia.sw.compiler.patterns import Pattern
from celosia.tb.graphs import Builder
from intar import KERNELS, ROOT, Network, programs, write_lines
from rich.progress import Progress

BUILD = ROOT / "build" / "intar_area"
PLACED_KIB = 64  # of the scratchpad, where the whole is more than an ECP5 has
HEADER = (
    "| network | circuit | arrays | predicted cycles | LUT4 | to sequential | FF | MULT18 | DP16KD | MHz |",
    "|---|---|---|---:|---:|---:|---:|---:|---:|---:|",
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


def circuits(network: Network, progress: Progress) -> Iterator[tuple[str, int, Accelerator]]:
    """By name, with the cycles that its program is predicted to take; the sequential one first."""
    found = programs(network, progress)
    for pattern in sorted(found, key=lambda pattern: pattern != Pattern.SEQUENTIAL):
        program = found[pattern]
        of_pattern = Accelerator(program.parameters, program=program.code, connections=program.connections)
        yield pattern, program.cycles, of_pattern
        if pattern == Pattern.SEQUENTIAL:
            yield "sequential, any program", program.cycles, Accelerator(program.parameters, program=program.code, connections=ANY_PROGRAM)


def measure(circuit: Accelerator, parameters: MachineParameters) -> Ecp5:
    """Of the circuit, but with a machine of these parameters."""
    of_them = Accelerator(parameters, program=circuit.program, connections=circuit.connections)
    return measure_ecp5(to_verilog(of_them, name="accelerator", platform=PLATFORMS["ecp5"]), top="accelerator", crowded=True)


def lines(number: int, progress: Progress) -> Iterator[str]:
    network, sequential = NETWORKS[number], None
    for name, cycles, circuit in circuits(network, progress):
        task = progress.add_task(f"{network.name}, {name}", total=None)
        parameters = circuit.parameters
        whole = measure(circuit, parameters)
        placed = whole.placement or measure(circuit, replace(parameters, scratchpad_kib=PLACED_KIB)).placement
        progress.update(task, total=1, completed=1)
        sequential = sequential or whole
        cells = (
            *(network.name, name, parameters.arrays, f"{cycles:,}", f"{whole.lut4:,}", f"{whole.lut4 / sequential.lut4:.2f}"),
            *(f"{whole.ff:,}", f"{whole.mult18}", f"{whole.dp16k}", f"{placed.mhz:.0f}" if placed else "does not fit"),
        )
        line = f"| {' | '.join(cells)} |"
        progress.console.print(line)
        yield line


if __name__ == "__main__":
    write_lines(len(NETWORKS), lines, BUILD, "synth_intar", HEADER)

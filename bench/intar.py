"""Sequential or dataflow, on the kernels of InTAR (arXiv 2502.08807): `nox -s bench_intar` writes docs/patterns.md.

Every kernel runs whole, or cut as its table says, from external memory to external memory, on circuits of the same multipliers, scratchpad
and bandwidth, each made for one pattern: every tensor through memory, sequential, dataflow, and as the planner chooses. Of the ways to cut
the multipliers into units each pattern has the one that is predicted to be the fastest. Results must be the integer executor's.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from statistics import geometric_mean

from celosia.gen.pages import write_section
from celosia.gen.project import TOP, VERILOG, write_project
from celosia.gen.simulation import build_library
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.window import Window
from celosia.sw import graph as ir
from celosia.sw.compiler.patterns import Pattern, compile_patterns
from celosia.sw.compiler.pipeline import Assignment
from celosia.sw.compiler.predict import DEFAULT_RESOURCES
from celosia.sw.compiler.program import Compiler, Program
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.tb.graphs import Builder
from compute import run as run_on
from rich.progress import Progress

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "intar"
PAGE = ROOT / "docs" / "patterns.md"
THROUGH_MEMORY = "through memory"
FEW_CYCLES = 1_000_000  # take less time than a fast simulator takes to build
HEADER = (
    "| kernel | pattern | arrays | cycles | predicted | error | bytes to and from memory | bytes in links | InTAR | times faster |",
    "|---|---|---|---:|---:|---:|---:|---:|---:|---:|",
)


def attention() -> ir.Graph:
    b = Builder(1)
    x = b.tensor(256, 1024, 8)
    q, k, v = (b.linear(x, 1024, 8) for _ in range(3))
    return b.graph([x], [b.mixed(b.softmax(b.scores(q, k, 1, 16), 8), v, 1)])


def perceptron() -> ir.Graph:
    b = Builder(1)
    x = b.tensor(1, 256, 8)
    hidden = b.table(b.linear(b.table(b.linear(x, 1024, 8), 8), 2048, 8), 8)
    return b.graph([x], [b.linear(hidden, 256, 8)])


def gating() -> ir.Graph:
    b = Builder(1)
    x = b.tensor(32, 4096, 8)
    up, gate = b.linear(x, GATING_HIDDEN, 8), b.table(b.linear(x, GATING_HIDDEN, 8), 8)
    return b.graph([x], [b.linear(b.multiply(gate, up, 8), 4096, 8)])


def images() -> ir.Graph:
    """The CNN: 224 -> 3x3, up -> 448 -> 3x3, up -> 896 -> 3x3, maxima of 2x2 -> 448 -> 3x3, maxima of 2x2 -> 224, of one channel."""
    b = Builder(1)

    def convolved(x: ir.Tensor, size: int) -> ir.Tensor:
        return b.convolution(x, 1, 8, Window(height=size, width=size, kernel=(3, 3), pads=(1, 1, 1, 1)))

    x = b.tensor(224 * 224, 1, 8)
    y = b.doubled(convolved(x, 224), 224)
    y = b.doubled(convolved(y, 448), 448)
    y = b.halved(convolved(y, 896), 896)
    return b.graph([x], [b.halved(convolved(y, 448), 448)])


def autoencoder() -> ir.Graph:
    """Of two channels: 28 -> 8x8 -> 21 -> 4x4 -> 18, a sample (h + function(h) * noise), and back, with all results that touch the map."""
    b = Builder(1)

    def convolved(x: ir.Tensor, size: int, kernel: int, pad: int) -> ir.Tensor:
        return b.convolution(x, 2, 8, Window(height=size, width=size, kernel=(kernel, kernel), pads=(pad, pad, pad, pad)))

    x, noise = b.tensor(28 * 28, 2, 8), b.tensor(18 * 18, 2, 8)
    hidden = convolved(convolved(x, 28, 8, 0), 21, 4, 0)
    sample = b.add(b.multiply(b.table(hidden, 8), noise, 8), hidden, 8)
    return b.graph([x, noise], [convolved(convolved(sample, 18, 8, 7), 25, 4, 3)])


GATING_CUT = 8
GATING_HIDDEN = 11008 // GATING_CUT


@dataclass(frozen=True, kw_only=True)
class Network:
    """arrays: (units, rows, cols) of as many multipliers."""

    name: str
    graph: Callable[[], ir.Graph]
    macs: int
    arrays: Sequence[tuple[int, int, int]]
    machine: Mapping[str, int]

    @cached_property
    def machines(self) -> list[MachineParameters]:
        machines = [MachineParameters.from_dict({"units": u, "rows": r, "cols": c, **self.machine}) for u, r, c in self.arrays]
        assert all(prod(array) <= self.macs for array in self.arrays)
        return machines


@dataclass(frozen=True, kw_only=True)
class Kernel(Network):
    """cut: of how many equal parts along an independent dimension one runs. intar: cycles of the paper's design."""

    intar: int
    cut: int = 1


KERNELS = (
    Kernel(
        name="self-attention, 256 x 1,024, one head",
        graph=attention,
        macs=32,
        arrays=[(1, 32, 1), (2, 16, 1)],
        machine={"lanes": 2, "scratchpad_kib": 512, "banks": 8, "bus_bytes": 32},
        intar=40_520_051,
    ),
    Kernel(
        name="MLP 256-1024-2048-256, batch 1",
        graph=perceptron,
        macs=32,
        arrays=[(1, 32, 1), (2, 16, 1)],
        machine={"lanes": 2, "scratchpad_kib": 256, "banks": 8, "bus_bytes": 32},
        intar=140_957,
    ),
    Kernel(
        name=f"gating network, batch 32, 4096-11008-4096, one of {GATING_CUT} parts of the hidden layer",
        graph=gating,
        macs=96,
        arrays=[(1, 24, 4), (2, 12, 4), (4, 12, 2)],
        machine={"lanes": 2, "scratchpad_kib": 1024, "banks": 8, "bus_bytes": 32},
        intar=48_668_637,
        cut=GATING_CUT,
    ),
    Kernel(
        name="CNN of one channel, 224 -> 448 -> 896 -> 448 -> 224",
        graph=images,
        macs=432,
        arrays=[(13, 8, 4)],
        machine={"lanes": 4, "scratchpad_kib": 512, "banks": 16, "bus_bytes": 8, "accumulator_depth": 1024, "packing": 1},
        intar=118_729,
    ),
    Kernel(
        name="variational auto-encoder of two channels, 28 x 28",
        graph=autoencoder,
        macs=144,
        arrays=[(4, 16, 2)],
        machine={"lanes": 8, "scratchpad_kib": 128, "banks": 8, "bus_bytes": 16, "packing": 1},
        intar=10_295,
    ),
)


def programs(network: Network, progress: Progress) -> dict[str, Program]:
    """The fastest of each pattern, as predicted."""
    found: dict[str, Program] = {}
    graph = network.graph()
    for machine in progress.track(network.machines, description=f"planning {network.name}"):
        through_memory = Compiler(graph, machine, DEFAULT_RESOURCES, name="kernel").program(Assignment(spills=True))
        for pattern, program in {THROUGH_MEMORY: through_memory, **compile_patterns(graph, machine)}.items():
            if pattern is Pattern.DATAFLOW and machine.units == 1:
                continue
            if pattern not in found or program.cycles < found[pattern].cycles:
                found[pattern] = program
    return found


@dataclass(frozen=True)
class Run:
    cycles: int
    external_bytes: int


def run(program: Program, name: str) -> Run:
    """On its own circuit. Asserts that the results are the executor's."""
    folder = BUILD / name
    write_project(program, folder, rom=True)
    library = build_library(folder / VERILOG, TOP, BUILD / "simulators", optimise="-O1" if program.cycles < FEW_CYCLES else "-O3")
    return simulate(program, library, rom=True)


def simulate(program: Program, library: Path, *, rom: bool = False) -> Run:
    """On a simulator. Asserts as `run`. rom: the program is in the circuit."""
    with VerilatedDevice(library, memory_bytes=program.memory_bytes, latency=DEFAULT_RESOURCES.latency) as device:
        steps, counters = run_on(device, program, rom=rom)
    return Run(counters["cycles"], sum(step.external_bytes for step in steps))


def lines(number: int, progress: Progress) -> Iterator[str]:
    kernel, runs = KERNELS[number], dict[bytes, Run]()
    for pattern, program in programs(kernel, progress).items():
        key = program.code
        if key not in runs:
            task = progress.add_task(f"simulating {kernel.name}, {pattern}", total=None)
            runs[key] = run(program, f"{number}-{pattern.replace(' ', '-')}")
            progress.update(task, total=1, completed=1)
        measured = runs[key]
        error = 100 * (program.cycles / measured.cycles - 1)
        cells = (
            *(kernel.name, pattern, program.parameters.arrays, f"{measured.cycles * kernel.cut:,}", f"{program.cycles * kernel.cut:,}"),
            *(f"{error:+.1f} %", f"{measured.external_bytes * kernel.cut:,}", f"{program.link_bytes:,}", f"{kernel.intar:,}"),
            f"{kernel.intar / (measured.cycles * kernel.cut):.2f}",
        )
        line = f"| {' | '.join(cells)} |"
        progress.console.print(line)
        yield line


def means(table: Sequence[str]) -> str:
    """Geometric means over the kernels of the table's lines."""
    cycles: dict[str, dict[str, int]] = {}
    for line in table:
        _, kernel, pattern, _, found, *_ = (cell.strip() for cell in line.split("|"))
        cycles.setdefault(kernel, {})[pattern] = int(found.replace(",", ""))
    ratios = {
        f"than {pattern}": [of[pattern] / of[Pattern.AUTO] for of in cycles.values() if pattern in of]
        for pattern in (Pattern.DATAFLOW, THROUGH_MEMORY, Pattern.SEQUENTIAL)
    }
    ratios["than InTAR"] = [kernel.intar / cycles[kernel.name][Pattern.AUTO] for kernel in KERNELS if kernel.name in cycles]
    texts = (f"{geometric_mean(of):.2f} times {than} ({len(of)} kernels)" for than, of in ratios.items())
    return f"\nAuto is faster, by the geometric mean: {', '.join(texts)}."


def write_lines(
    count: int,
    lines: Callable[[int, Progress], Iterator[str]],
    folder: Path,
    section: str,
    header: Sequence[str],
    summary: Callable[[Sequence[str]], str] = lambda _: "",
) -> None:
    """Of the networks whose numbers are given, or all: the page has what was measured last in this checkout. summary: what is said below
    the table, of its lines."""
    folder.mkdir(parents=True, exist_ok=True)
    with Progress() as progress:
        for number in [int(argument) for argument in sys.argv[1:]] or range(count):
            (folder / f"{number}.md").write_text("\n".join(lines(number, progress)))
    measured = [line for path in sorted(folder.glob("*.md")) for line in path.read_text().splitlines()]
    below = summary(measured)
    write_section(PAGE, section, "\n".join([*header, *measured, *([below] if below else [])]))


if __name__ == "__main__":
    write_lines(len(KERNELS), lines, BUILD, "bench_intar", HEADER, means)

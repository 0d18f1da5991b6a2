"""Share of the array's peak that the compute unit reaches on shapes of real networks: `nox -s bench` writes docs/blocks/compute.md.

Each product runs alone on the Verilated machine with its operands in the scratchpad, compiled as in any network. The share counts from
the cycle in which its inputs are in the scratchpad to the one in which its last result is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from celosia.gen.pages import write_section
from celosia.gen.project import TOP, VERILOG, write_project
from celosia.gen.simulation import build_library
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import Engine
from celosia.rtl.arch.window import Window
from celosia.sw import graph as ir
from celosia.sw.compiler.patterns import compile_graph
from celosia.sw.compiler.program import Program
from celosia.sw.driver.network import Network
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.executor import execute
from celosia.sw.manifest import Manifest
from celosia.sw.report.measure import Span, spans
from celosia.tb.graphs import Builder, random_inputs
from rich.progress import Progress

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
PAGE = ROOT / "docs" / "blocks" / "compute.md"
SQUARES = [MachineParameters(rows=size, cols=size, lanes=8, scratchpad_kib=1024, accumulator_depth=256, bus_bytes=32) for size in (16, 32)]
MACHINES = [*SQUARES, *(replace(SQUARES[0], units=n, banks=4 * n) for n in (2, 4)), replace(SQUARES[0], b_words=4, banks=16)]
LEGEND = """
int8, Verilated. Cycles from the one in which the inputs are in the scratchpad (the first tile of constant weights is loaded before that)
to the one in which the last result is. Units have 4 banks each, "4 words of b" at once 16. Conflicts: cycles in which a
port of a compute unit waited for a bank. The goals of the depthwise convolution and of the matrix-vector product are 50 % and 95 % of one
MAC for each byte of a word of a, or of the words of b, that a unit can read in each cycle.
"""
RUN_LEGEND = """
Whole runs: from the input in external memory (latency of one cycle) to the output there, with the weights in the scratchpad; and without
the transfers, from the cycle in which the input is in the scratchpad to the one in which the last result is. Share of peak: of the latter.
"""


def gemm(m: int, k: int, n: int) -> ir.Graph:
    builder = Builder(1)
    x = builder.tensor(m, k, 8)
    return builder.graph([x], [builder.linear(x, n, 8)])


def convolution(size: int, channels: int, cols: int, **window: Any) -> ir.Graph:
    """Of a square map."""
    builder = Builder(1)
    x = builder.tensor(size * size, channels, 8)
    return builder.graph([x], [builder.convolution(x, cols, 8, Window(height=size, width=size, **window))])


def scores(heads: int, tokens: int, width: int) -> ir.Graph:
    builder = Builder(1)
    q, k = (builder.tensor(tokens, heads * width, 8) for _ in range(2))
    return builder.graph([q, k], [builder.scores(q, k, heads, 8)])


def mixed_values(heads: int, tokens: int, width: int) -> ir.Graph:
    builder = Builder(1)
    shares, v = builder.tensor(heads * tokens, tokens, 8), builder.tensor(tokens, heads * width, 8)
    return builder.graph([shares, v], [builder.mixed(shares, v, heads)])


def share_of_words(percent: float, *, of_b: bool) -> Callable[[MachineParameters], float]:
    """Of peak, where each byte of an operand is used once, and ``percent`` of the words that a unit can read of it come."""
    return lambda machine: percent * (machine.b_words if of_b else 1) / machine.rows


# What runs, and its goal in percent.
OPERATIONS: Mapping[str, tuple[Callable[[], ir.Graph], int | Callable[[MachineParameters], float]]] = {
    "GEMM 256x256x256": (lambda: gemm(256, 256, 256), 97),
    "GEMM 64x64x64": (lambda: gemm(64, 64, 64), 90),
    "GEMM 197x192x768 (ViT-Tiny)": (lambda: gemm(197, 192, 768), 95),
    "GEMM 128x384x1536 (MiniLM)": (lambda: gemm(128, 384, 1536), 97),
    "convolution 3x3, 56x56x64 to 64": (lambda: convolution(56, 64, 64, kernel=(3, 3), pads=(1, 1, 1, 1)), 95),
    "convolution 1x1, 56x56x64 to 64": (lambda: convolution(56, 64, 64, kernel=(1, 1)), 97),
    "convolution 7x7 by 2, 112x112x3 to 64": (lambda: convolution(112, 3, 64, kernel=(7, 7), strides=(2, 2), pads=(3, 3, 3, 3)), 60),
    "depthwise 3x3, 56x56x128": (
        lambda: convolution(56, 128, 128, kernel=(3, 3), pads=(1, 1, 1, 1), groups=128),
        share_of_words(50, of_b=False),
    ),
    "matrix-vector 1x768x768": (lambda: gemm(1, 768, 768), share_of_words(95, of_b=True)),
    "scores, 12 heads, T = 128, d = 32": (lambda: scores(12, 128, 32), 90),
    "values, 12 heads, T = 128, d = 32": (lambda: mixed_values(12, 128, 32), 90),
    "scores, 3 heads, T = 197, d = 64": (lambda: scores(3, 197, 64), 90),
    "values, 3 heads, T = 197, d = 64": (lambda: mixed_values(3, 197, 64), 90),
}


def encoder_layer() -> ir.Graph:
    """ITA's workload, int8 throughout: attention with one head, then two products with GELU between them, which is a table in any
    imported network; sequence, width, head and hidden all 64."""
    builder = Builder(1)
    x = builder.tensor(64, 64, 8)
    return builder.graph([x], [builder.linear(builder.table(builder.linear(builder.attention(x, 1, 64, bits=8), 64, 8), 8), 64, 8)])


# Whole runs: graph, machine, the goal in cycles and its source.
RUNS: Mapping[str, tuple[Callable[[], ir.Graph], MachineParameters, str]] = {
    "product 16x64x64, 8 x 8, 32-bit memory port": (
        lambda: gemm(16, 64, 64),
        MachineParameters(rows=8, cols=8, lanes=4, scratchpad_kib=64, bus_bytes=4),
        "cycles: 2,000 (NNgen: 3,610, its weights loaded in the run)",
    ),
    "ITA's encoder layer, 32 x 32, 2 words of b, 16 banks, 256-bit memory port": (
        encoder_layer,
        MachineParameters(rows=32, cols=32, lanes=16, scratchpad_kib=256, banks=16, bus_bytes=32, row_elements=64, b_words=2),
        "without transfers: 2,131 (ITA: 96 % of peak)",
    ),
}


def run(device: VerilatedDevice, program: Program, *, rom: bool = False) -> tuple[list[Span], Mapping[str, int]]:
    """The spans of the steps, and the counters; the results must be the executor's. rom: the program is in the circuit."""
    manifest = Manifest.of(program, rom=rom)
    network = Network(device, manifest)
    inputs = random_inputs(program.graph, 1)
    network.upload()
    device.record_activity()
    found = network.run_integers(inputs)
    values = execute(program.graph, inputs, lanes=program.parameters.lanes)
    for port in program.graph.outputs:
        assert (found[port.name] == values[port.tensor.name]).all(), f"{port.name} differs from the executor's"
    return spans(device.activity(), manifest), network.counters()


def compute_cycles(steps: Sequence[Span]) -> int:
    """From the one in which the inputs are in the scratchpad to the one in which the last result of a product is."""
    ends = {engine: max(step.end for step in steps if step.engine is engine) for engine in (Engine.LOAD, Engine.COMPUTE)}
    return ends[Engine.COMPUTE] - ends[Engine.LOAD]


def opened(program: Program, name: str, memory_bytes: int) -> VerilatedDevice:
    folder = BUILD / name
    write_project(program, folder)
    library = build_library(folder / VERILOG, TOP, BUILD / "simulators", optimise="-O1")  # the compiler takes longest
    return VerilatedDevice(library, memory_bytes=memory_bytes)


def run_lines(progress: Progress) -> Iterator[str]:
    for number, (name, (make, machine, goal)) in enumerate(progress.track(RUNS.items(), description="whole machines")):
        program = compile_graph(make(), machine)
        with opened(program, f"run-{number}", program.memory_bytes) as device:
            steps, counters = run(device, program)
        cycles = compute_cycles(steps)
        share = 100 * program.graph.macs() / machine.peak_macs / cycles
        yield f"| {name} | {counters['cycles']:,} | {cycles:,} | {share:.1f} % | {goal} |"


def lines(machine: MachineParameters, progress: Progress) -> Iterator[str]:
    programs = {name: compile_graph(make(), machine) for name, (make, _) in OPERATIONS.items()}
    memory_bytes = max(program.memory_bytes for program in programs.values())
    array = machine.arrays + (f", {machine.b_words} words of b" if machine.b_words > 1 else "")
    with opened(next(iter(programs.values())), f"compute-{machine.rows}-{machine.units}-{machine.b_words}", memory_bytes) as device:
        for name, program in progress.track(programs.items(), description=array):
            steps, counters = run(device, program)
            products = [step for step in steps if step.engine is Engine.COMPUTE]
            cycles = compute_cycles(steps)
            share, goal = 100 * program.graph.macs() / machine.peak_macs / cycles, OPERATIONS[name][1]
            cells = name, array, f"{len(products)}", f"{cycles:,}", f"{counters['compute_conflicts']:,}"
            yield f"| {' | '.join(cells)} | {share:.1f} % | {goal if isinstance(goal, int) else goal(machine):.3g} % |"


def main() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    table = ["| operation | array | steps | cycles | conflicts | share of peak | goal |", "|---|---|---:|---:|---:|---:|---:|"]
    runs = ["| whole run | cycles | without transfers | share of peak | goal |", "|---|---:|---:|---:|---|"]
    with Progress() as progress:
        runs += run_lines(progress)
        for machine in MACHINES:
            table += lines(machine, progress)
    write_section(PAGE, "bench", "\n".join([LEGEND, *table, RUN_LEGEND, *runs]))


if __name__ == "__main__":
    main()

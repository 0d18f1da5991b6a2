"""CoDeNet on its Verilated machine: `nox -s bench_codenet` writes docs/codenet.md.

A whole image of 256 x 256, from external memory to external memory; the results must be the integer executor's. Multiplier blocks are
counted by synthesis for UltraScale+.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import onnx
from celosia.gen.pages import write_section
from celosia.gen.platforms import PLATFORMS
from celosia.gen.project import TOP, VERILOG, write_project
from celosia.gen.simulation import build_library
from celosia.gen.synthesis import measure_xilinx
from celosia.gen.verilog import to_verilog
from celosia.rtl.accelerator import Accelerator
from celosia.rtl.arch.parameters import MachineParameters
from celosia.rtl.arch.steps import Engine
from celosia.sw import graph as ir
from celosia.sw.compiler.bands import Bands
from celosia.sw.compiler.chains import chains
from celosia.sw.compiler.pipeline import Assignment
from celosia.sw.compiler.predict import DEFAULT_RESOURCES
from celosia.sw.compiler.program import Compiler, Program
from celosia.sw.driver.network import Network
from celosia.sw.driver.verilated import VerilatedDevice
from celosia.sw.executor import execute
from celosia.sw.frontend import import_model
from celosia.sw.manifest import Manifest
from celosia.sw.report.measure import Span, spans
from rich.progress import Progress

from examples.codenet.model import PARTS, Configuration, build, image

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "codenet"
PAGE = ROOT / "docs" / "codenet.md"
CLOCK_MHZ = 250
PAPER_FRAMES = 26.9  # a second, of configuration b
PAPER_MULTIPLIERS = 360
NETWORK = Configuration()
ONE_UNIT = MachineParameters.from_dict(
    {
        **{"rows": 16, "cols": 16, "lanes": 2, "scratchpad_kib": 512, "banks": 16, "bus_bytes": 16},
        **{"weight_bits": 4, "multiplier_bits": 27, "requantizer_columns": 2},
    }
)
BANDS = {"stem": 4, "heads": 2}  # of the operators of a part
MACHINES = ONE_UNIT, replace(ONE_UNIT, units=2, lanes=1, requantizer_columns=4, lut_rows=2)
FRAMES = (
    "| machine | predicted cycles | cycles of a frame | error | frames a second at 250 MHz | to the paper's 26.9 | MACs per cycle"
    " | share of peak | bytes to and from memory | DSP48E2 | LUT | RAMB36 |",
    f"|---|{'---:|' * 11}",
)
OF_PARTS = (
    "| part | machine | MACs | cycles | compute busy | loads and stores busy | share of peak |",
    f"|---|---|{'---:|' * 5}",
)


def planned(graph: ir.Graph, machine: MachineParameters) -> Program:
    """With what has no place in the scratchpad, the first map and those of the heads, in bands."""
    compiler = Compiler(graph, machine, DEFAULT_RESOURCES, name="codenet")
    found, _ = chains(compiler.graph)
    part_of = {op.name: op.node.partition(".")[0] for op in compiler.graph.operators}
    bands = (Bands(operators=tuple(chain), count=BANDS[part]) for chain in found if (part := part_of[chain[0]]) in BANDS)
    return compiler.program(Assignment(bands=tuple(bands)))


@dataclass(frozen=True, kw_only=True)
class Run:
    counters: Mapping[str, int]
    steps: Sequence[Span]


def run(program: Program, graph: ir.Graph, progress: Progress) -> Run:
    """Of the image. Asserts that the results are the executor's of the imported graph."""
    folder = BUILD / program.parameters.arrays.replace(" ", "")
    task = progress.add_task(f"{program.parameters.arrays}: building and running", total=None)
    write_project(program, folder)
    library = build_library(folder / VERILOG, TOP, BUILD / "simulators", optimise="-O3")
    manifest, inputs = Manifest.of(program, rom=False), {"image": image(NETWORK)}
    values = execute(graph, inputs, lanes=program.parameters.lanes)
    with VerilatedDevice(library, memory_bytes=program.memory_bytes, latency=DEFAULT_RESOURCES.latency) as device:
        network = Network(device, manifest)
        network.upload()
        device.record_activity()
        found = network.run_integers(inputs)
        assert all((found[port.name] == values[port.tensor.name]).all() for port in graph.outputs)
        measured = Run(counters=network.counters(), steps=spans(device.activity(), manifest))
    progress.update(task, total=1, completed=1)
    return measured


def frame_line(program: Program, graph: ir.Graph, measured: Run) -> str:
    p, cycles, macs = program.parameters, measured.counters["cycles"], graph.macs()
    area = measure_xilinx(to_verilog(Accelerator(p), name=TOP, platform=PLATFORMS["ultrascale"]), top=TOP)
    assert area.dsp <= PAPER_MULTIPLIERS
    frames = CLOCK_MHZ * 1e6 / cycles
    cells = (
        *(p.arrays, f"{program.cycles:,}", f"{cycles:,}", f"{100 * (program.cycles / cycles - 1):+.1f} %"),
        *(f"{frames:.1f}", f"{frames / PAPER_FRAMES:.1f}", f"{macs / cycles:.0f}", f"{macs / cycles / p.peak_macs:.1%}"),
        f"{sum(step.external_bytes for step in measured.steps):,}",
        *(f"{area.dsp}", f"{area.lut + area.memory_lut:,}", f"{area.ramb36 + area.ramb18 / 2:g}"),
    )
    return f"| {' | '.join(cells)} |"


def part_lines(program: Program, measured: Run) -> Iterator[str]:
    """The cycles of a part are those from the end of the one before it to the end of its last product."""
    p, operators = program.parameters, {op.name: op for op in program.graph.operators}
    part_of = {name: op.node.partition(".")[0] for name, op in operators.items()}
    ends = [0]
    for part in PARTS:
        products = [step for step in measured.steps if step.engine is Engine.COMPUTE and part_of[step.operator] == part]
        ends.append(max(step.end for step in products))
    for part, (start, end) in zip(PARTS, pairwise(ends), strict=True):
        macs = sum(op.macs for name, op in operators.items() if part_of[name] == part)
        busy = [
            _busy([step for step in measured.steps if step.engine in engines], start, end)
            for engines in ((Engine.COMPUTE,), (Engine.LOAD, Engine.STORE))
        ]
        shares = (f"{cycles / (end - start):.0%}" for cycles in busy)
        cells = part, p.arrays, f"{macs:,}", f"{end - start:,}", *shares, f"{macs / (end - start) / p.peak_macs:.1%}"
        yield f"| {' | '.join(cells)} |"


def _busy(steps: Sequence[Span], start: int, end: int) -> int:
    """Cycles between two in which at least one of the steps is under way."""
    total, reached = 0, start
    for step in sorted(steps, key=lambda step: step.start):
        total += max(0, min(step.end, end) - max(step.start, reached))
        reached = max(reached, min(step.end, end))
    return total


def main() -> None:
    """Of the machines whose numbers are given, or all: the page has what was measured last in this checkout."""
    BUILD.mkdir(parents=True, exist_ok=True)
    onnx.save(build(NETWORK), BUILD / "codenet.onnx")
    graph = import_model(BUILD / "codenet.onnx")
    with Progress() as progress:
        for number in [int(argument) for argument in sys.argv[1:]] or range(len(MACHINES)):
            program = planned(graph, MACHINES[number])
            measured = run(program, graph, progress)
            (BUILD / f"parts-{number}.md").write_text("\n".join(part_lines(program, measured)))
            (BUILD / f"frame-{number}.md").write_text(frame_line(program, graph, measured))
    tables = {"frame": FRAMES, "parts": OF_PARTS}
    texts = ("\n".join([*header, *(path.read_text() for path in sorted(BUILD.glob(f"{name}-*.md")))]) for name, header in tables.items())
    write_section(PAGE, "bench_codenet", "\n\n".join(texts))


if __name__ == "__main__":
    main()

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
PAPER_FRAMES, PAPER_SIZE = 26.9, 256  # a second, of configuration b
DEVICE = "| the paper's device, an XCZU3EG, has | 360 | 70,560 | 216 |"
TWO = MachineParameters.from_dict(
    {
        **{"rows": 16, "cols": 16, "units": 2, "lanes": 8, "scratchpad_kib": 512, "banks": 16, "bus_bytes": 16, "row_elements": 4096},
        **{"weight_bits": 4, "multiplier_bits": 27, "lut_rows": 8, "requantizer_columns": 4, "pruning": 1, "transformer": 0},
        **{"deform_kernel": 3, "deform_reach": 7, "deform_width": 64},
    }
)
ONE = replace(TWO, units=1, lut_rows=0)
RUNS = (256, TWO), (256, ONE), (512, TWO)  # sizes of images, and machines
BANDS = {256: {"stem": 8, "heads": 8}, 512: {"stem": 32, "heads": 32}}  # of the operators of a part, by the size of the image
FRAMES = (
    "| image | machine | predicted cycles | cycles of a frame | error | frames a second at 250 MHz | to the paper's 26.9 | MACs per cycle"
    " | share of the arrays' peak | with the deform engine's | bytes to and from memory | tap conflicts |",
    f"|---|---|{'---:|' * 10}",
)
AREAS = "| machine | DSP48E2 | LUT | RAMB36 |", f"|---|{'---:|' * 3}"
OF_PARTS = (
    "| image | machine | part | MACs | cycles | an array busy | deform engine | vector engine | loads and stores"
    " | share of peak, with the deform engine's |",
    f"|---|---|---|{'---:|' * 7}",
)
ENGINES = (Engine.COMPUTE,), (Engine.DEFORM,), (Engine.VECTOR,), (Engine.LOAD, Engine.STORE)


def planned(graph: ir.Graph, size: int, machine: MachineParameters) -> Program:
    """With what has no place in the scratchpad, the first map and those of the heads, in bands."""
    compiler = Compiler(graph, machine, DEFAULT_RESOURCES, name="codenet")
    found, _ = chains(compiler.network.graph)
    operators, counts = {op.name: op for op in compiler.network.graph.operators}, BANDS[size]
    parts = [(tuple(chain), part_of(operators[chain[0]])) for chain in found]
    return compiler.program(Assignment(bands=tuple(Bands(operators=chain, count=counts[part]) for chain, part in parts if part in counts)))


@dataclass(frozen=True, kw_only=True)
class Run:
    counters: Mapping[str, int]
    steps: Sequence[Span]


def run(program: Program, graph: ir.Graph, network: Configuration, progress: Progress) -> Run:
    """Of the image. Asserts that the results are the executor's of the imported graph."""
    folder = BUILD / program.parameters.arrays.replace(" ", "")
    task = progress.add_task(f"{network.size} on {program.parameters.arrays}: building and running", total=None)
    write_project(program, folder)
    library = build_library(folder / VERILOG, TOP, BUILD / "simulators", optimise="-O3")
    manifest, inputs = Manifest.of(program, rom=False), {"image": image(network)}
    values = execute(graph, inputs, lanes=program.parameters.lanes)
    with VerilatedDevice(library, memory_bytes=program.memory_bytes, latency=DEFAULT_RESOURCES.latency) as device:
        driver = Network(device, manifest)
        driver.upload()
        device.record_activity()
        found = driver.run_integers(inputs)
        assert all((found[port.name] == values[port.tensor.name]).all() for port in graph.outputs)
        measured = Run(counters=driver.counters(), steps=spans(device.activity(), manifest))
    progress.update(task, total=1, completed=1)
    return measured


def part_of(op: ir.Operator) -> str:
    return op.node.partition(".")[0]


def frame_line(program: Program, graph: ir.Graph, network: Configuration, measured: Run) -> str:
    """MACs are those of the network: without what is multiplied with ones for the detections."""
    p, cycles = program.parameters, measured.counters["cycles"]
    macs = sum(op.macs for op in graph.operators if part_of(op) != PARTS[-1])
    frames = CLOCK_MHZ * 1e6 / cycles
    cells = (
        *(f"{network.size} x {network.size}", p.arrays),
        *(f"{program.cycles:,}", f"{cycles:,}", f"{100 * (program.cycles / cycles - 1):+.1f} %"),
        *(f"{frames:.1f}", f"{frames / PAPER_FRAMES:.1f}" if network.size == PAPER_SIZE else "", f"{macs / cycles:.0f}"),
        *(f"{macs / cycles / p.peak_macs:.1%}", f"{macs / cycles / _peak(p):.1%}"),
        *(f"{sum(step.external_bytes for step in measured.steps):,}", f"{measured.counters['tap_conflicts']:,}"),
    )
    return f"| {' | '.join(cells)} |"


def area_line(machine: MachineParameters) -> str:
    area = measure_xilinx(to_verilog(Accelerator(machine), name=TOP, platform=PLATFORMS["ultrascale"]), top=TOP)
    return f"| {machine.arrays} | {area.dsp} | {area.lut + area.memory_lut:,} | {area.ramb36 + area.ramb18 / 2:g} |"


def part_lines(program: Program, network: Configuration, measured: Run) -> Iterator[str]:
    """The cycles of a part are those from the end of the one before it to the end of its last results; then those of all parts."""
    p, operators = program.parameters, {op.name: op for op in program.graph.operators}
    made = [step for step in measured.steps if step.engine not in (Engine.LOAD, Engine.STORE)]
    ends = [0, *(max(step.end for step in made if part_of(operators[step.operator]) == part) for part in PARTS)]
    spent = [*zip(PARTS, pairwise(ends), strict=True), ("all", (0, measured.counters["cycles"]))]
    for part, (start, end) in spent:
        macs = sum(op.macs for op in operators.values() if part in ("all", part_of(op)))
        busy = (_busy([step for step in measured.steps if step.engine in engines], start, end) for engines in ENGINES)
        shares = (f"{cycles / (end - start):.1%}" for cycles in busy)
        cells = f"{network.size}", p.arrays, part, f"{macs:,}", f"{end - start:,}", *shares, f"{macs / (end - start) / _peak(p):.1%}"
        yield f"| {' | '.join(cells)} |"


def _peak(p: MachineParameters) -> int:
    return p.peak_macs + p.deform_macs


def _busy(steps: Sequence[Span], start: int, end: int) -> int:
    """Cycles between two in which at least one of the steps is under way."""
    total, reached = 0, start
    for step in sorted(steps, key=lambda step: step.start):
        total += max(0, min(step.end, end) - max(step.start, reached))
        reached = max(reached, min(step.end, end))
    return total


def main() -> None:
    """Of images of the sizes that are given, or all, and ``area``: the page has what was measured last in this checkout."""
    BUILD.mkdir(parents=True, exist_ok=True)
    chosen = sys.argv[1:] or [*map(str, BANDS), "area"]
    with Progress() as progress:
        for size, machine in RUNS:
            if str(size) not in chosen:
                continue
            network, path = Configuration(size=size), BUILD / f"codenet-{size}.onnx"
            onnx.save(build(network), path)
            graph = import_model(path)
            program = planned(graph, size, machine)
            measured = run(program, graph, network, progress)
            _kept("parts", machine, size).write_text("\n".join(part_lines(program, network, measured)))
            _kept("frame", machine, size).write_text(frame_line(program, graph, network, measured))
    for machine in (TWO, ONE) if "area" in chosen else ():
        _kept("area", machine).write_text(area_line(machine))
    tables = {"frame": FRAMES, "area": AREAS, "parts": OF_PARTS}
    found = {name: [*header, *(path.read_text() for path in sorted(BUILD.glob(f"{name}-*.md")))] for name, header in tables.items()}
    found["area"].append(DEVICE)
    write_section(PAGE, "bench_codenet", "\n\n".join("\n".join(lines) for lines in found.values()))


def _kept(name: str, machine: MachineParameters, size: int = 0) -> Path:
    """Where lines of a table are kept."""
    return BUILD / f"{name}-{size}-{machine.units}.md"


if __name__ == "__main__":
    main()

"""Fewer tokens and heads on the digits: correct answers against cycles and bytes: `nox -s bench_pruning`.

Writes docs/pruning.md and draws docs/pruning.svg: accuracy by the integer executor on all test images, cycles of the Verilated machine on
one image, which takes as many as any other, and bytes that its program moves from and to external memory in a run.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from celosia.gen.pages import write_section
from celosia.gen.project import TOP, VERILOG, write_project
from celosia.gen.simulation import build_library
from celosia.rtl.arch.steps import Engine
from celosia.rtl.arch.targets import TARGETS
from celosia.sw import Pruning, compile_model, open_device
from celosia.sw.compiler.program import Program
from celosia.sw.executor import execute
from celosia.sw.golden.requantize import Int
from celosia.sw.manifest import Manifest
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from rich.progress import track

from .data import load_split
from .quantize import QDQ_MODEL

ROOT = Path(__file__).parents[2]
PAGE, PICTURE = ROOT / "docs" / "pruning.md", ROOT / "docs" / "pruning.svg"
BUILD = ROOT / "build" / "pruning"
TARGETS_MEASURED = "small", "medium"  # small: weights and tensors don't all stay in the scratchpad
SERIES: Mapping[str, Sequence[Pruning]] = {
    "tokens, after the first layer": [Pruning(tokens=(n / 16,)) for n in (14, 12, 10, 8, 6, 4)],
    "tokens, after both layers": [Pruning(tokens=shares) for shares in ((0.75, 0.5), (0.5, 0.25))],
    "heads": [Pruning(heads=(n / 4,)) for n in (3, 2, 1)],
    "tokens and heads": [Pruning(tokens=(share,), heads=(share,)) for share in (0.75, 0.5, 0.25)],
}
LEGEND = """
The digits network: 2 layers of attention of 4 heads on 16 tokens, not trained for pruning. Shares of the tokens and heads that are left
after each layer, all where none is given; multiply-accumulates and correct answers by the integer executor, on all test images. Cycles of
an image on the Verilated machine, memory latency of 1 cycle, and kilobytes that its program moves from and to external memory meanwhile,
for each target with `pruning`.
"""


@dataclass(frozen=True)
class Point:
    """cycles, octets: of an image, by target."""

    pruning: Pruning
    macs: int
    correct: float
    cycles: dict[str, int]
    octets: dict[str, int]


def moved(program: Program) -> int:
    """Bytes of a run from and to external memory."""
    transfers = (step.command for step in program.body if step.engine in (Engine.LOAD, Engine.STORE))
    return sum(c["rows"] * c["words"] for c in transfers) * program.parameters.slot_bytes


def simulator(target: str) -> Path:
    """Of all programs for the target."""
    folder = BUILD / target
    write_project(compiled(target, Pruning()), folder)
    return build_library(folder / VERILOG, TOP, BUILD / "simulators", optimise="-O1")


def compiled(target: str, pruning: Pruning) -> Program:
    return compile_model(QDQ_MODEL, replace(TARGETS[target], pruning=1), pruning)


def run(program: Program, target: str, library: Path, image: NDArray) -> int:
    """The cycles of an image; its result must be the executor's."""
    folder = BUILD / target
    Manifest.of(program, rom=False).save(folder)
    with open_device(folder, library=library, latency=1) as network:
        found = network.run_integers(image)[program.graph.outputs[0].name]
        assert (found == result(program, image)).all(), f"{target}: the hardware's results differ from the executor's"
        return network.counters()["cycles"]


def result(program: Program, image: NDArray) -> Int:
    """The output's integers by the executor."""
    graph = program.graph
    return execute(graph, {graph.inputs[0].name: image}, lanes=program.parameters.lanes)[graph.outputs[0].tensor.name]


def point(pruning: Pruning, simulators: Mapping[str, Path], images: NDArray, labels: NDArray) -> Point:
    programs = {target: compiled(target, pruning) for target in simulators}
    cycles = {target: run(program, target, simulators[target], images[:1]) for target, program in programs.items()}
    octets = {target: moved(program) for target, program in programs.items()}
    *_, program = programs.values()
    correct = np.mean([result(program, image[None]).argmax() == label for image, label in zip(images, labels, strict=True)])
    return Point(pruning, program.graph.macs(), float(correct), cycles, octets)


def draw(whole: Point, series: Mapping[str, Sequence[Point]]) -> None:
    mpl.rcParams["svg.hashsalt"] = "celosia"
    figure, all_axes = plt.subplots(1, len(TARGETS_MEASURED), figsize=(9, 4), sharey=True)
    for target, axes in zip(TARGETS_MEASURED, all_axes, strict=True):
        for (label, found), marker in zip(series.items(), "osD^", strict=True):
            shown = [whole, *found]
            cycles = [100 * p.cycles[target] / whole.cycles[target] for p in shown]
            axes.plot(cycles, [100 * p.correct for p in shown], f"{marker}-", label=label)
        axes.set(xlabel="cycles of an image, % of those with all", title=f"target {target}")
        axes.grid(alpha=0.3)
    all_axes[0].set(ylabel="correct, %")
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=len(series))
    figure.savefig(PICTURE, bbox_inches="tight", metadata={"Date": None})


def table(found: Iterable[Point]) -> Iterator[str]:
    targets = [f"{target}: {what}" for target in TARGETS_MEASURED for what in ("cycles", "kB")]
    yield f"| tokens left | heads left | MACs | correct | {' | '.join(targets)} |"
    yield f"|---|---|---:|---:|{'---:|' * len(targets)}"
    for p in found:
        measured = [cell for target in TARGETS_MEASURED for cell in (f"{p.cycles[target]:,}", f"{p.octets[target] / 1000:.1f}")]
        left = [", ".join(f"{share:g}" for share in shares) for shares in (p.pruning.tokens, p.pruning.heads)]
        yield f"| {' | '.join(left)} | {p.macs:,} | {100 * p.correct:.2f} % | {' | '.join(measured)} |"


def main() -> None:
    images, labels = load_split("test")
    cases = [Pruning(), *(pruning for series in SERIES.values() for pruning in series)]
    simulators = {target: simulator(target) for target in TARGETS_MEASURED}
    whole, *others = [point(pruning, simulators, images, labels) for pruning in track(cases, "what is left")]
    of_pruning = {p.pruning: p for p in others}
    draw(whole, {label: [of_pruning[pruning] for pruning in series] for label, series in SERIES.items()})
    write_section(PAGE, "bench_pruning", "\n".join([LEGEND, *table([whole, *others])]))


if __name__ == "__main__":
    main()

"""A block of GPT-2 medium, W4A8, in simulation, and all 24 in prediction: `nox -s bench_gpt2_block` writes docs/patterns.md.

The weights of a block come from external memory in each run, as in the whole network, of which no scratchpad holds much. Simulated is the
sequential pattern, whose programs all run on one circuit, up to 256 tokens. Results must be the integer executor's.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from celosia.gen.pages import write_section
from celosia.gen.project import TOP, VERILOG, write_project
from celosia.gen.simulation import build_library
from celosia.rtl.arch.parameters import MachineParameters
from celosia.sw import graph as ir
from celosia.sw.compiler.patterns import Pattern, compile_graph, compile_patterns
from celosia.sw.compiler.pipeline import Assignment
from celosia.sw.compiler.predict import DEFAULT_RESOURCES
from celosia.sw.compiler.program import Compiler, Program
from celosia.tb.graphs import Builder
from intar import Run, simulate
from rich.progress import track

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "gpt2_block"
PAGE = ROOT / "docs" / "patterns.md"
BLOCKS, WIDTH, HEADS, HIDDEN = 24, 1024, 16, 4096
MACHINE = MachineParameters.from_dict(
    {
        **{"units": 4, "rows": 32, "cols": 16, "lanes": 16, "scratchpad_kib": 8192, "banks": 16, "bus_bytes": 32},
        **{"multiplier_bits": 27, "requantizer_columns": 2, "residual": 1},
    }
)
RESOURCES = replace(DEFAULT_RESOURCES, link_kib=512, constants_stay=False)
CLOCK_MHZ = 200
SIMULATED = (64, 128, 256)  # tokens; of others only the prediction
LONGEST_PLANNED = 512
# Milliseconds by tokens: Allo, DFX, T4, A100, as InTAR lists them.
PUBLISHED = {
    64: (205, 349, 47, 40),
    128: (371, 693, 56, 40),
    256: (741, 1413, 81, 40),
    512: (1334, 2825, 163, 49),
    1024: (3777, 6079, 361, 49),
}
HEADER = (
    "| tokens | pattern | array busy | cycles of a block | predicted | error | bytes to and from memory | bytes in links"
    " | 24 blocks, ms | Allo, ms | DFX, ms | T4, ms | A100, ms |",
    f"|---:|---|{'---:|' * 11}",
)


def graph(tokens: int, blocks: int = 1) -> ir.Graph:
    """x + attention(LayerNorm(x)), then x + MLP(LayerNorm(x)). GELU of int8 is a table in any imported network."""
    b = Builder(1)
    first = x = b.tensor(tokens, WIDTH, 8)
    for _ in range(blocks):
        x = b.add(x, b.attention(b.layernorm(x, 8), HEADS, WIDTH // HEADS, length=1, weight_bits=4), 8)
        hidden = b.table(b.linear(b.layernorm(x, 8), HIDDEN, 8, 4), 8)
        x = b.add(x, b.linear(hidden, WIDTH, 8, 4), 8)
    return b.graph([first], [x])


def network_cycles(tokens: int, block: Program) -> int:
    """Of all blocks, predicted: the first one, and as many times what a second one adds to it."""
    assignment = twice(block.plan.assignment, len(graph(tokens).operators))
    two = Compiler(graph(tokens, 2), MACHINE, RESOURCES, name="two blocks").program(assignment)
    return block.cycles + (BLOCKS - 1) * (two.cycles - block.cycles)


def twice(block: Assignment, size: int) -> Assignment:
    """The same in a second block behind it. size: operators of a block, which the builder numbers."""

    def second(name: str) -> str:
        return f"op{int(name.removeprefix('op')) + size}"

    stages = (tuple(replace(stage, operator=second(stage.operator)) for stage in pipeline.stages) for pipeline in block.pipelines)
    pipelines = (replace(pipeline, stages=after) for pipeline, after in zip(block.pipelines, stages, strict=True))
    units = {second(name): units for name, units in block.units.items()}
    return Assignment(pipelines=(*block.pipelines, *pipelines), units={**block.units, **units})


def simulator() -> Path:
    """Of the machine for all programs."""
    write_project(compile_graph(graph(SIMULATED[0]), MACHINE, resources=RESOURCES), BUILD / "project")
    return build_library(BUILD / "project" / VERILOG, TOP, BUILD / "simulators", optimise="-O1")  # the compiler takes longest


def line(tokens: int, patterns: Sequence[str], program: Program, simulated: Run | None) -> str:
    """Of the table. simulated: where it was."""
    cycles = simulated.cycles if simulated else program.cycles
    moved = simulated.external_bytes if simulated else program.plan.words_moved * MACHINE.slot_bytes
    busy = program.graph.macs() / (cycles * MACHINE.peak_macs)
    milliseconds = network_cycles(tokens, program) / CLOCK_MHZ / 1000
    cells = (
        *(f"{tokens:,}", ", ".join(patterns), f"{busy:.1%}", f"{simulated.cycles:,}" if simulated else "", f"{program.cycles:,}"),
        *(f"{program.cycles / simulated.cycles - 1:+.1%}" if simulated else "", f"{moved:,}", f"{program.link_bytes:,}"),
        *(f"{milliseconds:,.0f}", *(f"{ms:,}" for ms in PUBLISHED[tokens])),
    )
    return f"| {' | '.join(cells)} |"


def planned(tokens: int) -> Mapping[Pattern, Program]:
    """Of long inputs one pattern: the planner compiles some fifty programs."""
    if tokens > LONGEST_PLANNED:
        return {Pattern.SEQUENTIAL: compile_graph(graph(tokens), MACHINE, resources=RESOURCES)}
    return compile_patterns(graph(tokens), MACHINE, resources=RESOURCES)


def lines(tokens: int, library: Path | None) -> Iterator[str]:
    """One for each program: patterns may have one in common. library: the simulator, or None for the prediction alone."""
    programs: dict[bytes, Program] = {}
    patterns: dict[bytes, list[str]] = {}
    for pattern, program in planned(tokens).items():
        programs[program.code] = program
        patterns.setdefault(program.code, []).append(pattern)
    for code, program in programs.items():
        simulated = simulate(program, library) if library and Pattern.SEQUENTIAL in patterns[code] else None
        yield line(tokens, patterns[code], program, simulated)


def main(arguments: Sequence[str]) -> None:
    """For numbers of tokens that are given, or all: the page has what was measured last in this checkout."""
    BUILD.mkdir(parents=True, exist_ok=True)
    chosen = [int(argument) for argument in arguments] or list(PUBLISHED)
    library = simulator() if set(chosen) & set(SIMULATED) else None
    for tokens in track(chosen, "tokens"):
        (BUILD / f"{tokens:04}.md").write_text("\n".join(lines(tokens, library if tokens in SIMULATED else None)))
    measured = [path.read_text() for path in sorted(BUILD.glob("*.md"))]
    write_section(PAGE, "bench_gpt2_block", "\n".join([*HEADER, *measured]))


if __name__ == "__main__":
    main(sys.argv[1:])

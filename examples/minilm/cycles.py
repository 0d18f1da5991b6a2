"""Where the cycles of one sentence go, on the simulated machine."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from celosia.sw.report.measure import OperatorUse, operator_use, spans
from numpy.typing import NDArray

from .machine import MACHINE, Machine, Run, by_executor


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Of one run. compiling: processor seconds. steps: of the program. moved: bytes to and from memory. parts: operators
    that do the same in each block are one."""

    run: Run
    macs: int
    compiling: float
    steps: int
    moved: int
    parts: Mapping[str, OperatorUse]

    @property
    def share(self) -> float:
        """Of the multiply-accumulates that the array could do in these cycles."""
        return self.macs / (self.run.counters["cycles"] * MACHINE.peak_macs)


def profile(library: Path, model: Path, tokens: NDArray[np.int64]) -> Profile:
    """Raises AssertionError if a number is not the integer executor's. tokens: [1, T]."""
    machine = Machine(library)
    machine.load(model, tokens.size)
    machine.device.record_activity()
    run = machine.run(tokens)
    assert (run.integers == by_executor(machine.graph, tokens)).all(), "the machine's numbers are not the executor's"
    manifest, parts = machine.network.manifest, dict[str, OperatorUse]()
    steps = spans(machine.device.activity(), manifest)
    for use in operator_use(steps, manifest):
        name = use.name.split(".", 2)[2] if use.name.startswith("blocks.") else use.name
        before = parts.get(name)
        parts[name] = replace(use, cycles=use.cycles + before.cycles, macs=use.macs + before.macs) if before else use
    return Profile(
        run=run,
        macs=machine.graph.macs(),
        compiling=machine.compiling,
        steps=len(steps),
        moved=sum(step.external_bytes for step in steps),
        parts=parts,
    )


def run_lines(profiles: Mapping[str, Profile]) -> Iterator[str]:
    """A row for each network."""
    yield "| weights | MACs | cycles | share of peak | steps | bytes to and from memory | seconds to compile | to simulate |"
    yield f"|---|{'---:|' * 7}"
    for name, one in profiles.items():
        cells = f"{one.macs:,}", f"{one.run.counters['cycles']:,}", f"{one.share:.1%}", f"{one.steps:,}", f"{one.moved:,}"
        yield f"| {name} | {' | '.join(cells)} | {one.compiling:.0f} | {one.run.seconds:.0f} |"


def part_lines(parts: Mapping[str, OperatorUse]) -> Iterator[str]:
    """A row for each part."""
    yield "| part | engine | cycles | share of peak meanwhile |"
    yield "|---|---|---:|---:|"
    for name, use in parts.items():
        yield f"| {name} | {use.engine} | {use.cycles:,} | {f'{use.mac_use:.1%}' if use.macs else ''} |"

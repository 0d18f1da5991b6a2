"""What one run did: when each step ran, and cycles, MACs and bytes per operator."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...rtl.arch.dram import ACCUMULATOR_BYTES
from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.steps import CHANNEL, Engine, Step
from ...rtl.arch.workers import Worker, workers, workers_of
from ..compiler.cost import rows_read, tiles_of_b
from ..driver.device import DeviceError
from ..manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class Span:
    """A step under way at its ``worker`` from cycle ``start`` to before ``end``, counted from the run's first step."""

    worker: Worker
    operator: str
    start: int
    end: int
    external_bytes: int
    scratchpad_bytes: int

    @property
    def cycles(self) -> int:
        return self.end - self.start

    @property
    def engine(self) -> Engine:
        return self.worker.engine


@dataclass(frozen=True, kw_only=True)
class OperatorUse:
    """An operator's share of a run. cycles: of its compute or vector steps, those of several units added up, or of the loads that are all
    of it. macs: multiply-accumulates of the network, none where a flag ruled it out. peak_macs: what a unit, or
    the DRAM, can do in a cycle."""

    name: str
    node: str
    kind: str
    engine: str
    start: int
    cycles: int
    macs: int
    external_bytes: int
    scratchpad_bytes: int
    peak_macs: float

    @property
    def mac_use(self) -> float:
        """Share of the peak while the operator's steps ran."""
        return self.macs / (self.cycles * self.peak_macs)


def spans(activity: Sequence[tuple[int, int]], manifest: Manifest) -> list[Span]:
    """The spans of a run's steps, in program order, from the accelerator's ``activity`` in it; of a decoder, at the last position.

    A worker starts and ends its steps in order.

    Raises DeviceError if the activity is not that of one whole run.
    """
    everyone = workers(manifest.parameters)
    starts: dict[Worker, list[int]] = {worker: [] for worker in everyone}
    ends: dict[Worker, list[int]] = {worker: [] for worker in everyone}
    for cycle, state in activity:
        for i, worker in enumerate(everyone):
            for times, bit in ((starts, i), (ends, i + len(everyone))):
                if state >> bit & 1:
                    times[worker].append(cycle)
    first = min((cycle for cycle, _ in activity), default=0)
    steps = manifest.steps[manifest.first_step(manifest.last_position) :]
    of_step = list(workers_of(steps, manifest.parameters))
    expected = {worker: of_step.count(worker) for worker in everyone}
    if any((len(starts[worker]), len(ends[worker])) != (count, count) for worker, count in expected.items()):
        raise DeviceError(f"the recorded activity is not that of one run of {len(steps)} steps")
    taken = dict.fromkeys(everyone, 0)
    result = []
    for step, worker, (operator, _) in zip(steps, of_step, manifest.labels, strict=True):
        start, end = (times[worker][taken[worker]] for times in (starts, ends))
        taken[worker] += 1
        skipped = step.when and start == end
        external, scratchpad = (0, 0) if skipped else _bytes_moved(step, manifest.parameters)
        result.append(
            Span(
                worker=worker,
                operator=operator,
                start=start - first,
                end=end - first,
                external_bytes=external,
                scratchpad_bytes=scratchpad,
            )
        )
    return result


def _bytes_moved(step: Step, p: MachineParameters) -> tuple[int, int]:
    """(external, scratchpad) bytes that a step reads and writes."""
    c = step.command
    word = p.word_bytes
    if step.engine in (Engine.LOAD, Engine.STORE):
        words = c["rows"] * c["words"]
        return words * p.slot_bytes, words * word
    if step.engine is Engine.COMPUTE:
        tiles, n_tiles = tiles_of_b(c, p), -(-c["n"] // p.cols)
        outputs = c["m"] * c["lines"] * (4 if c["repeated"] else 1)
        a = rows_read(c) * tiles * word
        b = c["n"] * tiles // n_tiles * word if c["b_transposed"] else c["k"] * -(-c["n"] // word) * word
        factors = c["b_factored"] * c["taps_y"] * c["taps_x"] * p.factor_words
        return 0, a + b + n_tiles * (p.channel_words + factors) * word + outputs * c["n"] * (1 + c["out_wide"])
    if step.engine is Engine.DEFORM:
        pixels = c["height"] * c["width"] + c["lines"] * c["columns"]
        return 0, c["groups"] * (pixels + p.deform_group_words + (c["form"] > 0) * c["lines"] * c["columns"]) * word
    if step.engine is Engine.PIM:
        records = 0 if c["raw"] or c["shared"] else CHANNEL.bits // 8
        return 0, c["length"] + c["n"] * (records + (ACCUMULATOR_BYTES if c["raw"] else 1 + c["out_wide"]))
    row = lambda wide: -(-(c["cols"] << wide) // word) * word  # noqa: E731
    return 0, c["rows"] * (row(c["a_wide"]) + row(c["out_wide"]))


def _peak(engine: Engine, p: MachineParameters) -> float:
    """Multiply-accumulates of an engine's worker in a cycle."""
    return {Engine.PIM: p.dram_macs, Engine.DEFORM: p.deform_macs}.get(engine, p.unit_macs)


def operator_use(run: Sequence[Span], manifest: Manifest) -> list[OperatorUse]:
    """One entry for each operator, in the order in which they began."""
    p, result = manifest.parameters, []
    for name, about in manifest.operators.items():
        mine = [span for span in run if span.operator == name]
        work = [span for span in mine if span.engine >= Engine.COMPUTE] or mine
        cycles = sum(span.cycles for span in work)
        if work:
            result.append(
                OperatorUse(
                    name=name,
                    node=str(about["node"]),
                    kind=str(about["kind"]),
                    engine=work[0].engine.name.lower(),
                    start=work[0].start,
                    cycles=cycles,
                    macs=int(about["macs"]) if cycles else 0,
                    external_bytes=sum(span.external_bytes for span in mine),
                    scratchpad_bytes=sum(span.scratchpad_bytes for span in work),
                    peak_macs=_peak(work[0].engine, p),
                )
            )
    return sorted(result, key=lambda use: use.start)

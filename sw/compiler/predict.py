"""When each step of a program begins and ends, without a simulation: the cost model by which plans are chosen.

Each worker does its steps in program order, each as long as its array, its lanes or the memory bus are busy with it, and begins one when
what it waits for is there: steps that are complete, words of a link, room in one. Of conflicts it counts that a bank gives a word a cycle;
left out is the program's own way from memory. `nox -s bench_intar` holds it against the hardware.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ...rtl.arch.links import Link
from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.steps import WAITS, Engine, Step, VectorOperation
from ...rtl.arch.workers import Worker, workers_of
from .cost import bank_cycles, compute_cycles, ideal_cycles, load_cycles, rows_read, tiles_of_b
from .schedule import PlannedStep

# Cycles, as the hardware takes them from one end to the other when nothing waits.
TO_START = 4  # from the end of a step to the start of one that waits for it
TO_TILE = 14  # from a step's start to its first tile of b, less the words of that
TO_ROWS = 12  # from what a's waits wait for to the first row in the array
TO_RESULT = 34  # from the last row in the array to the last result in the scratchpad
CHANNELS = 7  # that channels wait for those of the row of tiles before, less the tiles before them, where these load no sooner than used
BANKS_AT_WORK = 1.06  # times what banks that never idle would need
TRANSFER = 14  # of a transfer, beside the words and the memory's latency
VECTOR_LATENCY = {VectorOperation.SOFTMAX: 90, VectorOperation.LAYERNORM: 90}
ELEMENTWISE_LATENCY = 40
DEFORM_LATENCY = 60  # from a step's start to its first word, and from its last pixel to the last result
PIM_LATENCY = 60  # from a step's start to its first macro, and from its last sums to results


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a plan counts on beside the machine. latency: cycles to the memory's first beat. bandwidth: beats per cycle in each direction.
    link_kib: that all links may have together. constants_stay: in the scratchpad from run to run, where there is room; in a part of a
    network, whose other parts run in between, they don't."""

    latency: int = 20
    bandwidth: Fraction = Fraction(1)
    link_kib: int = 64
    constants_stay: bool = True


DEFAULT_RESOURCES = Resources()


@dataclass(frozen=True, kw_only=True)
class Timing:
    start: float
    end: float


class _Link:
    """What has gone through it: when each word was filled, and when each was freed, by how many there were then."""

    def __init__(self, words: int) -> None:
        self.words, self.filled, self.freed = words, [(0, 0.0)], [(0, 0.0)]

    def is_there(self, words: int) -> float:
        """When the next ``words`` are filled."""
        return _reached(self.filled, self.freed[-1][0] + words)

    def has_room(self, words: int) -> float:
        return _reached(self.freed, self.filled[-1][0] + words - self.words)

    def fill(self, words: int, at: float) -> None:
        self.filled.append((self.filled[-1][0] + words, at))

    def free(self, words: int, at: float) -> None:
        self.freed.append((self.freed[-1][0] + words, at))


def _reached(history: Sequence[tuple[int, float]], count: int) -> float:
    """When there were so many."""
    return next(at for total, at in history if total >= count)


def _array_cycles(c: Mapping[str, int], p: MachineParameters, *, linked: bool) -> float:
    """That a unit's array, or the banks, are busy with a compute command. linked: its a comes through a link."""
    tile_rows = -(-c["n"] // p.cols)
    before = (tiles_of_b(c, p) // tile_rows - 1) * load_cycles(p)
    loads = (max(0, CHANNELS - before) + p.channel_words) * tile_rows if rows_read(c) <= load_cycles(p) else 0
    return max(compute_cycles(c, p) + loads, BANKS_AT_WORK * bank_cycles(c, p, linked=linked))


def predict(
    planned: Sequence[PlannedStep], steps: Sequence[Step], links: Sequence[Link], p: MachineParameters, resources: Resources
) -> list[Timing]:
    """Of each step. steps: those of ``planned`` with their waits."""
    complete: Mapping[Engine, list[float]] = {engine: [0.0] for engine in Engine}  # when so many steps were
    rings = [_Link(link.words) for link in links]
    free: dict[Worker, float] = {}  # when it can begin its next step
    array_free: dict[Worker, float] = {}
    found = []
    for plan, step, worker in zip(planned, steps, workers_of(steps, p), strict=True):
        c = step.command
        start = max(complete[e][count] for e, count in step.waits.items()) + TO_START
        start = max(start, free.get(worker, 0.0))
        there = rings[plan.frees.link].is_there(plan.frees.words) if plan.frees else 0.0
        room = rings[plan.fills.link].has_room(plan.fills.words) if plan.fills else 0.0
        if step.engine is Engine.COMPUTE:
            cycles = _array_cycles(c, p, linked=plan.frees is not None)
            reads = max(complete[e][c[f"a_{wait}"]] for e, wait in zip(Engine, WAITS, strict=True)) if not c.get("a_follows") else 0.0
            first = max(start + TO_TILE + load_cycles(p), max(reads, there) + TO_ROWS, array_free.get(worker, 0.0))
            first = max(first, room - cycles / -(-c["n"] // p.cols))  # the first results come a row of tiles later
            last = array_free[worker] = first + cycles
            end, free[worker], given = last + TO_RESULT, last - cycles / tiles_of_b(c, p), last
        elif step.engine is Engine.VECTOR:
            latency = VECTOR_LATENCY.get(VectorOperation(c["operation"]), ELEMENTWISE_LATENCY)
            start = max(start, there, room)
            given = start + ideal_cycles(step, p) + TO_ROWS
            end = free[worker] = start + ideal_cycles(step, p) + latency
        elif step.engine is Engine.DEFORM:
            start = max(start, there, room)
            end = free[worker] = given = start + ideal_cycles(step, p) + DEFORM_LATENCY
        elif step.engine is Engine.PIM:
            end = free[worker] = given = start + ideal_cycles(step, p) + PIM_LATENCY
        else:
            end = free[worker] = given = start + float(ideal_cycles(step, p) / resources.bandwidth) + resources.latency + TRANSFER
        if plan.frees:
            rings[plan.frees.link].free(plan.frees.words, given)
        if plan.fills:
            rings[plan.fills.link].fill(plan.fills.words, end)
        complete[step.engine].append(max(complete[step.engine][-1], end))
        found.append(Timing(start=start, end=end))
    return found

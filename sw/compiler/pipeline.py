"""Pipelines: operators that follow each other run at the same time, each on units of its own. The tensor between two of them goes through
links band by band, and is never stored whole."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from math import lcm

from typing_extensions import Self

from ...rtl.arch.links import MOST_LINK_WORDS, Link
from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.workers import Worker, by_unit
from .. import graph as ir
from .bands import Bands
from .errors import CompileError
from .task import Operand, Ring, Task, Way


@dataclass(frozen=True, kw_only=True)
class Stage:
    """operator: its name. units: that take the bands of a product in turn; of the vector engine its one."""

    operator: str
    units: tuple[int, ...] = (0,)


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """band: rows of the tensors between the stages that a step makes and the next one's takes, at most."""

    stages: tuple[Stage, ...]
    band: int

    @property
    def operators(self) -> tuple[str, ...]:
        return tuple(stage.operator for stage in self.stages)

    def renamed(self, names: Sequence[str]) -> Self:
        """The same of other operators."""
        stages = (replace(stage, operator=name) for stage, name in zip(self.stages, names, strict=True))
        return replace(self, stages=tuple(stages))

    def __str__(self) -> str:
        stages = (f"{stage.operator} on {len(stage.units)}" for stage in self.stages)
        return f"{' -> '.join(stages)}, {self.band} rows a band"


Group = Pipeline | Bands  # of operators whose steps are between each other's


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What the units do. bands: operators that take turns. units: those that share each product outside of these, by its name; all where it
    has none.
    spills: every tensor between operators goes through external memory, to compare with."""

    pipelines: tuple[Pipeline, ...] = ()
    bands: tuple[Bands, ...] = ()
    units: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    spills: bool = False

    @property
    def groups(self) -> tuple[Group, ...]:
        return (*self.pipelines, *self.bands)


SEQUENTIAL = Assignment()


def between(graph: ir.Graph, pipelines: Sequence[Pipeline]) -> set[str]:
    """Names of the tensors that go through links."""
    operators = {op.name: op for op in graph.operators}
    first = (operators[stage.operator] for pipeline in pipelines for stage in pipeline.stages[:-1])
    return {block.tensor.name for op in first for block in op.outputs}


def adjacent(graph: ir.Graph, groups: Sequence[Group]) -> ir.Graph:
    """With the operators of each group next to each other, where the last of them is: then all that they need is there."""
    group_of = {name: group for group in groups for name in group.operators}
    operators = {op.name: op for op in graph.operators}
    order: list[ir.Operator] = []
    for op in graph.operators:
        group = group_of.get(op.name)
        if group is None:
            order.append(op)
        elif op.name == group.operators[-1]:
            order += (operators[name] for name in group.operators)
    return replace(graph, operators=tuple(order))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Band:
    """Rows of the tensors between the stages, and each stage's task that makes or reads them."""

    rows: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class PipelineTasks:
    """The tasks of a pipeline. ways: of each stage. first_link: the number of its first link. Raises CompileError where it can't be one."""

    pipeline: Pipeline
    ways: Sequence[Sequence[Way]]
    parameters: MachineParameters
    first_link: int

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """Of two bands each, so that one is written while the other is read. Raises CompileError where a band is too large for one."""
        words = dict[tuple[str, str], int]()
        for number, band in enumerate(self._bands):
            for stage, ports in enumerate(self._ports(number)):
                words[ports] = max(words.get(ports, 0), 2 * band.rows * band.tasks[stage].operands["out"].buffer.row_words)
        if max(words.values()) > MOST_LINK_WORDS:
            raise CompileError(f"two bands of {max(words.values())} words do not fit a link of {MOST_LINK_WORDS}: {self.pipeline}")
        return tuple(Link(writer=writer, reader=reader, words=1 << (most - 1).bit_length()) for (writer, reader), most in words.items())

    def tasks(self) -> Iterator[Task]:
        """Each stage is a band ahead of the next one: so a queue of steps in this order never holds up what others wait for."""
        rings = [Ring(link=self.first_link + i, words=link.words) for i, link in enumerate(self.links)]
        numbers = {(link.writer, link.reader): i for i, link in enumerate(self.links)}
        tasks, written = dict[tuple[int, int], Task](), [0] * len(rings)
        for number, band in enumerate(self._bands):
            made = [replace(task, unit=worker.unit) for task, worker in zip(band.tasks, self._workers(number), strict=True)]
            for stage, ports in enumerate(self._ports(number)):
                i = numbers[ports]
                out = made[stage].operands["out"]
                at = replace(rings[i], position=written[i] % rings[i].words)
                written[i] += out.rows * out.buffer.row_words
                made[stage] = _linked(made[stage], "out", at)
                made[stage + 1] = _linked(made[stage + 1], self._reads[stage], at)
            tasks |= {(number + stage, -stage): task for stage, task in enumerate(made)}
        return (tasks[slot] for slot in sorted(tasks))

    @cached_property
    def _bands(self) -> list[_Band]:
        """Raises CompileError where the stages' rows don't belong together."""
        rows = [task.operands[name].rows for task, name in zip(self._first, ("out", *self._reads), strict=True)]
        whole, found = lcm(*rows), []
        for way in self.ways[0]:
            band = min(self.pipeline.band, way.most_rows * rows[0]) // whole * whole
            if not band:
                raise CompileError(f"a band would be less than a line of {whole} pixels: {self.pipeline}")
            step = band // rows[0]
            for row in range(0, way.rows, step):
                tasks = [way.make(row, min(step, way.rows - row), 0, way.cols)]
                for name, ways in zip(self._reads, self.ways[1:], strict=True):
                    tasks.append(_following(tasks[-1].operands["out"], ways, name, self.pipeline))
                found.append(_Band(rows=tasks[0].operands["out"].rows, tasks=tuple(tasks)))
        return found

    @cached_property
    def _first(self) -> list[Task]:
        """Of each stage what it does of its first row, which may be one of pixels."""
        return [ways[0].make(0, 1, 0, ways[0].cols) for ways in self.ways]

    @cached_property
    def _reads(self) -> list[str]:
        """Of each stage but the first the field of what it reads of the one before."""
        buffers = (task.operands["out"].buffer for task in self._first)
        return [
            next(name for name, operand in task.operands.items() if operand.buffer is buffer)
            for task, buffer in zip(self._first[1:], buffers, strict=False)
        ]

    def _workers(self, band: int) -> list[Worker]:
        """Who does each stage of a band."""
        own = by_unit(self.parameters)
        return [
            own[task.engine, stage.units[band % len(stage.units)]] for task, stage in zip(self._first, self.pipeline.stages, strict=True)
        ]

    def _ports(self, band: int) -> list[tuple[str, str]]:
        """Between which ones what is between the stages of a band goes."""
        return [
            (f"{writer.name}.write", f"{reader.name}.read_{name}")
            for (writer, reader), name in zip(pairwise(self._workers(band)), self._reads, strict=True)
        ]


def _following(made: Operand, ways: Sequence[Way], field: str, pipeline: Pipeline) -> Task:
    """What takes the rows that are made."""
    for way in ways:
        first = way.make(0, 1, 0, way.cols).operands[field]
        row, count = (made.row - first.row) // first.rows, made.rows // first.rows
        if row >= 0 and 0 < count <= min(way.rows - row, way.most_rows):
            task = way.make(row, count, 0, way.cols)
            if (task.operands[field].row, task.operands[field].rows) == (made.row, made.rows):
                return task
    raise CompileError(f"no stage takes rows {made.row} to {made.row + made.rows - 1} at once: {pipeline}")


def _linked(task: Task, field: str, ring: Ring) -> Task:
    return replace(task, operands={**task.operands, field: replace(task.operands[field], ring=ring)})

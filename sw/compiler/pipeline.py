"""Pipelines: operators that follow each other run at the same time, each on units of its own. The tensor between two of them goes through
links band by band, and is never stored whole."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Self

from ...rtl.arch.links import MOST_LINK_WORDS, Link
from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.workers import Worker, by_unit
from .. import graph as ir
from .bands import Bands
from .errors import CompileError
from .task import Ring, Task, Way


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
    """Rows of the tensors between the stages, and for each stage the way that makes or reads them, with the first of them there."""

    rows: int
    places: tuple[tuple[Way, int], ...]


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
        words = dict[tuple[Worker, Worker], int]()
        for number, band in enumerate(self._bands):
            for stage, pair in enumerate(pairwise(self._workers(number))):
                out = _task(band, stage).operands["out"]
                words[pair] = max(words.get(pair, 0), 2 * band.rows * out.buffer.row_words)
        if max(words.values()) > MOST_LINK_WORDS:
            raise CompileError(f"two bands of {max(words.values())} words do not fit a link of {MOST_LINK_WORDS}: {self.pipeline}")
        names = [(writer.name, reader.name, 1 << (most - 1).bit_length()) for (writer, reader), most in words.items()]
        return tuple(Link(writer=f"{writer}.write", reader=f"{reader}.read_a", words=size) for writer, reader, size in names)

    def tasks(self) -> Iterator[Task]:
        """Each stage is a band ahead of the next one: so a queue of steps in this order never holds up what others wait for."""
        rings = [Ring(link=self.first_link + i, words=link.words) for i, link in enumerate(self.links)]
        numbers = {(link.writer, link.reader): i for i, link in enumerate(self.links)}
        tasks, written = dict[tuple[int, int], Task](), [0] * len(rings)
        for number, band in enumerate(self._bands):
            every = self._workers(number)
            made = [replace(_task(band, stage), unit=worker.unit) for stage, worker in enumerate(every)]
            for stage, (writer, reader) in enumerate(pairwise(every)):
                i = numbers[f"{writer.name}.write", f"{reader.name}.read_a"]
                out = made[stage].operands["out"]
                at = replace(rings[i], position=written[i] % rings[i].words)
                written[i] += out.rows * out.buffer.row_words
                made[stage] = _linked(made[stage], "out", at)
                made[stage + 1] = _linked(made[stage + 1], "a", at)
            tasks |= {(number + stage, -stage): task for stage, task in enumerate(made)}
        return (tasks[slot] for slot in sorted(tasks))

    @cached_property
    def _bands(self) -> list[_Band]:
        """Raises CompileError where the stages' rows don't belong together."""
        found = []
        for way in self.ways[0]:
            size = min(self.pipeline.band, way.most_rows)
            for row in range(0, way.rows, size):
                rows = min(size, way.rows - row)
                places = [(way, row)]
                for ways in self.ways[1:]:
                    places.append(_place(ways, _row(*places[-1], "out"), rows, self.pipeline))
                found.append(_Band(rows=rows, places=tuple(places)))
        return found

    def _workers(self, band: int) -> list[Worker]:
        """Who does each stage of a band."""
        own, stages = by_unit(self.parameters), zip(self.pipeline.stages, self.ways, strict=True)
        return [own[ways[0].make(0, 1, 0, ways[0].cols).engine, stage.units[band % len(stage.units)]] for stage, ways in stages]


def _task(band: _Band, stage: int) -> Task:
    way, row = band.places[stage]
    return way.make(row, band.rows, 0, way.cols)


def _row(way: Way, row: int, field: str) -> int:
    """The row of the operand's buffer that a row of a way is."""
    return way.make(row, 1, 0, way.cols).operands[field].row


def _place(ways: Sequence[Way], row: int, rows: int, pipeline: Pipeline) -> tuple[Way, int]:
    """The way that takes these rows of the tensor before it, and the first of them there."""
    for way in ways:
        first = _row(way, 0, "a")
        if first <= row and row + rows <= first + way.rows and rows <= way.most_rows:
            return way, row - first
    raise CompileError(f"no stage takes rows {row} to {row + rows - 1} at once: {pipeline}")


def _linked(task: Task, field: str, ring: Ring) -> Task:
    return replace(task, operands={**task.operands, field: replace(task.operands[field], ring=ring)})

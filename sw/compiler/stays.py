"""A graph as the planner of `sw/planning/` sees it, and its plan as a graph: what lies in the scratchpad for a while, is stored to external
memory, and loaded again.

A step of the planner is a unit: an operator, or those of a pipeline. Each buffer is one of its tensors, in words. What passes through the
staging area is streamed, at the words that its tiles take, each as often as it is read.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .. import graph as ir
from ..planning.problem import Operation, Problem, Tensor
from ..planning.schedule import Schedule, Stay
from .errors import CompileError
from .layout import Buffer
from .task import Task
from .transfers import copy_of

Unit = tuple[ir.Operator, ...]
Tasks = Callable[[Unit, Collection[str]], Sequence[Task]]  # of a unit, if the buffers of these names are staged; or CompileError


@dataclass(frozen=True, kw_only=True, eq=False)
class Steps:
    """units: of the graph, in order. in_memory: names of buffers that need no place. constants_stay: may lie in the scratchpad from run to
    run. together: prices are those of a unit of which all is staged, else of one of which nothing else is."""

    graph: ir.Graph
    units: Sequence[Unit]
    buffers: Mapping[str, Buffer]
    tasks: Tasks
    in_memory: Collection[str]
    constants_stay: bool
    together: bool

    def problem(self) -> Problem:
        operations = tuple(map(self._operation, self.units))
        inputs = {port.tensor.name for port in self.graph.inputs}
        outputs = {port.tensor.name for port in self.graph.outputs}
        tensors = dict[str, Tensor]()
        for name in dict.fromkeys(name for operation in operations for name in sorted(operation.touches)):
            constant = self.buffers[name].data is not None
            tensors[name] = Tensor(
                name,
                self.buffers[name].words,
                stored=constant or name in inputs,
                wanted=name in outputs - inputs,
                lasting=constant and self.constants_stay,
                fetchable=not constant,
            )
        return Problem(tensors, operations)

    def _operation(self, unit: Unit) -> Operation:
        reads, writes, fixed = dict[str, None](), dict[str, None](), set[str]()
        for task in self.tasks(unit, ()):
            for name, operand in task.operands.items():
                if operand.ring is None and operand.buffer.name not in self.in_memory:
                    (writes if name in ("out", "scratchpad") else reads)[operand.buffer.name] = None
                if operand.shift:
                    reads[operand.shift.buffer.name] = None
                    fixed.add(operand.shift.buffer.name)
            if task.source and task.source.shift:
                reads[task.source.shift.buffer.name] = None
                fixed.add(task.source.shift.buffer.name)
        free = [name for name in (*reads, *writes) if name not in fixed]
        prices = self._together(unit, free) if self.together else self._alone(unit, free)
        return Operation(unit[0].name, tuple(reads), tuple(writes), prices)

    def _alone(self, unit: Unit, names: Sequence[str]) -> dict[str, int]:
        return {name: price for one in names for name, price in self._prices(unit, [one]).items()}

    def _together(self, unit: Unit, names: Sequence[str]) -> dict[str, int]:
        """Of all, or where that does not fit of the largest ones that do."""
        if every := self._prices(unit, names):
            return every
        staged, prices = list[str](), dict[str, int]()
        for name in sorted(names, key=lambda name: -self.buffers[name].words):
            if more := self._prices(unit, [*staged, name]):
                staged, prices = [*staged, name], more
        return prices

    def _prices(self, unit: Unit, staged: Sequence[str]) -> dict[str, int]:
        """Words that are moved for each buffer, if these are staged; none where they don't fit."""
        try:
            operands = [operand for task in self.tasks(unit, staged) for operand in task.operands.values()]
        except CompileError:
            return {}
        prices = dict.fromkeys(staged, 0)
        for operand in operands:
            if operand.ring is None and operand.buffer.name in prices:
                prices[operand.buffer.name] += operand.size
        return prices


@dataclass(kw_only=True, eq=False)
class Moved:
    """What a schedule makes of a graph. order: of its units. copies: by the name of a tensor that holds what another one does, that one.
    resident: what gets a place. before, after, names: by step transfers around it, and other tensors for what it reads."""

    order: Sequence[int]
    copies: dict[str, str] = field(default_factory=dict)
    resident: set[str] = field(default_factory=set)
    before: dict[int, list[ir.Transfer]] = field(default_factory=dict)
    after: dict[int, list[ir.Transfer]] = field(default_factory=dict)
    tensors: dict[str, ir.Tensor] = field(default_factory=dict)
    names: dict[int, dict[str, ir.Tensor]] = field(default_factory=dict)

    def graph(self, graph: ir.Graph, units: Sequence[Unit]) -> ir.Graph:
        operators = list[ir.Operator]()
        for step, o in enumerate(self.order):
            operators += self.before.get(step, [])
            operators += (_reading(op, self.names.get(step, {})) for op in units[o])
            operators += self.after.get(step, [])
        return replace(graph, operators=tuple(operators), tensors={**graph.tensors, **self.tensors})


def moved(graph: ir.Graph, problem: Problem, schedule: Schedule) -> Moved | None:
    """The schedule's transfers; None where an output would be read from external memory, and from the scratchpad before."""
    found = Moved(order=schedule.order)
    for name, tensor in problem.tensors.items():
        stays = sorted((stay for stay in schedule.stays if stay.tensor == name), key=lambda stay: stay.first)
        streamed = [t for t, names in schedule.streams.items() if name in names]
        if name in schedule.lasting or (tensor.stored and not streamed and [stay.first for stay in stays] == [0]):
            found.resident.add(name)
        elif stays and not _add(found, graph.tensors[name], problem, stays, streamed):
            return None
    return found


def _add(found: Moved, tensor: ir.Tensor, problem: Problem, stays: Sequence[Stay], streamed: Sequence[int]) -> bool:
    """Of a tensor that is not always where it was first. Whether that can be."""
    name, stored = tensor.name, tensor
    made, wanted = not stays[0].fetched, problem.tensors[name].wanted
    if made:
        found.resident.add(name)
    if made and wanted and streamed:
        return False
    if made and stays[0].spilled and not wanted:
        stored = _copy(found, tensor, f"{name}.stored")
        step = max(found.order.index(o) for o in problem.makers[name])
        op = ir.Transfer(name=f"{name}.store", node=name, a=tensor.whole, out=stored.whole, stores=True)
        found.after.setdefault(step, []).append(op)
    for number, stay in enumerate(stays[made:]):
        here = _copy(found, tensor, f"{name}.again{number}")
        op = ir.Transfer(name=f"{name}.load{number}", node=name, a=stored.whole, out=here.whole, stores=False)
        found.before.setdefault(stay.first, []).append(op)
        found.resident.add(here.name)
        for step in map(found.order.index, problem.readers[name]):
            if stay.first <= step <= stay.last and step not in streamed:
                found.names.setdefault(step, {})[name] = here
    for step in streamed if stored is not tensor else ():
        found.names.setdefault(step, {})[name] = stored
    return True


def _copy(found: Moved, tensor: ir.Tensor, name: str) -> ir.Tensor:
    found.copies[name] = tensor.name
    found.tensors[name] = copy_of(tensor, name)
    return found.tensors[name]


def _reading(op: ir.Operator, names: Mapping[str, ir.Tensor]) -> ir.Operator:
    """The operator with other tensors where it reads those of these names."""
    written = {block.tensor.name for block in op.outputs}
    others = {name: tensor for name, tensor in names.items() if name not in written}
    return _renamed(op, others) if others else op


def _renamed(value: Any, names: Mapping[str, ir.Tensor]) -> Any:
    match value:
        case ir.Block():
            return replace(value, tensor=names[value.tensor.name]) if value.tensor.name in names else value
        case tuple():
            return tuple(_renamed(one, names) for one in value)
        case ir.Operator() | ir.MatMulPart() | ir.Residual():
            return replace(value, **{f.name: _renamed(getattr(value, f.name), names) for f in fields(value)})
    return value

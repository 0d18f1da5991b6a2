"""The order of the operators in which the tensors between them take least of the scratchpad, and how much that is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .. import graph as ir
from ..planning.problem import Operation, Problem, Tensor
from ..planning.solve import Tell, smallest_plan
from .errors import CompileError
from .laid_out import LaidOut
from .layout import Buffer
from .order import depends_on_more


@dataclass(frozen=True, kw_only=True, eq=False)
class Smallest:
    """graph: in that order. words: that hold all its tensors, each whole while it is needed. least: that no order takes less than."""

    graph: ir.Graph
    words: int
    least: int


def smallest(network: LaidOut, seconds: float, tell: Tell = lambda text: None) -> Smallest:
    """Constants and what stays in external memory are left out. Raises CompileError naming an operator whose place in the order depends on
    more than tensors, and PlanningError where nothing is found in that time."""
    graph = network.graph
    for op in graph.operators:
        if depends_on_more(op):
            raise CompileError(f"{op.node}: the order of the operators can't be chosen where some depend on more than tensors")
    plan, least = smallest_plan(_problem(graph, network.buffers), seconds, tell=tell)
    operators = tuple(graph.operators[o] for o in plan.schedule.order)
    return Smallest(graph=replace(graph, operators=operators), words=plan.capacity, least=least)


def _problem(graph: ir.Graph, buffers: Mapping[str, Buffer]) -> Problem:
    operations = list[Operation]()
    for op in graph.operators:
        source = op.source if isinstance(op, ir.Fetch) else None
        reads = dict.fromkeys(block.tensor.name for block in op.inputs if block.tensor.data is None and block is not source)
        operations.append(Operation(op.name, tuple(reads), tuple(dict.fromkeys(block.tensor.name for block in op.outputs))))
    inputs = {port.tensor.name for port in graph.inputs}
    read = {name for operation in operations for name in operation.reads}
    names = dict.fromkeys(name for operation in operations for name in (*operation.reads, *operation.writes))
    # What nothing reads is made all the same.
    tensors = {
        name: Tensor(name, buffers[name].words, stored=name in inputs, wanted=name not in read and name not in inputs) for name in names
    }
    outputs = {port.tensor.name for port in graph.outputs} & names.keys() - inputs
    return Problem(tensors | {name: replace(tensors[name], wanted=True) for name in outputs}, tuple(operations))

"""The order of the operators: while the vector engine works on what the compute unit made, the compute unit does what needs neither."""

from collections.abc import Iterator
from dataclasses import replace

from ...rtl.arch.parameters import MachineParameters
from ...rtl.arch.steps import Engine
from .. import graph as ir
from ..executor import IMPORTANCE, flag_of
from ..pim.operator import Pim
from .cost import pim_cycles

DRAM = "the DRAM that computes"  # what stays in it, among the tensors' names
LATENCY = 40  # cycles from a command's last operand to its last result, about


def orders(graph: ir.Graph, parameters: MachineParameters) -> Iterator[ir.Graph]:
    """The graph in the order that takes the least time if memory were free, and in its own, which may keep fewer tensors at a time."""
    operators = tuple(_by_start(graph, parameters))
    if operators != graph.operators:
        yield replace(graph, operators=operators)
    yield graph


def _by_start(graph: ir.Graph, p: MachineParameters) -> Iterator[ir.Operator]:
    """List scheduling on the engines: next comes the operator that can start first, and of these the one with the longest way to go."""
    operators, needs = graph.operators, _needs(graph)
    cycles = [_cycles(op, p) for op in operators]
    way = list(cycles)  # from an operator's start to the end of the run
    for i in reversed(range(len(way))):
        for j in needs[i]:
            way[j] = max(way[j], cycles[j] + _delay(operators[j], operators[i], p) + way[i])
    free, end = dict.fromkeys(Engine, 0), {}
    while len(end) < len(way):
        ready = [i for i in range(len(way)) if i not in end and needs[i] <= end.keys()]
        starts = {
            i: max(free[_engine(operators[i])], *(end[j] + _delay(operators[j], operators[i], p) for j in needs[i]), 0) for i in ready
        }
        i = min(ready, key=lambda i: (starts[i], -way[i], i))
        end[i] = free[_engine(operators[i])] = starts[i] + cycles[i]
        yield operators[i]


def _needs(graph: ir.Graph) -> list[set[int]]:
    """For each operator those before it that write what it reads or writes, or read what it writes; of flags and the importance too."""
    reads = [{block.tensor.name for block in op.inputs} | ({flag_of(op.when)} if op.when else set()) for op in graph.operators]
    writes = [{block.tensor.name for block in op.outputs} | _left_behind(op) for op in graph.operators]
    return [{j for j in range(i) if writes[j] & (reads[i] | writes[i]) or reads[j] & writes[i]} for i in range(len(reads))]


def depends_on_more(op: ir.Operator) -> bool:
    """Whether its place in the order depends on more than the tensors that it reads and writes."""
    return bool(op.when or _left_behind(op) or (isinstance(op, ir.Pick) and op.importance))


def _left_behind(op: ir.Operator) -> set[str]:
    """What it changes that is no tensor."""
    flag = {flag_of(op.name)} if isinstance(op, ir.Softmax) and op.threshold is not None else set[str]()
    pim = {DRAM} if isinstance(op, Pim) else set[str]()
    return flag | pim | ({IMPORTANCE} if isinstance(op, ir.Softmax | ir.Pick) and op.importance else set())


def _delay(before: ir.Operator, op: ir.Operator, p: MachineParameters) -> int:
    """Cycles from the end of an operator to the start of one that needs it, about: a product follows another whose results are its a,
    but loads no tile of b, nor a residual, from results that are not complete."""
    if not (isinstance(before, ir.MatMul) and isinstance(op, ir.MatMul)):
        return LATENCY
    written = {block.tensor for block in before.outputs}
    whole = [part.b for part in op.parts] + ([op.residual.r] if op.residual else [])
    return LATENCY + p.cols if written & {block.tensor for block in whole} else 0


def _engine(op: ir.Operator) -> Engine:
    kinds = {ir.MatMul: Engine.COMPUTE, ir.Fetch: Engine.LOAD, Pim: Engine.PIM, ir.Deform: Engine.DEFORM}
    return kinds.get(type(op), Engine.VECTOR)


def _cycles(op: ir.Operator, p: MachineParameters) -> int:
    """At the least."""
    if isinstance(op, ir.MatMul):
        return -(-op.macs // p.peak_macs)
    if isinstance(op, ir.Fetch):
        return op.out.rows * -(-op.out.cols * op.out.tensor.bits // (8 * p.bus_bytes))
    if isinstance(op, ir.Deform):
        return op.a.rows * -(-op.a.cols // p.word_bytes)
    if isinstance(op, Pim):
        return sum(pim_cycles(command.fields, p) for command in op.commands)
    return sum(block.rows * -(-block.cols // p.lanes) for block in op.outputs)

"""The first memory plan: which buffers stay in the scratchpad and where, which pass through its staging area.

Activations are placed first fit over their lifetimes, in the order in which operators run; constants fill what is left from the
other end, so mostly in other banks, and stay for all runs. What finds no place lies in external memory and is loaded to, or
stored from, the staging area tile by tile. The size of the staging area is tried in a few steps; the plan that moves the fewest
bytes a run wins.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from .errors import CompileError
from .layout import Buffer, Layout
from .tasks import Task, TaskMaker


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """resident: scratchpad address (in words) by buffer name. staging: its two halves' addresses and their size. tasks: in order."""

    resident: Mapping[str, int]
    staging: tuple[int, int]
    staging_words: int
    tasks: tuple[Task, ...]
    words_moved: int

    def __str__(self) -> str:
        lines = [f"{address:8} {name}" for name, address in sorted(self.resident.items(), key=lambda item: item[1])]
        return "\n".join([*lines, f"{self.staging[0]:8} staging, twice {self.staging_words} words"])


def make_plan(graph: ir.Graph, layouts: Mapping[str, Layout], buffers: Mapping[str, Buffer], parameters: MachineParameters) -> Plan:
    """The plan that moves the fewest words. Raises CompileError where an operator's smallest tile fits no plan."""
    total = parameters.scratchpad_words
    best, problem = None, None
    for eighths in (0, 1, 2, 4, 6, 8):
        half = total * eighths // 16
        try:
            plan = _with_staging(graph, layouts, buffers, parameters, half)
        except CompileError as e:
            problem = e
            continue
        if best is None or plan.words_moved < best.words_moved:
            best = plan
    if best is None:
        raise problem or CompileError("the network has no operator")
    return best


def _with_staging(
    graph: ir.Graph, layouts: Mapping[str, Layout], buffers: Mapping[str, Buffer], parameters: MachineParameters, half: int
) -> Plan:
    staging = limit = parameters.scratchpad_words - 2 * half
    resident, top = _place_activations(graph, buffers, limit)
    for buffer in buffers.values():
        if buffer.data is not None and limit - buffer.words >= top:
            limit -= buffer.words
            resident[buffer.name] = limit
    maker = TaskMaker(parameters, layouts, buffers, lambda b: b.name not in resident, half)
    tasks = tuple(task for op in graph.operators for task in maker.tasks(op))
    staged = sum(o.size for task in tasks for o in task.operands.values() if o.buffer.name not in resident)
    ports = sum(buffers[port.tensor.name].words for port in (*graph.inputs, *graph.outputs) if port.tensor.name in resident)
    return Plan(resident=resident, staging=(staging, staging + half), staging_words=half, tasks=tasks, words_moved=staged + ports)


def lifetimes(graph: ir.Graph) -> Iterator[tuple[str, int, int]]:
    """(tensor, first operator, last operator) of each activation, by the operators' positions; inputs start at -1."""
    first = {port.tensor.name: -1 for port in graph.inputs}
    last = dict(first)
    for i, op in enumerate(graph.operators):
        for block in (*op.inputs, *op.outputs):
            if block.tensor.data is None:
                first.setdefault(block.tensor.name, i)
                last[block.tensor.name] = i
    last |= {port.tensor.name: len(graph.operators) for port in graph.outputs}
    return ((name, start, last[name]) for name, start in sorted(first.items(), key=lambda item: item[1]))


def _place_activations(graph: ir.Graph, buffers: Mapping[str, Buffer], limit: int) -> tuple[dict[str, int], int]:
    """Addresses of the activations that fit below ``limit``, and the end of the highest."""
    placed: dict[str, int] = {}
    alive: list[tuple[int, int, int]] = []  # address, end, last use
    top = 0
    for name, start, end in lifetimes(graph):
        alive = [entry for entry in alive if entry[2] >= start]
        address, words = 0, buffers[name].words
        for low, high, _ in sorted(alive):
            if address + words <= low:
                break
            address = max(address, high)
        if address + words <= limit:
            placed[name] = address
            alive.append((address, address + words, end))
            top = max(top, address + words)
    return placed, top

"""The first memory plan: which buffers stay in the scratchpad and where, which pass through its staging area.

Activations are placed over their lifetimes, in the order in which operators run; constants fill what no activation ever uses and
stay for all runs. Among the places that are free, the one in other banks than the operands read at the same time is taken.
What finds no place lies in external memory and is loaded to, or stored from, the staging area tile by tile. The size of the
staging area is tried in a few steps; the plan that moves the fewest bytes a run wins, and of those of several orders of the operators the
one that is predicted to be the fastest.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from ...rtl.arch.links import Link
from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from .bands import Bands
from .buffers import operator_name
from .errors import CompileError
from .laid_out import LaidOut
from .order import orders
from .pipeline import SEQUENTIAL, Assignment, adjacent
from .places import place
from .task import Task
from .tasks import TaskMaker

EIGHTHS = (0, 1, 2, 3, 4, 6, 8)  # of the scratchpad, that the staging area may be
WORTH = 0.98  # of the words moved, that a larger staging area must save: the first tiles are waited for, and larger ones longer


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan(LaidOut):
    """resident: scratchpad address (in words) by buffer name. staging: the addresses
    of its parts, and the size of each. tasks: in order, which is that of the graph's operators but for pipelines, whose stages take turns.
    links: by number. words_moved: to and from external memory in a run, but for what is fetched; words_staged: of these, through the
    staging area."""

    resident: Mapping[str, int]
    staging: tuple[int, ...]
    staging_words: int
    tasks: tuple[Task, ...]
    assignment: Assignment
    links: tuple[Link, ...]
    words_moved: int
    words_staged: int

    def __str__(self) -> str:
        lines = [f"{address:8} {name}" for name, address in sorted(self.resident.items(), key=lambda item: item[1])]
        return "\n".join([*lines, f"{self.staging[0]:8} staging, {len(self.staging)} times {self.staging_words} words"])


def make_plans(
    network: LaidOut, assignment: Assignment = SEQUENTIAL, *, constants_stay: bool, lowest: Callable[[], ir.Graph | None]
) -> list[Plan]:
    """For each order of the operators the plan that moves the fewest words. constants_stay: in the scratchpad, where there is room.
    lowest: makes the graph in the order that takes least of the scratchpad, if that is known. Raises
    CompileError where an operator's smallest tile fits no plan, nor a pipeline any."""
    parameters, in_memory = network.parameters, needs_no_place(network, constants_stay=constants_stay)
    most = parameters.scratchpad_words // (8 * _staging_parts(parameters))
    plans, problem = list[Plan](), None
    for order in _orders(network, lowest):
        candidate, best = replace(network, graph=adjacent(order, assignment.groups)), None
        for eighths, spread in product(EIGHTHS, (True, False)):  # spread: which takes more room
            try:
                plan = _with_staging(candidate, assignment, most * eighths, in_memory, spread=spread)
            except CompileError as e:
                problem = e
                continue
            if best is None or plan.words_moved < WORTH * best.words_moved:
                best = plan
            if not plan.words_staged:  # none moves less
                break
        plans += [best] if best else []
        if best and not best.words_staged:
            break
    if not plans:
        raise problem or CompileError("the network has no operator")
    return plans


def _orders(network: LaidOut, lowest: Callable[[], ir.Graph | None]) -> Iterator[ir.Graph]:
    """Those to try one after the other, until nothing need be staged."""
    yield from orders(network.graph, network.parameters)
    if order := lowest():
        yield order


def _with_staging(network: LaidOut, assignment: Assignment, staging_words: int, in_memory: Container[str], *, spread: bool) -> Plan:
    maker = TaskMaker(network.operands(lambda buffer: False), staging_words=staging_words)
    bands = _words_of_bands(network.graph, assignment, maker)
    resident = place(network, bands, assignment, room_of(network.parameters, staging_words), in_memory, spread=spread)
    return plan_with(network, assignment, staging_words, resident)


def room_of(parameters: MachineParameters, staging_words: int) -> int:
    """Words of the scratchpad beside the staging area, parts of which have so many."""
    return parameters.scratchpad_words - _staging_parts(parameters) * staging_words


def plan_with(network: LaidOut, assignment: Assignment, staging_words: int, resident: Mapping[str, int]) -> Plan:
    """With these places. Raises CompileError where an operator's smallest tile does not fit the staging area."""
    graph, buffers, parameters = network.graph, network.buffers, network.parameters
    operands = network.operands(lambda buffer: buffer.name not in resident)
    tasks, links = _tasks(graph, assignment, TaskMaker(operands, staging_words=staging_words))
    staged = sum(o.size for task in tasks for o in task.operands.values() if operands.is_staged(o))
    ports = sum(buffers[port.tensor.name].words for port in (*graph.inputs, *graph.outputs) if port.tensor.name in resident)
    transfers = sum(buffers[op.a.tensor.name].words for op in graph.operators if isinstance(op, ir.Transfer))
    staging = tuple(room_of(parameters, staging_words) + i * staging_words for i in range(_staging_parts(parameters)))
    return Plan(
        graph=graph,
        layouts=network.layouts,
        buffers=buffers,
        parameters=parameters,
        resident=resident,
        staging=staging,
        staging_words=staging_words,
        tasks=tuple(tasks),
        assignment=assignment,
        links=tuple(links),
        words_moved=staged + ports + transfers,
        words_staged=staged,
    )


def plan_for(plan: Plan, network: LaidOut) -> Plan:
    """The same places for a graph like the plan's, whose tensors are no larger. Raises CompileError as `make_plans`."""
    operands = network.operands(lambda buffer: buffer.name not in plan.resident)
    tasks, _ = _tasks(network.graph, plan.assignment, TaskMaker(operands, staging_words=plan.staging_words))
    return replace(plan, graph=network.graph, layouts=network.layouts, buffers=network.buffers, tasks=tuple(tasks))


def _tasks(graph: ir.Graph, assignment: Assignment, maker: TaskMaker) -> tuple[list[Task], list[Link]]:
    """Of all operators in order, and the links that they use."""
    operators = {op.name: op for op in graph.operators}
    first = {group.operators[0]: group for group in assignment.groups}
    in_groups = {name for group in assignment.groups for name in group.operators}
    tasks, links = list[Task](), list[Link]()
    for op in graph.operators:
        group = first.get(op.name)
        if isinstance(group, Bands):
            tasks += maker.bands(group, operators)
        elif group:
            made = maker.pipeline(group, operators, first_link=len(links))
            tasks += made.tasks()
            links += made.links
        elif op.name not in in_groups:
            tasks += maker.tasks(op, assignment.units.get(op.name, ()))
    return tasks, links


def _words_of_bands(graph: ir.Graph, assignment: Assignment, maker: TaskMaker) -> dict[str, int]:
    """Of each buffer of which only what a band needs is kept, the words of that."""
    operators = {op.name: op for op in graph.operators}
    return {name: words for bands in assignment.bands for name, words in maker.band_rows(bands, operators).words.items()}


def _staging_parts(parameters: MachineParameters) -> int:
    """Each unit works in one while another is loaded for it."""
    return 2 * parameters.units


def needs_no_place(network: LaidOut, *, constants_stay: bool) -> set[str]:
    """Buffers that stay in external memory: what is fetched, or an input that nothing reads; constants that a number chooses from, the
    operator's tables among them; all constants, unless they can stay."""
    graph, buffers = network.graph, network.buffers
    fetched, read, shifted = set[str](), {port.tensor.name for port in graph.outputs}, set[str]()
    for op in graph.operators:
        of_it = set[ir.Block]()
        if isinstance(op, ir.Fetch):
            of_it = {op.source}
        elif isinstance(op, ir.MatMul) and op.shift:
            of_it = {part.b for part in op.parts}
            shifted.add(op.name)
        fetched |= {block.tensor.name for block in of_it}
        read |= {block.tensor.name for block in op.inputs if block not in of_it}
    constants = set() if constants_stay else {buffer.name for buffer in buffers.values() if buffer.data is not None}
    unread = {port.tensor.name for port in graph.inputs}
    return (fetched | unread) - read | constants | {name for name in buffers if operator_name(name) in shifted}

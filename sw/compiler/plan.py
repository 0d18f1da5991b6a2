"""The first memory plan: which buffers stay in the scratchpad and where, which pass through its staging area.

Activations are placed over their lifetimes, in the order in which operators run; constants fill what no activation ever uses and
stay for all runs. Among the places that are free, the one in other banks than the operands read at the same time is taken.
What finds no place lies in external memory and is loaded to, or stored from, the staging area tile by tile. The size of the
staging area is tried in a few steps; the plan that moves the fewest bytes a run wins, and of those of several orders of the operators the
one that is predicted to be the fastest.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from ...rtl.arch.links import Link
from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from .bands import Bands
from .buffers import operator_name
from .errors import CompileError
from .layout import Buffer, Layout
from .operands import Operands
from .order import orders
from .pieces import Pieces
from .pipeline import SEQUENTIAL, Assignment, Group, adjacent, between
from .task import Task
from .tasks import TaskMaker

EIGHTHS = (0, 1, 2, 3, 4, 6, 8)  # of the scratchpad, that the staging area may be
WORTH = 0.98  # of the words moved, that a larger staging area must save: the first tiles are waited for, and larger ones longer
SPREAD = 2  # operators: one for each engine beside that of the tensor's last reader


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """resident: scratchpad address (in words) by buffer name. staging: the addresses of its parts, and the size of each. tasks: in order,
    which is that of the graph's operators but for pipelines, whose stages take turns. links: by number. words_moved: to and from
    external memory in a run, but for what is fetched; words_staged: of these, through the staging area."""

    graph: ir.Graph
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
    graph: ir.Graph,
    layouts: Mapping[str, Layout],
    buffers: Mapping[str, Buffer],
    parameters: MachineParameters,
    assignment: Assignment = SEQUENTIAL,
    *,
    constants_stay: bool = True,
) -> list[Plan]:
    """For each order of the operators the plan that moves the fewest words. constants_stay: in the scratchpad, where there is room. Raises
    CompileError where an operator's smallest tile fits no plan, nor a pipeline any."""
    in_memory = _only_fetched(graph, buffers)
    if not constants_stay:
        in_memory |= {buffer.name for buffer in buffers.values() if buffer.data is not None}
    most = parameters.scratchpad_words // (8 * _staging_parts(parameters))
    plans, problem = list[Plan](), None
    for order in orders(graph, parameters):
        candidate, best = adjacent(order, assignment.groups), None
        for eighths, spread in product(EIGHTHS, (True, False)):  # spread: which takes more room
            try:
                plan = _with_staging(candidate, layouts, buffers, parameters, assignment, most * eighths, in_memory, spread=spread)
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


def _with_staging(
    graph: ir.Graph,
    layouts: Mapping[str, Layout],
    buffers: Mapping[str, Buffer],
    parameters: MachineParameters,
    assignment: Assignment,
    staging_words: int,
    in_memory: Container[str],
    *,
    spread: bool,
) -> Plan:
    parts = _staging_parts(parameters)
    limit = parameters.scratchpad_words - parts * staging_words
    resident: Container[str] = buffers
    operands = _operands(graph, layouts, buffers, parameters, lambda buffer: buffer.name not in resident)
    maker = TaskMaker(operands, staging_words=staging_words)
    sizes = {name: buffer.words for name, buffer in buffers.items()} | _words_of_bands(graph, assignment, maker)
    resident = _place(graph, sizes, buffers, assignment, limit, parameters.region_words, in_memory, spread=spread)
    tasks, links = _tasks(graph, assignment, maker)
    staged = sum(o.size for task in tasks for o in task.operands.values() if operands.is_staged(o))
    ports = sum(buffers[port.tensor.name].words for port in (*graph.inputs, *graph.outputs) if port.tensor.name in resident)
    staging = tuple(limit + i * staging_words for i in range(parts))
    return Plan(
        graph=graph,
        resident=resident,
        staging=staging,
        staging_words=staging_words,
        tasks=tuple(tasks),
        assignment=assignment,
        links=tuple(links),
        words_moved=staged + ports,
        words_staged=staged,
    )


def plan_for(
    plan: Plan, graph: ir.Graph, layouts: Mapping[str, Layout], buffers: Mapping[str, Buffer], parameters: MachineParameters
) -> Plan:
    """The same places for a graph like the plan's, whose tensors are no larger. Raises CompileError as `make_plans`."""
    operands = _operands(graph, layouts, buffers, parameters, lambda buffer: buffer.name not in plan.resident)
    tasks, _ = _tasks(graph, plan.assignment, TaskMaker(operands, staging_words=plan.staging_words))
    return replace(plan, graph=graph, tasks=tuple(tasks))


def _operands(
    graph: ir.Graph,
    layouts: Mapping[str, Layout],
    buffers: Mapping[str, Buffer],
    parameters: MachineParameters,
    staged: Callable[[Buffer], bool],
) -> Operands:
    return Operands(
        parameters=parameters,
        layouts=layouts,
        buffers=buffers,
        staged=staged,
        pieces=Pieces.of(graph, parameters),
        fetched={op.out.tensor.name for op in graph.operators if isinstance(op, ir.Fetch)},
    )


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


def lifetimes(graph: ir.Graph, groups: Sequence[Group] = ()) -> Iterator[tuple[str, int, int]]:
    """(tensor, first operator, last operator) of each activation, by the operators' positions, one for all of a group; inputs start at
    -1."""
    first = {port.tensor.name: -1 for port in graph.inputs}
    last = dict(first)
    leader = {name: group.operators[0] for group in groups for name in group.operators}
    position = {op.name: i for i, op in enumerate(graph.operators)}
    for op in graph.operators:
        i = position[leader.get(op.name, op.name)]
        for block in (*op.inputs, *op.outputs):
            if block.tensor.data is None:
                first.setdefault(block.tensor.name, i)
                last[block.tensor.name] = i
    last |= {port.tensor.name: len(graph.operators) for port in graph.outputs}
    return ((name, start, last[name]) for name, start in sorted(first.items(), key=lambda item: item[1]))


def _place(
    graph: ir.Graph,
    sizes: Mapping[str, int],
    buffers: Mapping[str, Buffer],
    assignment: Assignment,
    limit: int,
    region_words: int,
    in_memory: Container[str],
    *,
    spread: bool,
) -> dict[str, int]:
    """Addresses below ``limit`` of the buffers that find a place. sizes: the words that they take. in_memory: names of those that need no
    place. Raises CompileError where one of which only bands are kept finds none.

    spread: keep what is read together in different banks, and each activation's place for SPREAD operators longer than needed, so that
    operators on different engines can overlap.
    """
    partners = _of_one_operator(graph, buffers), _of_neighbours(graph)
    placed: dict[str, int] = {}

    def range_of(name: str) -> tuple[int, int]:
        return placed[name], placed[name] + sizes[name]

    def place(name: str, taken: list[tuple[int, int]]) -> None:
        avoid = [[range_of(other) for other in group.get(name, ()) if spread and other in placed] for group in partners]
        address = _best_address(sizes[name], sorted(taken), limit, region_words, avoid)
        if address is not None:
            placed[name] = address

    linked = between(graph, assignment.pipelines)
    activations = () if assignment.spills else lifetimes(graph, assignment.groups)
    spans = [span for span in activations if span[0] not in in_memory and span[0] not in linked]
    ends = {name: end for name, _, end in spans}
    for name, start, _ in spans:
        place(name, [range_of(other) for other in placed if ends[other] + spread * SPREAD >= start])
        if name not in placed and sizes[name] < buffers[name].words:
            raise CompileError(f"a band of {name} needs {sizes[name]} words, for which the scratchpad has no place")
    constants = [buffer.name for buffer in buffers.values() if buffer.data is not None and buffer.name not in in_memory]
    for name in sorted(constants, key=lambda name: -buffers[name].words):
        place(name, [range_of(other) for other in placed])
    return placed


def _only_fetched(graph: ir.Graph, buffers: Mapping[str, Buffer]) -> set[str]:
    """Buffers that stay in external memory: what is fetched, and constants that a number chooses from, the operator's tables among them."""
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
    return fetched - read | {name for name in buffers if operator_name(name) in shifted}


def _of_one_operator(graph: ir.Graph, buffers: Mapping[str, Buffer]) -> dict[str, set[str]]:
    """For each buffer those that some operator reads at the same time, its tables among them."""
    tables: dict[str, set[str]] = {}
    for name in buffers:
        tables.setdefault(operator_name(name), set()).add(name)
    partners: dict[str, set[str]] = {}
    for op in graph.operators:
        together = {block.tensor.name for block in op.inputs} | tables.get(op.name, set())
        _pair(partners, together, together)
    return partners


def _of_neighbours(graph: ir.Graph) -> dict[str, set[str]]:
    """For each tensor those that another engine may read, or write, at the same time; or the compute unit, for its next command."""
    partners: dict[str, set[str]] = {}
    for i, op in enumerate(graph.operators):
        for other in graph.operators[i + 1 : i + 1 + SPREAD]:
            for blocks in ("inputs", "outputs"):
                _pair(partners, *({block.tensor.name for block in getattr(o, blocks)} for o in (op, other)))
    return partners


def _pair(partners: dict[str, set[str]], some: set[str], others: set[str]) -> None:
    for one, many in ((some, others), (others, some)):
        for name in one:
            partners.setdefault(name, set()).update(many - {name})


def _best_address(
    words: int, taken: list[tuple[int, int]], limit: int, region_words: int, avoid: list[list[tuple[int, int]]]
) -> int | None:
    """The lowest free address of those with the fewest words in banks of the ranges to avoid, of the first group of these above all; None
    where there is no place."""
    gaps, start = [], 0
    for low, high in [*taken, (limit, limit)]:
        gaps.append((start, low))
        start = max(start, high)
    starts = sorted(
        {at for low, high in gaps for at in (low, *range(-(-low // region_words) * region_words, high, region_words)) if at + words <= high}
    )
    regions = [{region for low, high in group for region in range(low // region_words, (high - 1) // region_words + 1)} for group in avoid]

    def shared(at: int) -> list[int]:
        return [sum(max(0, min(at + words, (r + 1) * region_words) - max(at, r * region_words)) for r in group) for group in regions]

    return min(starts, key=lambda at: (shared(at), at), default=None)

"""A plan that moves fewer words than the first one, with its staging area or a smaller one: which buffers stay from when to when, in its
order or, where that is small enough to be tried, in any, by an integer program; and where, as in `places.py`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from ...rtl.arch.parameters import MachineParameters
from .. import graph as ir
from ..planning.addresses import addresses
from ..planning.blocks import Blocks
from ..planning.choice import Choice
from ..planning.integer import fewest_exposed, fewest_moves
from ..planning.integer import moved as moved_words
from ..planning.problem import Problem
from ..planning.schedule import Stay
from .errors import CompileError
from .layout import Buffer
from .order import depends_on_more
from .pipeline import Assignment
from .places import lifetimes, place
from .plan import Plan, needs_no_place, operands_of, plan_with, room_of
from .stays import Moved, Steps, Unit, moved
from .task import Task
from .tasks import TaskMaker

STAGING = (1, 2, 4)  # parts of the first plan's staging area
SECONDS = 10.0  # for an integer program of a schedule
ADDRESS_SECONDS = 0.3
ORDER_SECONDS = 2.0
SMALL = 150  # steps at which operators can run, in all, up to which their order is chosen too


def fewer_moves(plan: Plan, parameters: MachineParameters, *, constants_stay: bool) -> Plan | None:
    """None where none is found, or where the plan has bands, or a part for DRAM that computes, of which the planner knows nothing."""
    if plan.assignment.bands or plan.assignment.spills or parameters.dram or not plan.words_staged:
        return None
    units = list(_units(plan.graph, plan.assignment))
    best = plan
    for part, together in product(STAGING, (True, False)):
        like = replace(plan, staging_words=plan.staging_words // part)
        try:
            problem = _steps(like, units, parameters, constants_stay=constants_stay, together=together).problem()
        except CompileError:  # something is always staged, for which that is too little
            break
        if best.words_moved > problem.compulsory and (found := _planned(like, units, problem, parameters, best.words_moved)):
            best = found
    return None if best is plan else best


def _units(graph: ir.Graph, assignment: Assignment) -> Iterator[Unit]:
    operators = {op.name: op for op in graph.operators}
    first = {pipeline.operators[0]: tuple(operators[name] for name in pipeline.operators) for pipeline in assignment.pipelines}
    others = {name for pipeline in assignment.pipelines for name in pipeline.operators[1:]}
    return (first.get(op.name, (op,)) for op in graph.operators if op.name not in others)


def _steps(plan: Plan, units: Sequence[Unit], parameters: MachineParameters, *, constants_stay: bool, together: bool) -> Steps:
    staged: Collection[str] = ()
    operands = operands_of(plan.graph, plan.layouts, plan.buffers, parameters, lambda buffer: buffer.name in staged)
    maker = TaskMaker(operands, staging_words=plan.staging_words)
    operators = {op.name: op for op in plan.graph.operators}
    pipelines = {pipeline.operators[0]: pipeline for pipeline in plan.assignment.pipelines}

    def tasks(unit: Unit, names: Collection[str]) -> list[Task]:
        nonlocal staged
        staged = names
        first = unit[0]
        if first.name in pipelines:
            return list(maker.pipeline(pipelines[first.name], operators, first_link=0).tasks())
        return list(maker.tasks(first, plan.assignment.units.get(first.name, ())))

    in_memory = needs_no_place(plan.graph, plan.buffers, constants_stay=True)
    return Steps(
        graph=plan.graph,
        units=units,
        buffers=plan.buffers,
        tasks=tasks,
        in_memory=in_memory,
        constants_stay=constants_stay,
        together=together,
    )


def _planned(plan: Plan, units: Sequence[Unit], problem: Problem, parameters: MachineParameters, words: int) -> Plan | None:
    """One that moves fewer than so many words."""
    capacity = room_of(parameters, plan.staging_words)
    found = fewest_moves(problem, capacity, SECONDS, Choice.none(range(len(units)))).schedule
    blocks = Blocks.of(problem)
    fixed = any(depends_on_more(op) for unit in units for op in unit) or (found and moved_words(problem, found) == problem.compulsory)
    if not fixed and len(units) < sum(map(len, blocks.windows.values())) <= SMALL:
        found = fewest_moves(problem, capacity, ORDER_SECONDS, Choice.all(blocks), start=found).schedule or found
    if not found or moved_words(problem, found) >= words:
        return None
    for schedule in (fewest_exposed(problem, capacity, SECONDS, found).schedule, found):
        changed = schedule and moved(plan.graph, problem, schedule)
        if changed and (made := _made(plan, units, changed, parameters)) and made.words_moved < words:
            return made
    return None


def _made(plan: Plan, units: Sequence[Unit], changed: Moved, parameters: MachineParameters) -> Plan | None:
    """None where no places are found, or tiles are larger than the schedule counted on."""
    graph = changed.graph(plan.graph, units)
    layouts = {**plan.layouts, **{name: replace(plan.layouts[of], tensor=changed.tensors[name]) for name, of in changed.copies.items()}}
    buffers = {**plan.buffers, **{name: replace(plan.buffers[of], name=name) for name, of in changed.copies.items()}}
    for spread in (True, False):
        resident = _places(
            graph, buffers, plan.assignment, room_of(parameters, plan.staging_words), parameters, changed.resident, spread=spread
        )
        if resident is not None:
            break
    else:
        return None
    try:
        return plan_with(graph, layouts, buffers, parameters, plan.assignment, plan.staging_words, resident)
    except CompileError:
        return None


def _places(
    graph: ir.Graph,
    buffers: Mapping[str, Buffer],
    assignment: Assignment,
    room: int,
    parameters: MachineParameters,
    wanted: Collection[str],
    *,
    spread: bool,
) -> dict[str, int] | None:
    """Of all that is wanted, or none: those that are away from each other where there are such, if ``spread``, else whatever the planner
    finds."""
    if spread:
        in_memory = buffers.keys() - wanted
        sizes = {name: buffer.words for name, buffer in buffers.items()}
        found = place(graph, sizes, buffers, assignment, room, parameters.region_words, in_memory, spread=True)
        return found if found.keys() == set(wanted) else None
    stays = {name: Stay(tensor=name, first=first, last=last) for name, first, last in lifetimes(graph, assignment.groups) if name in wanted}
    stays |= {name: Stay(tensor=name, first=-1, last=len(graph.operators)) for name in wanted if name not in stays}
    found = addresses({name: buffers[name].words for name in stays}, list(stays.values()), room, ADDRESS_SECONDS)
    return dict(zip(stays, found, strict=True)) if found else None

"""A plan that moves fewer words than the first one, with its staging area or a smaller one: which buffers stay from when to when, in its
order or, where that is small enough to be tried, in any, by an integer program; and where, as in `places.py`."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import product

from .. import graph as ir
from ..planning.addresses import addresses
from ..planning.blocks import Blocks
from ..planning.choice import Choice
from ..planning.integer import fewest_exposed, fewest_moves
from ..planning.integer import moved as moved_words
from ..planning.problem import Problem
from ..planning.schedule import Stay
from .errors import CompileError
from .laid_out import LaidOut
from .order import depends_on_more
from .pipeline import Assignment
from .places import lifetimes, place
from .plan import Plan, needs_no_place, plan_with, room_of
from .stays import Moved, Steps, Unit, moved
from .task import Task
from .tasks import TaskMaker

STAGING = (1, 2, 4)  # parts of the first plan's staging area
SECONDS = 10.0  # for an integer program of a schedule
ADDRESS_SECONDS = 0.3
ORDER_SECONDS = 2.0
SMALL = 150  # steps at which operators can run, in all, up to which their order is chosen too


def fewer_moves(plan: Plan, *, constants_stay: bool) -> Plan | None:
    """None where none is found, or where the plan has bands, or a part for DRAM that computes, of which the planner knows nothing."""
    if plan.assignment.bands or plan.assignment.spills or plan.parameters.dram or not plan.words_staged:
        return None
    units = list(_units(plan.graph, plan.assignment))
    best = plan
    for part, together in product(STAGING, (True, False)):
        like = replace(plan, staging_words=plan.staging_words // part)
        try:
            problem = _steps(like, units, constants_stay=constants_stay, together=together).problem()
        except CompileError:  # something is always staged, for which that is too little
            break
        if best.words_moved > problem.compulsory and (found := _planned(like, units, problem, best.words_moved)):
            best = found
    return None if best is plan else best


def _units(graph: ir.Graph, assignment: Assignment) -> Iterator[Unit]:
    operators = {op.name: op for op in graph.operators}
    first = {pipeline.operators[0]: tuple(operators[name] for name in pipeline.operators) for pipeline in assignment.pipelines}
    others = {name for pipeline in assignment.pipelines for name in pipeline.operators[1:]}
    return (first.get(op.name, (op,)) for op in graph.operators if op.name not in others)


def _steps(plan: Plan, units: Sequence[Unit], *, constants_stay: bool, together: bool) -> Steps:
    staged: Collection[str] = ()
    maker = TaskMaker(plan.operands(lambda buffer: buffer.name in staged), staging_words=plan.staging_words)
    operators = {op.name: op for op in plan.graph.operators}
    pipelines = {pipeline.operators[0]: pipeline for pipeline in plan.assignment.pipelines}

    def tasks(unit: Unit, names: Collection[str]) -> list[Task]:
        nonlocal staged
        staged = names
        first = unit[0]
        if first.name in pipelines:
            return list(maker.pipeline(pipelines[first.name], operators, first_link=0).tasks())
        return list(maker.tasks(first, plan.assignment.units.get(first.name, ())))

    in_memory = needs_no_place(plan, constants_stay=True)
    return Steps(
        graph=plan.graph,
        units=units,
        buffers=plan.buffers,
        tasks=tasks,
        in_memory=in_memory,
        constants_stay=constants_stay,
        together=together,
    )


def _planned(plan: Plan, units: Sequence[Unit], problem: Problem, words: int) -> Plan | None:
    """One that moves fewer than so many words."""
    capacity = room_of(plan.parameters, plan.staging_words)
    found = fewest_moves(problem, capacity, SECONDS, Choice.none(range(len(units)))).schedule
    blocks = Blocks.of(problem)
    fixed = any(depends_on_more(op) for unit in units for op in unit) or (found and moved_words(problem, found) == problem.compulsory)
    if not fixed and len(units) < sum(map(len, blocks.windows.values())) <= SMALL:
        found = fewest_moves(problem, capacity, ORDER_SECONDS, Choice.all(blocks), start=found).schedule or found
    if not found or moved_words(problem, found) >= words:
        return None
    for schedule in (fewest_exposed(problem, capacity, SECONDS, found).schedule, found):
        changed = schedule and moved(plan.graph, problem, schedule)
        if changed and (made := _made(plan, units, changed)) and made.words_moved < words:
            return made
    return None


def _made(plan: Plan, units: Sequence[Unit], changed: Moved) -> Plan | None:
    """None where no places are found, or tiles are larger than the schedule counted on."""
    copies = changed.copies
    network = LaidOut(
        graph=changed.graph(plan.graph, units),
        layouts={**plan.layouts, **{name: replace(plan.layouts[of], tensor=changed.tensors[name]) for name, of in copies.items()}},
        buffers={**plan.buffers, **{name: replace(plan.buffers[of], name=name) for name, of in copies.items()}},
        parameters=plan.parameters,
    )
    resident = _places(network, plan.assignment, room_of(plan.parameters, plan.staging_words), changed.resident)
    try:
        return None if resident is None else plan_with(network, plan.assignment, plan.staging_words, resident)
    except CompileError:
        return None


def _places(network: LaidOut, assignment: Assignment, room: int, wanted: Collection[str]) -> dict[str, int] | None:
    """Of all that is wanted, or none: those that are away from each other where there are such, else whatever the planner finds."""
    graph, buffers = network.graph, network.buffers
    found = place(network, {}, assignment, room, buffers.keys() - wanted, spread=True)
    if found.keys() == set(wanted):
        return found
    stays = {name: Stay(tensor=name, first=first, last=last) for name, first, last in lifetimes(graph, assignment.groups) if name in wanted}
    stays |= {name: Stay(tensor=name, first=-1, last=len(graph.operators)) for name in wanted if name not in stays}
    at = addresses({name: buffers[name].words for name in stays}, list(stays.values()), room, ADDRESS_SECONDS)
    return dict(zip(stays, at, strict=True)) if at else None
